//! Event ids that ascend with the log: UUID version 7 with a counter behind the time (RFC 9562,
//! section 6.2, method 1), never going back when the clock does.

use std::time::Duration;

use rand::RngCore;
use rand::rngs::StdRng;

use crate::clock::Timestamp;
use crate::event::EventId;

/// Gives ids. Owned by the committer.
#[derive(Debug)]
pub(crate) struct Ids {
    last_ms: u64,
    counter: u16,
    random: StdRng,
}

/// How far the clock that an id is from may be ahead of this one.
const AHEAD_MAX: Duration = Duration::from_mins(5);

/// The counter has the 12 bits behind the version.
const COUNTER_MAX: u16 = 0x0fff;

impl Ids {
    /// Ids behind `last`, the newest one that was given before; `random` makes
    /// their random parts.
    pub(crate) fn after(last: Option<EventId>, random: StdRng) -> Self {
        let last_ms = last.map_or(0, |id| millis_of(id).saturating_add(1));
        Self { last_ms, counter: 0, random }
    }

    /// Ids that follow are behind `id`, which was given elsewhere.
    pub(crate) fn follow(&mut self, id: EventId) {
        let millis = millis_of(id);
        if millis >= self.last_ms {
            (self.last_ms, self.counter) = (millis.saturating_add(1), 0);
        }
    }

    pub(crate) fn next(&mut self, now: Timestamp) -> EventId {
        let now_ms = now.millis_since_epoch();
        if now_ms > self.last_ms {
            self.last_ms = now_ms;
            self.counter = 0;
        } else if self.counter == COUNTER_MAX {
            // More than 4,096 in a millisecond, or the clock went back: run ahead of it.
            self.last_ms += 1;
            self.counter = 0;
        } else {
            self.counter += 1;
        }
        let mut tail = [0; 10];
        self.random.fill_bytes(&mut tail);
        let [high, low] = self.counter.to_be_bytes();
        tail[0] = high;
        tail[1] = low;
        EventId(uuid::Builder::from_unix_timestamp_millis(self.last_ms, &tail).into_uuid())
    }
}

/// Whether an event may keep `id`, which was given elsewhere, in a log whose newest one is `newest`: ids
/// ascend with the log, and none is of a time that is still to come.
pub(crate) fn may_keep(id: EventId, newest: Option<EventId>, now: Timestamp) -> bool {
    let until = now.after(AHEAD_MAX).millis_since_epoch();
    id.0.get_version_num() == 7 && newest.is_none_or(|newest| newest < id) && millis_of(id) <= until
}

/// The time in an id.
pub(crate) fn time_of(id: EventId) -> Timestamp {
    Timestamp::from_millis(millis_of(id).cast_signed())
}

/// Since the epoch.
fn millis_of(id: EventId) -> u64 {
    id.0.as_u64_pair().0 >> 16
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn ids_ascend_whatever_the_clock_does() {
        let mut ids = Ids::after(None, StdRng::seed_from_u64(1));
        let times = [5_000, 5_000, 4_000, 1, 5_001];
        let mut given: Vec<EventId> = Vec::new();
        for time in times {
            for _ in 0..5_000 {
                given.push(ids.next(Timestamp::from_millis(time)));
            }
        }
        assert!(given.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(given.iter().all(|id| id.0.get_version_num() == 7));
        let mut later = Ids::after(given.last().copied(), StdRng::seed_from_u64(2));
        assert!(later.next(Timestamp::from_millis(0)) > *given.last().unwrap());
    }
}
