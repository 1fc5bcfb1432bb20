//! How long something took, in steps of a quarter of an octave: what half of the last hour's took less
//! than, and 99 of 100.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::{Timestamp, whole_micros};

/// Four steps an octave from 1 µs to 64 s: what is said of a time is at most a quarter too much.
const N_STEPS: usize = 26 * STEPS_PER_OCTAVE;
const STEPS_PER_OCTAVE: usize = 4;
const MINUTES: i64 = 60;
const MINUTE_MILLIS: i64 = 60_000;

/// Counts by step since the start. Counting is one atomic addition.
#[derive(Debug)]
pub struct LatencyCounts([AtomicU64; N_STEPS]);

impl Default for LatencyCounts {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl LatencyCounts {
    /// Counts one that took so long.
    pub fn count(&self, duration: Duration) {
        if let Some(count) = self.0.get(step_of(duration)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The step of a duration.
fn step_of(duration: Duration) -> usize {
    let micros = whole_micros(duration).max(4);
    let octave = micros.ilog2();
    // The two bits behind the first one.
    let quarter = (micros >> (octave - 2)) & 3;
    let step = octave as usize * STEPS_PER_OCTAVE + quarter as usize;
    step.min(N_STEPS - 1)
}

/// The longest duration of a step.
fn end_of(step: usize) -> Duration {
    let (octave, quarter) = (step / STEPS_PER_OCTAVE, (step % STEPS_PER_OCTAVE) as u64);
    Duration::from_micros(((5 + quarter) << octave) >> 2)
}

/// What the last hour's took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantiles {
    pub count: u64,
    /// Half of them took no longer.
    pub p50: Duration,
    /// 99 of 100 took no longer.
    pub p99: Duration,
}

/// Counts by minute for an hour, out of [`LatencyCounts`] that are looked at now and then. Only steps
/// that occurred take memory.
#[derive(Clone, Debug, Default)]
pub struct LatencyRing {
    seen: Vec<u64>,
    /// The minute's number since the epoch, and how many there were by step.
    minutes: VecDeque<(i64, Vec<(u8, u32)>)>,
}

impl LatencyRing {
    /// Takes in what the counts say by now. What was counted since the last look counts for now.
    pub fn look(&mut self, counts: &LatencyCounts, now: Timestamp) {
        let minute = now.as_millis().div_euclid(MINUTE_MILLIS);
        while self.minutes.front().is_some_and(|(at, _)| at + MINUTES <= minute) {
            self.minutes.pop_front();
        }
        self.seen.resize(N_STEPS, 0);
        for (step, (count, seen)) in counts.0.iter().zip(&mut self.seen).enumerate() {
            let count = count.load(Ordering::Relaxed);
            let more = u32::try_from(count.saturating_sub(*seen)).unwrap_or(u32::MAX);
            *seen = count;
            if more > 0 {
                add(&mut self.minutes, minute, u8::try_from(step).unwrap_or(u8::MAX), more);
            }
        }
    }

    /// What the last hour's took; `None` = there were none.
    pub fn quantiles(&self) -> Option<Quantiles> {
        quantiles(self.minutes.iter().flat_map(|(_, steps)| steps))
    }

    /// What 99 of 100 took at most in each of the last 60 minutes, in microseconds, that of `now` last;
    /// `None` = there were none.
    pub fn p99_by_minute(&self, now: Timestamp) -> Vec<Option<u32>> {
        let last = now.as_millis().div_euclid(MINUTE_MILLIS);
        let of = |minute: i64| {
            let (_, steps) = self.minutes.iter().find(|(at, _)| *at == minute)?;
            quantiles(steps).map(|found| u32::try_from(found.p99.as_micros()).unwrap_or(u32::MAX))
        };
        (last - MINUTES + 1..=last).map(of).collect()
    }
}

/// Of so many of each step; `None` = there were none.
fn quantiles<'a>(steps: impl IntoIterator<Item = &'a (u8, u32)>) -> Option<Quantiles> {
    let mut sums = [0_u64; N_STEPS];
    for (step, more) in steps {
        if let Some(sum) = sums.get_mut(usize::from(*step)) {
            *sum += u64::from(*more);
        }
    }
    let count: u64 = sums.iter().sum();
    let below = |per_mille: u64| {
        // The smallest step up to which there are so many.
        let wanted = (count * per_mille).div_ceil(1_000).max(1);
        let mut left = wanted;
        let step = sums.iter().position(|sum| {
            let is_within = *sum >= left;
            left = left.saturating_sub(*sum);
            is_within
        });
        step.map(end_of).unwrap_or_default()
    };
    (count > 0).then(|| Quantiles { count, p50: below(500), p99: below(990) })
}

fn add(minutes: &mut VecDeque<(i64, Vec<(u8, u32)>)>, minute: i64, step: u8, more: u32) {
    // A clock that was set back adds to the newest minute.
    if minutes.back().is_none_or(|(at, _)| *at < minute) {
        minutes.push_back((minute, Vec::new()));
    }
    let Some((_, steps)) = minutes.back_mut() else { return };
    match steps.iter_mut().find(|(known, _)| *known == step) {
        Some((_, count)) => *count = count.saturating_add(more),
        None => steps.push((step, more)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_millis(minutes * MINUTE_MILLIS)
    }

    #[test]
    fn each_step_ends_where_the_next_one_begins() {
        for micros in [1, 4, 5, 6, 7, 8, 1_000, 1_023, 65_535, 20_000_000] {
            let duration = Duration::from_micros(micros);
            let end = end_of(step_of(duration));
            assert!(end >= duration, "{micros} µs");
            assert!(end.as_micros() * 4 <= u128::from(micros.max(4)) * 5, "{micros} µs: {end:?}");
        }
        assert_eq!(step_of(Duration::MAX), N_STEPS - 1);
    }

    #[test]
    fn quantiles_are_of_the_last_hour() {
        let (counts, mut ring) = (LatencyCounts::default(), LatencyRing::default());
        assert_eq!(ring.quantiles(), None);
        (0..98).for_each(|_| counts.count(Duration::from_millis(1)));
        (0..2).for_each(|_| counts.count(Duration::from_secs(1)));
        ring.look(&counts, at(0));
        let Quantiles { count, p50, p99 } = ring.quantiles().unwrap();
        assert_eq!(count, 100);
        assert!(p50 >= Duration::from_millis(1) && p50 <= Duration::from_micros(1_250), "{p50:?}");
        assert!(p99 >= Duration::from_secs(1) && p99 <= Duration::from_millis(1_250), "{p99:?}");
        let by_minute = ring.p99_by_minute(at(2));
        assert_eq!(by_minute.iter().flatten().count(), 1);
        assert!(by_minute[57] >= Some(1_000_000), "{by_minute:?}");
        ring.look(&counts, at(59));
        assert_eq!(ring.quantiles().unwrap().count, 100, "counted once");
        counts.count(Duration::from_millis(7));
        ring.look(&counts, at(60));
        assert_eq!(ring.quantiles().unwrap().count, 1, "what is an hour old is gone");
    }
}
