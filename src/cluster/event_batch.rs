//! Events that wait for the follower's next commit, and who waits for what becomes of them.

use super::local_node::Reply;
use super::operation_outcome::OperationOutcome;
use crate::event::{EventId, NewEvent};
use crate::queue::{Appended, QueueError};

/// Events that are stored by the next commit.
#[derive(Debug, Default)]
pub(super) struct EventBatch {
    pub(super) events: Vec<(NewEvent, EventId)>,
    pub(super) n_bytes: usize,
    pub(super) replies: Vec<EventsReply>,
}

/// The answer to one operation with events.
#[derive(Debug)]
pub(super) struct EventsReply {
    pub(super) reply: Option<Reply>,
    pub(super) events: Vec<EventAnswer>,
}

/// What becomes of one event.
#[derive(Clone, Copy, Debug)]
pub(super) enum EventAnswer {
    /// It was applied before.
    Known(EventId),
    /// What becomes of this event of the batch.
    OfBatch(usize),
}

impl EventsReply {
    /// Tells what became of the events; `appended` = of those of the batch.
    pub(super) fn answer(self, appended: &[Appended]) {
        let Some(reply) = self.reply else { return };
        let of = |answer| match answer {
            EventAnswer::Known(id) => Some(Appended::Stored(id)),
            EventAnswer::OfBatch(index) => appended.get(index).copied(),
        };
        let stored = self.events.into_iter().map(of).collect::<Option<Vec<_>>>();
        let stored = stored.ok_or(QueueError::Closed).map(OperationOutcome::Stored);
        // Who asked may be gone.
        drop(reply.send(stored));
    }
}
