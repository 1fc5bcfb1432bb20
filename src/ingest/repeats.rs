//! When the newest repeats came: how a repeat is known is kept with its event, that one came is not.

use std::collections::VecDeque;
use std::sync::Mutex;

use crate::clock::Timestamp;
use crate::event::EventId;
use crate::queue::Appended;
use crate::sync::lock;

/// How many are known: 24 bytes each, so 96 KiB where so many came.
const REPEATS_MAX: usize = 4_096;

/// The newest repeats of events, since the start.
#[derive(Debug, Default)]
pub struct SeenRepeats(Mutex<VecDeque<(EventId, Timestamp)>>);

impl SeenRepeats {
    /// Notes what of `appended` was there before.
    pub(super) fn add(&self, appended: &[Appended], now: Timestamp) {
        for one in appended {
            let Appended::Duplicate(id) = one else { continue };
            let mut newest = lock(&self.0);
            if newest.len() == REPEATS_MAX {
                newest.pop_front();
            }
            newest.push_back((*id, now));
        }
    }

    /// When `id` came again, as far as that is known still, the newest last.
    pub fn of(&self, id: EventId) -> Vec<Timestamp> {
        let newest = lock(&self.0);
        newest.iter().filter(|(known, _)| *known == id).map(|(_, at)| *at).collect()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn newest_repeats_are_known_and_no_others() {
        let repeats = SeenRepeats::default();
        let id = |n: u128| EventId(Uuid::from_u128(n));
        let at = Timestamp::from_millis;
        repeats.add(&[Appended::Duplicate(id(1)), Appended::Stored(id(2))], at(1));
        repeats.add(&[Appended::Duplicate(id(1))], at(2));
        assert_eq!((repeats.of(id(1)), repeats.of(id(2))), (vec![at(1), at(2)], vec![]));
        for n in 3..REPEATS_MAX as u128 + 2 {
            repeats.add(&[Appended::Duplicate(id(n))], at(3));
        }
        assert_eq!(repeats.of(id(1)), [at(2)]);
    }
}
