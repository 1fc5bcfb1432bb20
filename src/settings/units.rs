//! Durations and sizes as text with a unit.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::clock::whole_millis;

/// The longest duration that can be written: keeps arithmetic on timestamps far from its ends.
const DURATION_MAX: Duration = Duration::from_hours(100 * 365 * 24);

/// Milliseconds of each unit, largest first: the order in which they are written.
const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Bytes of each unit, largest first.
const SIZES: [(&str, u64); 10] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Why a text is not a duration or a size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUnit {
    #[error("`{0}` is not a duration: write a number with a unit (ms, s, m, h, d)")]
    Duration(String),
    #[error("`{0}` is not a size: write a number with a unit (B, KiB, MiB, GiB)")]
    Size(String),
    #[error("`{0}` is too large")]
    TooLarge(String),
}

/// Reads `10s`, `5m` (or `5min`), `7d`, `100ms` or `1h30m`.
pub fn parse_duration(text: &str) -> Result<Duration, BadUnit> {
    let bad = || BadUnit::Duration(text.to_owned());
    let too_large = || BadUnit::TooLarge(text.to_owned());
    let mut rest = text.trim();
    let mut total_ms = 0_u64;
    let mut smallest_ms = u64::MAX;
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let (number, behind) = split_number(rest).ok_or_else(bad)?;
        let unit_len = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at_checked(unit_len).ok_or_else(bad)?;
        let unit = if unit == "min" { "m" } else { unit };
        let unit_ms =
            UNITS.iter().find(|(name, _)| *name == unit).map(|(_, ms)| *ms).ok_or_else(bad)?;
        // `30m1h` and `1h1h` are slips of the pen.
        if unit_ms >= smallest_ms {
            return Err(bad());
        }
        smallest_ms = unit_ms;
        let number: u64 = number.parse().map_err(|_| too_large())?;
        total_ms = number
            .checked_mul(unit_ms)
            .and_then(|ms| total_ms.checked_add(ms))
            .ok_or_else(too_large)?;
        rest = behind;
    }
    let duration = Duration::from_millis(total_ms);
    if duration > DURATION_MAX { Err(too_large()) } else { Ok(duration) }
}

/// Writes a duration as the configuration does: `1h30m`. Parts below a millisecond are left out.
pub fn show_duration(duration: Duration) -> String {
    let mut rest_ms = whole_millis(duration);
    if rest_ms == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, unit_ms) in UNITS {
        let count = rest_ms / unit_ms;
        if count > 0 {
            text.push_str(&count.to_string());
            text.push_str(unit);
            rest_ms %= unit_ms;
        }
    }
    text
}

/// A number of bytes, written `1MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// The bytes, for what counts memory; stops at the largest `usize`.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// As the longest body of a request: one is held in memory while it comes in, once for each connection.
    pub fn of_body(self) -> Result<Self, String> {
        const MAX: ByteSize = ByteSize(64 << 20);
        match self {
            Self(0) => Err("no body would be let in".to_owned()),
            large if large > MAX => {
                Err(format!("a body is held in memory: at most {MAX} are possible"))
            }
            good => Ok(good),
        }
    }
}

impl FromStr for ByteSize {
    type Err = BadUnit;

    fn from_str(text: &str) -> Result<Self, BadUnit> {
        let bad = || BadUnit::Size(text.to_owned());
        let too_large = || BadUnit::TooLarge(text.to_owned());
        let (number, unit) = split_number(text.trim()).ok_or_else(bad)?;
        let unit = unit.trim_start();
        let bytes =
            SIZES.iter().find(|(name, _)| *name == unit).map(|(_, n)| *n).ok_or_else(bad)?;
        let number: u64 = number.parse().map_err(|_| too_large())?;
        number.checked_mul(bytes).map(Self).ok_or_else(too_large)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, bytes) = SIZES
            .into_iter()
            .find(|(_, bytes)| self.0 >= *bytes && self.0.is_multiple_of(*bytes))
            .unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / bytes)
    }
}

/// The digits at the start, and what is behind them; `None` without a digit.
fn split_number(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    if end == 0 { None } else { text.split_at_checked(end) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_read_and_written_with_its_units() {
        for (text, ms, shown) in [
            ("10s", 10_000, "10s"),
            ("5m", 300_000, "5m"),
            ("7d", 604_800_000, "7d"),
            ("100ms", 100, "100ms"),
            ("1h30m", 5_400_000, "1h30m"),
            ("90m", 5_400_000, "1h30m"),
            ("90min", 5_400_000, "1h30m"),
            ("1h30min", 5_400_000, "1h30m"),
            ("0s", 0, "0s"),
        ] {
            let duration = parse_duration(text).unwrap();
            assert_eq!(duration, Duration::from_millis(ms), "{text}");
            assert_eq!(show_duration(duration), shown);
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in
            ["", "10", "s", "10 s", "-1s", "1.5h", "30m1h", "1h1h", "1m1min", "10sec", "1S", "１s"]
        {
            assert!(matches!(parse_duration(text), Err(BadUnit::Duration(_))), "{text}");
        }
        for text in ["99999999999999999999s", "999999999999d", "36501d"] {
            assert!(matches!(parse_duration(text), Err(BadUnit::TooLarge(_))), "{text}");
        }
    }

    #[test]
    fn a_size_is_read_and_written_with_its_unit() {
        for (text, bytes, shown) in [
            ("1MiB", 1_048_576, "1MiB"),
            ("256 KiB", 262_144, "256KiB"),
            ("10GiB", 10_737_418_240, "10GiB"),
            ("1MB", 1_000_000, "1MB"),
            ("1500B", 1_500, "1500B"),
            ("0B", 0, "0B"),
        ] {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!(size, ByteSize(bytes), "{text}");
            assert_eq!(size.to_string(), shown);
        }
        for text in ["", "1", "MiB", "1.5MiB", "1mib", "-1B", "1XB"] {
            assert!(matches!(text.parse::<ByteSize>(), Err(BadUnit::Size(_))), "{text}");
        }
        assert!(matches!("99999999TiB".parse::<ByteSize>(), Err(BadUnit::TooLarge(_))));
    }
}
