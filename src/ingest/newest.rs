//! What is known of the newest events for as long as the process runs, and stored nowhere: it is known
//! only once they are stored.

use std::collections::VecDeque;
use std::sync::Mutex;

use crate::event::EventId;
use crate::sync::lock;

/// How many facts are known: of at most 16 bytes beside 16 of the id, so at most 128 KiB.
const FACTS_MAX: usize = 4_096;

/// The newest facts of events since the start, the oldest first.
#[derive(Debug)]
pub struct NewestFacts<T>(Mutex<VecDeque<(EventId, T)>>);

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

    /// All that is known of `id` still, the newest last.
    pub fn of(&self, id: EventId) -> Vec<T> {
        let newest = lock(&self.0);
        newest.iter().filter(|(known, _)| *known == id).map(|(_, fact)| *fact).collect()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn newest_facts_are_known_and_no_others() {
        let facts = NewestFacts::default();
        let id = |n: usize| EventId(Uuid::from_u128(n as u128));
        facts.add(id(1), 'a');
        facts.add(id(1), 'b');
        assert_eq!((facts.of(id(1)), facts.of(id(2))), (vec!['a', 'b'], vec![]));
        for n in 3..FACTS_MAX + 2 {
            facts.add(id(n), 'c');
        }
        assert_eq!(facts.of(id(1)), ['b'], "the oldest went");
    }
}
