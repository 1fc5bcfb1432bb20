//! Drops dead letters that are old, where the owner wants that.

use std::time::Duration;

use crate::clock::{Clock, Timestamp};

/// How long the wall clock must have kept pace: one that is years ahead for some minutes after a
/// start must not drop anything.
const CLOCK_TRUSTED_AFTER: Duration = Duration::from_mins(10);
/// How much the wall clock may be slewed in that time, in milliseconds.
const CLOCK_SLEW_MS: u64 = 1_000;
/// How often dead letters are looked at.
const EVERY: Duration = Duration::from_hours(1);

/// Says when to drop which dead letters.
#[derive(Debug)]
pub(super) struct DeadRetention {
    retention: Duration,
    /// Wall clock minus steady clock, in milliseconds, and since when it is that.
    offset: Option<(i64, Timestamp)>,
    looked_at: Option<Timestamp>,
}

impl DeadRetention {
    /// Dead letters stay for `retention`.
    pub(super) const fn new(retention: Duration) -> Self {
        Self { retention, offset: None, looked_at: None }
    }

    /// What died before this moment goes now; `None` = nothing goes now.
    pub(super) fn look(&mut self, clock: &dyn Clock) -> Option<Timestamp> {
        let (now, steady) = (clock.now(), clock.steady());
        let offset = now.as_millis() - steady.as_millis();
        let since = match self.offset {
            Some((known, since)) if known.abs_diff(offset) <= CLOCK_SLEW_MS => since,
            Some(_) | None => {
                self.offset = Some((offset, steady));
                steady
            }
        };
        let is_due = self.looked_at.is_none_or(|looked| steady.since(looked) >= EVERY);
        if !is_due || steady.since(since) < CLOCK_TRUSTED_AFTER {
            return None;
        }
        self.looked_at = Some(steady);
        Some(now.before(self.retention))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    const DAY: Duration = Duration::from_hours(24);

    #[test]
    fn dead_letters_go_hourly_once_the_clock_has_kept_pace() {
        let start = Timestamp::from_millis(1_700_000_000_000);
        let clock = ManualClock::new(start);
        let mut dead = DeadRetention::new(DAY);
        assert_eq!(dead.look(&clock), None);
        clock.advance(Duration::from_mins(10));
        let until = start.as_millis() + 600_000 - 24 * 3_600_000;
        assert_eq!(dead.look(&clock), Some(Timestamp::from_millis(until)));
        clock.advance(Duration::from_mins(59));
        assert_eq!(dead.look(&clock), None);
        clock.advance(Duration::from_mins(1));
        assert!(dead.look(&clock).is_some());
    }
}
