//! Which events were stored while nobody was there any more to take the answer: their senders try
//! again, and what they send then is no new event.
//!
//! In memory only: after a restart an equal request is stored once more, which loses nothing.

use std::collections::HashMap;

use crate::clock::Timestamp;
use crate::event::{Dedupe, DedupeKey, EventId};

/// The most events that are remembered: beyond it a repeat is stored twice.
const KEYS_MAX: usize = 10_000;

/// The keys of the events whose answers were not taken.
#[derive(Debug, Default)]
pub(crate) struct Unanswered(HashMap<DedupeKey, (EventId, Timestamp)>);

impl Unanswered {
    /// The event that a request with this key repeats.
    pub(crate) fn get(&self, key: DedupeKey, now: Timestamp) -> Option<EventId> {
        let (id, at) = self.0.get(&key)?;
        (now.since(*at) < Dedupe::UNANSWERED).then_some(*id)
    }

    /// Remembers an event whose answer nobody took.
    pub(crate) fn insert(&mut self, key: DedupeKey, id: EventId, now: Timestamp) {
        if self.0.len() >= KEYS_MAX {
            self.0.retain(|_, (_, at)| now.since(*at) < Dedupe::UNANSWERED);
        }
        if self.0.len() < KEYS_MAX {
            self.0.insert(key, (id, now));
        }
    }

    /// Forgets an event whose sender has an answer by now.
    pub(crate) fn remove(&mut self, key: DedupeKey) {
        self.0.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_remembered_for_ten_minutes_and_within_bounds() {
        let id = |n: u64| EventId(uuid::Uuid::from_u128(n.into()));
        let key = |n: u64| DedupeKey(u128::from(n).to_be_bytes());
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1000);
        let mut unanswered = Unanswered::default();
        for n in 0..KEYS_MAX as u64 {
            unanswered.insert(key(n), id(n), at(0));
        }
        unanswered.insert(key(77_777), id(1), at(0));
        assert_eq!(unanswered.get(key(77_777), at(0)), None, "there is no room");
        assert_eq!(unanswered.get(key(5), at(599)), Some(id(5)));
        assert_eq!(unanswered.get(key(5), at(600)), None);
        unanswered.remove(key(6));
        assert_eq!(unanswered.get(key(6), at(1)), None);
        unanswered.insert(key(88_888), id(8), at(0));
        unanswered.insert(key(77_777), id(1), at(600));
        assert_eq!(unanswered.get(key(77_777), at(601)), Some(id(1)));
        assert_eq!(unanswered.0.len(), 1, "the old ones are gone");
    }
}
