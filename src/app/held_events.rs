//! Own events that the queue did not take: they are kept in memory and stored once there is room.

use std::collections::VecDeque;

use tracing::{error, info, warn};

use crate::api::error_chain;
use crate::event::{EventId, NewEvent};
use crate::queue::{Queue, QueueError};

/// The most that wait. What is made goes by handlers, sources and hours, so there are few; each has about 1 KiB.
const HELD_MAX: usize = 256;

/// An own event on its way into the queue.
#[derive(Debug)]
pub(super) struct HeldEvent {
    event: NewEvent,
    /// What says which one it is, in lines of the log.
    key: String,
    /// Why, where the event says so in words.
    reason: Option<String>,
    /// Whether the log says that it waits.
    is_told: bool,
}

impl HeldEvent {
    pub(super) fn new(event: NewEvent, key: &str, reason: Option<&str>) -> Self {
        Self { event, key: key.to_owned(), reason: reason.map(str::to_owned), is_told: false }
    }

    fn note_stored(&self, id: EventId) {
        let (event_type, reason) = (self.event.event_type.as_str(), self.reason.as_deref());
        if is_trouble(event_type) {
            warn!(event.id = %id, event_type, reason, "Own event");
        } else {
            info!(event.id = %id, event_type, "Own event");
        }
    }

    fn note_held(&mut self, err: &QueueError) {
        if !self.is_told {
            self.is_told = true;
            let (event_type, key) = (self.event.event_type.as_str(), self.key.as_str());
            error!(error = %err, event_type, key, "Own event not stored: it is tried again");
        }
    }

    fn note_lost(&self, why: &str) {
        let (event_type, key) = (self.event.event_type.as_str(), self.key.as_str());
        let reason = self.reason.as_deref();
        error!(error = %why, event_type, key, reason, "Own event lost");
    }
}

/// Those that wait, oldest first.
#[derive(Debug, Default)]
pub(super) struct HeldEvents {
    waiting: VecDeque<HeldEvent>,
}

impl HeldEvents {
    /// Adds one. The oldest is given up, and said so, where there are too many.
    pub(super) fn push(&mut self, event: HeldEvent) {
        if self.waiting.len() >= HELD_MAX
            && let Some(oldest) = self.waiting.pop_front()
        {
            oldest.note_lost("too many wait for room in the queue");
        }
        self.waiting.push_back(event);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Stores what waits, in its order, up to the first that the queue has no room for. To be cancelled is
    /// harmless: what was stored by then is known as a repeat.
    pub(super) async fn store(&mut self, queue: &dyn Queue) {
        while let Some(next) = self.waiting.front() {
            match queue.append(next.event.clone()).await {
                Ok(appended) => next.note_stored(appended.id()),
                Err(err) if is_passing(&err) => {
                    self.waiting.iter_mut().for_each(|one| one.note_held(&err));
                    return;
                }
                Err(err) => next.note_lost(&error_chain(&err)),
            }
            self.waiting.pop_front();
        }
    }
}

impl Drop for HeldEvents {
    fn drop(&mut self) {
        for one in &self.waiting {
            one.note_lost("the process ends before there was room in the queue");
        }
    }
}

/// Whether the queue may take later what it does not take now.
const fn is_passing(err: &QueueError) -> bool {
    match err {
        QueueError::Full(_)
        | QueueError::LogAway(_)
        | QueueError::Behind(_)
        | QueueError::NoPart
        | QueueError::Io { .. } => true,
        QueueError::Poisoned
        | QueueError::Busy(_)
        | QueueError::Closed
        | QueueError::Held { .. }
        | QueueError::ForeignOwner { .. }
        | QueueError::Unsupported { .. }
        | QueueError::Standby { .. }
        | QueueError::Corrupt(_) => false,
    }
}

/// Whether an event says that something does not work. What became of single requests and events is
/// told apart from that.
fn is_trouble(event_type: &str) -> bool {
    [".down", ".failed", ".ending", ".low", ".lag", ".silent", ".orphaned"]
        .iter()
        .any(|end| event_type.ends_with(end))
}
