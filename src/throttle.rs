//! Lets one line a second through: a flood of bad requests must not become a flood of lines.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::clock::Timestamp;

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
}
