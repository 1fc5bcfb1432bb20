//! Lets one line a second through: a flood of bad requests must not become a flood of lines.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::clock::Timestamp;
use crate::sync::lock;

/// Lets one line a second through and counts the others.
#[derive(Debug, Default)]
pub struct Throttle {
    /// When the last line went through, in milliseconds.
    last: AtomicI64,
    n_silent: AtomicU64,
}

impl Throttle {
    /// `Some` = write a line; how many were not written since the last one.
    pub fn open(&self, now: Timestamp) -> Option<u64> {
        let now = now.as_millis();
        let last = self.last.load(Ordering::Relaxed);
        // Either way round: the wall clock may have been set back.
        let is_due = last.abs_diff(now) >= 1_000;
        let is_ours = is_due
            && self.last.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if is_ours {
            Some(self.n_silent.swap(0, Ordering::Relaxed))
        } else {
            self.n_silent.fetch_add(1, Ordering::Relaxed);
            None
        }
    }

    /// Whether the last line is long enough ago for another one.
    fn is_idle(&self, now: Timestamp) -> bool {
        self.last.load(Ordering::Relaxed).abs_diff(now.as_millis()) >= 1_000
    }
}

/// The most reasons that are told apart within a second; the others share one line.
const REASONS_MAX: usize = 8;

/// One line a second for each reason: a new reason is told at once.
#[derive(Debug, Default)]
pub struct ThrottleByReason {
    reasons: Mutex<Vec<(String, Throttle)>>,
    others: Throttle,
}

impl ThrottleByReason {
    /// `Some` = write a line; how many with this reason were not written since the last one.
    pub fn open(&self, reason: &str, now: Timestamp) -> Option<u64> {
        let mut reasons = lock(&self.reasons);
        if let Some((_, throttle)) = reasons.iter().find(|(known, _)| known == reason) {
            return throttle.open(now);
        }
        if reasons.len() >= REASONS_MAX {
            reasons.retain(|(_, throttle)| !throttle.is_idle(now));
        }
        if reasons.len() >= REASONS_MAX {
            return self.others.open(now);
        }
        let throttle = Throttle::default();
        let opened = throttle.open(now);
        reasons.push((reason.to_owned(), throttle));
        opened
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_throttle_lets_one_line_a_second_through_and_counts_the_rest() {
        let throttle = Throttle::default();
        let start: i64 = 1_000_000;
        let open = |millis| throttle.open(Timestamp::from_millis(start + millis));
        assert_eq!(open(0), Some(0));
        assert_eq!(open(10), None);
        assert_eq!(open(999), None);
        assert_eq!(open(1_000), Some(2));
        assert_eq!(open(-5_000), Some(0), "the clock was set back");
    }

    #[test]
    fn each_reason_has_its_own_line_and_many_share_one() {
        let throttle = ThrottleByReason::default();
        let open = |reason: &str, millis| throttle.open(reason, Timestamp::from_millis(millis));
        assert_eq!(open("refused", 10_000), Some(0));
        assert_eq!(open("refused", 10_100), None);
        assert_eq!(open("422", 10_200), Some(0), "another reason is told at once");
        assert_eq!(open("refused", 11_000), Some(1));
        let n_lines = (0..1_000).filter(|n| open(&format!("event {n}"), 11_001).is_some()).count();
        assert!(n_lines <= REASONS_MAX + 1, "{n_lines} lines of 1,000");
    }
}
