//! When a sender says that it sent, and how far that may be off.

use std::time::Duration;

use crate::clock::Timestamp;

use super::field_ref::FieldRef;
use super::rejection::Rejection;

/// When a sender says that it sent, and how far that may be off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimestampRule {
    pub at: FieldRef,
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
    /// Microseconds since the Unix epoch.
    Micros,
    /// Nanoseconds since the Unix epoch.
    Nanos,
    /// A date and time as text: RFC 3339, with or without a zone, or an HTTP date.
    Rfc3339,
    /// The same, written as an HTTP date by `gatepost send`.
    HttpDate,
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
                let (seconds, fraction) = decimal(text)?;
                let millis = seconds.checked_mul(1000)?;
                let fraction = i64::from(fraction);
                let is_negative = text.starts_with('-');
                let fraction = if is_negative { -fraction } else { fraction };
                millis.checked_add(fraction).map(Timestamp::from_millis)
            }
            Self::Millis | Self::Micros | Self::Nanos => {
                let (number, _) = decimal(text)?;
                Some(Timestamp::from_millis(number.div_euclid(self.in_a_milli())))
            }
            Self::Rfc3339 | Self::HttpDate => Timestamp::parse_date(text),
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Millis => "ms",
            Self::Micros => "us",
            Self::Nanos => "ns",
            Self::Rfc3339 => "rfc3339",
            Self::HttpDate => "http-date",
        }
    }

    /// How many of what is shorter than a second are in a millisecond.
    const fn in_a_milli(self) -> i64 {
        match self {
            Self::Micros => 1_000,
            Self::Nanos => 1_000_000,
            Self::Seconds | Self::Millis | Self::Rfc3339 | Self::HttpDate => 1,
        }
    }

    pub(super) fn write(self, at: Timestamp) -> String {
        match self {
            Self::Seconds => at.as_millis().div_euclid(1000).to_string(),
            Self::Millis | Self::Micros | Self::Nanos => {
                at.as_millis().saturating_mul(self.in_a_milli()).to_string()
            }
            Self::Rfc3339 => at.to_string(),
            Self::HttpDate => at.http_date(),
        }
    }
}

/// A number with or without a fraction: what is before the point, and thousandths.
fn decimal(text: &str) -> Option<(i64, u16)> {
    let Some((whole, fraction)) = text.split_once('.') else {
        return Some((text.parse().ok()?, 0));
    };
    let is_fraction = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let digits = is_fraction.then(|| fraction.bytes().chain(*b"000").take(3))?;
    let thousandths = digits.fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    Some((whole.parse().ok()?, thousandths))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(unit: Unit, text: &str, now_ms: i64, expected: &Result<(), Rejection>) {
        let rule = TimestampRule {
            at: FieldRef::header("x-timestamp"),
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
        check(Unit::Micros, "1700000000123456", 1_700_000_000_123, &Ok(()));
        check(Unit::Nanos, "1700000000123456789", 1_700_000_300_123, &Ok(()));
        for unit in [Unit::Seconds, Unit::Millis, Unit::Micros, Unit::Nanos] {
            let at = Timestamp::from_millis(1_700_000_000_000);
            assert_eq!(unit.parse(unit.write(at).as_bytes()), Some(at), "{unit:?}");
        }
        check(Unit::Rfc3339, "2020-01-01T00:00:00-07:00", 1_577_862_000_000, &Ok(()));
        // Seconds where milliseconds are expected are decades away.
        let far = Err(Rejection::Stale { seconds: 1_698_300_000 });
        check(Unit::Millis, "1700000000", 1_700_000_000_000, &far);
    }

    #[test]
    fn fractions_of_a_second_are_read() {
        let within_ms = |text: &str, millis: i64, unit: Unit| {
            let parsed = unit.parse(text.as_bytes());
            assert_eq!(parsed, Some(Timestamp::from_millis(millis)), "{text}");
        };
        within_ms("1700000000.5", 1_700_000_000_500, Unit::Seconds);
        within_ms("1700000000.123456789", 1_700_000_000_123, Unit::Seconds);
        within_ms("-1.25", -1_250, Unit::Seconds);
        within_ms("-0.25", -250, Unit::Seconds);
        within_ms("1700000000123.75", 1_700_000_000_123, Unit::Millis);
        within_ms("2023-11-14T22:13:20.634234626Z", 1_700_000_000_634, Unit::Rfc3339);
    }

    #[test]
    fn dates_are_read_in_every_form_that_senders_write() {
        for unit in [Unit::Rfc3339, Unit::HttpDate] {
            for text in [
                "2023-11-14T22:13:20Z",
                "2023-11-14T22:13:20",
                "2023-11-14 22:13:20",
                "Tue, 14 Nov 2023 22:13:20 GMT",
                "Tue, 14 Nov 2023 23:13:20 +0100",
                "2023-11-14 22:13:20 UTC",
                "2023-11-14T22:13:20 GMT",
                "2023-11-14 22:13:20.5 UTC",
                "2023-11-14 22:13:20 Z",
                "2023-11-14 23:13:20 +0100",
                "2023-11-14 22:13:20.123 +0000 UTC",
                "2023/11/14 22:13:20",
                "Tue Nov 14 22:13:20 2023",
                "Tuesday, 14-Nov-23 22:13:20 GMT",
            ] {
                check(unit, text, 1_700_000_000_000, &Ok(()));
            }
            let written = unit.write(Timestamp::from_millis(1_700_000_000_000));
            check(unit, &written, 1_700_000_000_000, &Ok(()));
        }
        let written = Unit::HttpDate.write(Timestamp::from_millis(1_700_000_000_000));
        assert_eq!(written, "Tue, 14 Nov 2023 22:13:20 GMT");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        let seconds = ["", "x", "1e9", "0x10", "99999999999999999999", "9223372036854775807"];
        for text in seconds.into_iter().chain(["1.", ".5", "1.x", "1.5.5", "-", "1,5"]) {
            check(Unit::Seconds, text, 0, &Err(Rejection::BadTimestamp));
        }
        for text in ["yesterday", "UTC", "22:13:20 UTC", "1 +0000", "14/11/2023"] {
            check(Unit::Rfc3339, text, 0, &Err(Rejection::BadTimestamp));
        }
        check(
            Unit::Millis,
            "-9223372036854775808",
            i64::MAX,
            &Err(Rejection::Stale { seconds: i64::MAX / 1000 }),
        );
    }
}
