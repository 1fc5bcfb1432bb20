//! Times as people write them.

use std::str::FromStr;

use crate::api;
use crate::clock::{Clock, SystemClock, Timestamp};

/// A time, and how it was said: `2h` means another moment each time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaidTime {
    /// As it was written.
    pub(super) said: String,
    /// What it meant then.
    pub(super) at: Timestamp,
}

impl FromStr for SaidTime {
    type Err = String;

    /// `2h` (ago), a day (that of UTC), or RFC 3339.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let at = api::moment(text, SystemClock::new().now()).map_err(|err| err.to_string())?;
        Ok(Self { said: text.to_owned(), at })
    }
}

/// A moment that is still to come, as RFC 3339 writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(pub(super) Timestamp);

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let at = Timestamp::parse_rfc3339(text);
        at.map(Self).ok_or_else(|| {
            "this is not a moment: write it as `2026-11-22T10:00:00Z`, or how long with `--for 2h`"
                .to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_how_long_ago_a_day_or_the_moment_itself() {
        let at = |text: &str| text.parse::<SaidTime>().map(|said| said.at.as_millis());
        assert!(at("2h").unwrap() < at("1h").unwrap());
        assert_eq!(at("1970-01-01T00:00:01Z"), Ok(1_000));
        assert_eq!(at("1970-01-02"), Ok(86_400_000));
        assert_eq!(at("1970-01-01 00:01"), Ok(60_000));
        assert_eq!(at("1700000000"), Ok(1_700_000_000_000));
        assert!(at("yesterday").unwrap_err().contains("is not a time"));
    }
}
