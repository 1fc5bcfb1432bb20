//! How soon the newest events were answered: it is known only once they are stored, so it is not
//! part of them.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use crate::clock::whole_micros;
use crate::event::EventId;
use crate::sync::lock;

/// How many are known: 20 bytes each, so 80 KiB where so many came.
const EVENTS_MAX: usize = 4_096;

/// How soon the newest events were answered, since the start.
#[derive(Default)]
pub struct Acknowledged(Mutex<VecDeque<(EventId, u32)>>);

impl fmt::Debug for Acknowledged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acknowledged").finish_non_exhaustive()
    }
}

impl Acknowledged {
    /// Notes that `id` was answered `took` after its request's head was read.
    pub(super) fn add(&self, id: EventId, took: Duration) {
        let micros = u32::try_from(whole_micros(took)).unwrap_or(u32::MAX);
        let mut newest = lock(&self.0);
        if newest.len() == EVENTS_MAX {
            newest.pop_front();
        }
        newest.push_back((id, micros));
    }

    /// How long after its request's head was read `id` was answered, where that is known still.
    pub fn after(&self, id: EventId) -> Option<Duration> {
        let newest = lock(&self.0);
        let found = newest.iter().rev().find(|(known, _)| *known == id);
        found.map(|(_, micros)| Duration::from_micros((*micros).into()))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn newest_answers_are_known_and_no_others() {
        let acknowledged = Acknowledged::default();
        let id = |n: usize| EventId(Uuid::from_u128(n as u128));
        for n in 0..=EVENTS_MAX {
            acknowledged.add(id(n), Duration::from_micros(n as u64));
        }
        assert_eq!(acknowledged.after(id(0)), None);
        assert_eq!(acknowledged.after(id(1)), Some(Duration::from_micros(1)));
        assert_eq!(acknowledged.after(id(EVENTS_MAX)), Some(Duration::from_micros(4_096)));
        acknowledged.add(id(9_999), Duration::from_hours(9));
        assert_eq!(acknowledged.after(id(9_999)), Some(Duration::from_micros(u32::MAX.into())));
    }
}
