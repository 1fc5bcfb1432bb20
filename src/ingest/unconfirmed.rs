//! Answers that are on their way to senders that give their requests no id.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::event::{Dedupe, DedupeKey, EventId};
use crate::queue::{Appended, Queue};

/// The answer to a request, until it was written to the client's socket. Dropped before that, it
/// cannot have arrived: the sender will repeat the request, and an equal one is then a repeat.
pub struct UnconfirmedAnswer {
    queue: Arc<dyn Queue>,
    /// The events of sources that give no id; mostly one or none.
    events: SmallVec<[(DedupeKey, EventId); 1]>,
}

impl UnconfirmedAnswer {
    /// The answer to a request that brought these events. Only those that are repeated where their
    /// answer cannot have arrived depend on it.
    pub(super) fn new(
        queue: &Arc<dyn Queue>,
        events: impl IntoIterator<Item = (Dedupe, Appended)>,
    ) -> Self {
        let events = events
            .into_iter()
            .filter_map(|(dedupe, appended)| Some((dedupe.unanswered_key()?, appended.id())));
        Self { queue: Arc::clone(queue), events: events.collect() }
    }

    /// Whether nothing depends on it.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// It was written.
    pub fn confirm(mut self) {
        self.events.clear();
    }
}

impl Drop for UnconfirmedAnswer {
    fn drop(&mut self) {
        for (key, id) in self.events.drain(..) {
            self.queue.note_unanswered(key, id);
        }
    }
}

impl std::fmt::Debug for UnconfirmedAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnconfirmedAnswer").field("events", &self.events).finish_non_exhaustive()
    }
}
