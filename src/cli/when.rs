//! Times as people write them.

use crate::clock::{Clock, SystemClock, Timestamp};
use crate::settings::parse_duration;

use super::CliError;

/// `2h` (ago), or RFC 3339.
pub(super) fn parse(text: &str) -> Result<Timestamp, CliError> {
    parse_at(text, SystemClock::new().now())
}

fn parse_at(text: &str, now: Timestamp) -> Result<Timestamp, CliError> {
    let ago = parse_duration(text).ok().map(|ago| now.before(ago));
    ago.or_else(|| Timestamp::parse_rfc3339(text)).ok_or_else(|| {
        CliError::Usage(format!(
            "`{text}` is not a time: write how long ago it was (`2h`, `7d`) or the moment itself \
             (`2026-11-22T10:00:00Z`)"
        ))
    })
}

/// The same for an option that may be left out.
pub(super) fn maybe(text: Option<&str>) -> Result<Option<Timestamp>, CliError> {
    text.map(parse).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_how_long_ago_or_the_moment_itself() {
        let now = Timestamp::from_millis(10_000_000);
        let at = |text| parse_at(text, now).map(Timestamp::as_millis);
        assert_eq!(at("2h").unwrap(), 10_000_000 - 7_200_000);
        assert_eq!(at("1970-01-01T00:00:01Z").unwrap(), 1_000);
        assert!(matches!(at("yesterday"), Err(CliError::Usage(_))));
    }
}
