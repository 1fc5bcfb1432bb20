//! Keys of requests whose answer cannot have arrived.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::event::{DedupeKey, EventId};

/// For how long such a key counts.
const WINDOW: Duration = Duration::from_mins(10);
/// The most keys, the oldest go first: some 10 MB.
const KEYS_MAX: usize = 131_072;

/// Keys of requests whose answer cannot have arrived, of sources that give no id: an equal request
/// is the sender's repeat, while after an answer it would be a new event. In memory only. Times are
/// of the steady clock.
#[derive(Debug, Default)]
pub(crate) struct UnansweredKeys {
    events: BTreeMap<DedupeKey, (EventId, Timestamp)>,
    by_age: VecDeque<(Timestamp, DedupeKey)>,
}

impl UnansweredKeys {
    pub(crate) fn insert(&mut self, key: DedupeKey, id: EventId, now: Timestamp) {
        self.expire(now);
        self.events.insert(key, (id, now));
        self.by_age.push_back((now, key));
    }

    /// The event that a request with this key repeats.
    pub(crate) fn get(&self, key: DedupeKey, now: Timestamp) -> Option<EventId> {
        let (id, at) = self.events.get(&key)?;
        (now.since(*at) < WINDOW).then_some(*id)
    }

    /// An answer has arrived: the next equal request is a new event.
    pub(crate) fn remove(&mut self, key: DedupeKey) {
        self.events.remove(&key);
    }

    fn expire(&mut self, now: Timestamp) {
        while let Some((at, key)) = self.by_age.front().copied()
            && (self.by_age.len() >= KEYS_MAX || now.since(at) >= WINDOW)
        {
            self.by_age.pop_front();
            // A key that was inserted again since is in `by_age` a second time.
            if self.events.get(&key).is_some_and(|(_, inserted_at)| *inserted_at == at) {
                self.events.remove(&key);
            }
        }
    }
}
