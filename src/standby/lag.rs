//! How far behind the standbys are.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::queue::embedded::LogPlace;

/// From one mark to the next.
const APART: Duration = Duration::from_millis(100);
/// Older marks are thinned out: at most so many are kept.
const MARKS_MAX: usize = 4_096;

/// How far a copy is behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lag {
    /// For how long the log has had something that the copy has not.
    pub seconds: f64,
    /// About how many bytes of the log that is.
    pub bytes: u64,
}

/// How the second copy stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StandbyView {
    /// The standby's machine, as it says; nothing = none has asked since the start.
    pub name: Option<String>,
    /// Whether it is asking just now.
    pub connected: bool,
    /// When it asked last.
    pub last_seen_at: Option<Timestamp>,
    /// How far its copy is behind.
    pub lag: Lag,
    /// Whether answers to senders wait for it.
    pub acknowledges: bool,
}

/// Where the log's end was when.
#[derive(Debug)]
pub(super) struct Marks {
    /// By the steady clock, ascending.
    marks: VecDeque<(Timestamp, LogPlace)>,
}

impl Marks {
    /// From `started` on: what is before the log's first end that is noted has been there since then, and a copy that
    /// never got it is behind since then.
    pub(super) fn since(started: Timestamp) -> Self {
        Self { marks: VecDeque::from([(started, LogPlace::default())]) }
    }

    /// Notes where the log's end is.
    pub(super) fn note(&mut self, now: Timestamp, head: LogPlace) {
        if let Some((at, last)) = self.marks.back_mut() {
            if *last == head {
                // Up to now nothing more was there.
                *at = now;
                return;
            }
            if now.since(*at) < APART && self.marks.len() > 1 {
                return;
            }
        }
        self.marks.push_back((now, head));
        if self.marks.len() > MARKS_MAX {
            let mut n = 0_usize;
            self.marks.retain(|_| {
                n += 1;
                n % 2 == 1
            });
        }
    }

    /// For how long there has been something behind `place`, at most. Forgets what is older.
    pub(super) fn behind(&mut self, place: LogPlace, head: LogPlace, now: Timestamp) -> Lag {
        if place >= head {
            return Lag::default();
        }
        // The last moment at which the copy had everything.
        while self.marks.get(1).is_some_and(|(_, second)| *second <= place) {
            self.marks.pop_front();
        }
        let since = self.marks.front().map_or(now, |(at, _)| *at);
        Lag { seconds: now.since(since).as_secs_f64(), bytes: place.bytes_until(head) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + seconds * 1_000)
    }

    const fn place(offset: u32) -> LogPlace {
        LogPlace { segment: 1, offset }
    }

    #[test]
    fn a_lag_is_counted_from_when_the_copy_had_everything() {
        let mut marks = Marks::since(at(0));
        marks.note(at(0), place(10));
        marks.note(at(5), place(10));
        assert_eq!(marks.behind(place(10), place(10), at(5)), Lag::default());
        marks.note(at(6), place(30));
        marks.note(at(7), place(50));
        marks.note(at(20), place(50));
        let lag = |seconds, bytes| Lag { seconds, bytes };
        assert_eq!(marks.behind(place(10), place(50), at(20)), lag(15.0, 40));
        assert_eq!(marks.behind(place(30), place(50), at(20)), lag(14.0, 20));
        assert_eq!(marks.behind(place(50), place(50), at(20)), Lag::default());
    }

    /// The log stands still while a standby cannot take what is in it.
    #[test]
    fn a_copy_that_never_got_anything_is_behind_since_the_start() {
        let mut marks = Marks::since(at(0));
        for n in 0..=60 {
            marks.note(at(n), place(50));
        }
        for copied in [LogPlace::default(), place(20)] {
            let lag = marks.behind(copied, place(50), at(60));
            assert!((lag.seconds - 60.0).abs() < 0.01, "{copied:?}: {lag:?}");
        }
        assert_eq!(marks.behind(place(50), place(50), at(60)), Lag::default());
    }

    #[test]
    fn marks_are_bounded_and_the_oldest_stays() {
        let mut marks = Marks::since(at(0));
        for n in 0..20_000 {
            marks.note(at(n), place(u32::try_from(n).unwrap()));
        }
        assert!(marks.marks.len() <= MARKS_MAX);
        let lag = marks.behind(place(0), place(19_999), at(20_000));
        assert!((lag.seconds - 20_000.0).abs() < 1.0, "{lag:?}");
    }
}
