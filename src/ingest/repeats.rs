//! When the newest repeats came: how a repeat is known is kept with its event, that one came is not.

use super::newest::NewestFacts;
use crate::clock::Timestamp;
use crate::event::EventId;

/// The newest repeats of events, since the start.
#[derive(Debug, Default)]
pub struct SeenRepeats(NewestFacts<Timestamp>);

impl SeenRepeats {
    /// Notes that `id` came again.
    pub(super) fn add(&self, id: EventId, now: Timestamp) {
        self.0.add(id, now);
    }

    /// When `id` came again, as far as that is known still, the newest last.
    pub fn of(&self, id: EventId) -> Vec<Timestamp> {
        self.0.of(id)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::newest::FACTS_MAX;
    use super::*;

    #[test]
    fn newest_repeats_are_known_and_no_others() {
        let repeats = SeenRepeats::default();
        let id = |n: u128| EventId(Uuid::from_u128(n));
        let at = Timestamp::from_millis;
        repeats.add(id(1), at(1));
        repeats.add(id(1), at(2));
        assert_eq!((repeats.of(id(1)), repeats.of(id(2))), (vec![at(1), at(2)], vec![]));
        for n in 3..FACTS_MAX as u128 + 2 {
            repeats.add(id(n), at(3));
        }
        assert_eq!(repeats.of(id(1)), [at(2)]);
    }
}
