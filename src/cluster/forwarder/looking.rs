//! What the log has already of what the spool holds, at a start and of what could not be read at its turn.

use std::io;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngCore as _, SeedableRng as _};

use super::{AGAIN, Forwarder, TakenEvents, sleep};
use crate::cluster::identity::NodeIdentity;
use crate::cluster::left_out::LeftOut;
use crate::cluster::local_node::LocalNode;
use crate::cluster::rebuild;
use crate::cluster::unit::{ProposedEvent, UnitOperation};
use crate::event::Position;
use crate::queue::{Queue as _, QueueError};

/// How long a look for what the log may lack waits for the copy's index.
const INDEX_WAIT: Duration = Duration::from_mins(1);

impl Forwarder<'_> {
    /// Finds out what the log has of the spool already.
    pub(super) async fn begin(&mut self) -> Result<(), QueueError> {
        self.is_marked = self.spool.may_lack;
        if self.is_marked {
            // First of all: what waits is not let go of, however long the rest takes.
            self.replay_all().await?;
        }
        self.catch_up().await?;
        let forwarded = self.node.members.lock().forwarded(&self.node.name, self.spool.id());
        if forwarded > self.spool.began_with {
            tracing::warn!(
                newest = self.spool.began_with.0,
                forwarded = forwarded.0,
                "The spool is older than what the shared log has of it: a copy from before was put in its place"
            );
            // What it takes in now would be taken for what the log has.
            self.renumber().await?;
            self.replay_all().await?;
        } else {
            (self.forwarded, self.newest) = (forwarded, forwarded);
            let note = || NodeIdentity::note_unproven(&self.node.folder, None);
            until_written(self.node, "That the spool is as new as the log", note).await?;
        }
        if self.is_marked {
            self.may_be_there = self.spool.queue.newest();
            tokio::select! {
                () = self.node.closed.cancelled() => return Err(QueueError::Closed),
                // Where it is not there in time, an event may be stored again rather than not at all.
                _ = self.node.copy.is_indexed(INDEX_WAIT) => {}
            }
        }
        self.note_left_out(Vec::new()).await?;
        while !is_recorded(self.node, self.spool.redrive_lost().await).await? {}
        Ok(())
    }

    async fn replay_all(&self) -> Result<(), QueueError> {
        while !is_recorded(self.node, self.spool.replay_all().await).await? {}
        Ok(())
    }

    /// Waits until a unit of this session was applied: so is all that was before it, and what the session before
    /// has on its way counts no more.
    async fn catch_up(&self) -> Result<(), QueueError> {
        let mut changed = self.node.changed.subscribe();
        loop {
            changed.borrow_and_update();
            if self.node.life.lock().confirmed.is_some() {
                return Ok(());
            }
            tokio::select! {
                () = self.node.closed.cancelled() => return Err(QueueError::Closed),
                // An error means that the node is gone.
                changed = changed.changed() => changed.map_err(|_| QueueError::Closed)?,
            }
        }
    }

    /// Notes what cannot be read, durably: these places, and those that the spool has lost.
    pub(super) async fn note_left_out(
        &mut self,
        unreadable: Vec<Position>,
    ) -> Result<(), QueueError> {
        let unreadable = unreadable.into_iter().map(|position| position..position.next());
        let mut is_news = false;
        for places in self.spool.lost().into_iter().chain(unreadable) {
            is_news |= self.left_out.insert(places);
        }
        if !is_news {
            return Ok(());
        }
        let left_out = &self.left_out;
        let note = || NodeIdentity::note_left_out(&self.node.folder, left_out);
        until_written(self.node, "Which events of the spool were left out", note).await
    }

    /// Whether this node's copy is found to have an event.
    pub(super) async fn is_in_copy(&self, event: &ProposedEvent) -> Result<bool, QueueError> {
        let copy = &self.node.copy;
        Ok(copy.get(event.id).await?.is_some() || copy.find_repeated(&event.event).await?.is_some())
    }

    /// Appends events whose turn is over, one after the other and each without its place, which the log would
    /// take for one that it knows. Where this node dies before that is settled it may come twice.
    pub(super) async fn append_late(&mut self, late: TakenEvents) -> Result<(), QueueError> {
        if late.is_empty() {
            return Ok(());
        }
        self.finish().await?;
        for (delivery, event) in late {
            let appended = loop {
                let operation = UnitOperation::Events { places: None, events: vec![event.copy()] };
                match self.node.propose(operation).await {
                    Ok(outcome) => break outcome.stored()?,
                    Err(QueueError::LogAway(_)) => {}
                    Err(QueueError::Full(why)) => {
                        self.node.engine_state.note_no_room(why);
                        sleep(self.node, AGAIN).await?;
                    }
                    Err(err) => return Err(err),
                }
            };
            self.node.engine_state.note_room();
            self.spool.end(vec![delivery], appended).await?;
        }
        Ok(())
    }

    /// Gives the spool's places another number, durably, under which the log has none of them. Until all that it
    /// may have under the number of before is sorted out, a start has to look for that.
    async fn renumber(&mut self) -> Result<(), QueueError> {
        let renumbered = (StdRng::from_os_rng().next_u64() >> 1).max(1);
        let folder = &self.node.folder;
        let note = || {
            rebuild::note_old_spool(folder)?;
            NodeIdentity::renumber_spool(folder, renumbered)
        };
        until_written(self.node, "Another number of the spool", note).await?;
        self.spool.renumber(renumbered);
        (self.is_marked, self.left_out) = (true, LeftOut::default());
        Ok(())
    }

    /// Ends to look for what the log may have, once all of that is there, or is left out.
    pub(super) async fn end_looking(&mut self) -> Result<(), QueueError> {
        if !self.is_marked || !self.spool.is_done_to(self.may_be_there) {
            return Ok(());
        }
        self.note_left_out(Vec::new()).await?;
        while !is_recorded(self.node, self.spool.queue.recorded().await).await? {}
        let end = || rebuild::end(&self.node.folder);
        until_written(self.node, "That the spool was looked through", end).await?;
        self.is_marked = false;
        let n_events = std::mem::take(&mut self.n_lacking);
        tracing::warn!(n_events, "What the shared log lacked was appended again");
        Ok(())
    }
}

/// Whether the spool has recorded it. Where its disk is full it has not, a moment later: then it is to be asked
/// again, and nothing is forwarded until there is room.
async fn is_recorded(node: &LocalNode, answer: Result<(), QueueError>) -> Result<bool, QueueError> {
    let Err(QueueError::Full(why)) = answer else { return answer.map(|()| true) };
    tracing::error!(why, "The spool records nothing, and nothing is forwarded");
    sleep(node, AGAIN).await?;
    Ok(false)
}

/// Writes until it is written: where the disk is full, nothing is forwarded until there is room.
async fn until_written(
    node: &LocalNode,
    what: &str,
    write: impl Fn() -> io::Result<()>,
) -> Result<(), QueueError> {
    while let Err(err) = write() {
        tracing::error!(what, error = %err, folder = %node.folder.display(), "It cannot be noted");
        sleep(node, AGAIN).await?;
    }
    Ok(())
}
