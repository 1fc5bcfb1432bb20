//! Storing an event, and the events of one request by one commit.

use tokio::sync::oneshot;

use super::EmbeddedQueue;
use super::commit::{self, AppendReply, AppendRequest, Group, Request};
use super::core::Core;
use super::keys::Generation;
use crate::event::{DedupeKey, EventId, NewEvent};
use crate::queue::{APPEND_ALL_MAX, Appended, QueueError};

/// An append that the committer was asked for. Dropped with the answer still in it, as
/// where its request's time is over just then, the sender hears nothing of it: it will repeat the
/// request.
struct PendingAppend<'a> {
    core: &'a Core,
    /// Of an event that is repeated where its answer cannot have arrived.
    unanswered: Option<DedupeKey>,
    answer: oneshot::Receiver<(Result<Appended, QueueError>, NewEvent)>,
}

impl<'a> PendingAppend<'a> {
    fn of(event: &NewEvent, core: &'a Core) -> (AppendReply, Self) {
        let (reply, answer) = oneshot::channel();
        (reply, Self { core, unanswered: event.dedupe.unanswered_key(), answer })
    }

    async fn answered(mut self) -> Result<Appended, QueueError> {
        let (appended, _event) = (&mut self.answer).await.map_err(|_| QueueError::Closed)?;
        appended
    }
}

impl Drop for PendingAppend<'_> {
    fn drop(&mut self) {
        // From here on the committer cannot tell it, and notes that itself.
        self.answer.close();
        if let (Some(key), Ok((Ok(appended), _event))) = (self.unanswered, self.answer.try_recv()) {
            self.core.note_unanswered(key, appended.id());
        }
    }
}

impl EmbeddedQueue {
    /// Stores one event, by an id from elsewhere where it may keep that.
    pub(super) async fn append_one(
        &self,
        event: NewEvent,
        named: Option<EventId>,
    ) -> Result<Appended, QueueError> {
        let probed = commit::probe_of(&event)
            .map(|probe| self.core.keys.lookup(&probe, Generation::default()));
        let (seen, probed) = probed.unwrap_or_default();
        if let Some(seen) = seen {
            return Ok(Appended::Duplicate(seen.id));
        }
        let (reply, pending) = PendingAppend::of(&event, &self.core);
        let group = Group::default();
        self.core.send(Request::Append(AppendRequest { event, named, probed, reply, group }))?;
        self.core.drive();
        pending.answered().await
    }

    pub(super) async fn append_group(
        &self,
        events: Vec<NewEvent>,
    ) -> Result<Vec<Appended>, QueueError> {
        if events.len() > APPEND_ALL_MAX {
            return Err(QueueError::Full(format!("more than {APPEND_ALL_MAX} events at once")));
        }
        let mut answers = Vec::with_capacity(events.len());
        let mut appends = Vec::with_capacity(events.len());
        let mut group = Group::default();
        // From the last one on: each must know how much room those behind it need.
        for event in events.into_iter().rev() {
            let probed = commit::probe_of(&event)
                .map(|probe| self.core.keys.lookup(&probe, Generation::default()));
            let (seen, probed) = probed.unwrap_or_default();
            if let Some(seen) = seen {
                answers.push(Err(Appended::Duplicate(seen.id)));
                continue;
            }
            let (reply, pending) = PendingAppend::of(&event, &self.core);
            let bytes = commit::record_bytes(&event);
            appends.push(AppendRequest { event, named: None, probed, reply, group });
            answers.push(Ok(pending));
            group.n_more += 1;
            group.more_bytes += bytes;
        }
        appends.reverse();
        self.core.send(Request::AppendAll(appends))?;
        self.core.drive();
        let mut all = Vec::with_capacity(answers.len());
        for answer in answers.into_iter().rev() {
            all.push(match answer {
                Err(seen) => seen,
                Ok(pending) => pending.answered().await?,
            });
        }
        Ok(all)
    }
}
