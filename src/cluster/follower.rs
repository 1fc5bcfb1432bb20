//! Applies the shared log, unit by unit, to this node's copy. What it does is decided by the units and
//! by what was made of those before: every node comes to the same.
//!
//! - `operations`: what each operation does, but for events.

use std::sync::Arc;
use std::time::Duration;

use super::engine::{EngineReadError, Sequence, StoredUnit};
use super::event_batch::{EventAnswer, EventBatch, EventsReply};
use super::handlers::LocalHandlers;
use super::history::{HistoryCheck, HistoryError, LogHistory, MissingUnits};
use super::local_node::{LocalNode, Reply};
use super::node::NodeName;
use super::operation_outcome::OperationOutcome;
use super::partial_units::PartialUnits;
use super::unit::{Part, ProposedEvent, SpoolPlaces, Unit, UnitFault, UnitOperation};
use crate::clock::Timestamp;
use crate::queue::QueueError;
use crate::text::error_chain;

mod operations;

/// How many bytes are read at once.
const READ_BYTES: usize = 4 << 20;
/// With so many events, or so many bytes of them, a commit is made.
const BATCH_EVENTS: usize = 4_096;
const BATCH_BYTES: usize = 4 << 20;
/// How long what failed is left alone.
const AGAIN: Duration = Duration::from_millis(500);

/// Why the log cannot be followed just now.
#[derive(Debug, thiserror::Error)]
enum LogFollowerError {
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    History(#[from] HistoryError),
    #[error("unit {} of the shared log cannot be applied", .0.0)]
    UnitFault(Sequence, #[source] UnitFault),
    #[error(
        "another gateway that shares this log is called `{0}` too; give one of them another `[queue] node`"
    )]
    SameName(NodeName),
    #[error(
        "the shared log has units of `{0}` from a start that this machine's clock has not come to yet: set the clock \
         right and restart this gateway; where a clock was ahead then, give this one another `[queue] node`"
    )]
    ClockBehind(NodeName),
}

/// Reads and applies.
#[derive(Debug)]
pub(super) struct LogFollower {
    node: Arc<LocalNode>,
    handlers: Arc<LocalHandlers>,
    /// The newest unit that was applied whole.
    applied: Sequence,
    parts: PartialUnits,
    batch: EventBatch,
    history: LogHistory,
    /// What could not be read when it was asked for last.
    missing: Option<MissingUnits>,
}

impl LogFollower {
    /// Goes on behind `applied`.
    pub(super) fn new(
        node: Arc<LocalNode>,
        handlers: Arc<LocalHandlers>,
        applied: Sequence,
    ) -> Self {
        Self {
            node,
            handlers,
            applied,
            parts: PartialUnits::default(),
            batch: EventBatch::default(),
            history: LogHistory::default(),
            missing: None,
        }
    }

    /// Follows until the node is closed.
    pub(super) async fn run(mut self) {
        let node = Arc::clone(&self.node);
        tokio::select! {
            () = node.closed.cancelled() => {}
            () = self.follow() => {}
        }
    }

    async fn follow(&mut self) {
        let mut next = self.applied.next();
        let tick = self.node.lease / 12;
        let mut looked_at = self.node.clock.steady();
        loop {
            let asked_at = self.node.clock.steady();
            let read = self.node.engine.read(next, READ_BYTES).await;
            let now = self.node.clock.steady();
            if now.since(looked_at) > 4 * tick {
                // This node stood still: it cannot say how long the others gave no sign of life.
                self.node.life.lock().seen.values_mut().for_each(|seen| *seen = now);
            }
            looked_at = now;
            if self.node.failed.borrow().is_some() {
                // Nothing looks at the log from here on, so nothing is appended: what comes in here would be a
                // sign of life of a node that delivers nothing.
                self.node.is_log_known.send_replace(false);
                return;
            }
            match read {
                Ok(units) => match self.go_on(next, (asked_at, units), tick).await {
                    Ok(behind) => next = behind,
                    Err(err) => return self.node.fail(error_chain(&err)),
                },
                // A refusal ends when the engine's owner mends it: a password, a right, a name.
                Err(EngineReadError::Unavailable(why) | EngineReadError::Refused(why)) => {
                    // What it could not give before that it may have again.
                    self.missing = None;
                    self.node.note_engine(Some(why));
                    tokio::time::sleep(AGAIN.min(tick)).await;
                }
                Err(EngineReadError::Trimmed { first }) => {
                    let applied = self.applied;
                    return self.node.fail(HistoryError::Trimmed { first, applied }.to_string());
                }
                Err(EngineReadError::Damaged { from, to }) => {
                    let node = Arc::clone(&self.node);
                    if MissingUnits::are_gone(&mut self.missing, &node, from, to) {
                        return self.node.fail(HistoryError::Missing { from, to }.to_string());
                    }
                    tokio::time::sleep(AGAIN.min(tick)).await;
                }
            }
        }
    }

    /// Applies the units from `next` on that were there when it was asked, or waits for some; gives what comes
    /// behind them. Where it cannot be told now whether they go on from what was applied, they are read again.
    async fn go_on(
        &mut self,
        next: Sequence,
        (asked_at, units): (Timestamp, Vec<StoredUnit>),
        tick: Duration,
    ) -> Result<Sequence, LogFollowerError> {
        self.missing = None;
        match self.history.check(&self.node, self.applied).await? {
            HistoryCheck::IsSame => {}
            // Of the life before.
            HistoryCheck::IsSameInAnotherLife => return Ok(next),
            HistoryCheck::Unknown => {
                tokio::time::sleep(AGAIN.min(tick)).await;
                return Ok(next);
            }
        }
        self.node.note_engine(None);
        let Some(last) = units.last().map(|unit| unit.sequence) else {
            self.node.life.lock().at_end = Some(asked_at);
            self.wait_for_news(next, tick).await;
            return Ok(next);
        };
        self.node.note_newest(last);
        self.apply(units).await?;
        Ok(last.next())
    }

    /// Until there may be more, or an append has found that the log must be looked at.
    async fn wait_for_news(&self, next: Sequence, most: Duration) {
        let mut is_log_known = self.node.is_log_known.subscribe();
        tokio::select! {
            () = self.node.engine.wait(next, most) => {}
            // An error means that the node is gone.
            known = is_log_known.wait_for(|is_known| !is_known) => drop(known),
        }
    }

    /// Applies units in their order, and makes durable how far that is.
    async fn apply(&mut self, units: Vec<StoredUnit>) -> Result<(), LogFollowerError> {
        for stored in units {
            let fault = |why| LogFollowerError::UnitFault(stored.sequence, why);
            let part = Part::decode(&stored.bytes).map_err(fault)?;
            if part.n_parts > 1 && part.is_last() {
                // While the mark stays before its first part: with that in front of this one, a process that is
                // killed before the unit is applied would never read it whole again.
                self.commit().await?;
            }
            if let Some((author, body)) = self.parts.gather(part, stored.sequence) {
                let unit = Unit::decode(author, &body).map_err(fault)?;
                self.apply_unit(unit, stored.sequence).await?;
            }
            self.applied = stored.sequence;
            let crc = crc32c::crc32c(&stored.bytes);
            self.node.members.lock().note_newest(stored.sequence, crc);
            self.history.note(stored.sequence, crc);
            if self.batch.n_bytes >= BATCH_BYTES || self.batch.events.len() >= BATCH_EVENTS {
                self.commit().await?;
            }
        }
        self.commit().await
    }

    async fn apply_unit(&mut self, unit: Unit, at: Sequence) -> Result<(), LogFollowerError> {
        let Unit { author, at: made_at, operations } = unit;
        let has_events = |it: &UnitOperation| matches!(it, UnitOperation::Events { .. });
        if !operations.iter().all(has_events) {
            // What changes deliveries may name events that wait for their commit.
            self.commit().await?;
        }
        let node = Arc::clone(&self.node);
        if author.node == node.name && author.session > node.session {
            // A session is named by the moment of its start.
            return Err(if author.session > node.clock.now().millis_since_epoch() {
                LogFollowerError::ClockBehind(author.node)
            } else {
                LogFollowerError::SameName(author.node)
            });
        }
        let is_new_session = node.members.lock().is_new_session(&author);
        if is_new_session {
            node.reports.note_session();
        }
        // Those that watch leases and signs of life need not look at every unit.
        let is_news = is_new_session || operations.iter().any(UnitOperation::changes_members);
        if !node.members.lock().admit(&author) {
            return Ok(());
        }
        node.life.lock().seen.insert(author.node.clone(), node.clock.steady());
        let is_own = author.node == node.name && author.session == node.session;
        let replies = if is_own { node.take_pending(author.number) } else { Vec::new() };
        let mut replies = replies.into_iter();
        for (place, operation) in (0..).zip(operations) {
            let reply = replies.next();
            if let UnitOperation::Events { places, events } = operation {
                self.take_events(&author.node, places, events, reply);
                continue;
            }
            let verdict =
                self.apply_operation(&author.node, operation, (at, place, made_at)).await?;
            if let Some(reply) = reply {
                // Who asked may be gone.
                drop(reply.send(verdict));
            }
        }
        node.members.lock().finish(&author);
        if is_news {
            node.ring();
        }
        Ok(())
    }

    /// Events wait for the next commit, which stores them together; they are void where the log lacks one that
    /// their node had proposed before.
    fn take_events(
        &mut self,
        node: &NodeName,
        places: Option<SpoolPlaces>,
        events: Vec<ProposedEvent>,
        reply: Option<Reply>,
    ) {
        if places.is_some_and(|places| !self.node.members.lock().follows(node, places)) {
            if let Some(reply) = reply {
                // Who asked may be gone.
                drop(reply.send(Ok(OperationOutcome::Counted(false))));
            }
            return;
        }
        let mut answers = Vec::with_capacity(events.len());
        for it in events {
            let is_first = places.is_none_or(|SpoolPlaces { spool, .. }| {
                self.node.members.lock().admit_spooled(node, spool, it.place)
            });
            if !is_first {
                answers.push(EventAnswer::Known(it.id));
                continue;
            }
            answers.push(EventAnswer::OfBatch(self.batch.events.len()));
            self.batch.n_bytes += it.bytes();
            self.batch.events.push((it.event, it.id));
        }
        self.batch.replies.push(EventsReply { reply, events: answers });
    }

    /// Stores the events that wait, with how far the log is applied and what was made of it.
    async fn commit(&mut self) -> Result<(), LogFollowerError> {
        if self.applied == *self.node.applied.borrow() && self.batch.replies.is_empty() {
            return Ok(());
        }
        let EventBatch { events, replies, .. } = std::mem::take(&mut self.batch);
        self.write_notes().await?;
        let note = self.node.members.lock().encode();
        let sequence = self.parts.applied_whole(self.applied).0;
        let appended = loop {
            match self.node.copy.take_over(events.clone(), sequence, note.clone()).await {
                Ok(appended) => break appended,
                // The disk is full: the others go on, this node when there is room again.
                Err(err @ QueueError::Full(_)) => self.wait_for_room(&err).await,
                Err(err) => return Err(err.into()),
            }
        };
        self.node.applied.send_replace(self.applied);
        self.node.end_lost();
        for reply in replies {
            reply.answer(&appended);
        }
        Ok(())
    }

    /// The disk was full a moment ago.
    async fn wait_for_room(&self, err: &QueueError) {
        tracing::error!(error = %err, "The shared log cannot be copied");
        tokio::time::sleep(AGAIN).await;
    }

    /// Before the mark of how far the log is applied: what stands behind that does not come again.
    async fn write_notes(&self) -> Result<(), QueueError> {
        if !self.node.action_log.has_unwritten() {
            return Ok(());
        }
        loop {
            let node = Arc::clone(&self.node);
            let written = tokio::task::spawn_blocking(move || node.action_log.write()).await;
            match written {
                Ok(Ok(())) => return Ok(()),
                // As with the copy: the others go on, this node when it can write again.
                Ok(Err(err)) => tracing::error!(error = %err, "What was noted cannot be written"),
                Err(err) => return Err(QueueError::Corrupt(format!("writing panicked: {err}"))),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}
