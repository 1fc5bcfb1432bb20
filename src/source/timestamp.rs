//! When a sender says that it sent, and how far that may be off.

use std::time::Duration;

use crate::clock::Timestamp;

use super::{Place, Rejection};

/// When a sender says that it sent, and how far that may be off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimestampRule {
    /// Where it stands.
    pub at: Place,
    /// How it is written.
    pub unit: Unit,
    /// How far it may be from the moment of receiving, in both directions.
    pub tolerance: Duration,
}

/// How a time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds since the Unix epoch.
    Seconds,
    /// Milliseconds since the Unix epoch.
    Millis,
    /// RFC 3339 text.
    Rfc3339,
}

impl TimestampRule {
    /// What the providers' own libraries use.
    pub const TOLERANCE: Duration = Duration::from_mins(5);

    /// Whether `text` is a time within the tolerance around `now`.
    pub(super) fn judge(&self, text: &[u8], now: Timestamp) -> Result<(), Rejection> {
        let sent_at = self.unit.parse(text).ok_or(Rejection::BadTimestamp)?;
        let is_near = now.since(sent_at).max(sent_at.since(now)) <= self.tolerance;
        if is_near {
            Ok(())
        } else {
            let off = now.as_millis().saturating_sub(sent_at.as_millis());
            Err(Rejection::Stale { seconds: off / 1000 })
        }
    }
}

impl Unit {
    pub(super) fn parse(self, text: &[u8]) -> Option<Timestamp> {
        let text = std::str::from_utf8(text).ok()?.trim();
        match self {
            Self::Seconds => {
                let seconds: i64 = text.parse().ok()?;
                seconds.checked_mul(1000).map(Timestamp::from_millis)
            }
            Self::Millis => text.parse().ok().map(Timestamp::from_millis),
            Self::Rfc3339 => Timestamp::parse_rfc3339(text),
        }
    }

    pub(super) fn write(self, at: Timestamp) -> String {
        match self {
            Self::Seconds => at.as_millis().div_euclid(1000).to_string(),
            Self::Millis => at.as_millis().to_string(),
            Self::Rfc3339 => at.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(unit: Unit, text: &str, now_ms: i64, expected: &Result<(), Rejection>) {
        let rule = TimestampRule {
            at: Place::header("x-timestamp"),
            unit,
            tolerance: Duration::from_mins(5),
        };
        let judged = rule.judge(text.as_bytes(), Timestamp::from_millis(now_ms));
        assert_eq!(judged, *expected, "{text} at {now_ms}");
    }

    #[test]
    fn a_time_may_be_off_by_the_tolerance_and_no_more() {
        for off_s in [-300, 0, 300] {
            check(Unit::Seconds, "1700000000", (1_700_000_000 + off_s) * 1000, &Ok(()));
        }
        let stale = |seconds| Err(Rejection::Stale { seconds });
        check(Unit::Seconds, "1700000000", 1_700_000_301_000, &stale(301));
        check(Unit::Seconds, "1700000000", 1_699_999_699_000, &stale(-301));
        check(Unit::Seconds, "1700000000", 1_700_000_300_001, &stale(300));
    }

    #[test]
    fn every_unit_is_read() {
        check(Unit::Millis, "1700000000123", 1_700_000_000_123, &Ok(()));
        check(Unit::Rfc3339, "2020-01-01T00:00:00-07:00", 1_577_862_000_000, &Ok(()));
        // Seconds where milliseconds are expected are decades away.
        let far = Err(Rejection::Stale { seconds: 1_698_300_000 });
        check(Unit::Millis, "1700000000", 1_700_000_000_000, &far);
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "x", "1e9", "0x10", "99999999999999999999", "9223372036854775807"] {
            check(Unit::Seconds, text, 0, &Err(Rejection::BadTimestamp));
        }
        check(Unit::Rfc3339, "yesterday", 0, &Err(Rejection::BadTimestamp));
        check(
            Unit::Millis,
            "-9223372036854775808",
            i64::MAX,
            &Err(Rejection::Stale { seconds: i64::MAX / 1000 }),
        );
    }
}
