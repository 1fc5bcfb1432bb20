//! What is known of the newest events for as long as the process runs, and stored nowhere.

use std::collections::VecDeque;
use std::sync::Mutex;

use crate::event::EventId;
use crate::sync::lock;

/// How many facts are known: of 4 to 8 bytes, beside 16 of the id, so at most 96 KiB.
pub(super) const FACTS_MAX: usize = 4_096;

/// The newest facts of events, the oldest first.
#[derive(Debug)]
pub(super) struct NewestFacts<T>(Mutex<VecDeque<(EventId, T)>>);

impl<T> Default for NewestFacts<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Copy> NewestFacts<T> {
    pub(super) fn add(&self, id: EventId, fact: T) {
        let mut newest = lock(&self.0);
        if newest.len() == FACTS_MAX {
            newest.pop_front();
        }
        newest.push_back((id, fact));
    }

    /// All that is known of `id`, the newest last.
    pub(super) fn of(&self, id: EventId) -> Vec<T> {
        let newest = lock(&self.0);
        newest.iter().filter(|(known, _)| *known == id).map(|(_, fact)| *fact).collect()
    }
}
