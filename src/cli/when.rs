//! Times as people write them.

use std::str::FromStr;

use crate::clock::{Clock, SystemClock, Timestamp};
use crate::settings::parse_duration;

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

    /// `2h` (ago), or RFC 3339.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let at = parse_at(text, SystemClock::new().now())?;
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

fn parse_at(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let ago = parse_duration(text).ok().map(|ago| now.before(ago));
    ago.or_else(|| Timestamp::parse_rfc3339(text)).ok_or_else(|| {
        "this is not a time: write how long ago it was (`2h`, `7d`) or the moment itself \
         (`2026-11-22T10:00:00Z`)"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_how_long_ago_or_the_moment_itself() {
        let now = Timestamp::from_millis(10_000_000);
        let at = |text| parse_at(text, now).map(Timestamp::as_millis);
        assert_eq!(at("2h"), Ok(10_000_000 - 7_200_000));
        assert_eq!(at("1970-01-01T00:00:01Z"), Ok(1_000));
        assert!(at("yesterday").unwrap_err().contains("is not a time"));
    }
}
