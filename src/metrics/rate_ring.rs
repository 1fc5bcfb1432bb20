//! How often something happened per minute of the last hour and per hour of the last day, out of a
//! counter that is looked at now and then: 84 numbers in memory.

use crate::clock::Timestamp;

const MINUTES: usize = 60;
const HOURS: usize = 24;
const MINUTE_MILLIS: i64 = 60_000;
const HOUR_MILLIS: i64 = 60 * MINUTE_MILLIS;

/// A counter's increments by minute and by hour.
#[derive(Clone, Debug)]
pub struct RateRing {
    seen: u64,
    minutes: Slots<MINUTES>,
    hours: Slots<HOURS>,
}

#[derive(Clone, Debug)]
struct Slots<const N: usize> {
    counts: [u32; N],
    /// The number of the present slot since the epoch.
    now: i64,
}

impl RateRing {
    /// One whose counter says `seen` at `now`: only what is counted from then on shows.
    pub fn new(seen: u64, now: Timestamp) -> Self {
        let now = now.as_millis();
        let minutes = Slots { counts: [0; MINUTES], now: now.div_euclid(MINUTE_MILLIS) };
        let hours = Slots { counts: [0; HOURS], now: now.div_euclid(HOUR_MILLIS) };
        Self { seen, minutes, hours }
    }

    /// Takes in what the counter says by now. What was counted since the last look counts for now.
    pub fn look(&mut self, counter: u64, now: Timestamp) {
        let more = u32::try_from(counter.saturating_sub(self.seen)).unwrap_or(u32::MAX);
        self.seen = counter;
        self.minutes.add(more, now.as_millis().div_euclid(MINUTE_MILLIS));
        self.hours.add(more, now.as_millis().div_euclid(HOUR_MILLIS));
    }

    /// Each of the last 60 minutes, the present one last.
    pub fn minutes(&self) -> Vec<u32> {
        self.minutes.in_order()
    }

    /// Each of the last 24 hours, the present one last.
    pub fn hours(&self) -> Vec<u32> {
        self.hours.in_order()
    }
}

/// The most that a figure was in each minute.
#[derive(Clone, Debug)]
pub struct LevelRing(Slots<MINUTES>);

impl LevelRing {
    /// One that begins at `now`.
    pub fn new(now: Timestamp) -> Self {
        let now = now.as_millis().div_euclid(MINUTE_MILLIS);
        Self(Slots { counts: [0; MINUTES], now })
    }

    /// Takes in what the figure is now. A minute without a look is as the one before.
    pub fn look(&mut self, level: u64, now: Timestamp) {
        let level = u32::try_from(level).unwrap_or(u32::MAX);
        let before = self.0.counts.last().copied().unwrap_or_default();
        let n_passed = self.0.turn(now.as_millis().div_euclid(MINUTE_MILLIS));
        let mut slots = self.0.counts.iter_mut().rev();
        if let Some(last) = slots.next() {
            *last = level.max(*last);
        }
        slots.take(n_passed.saturating_sub(1)).for_each(|slot| *slot = before);
    }

    /// Each of the last 60 minutes, the present one last.
    pub fn minutes(&self) -> Vec<u32> {
        self.0.in_order()
    }
}

impl<const N: usize> Slots<N> {
    /// A clock that was set back adds to the newest slot.
    fn add(&mut self, more: u32, now: i64) {
        self.turn(now);
        if let Some(last) = self.counts.last_mut() {
            *last = last.saturating_add(more);
        }
    }

    /// Goes on to the slot of `now`; gives how many slots that were.
    fn turn(&mut self, now: i64) -> usize {
        let n_passed = usize::try_from(now.saturating_sub(self.now)).unwrap_or(0).min(N);
        self.counts.rotate_left(n_passed);
        for count in self.counts.iter_mut().rev().take(n_passed) {
            *count = 0;
        }
        self.now = self.now.max(now);
        n_passed
    }

    fn in_order(&self) -> Vec<u32> {
        self.counts.to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_millis(minutes * MINUTE_MILLIS)
    }

    #[test]
    fn increments_stay_in_their_minute_and_leave_after_an_hour() {
        let mut ring = RateRing::new(10, at(100));
        ring.look(13, at(100));
        ring.look(14, at(102));
        let minutes = ring.minutes();
        assert_eq!(minutes[MINUTES - 3..], [3, 0, 1]);
        ring.look(14, at(160));
        assert_eq!(ring.minutes().iter().sum::<u32>(), 1);
        ring.look(14, at(9_999));
        assert_eq!(ring.minutes().iter().sum::<u32>(), 0);
        assert_eq!(ring.hours().len(), HOURS);
    }

    #[test]
    fn level_is_the_most_of_its_minute_and_stays_where_nobody_looks() {
        let mut ring = LevelRing::new(at(100));
        for level in [3, 7, 5] {
            ring.look(level, at(100));
        }
        ring.look(2, at(103));
        assert_eq!(ring.minutes()[MINUTES - 5..], [0, 7, 7, 7, 2]);
        ring.look(u64::MAX, at(9_999));
        assert_eq!(ring.minutes()[MINUTES - 3..], [2, 2, u32::MAX]);
    }

    #[test]
    fn a_clock_that_is_set_back_loses_nothing() {
        let mut ring = RateRing::new(0, at(100));
        ring.look(2, at(90));
        ring.look(5, at(100));
        assert_eq!(ring.minutes()[MINUTES - 1], 5);
    }
}
