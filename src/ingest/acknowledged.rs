//! How soon the newest events were answered: it is known only once they are stored, so it is not
//! part of them.

use std::time::Duration;

use super::newest::NewestFacts;
use crate::clock::whole_micros;
use crate::event::EventId;

/// How soon the newest events were answered, since the start.
#[derive(Debug, Default)]
pub struct Acknowledged(NewestFacts<u32>);

impl Acknowledged {
    /// Notes that `id` was answered `took` after its request's head was read.
    pub(super) fn add(&self, id: EventId, took: Duration) {
        self.0.add(id, u32::try_from(whole_micros(took)).unwrap_or(u32::MAX));
    }

    /// How long after its request's head was read `id` was answered, where that is known still.
    pub fn after(&self, id: EventId) -> Option<Duration> {
        let micros = self.0.of(id).pop()?;
        Some(Duration::from_micros(micros.into()))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::newest::FACTS_MAX as EVENTS_MAX;
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
