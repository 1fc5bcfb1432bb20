//! Times and sizes as people read them. Programs ask for `--json`, where they are exact.

use std::time::Duration;

use crate::clock::{Clock, SystemClock, Timestamp};
use crate::text::span;

/// This moment, by the machine that the command runs on.
pub(super) fn now() -> Timestamp {
    SystemClock::new().now()
}

/// `3 min ago`; the day itself where that is a week or more ago.
pub(super) fn ago(at: Timestamp) -> String {
    ago_at(at, now())
}

/// The same, where it may never have happened.
pub(super) fn ago_or(at: Option<Timestamp>, never: &str) -> String {
    at.map_or_else(|| never.to_owned(), ago)
}

/// `3 min ago (2026-11-22T10:00:00.000Z)`
pub(super) fn ago_and_exact(at: Timestamp) -> String {
    format!("{} ({at})", ago(at))
}

/// `in 8 s`; `now` where that is over.
pub(super) fn ahead(at: Timestamp) -> String {
    let left = Duration::from_secs(at.since(now()).as_secs());
    if left.is_zero() { "now".to_owned() } else { format!("in {}", span(left)) }
}

fn ago_at(at: Timestamp, now: Timestamp) -> String {
    let age = Duration::from_secs(now.since(at).as_secs());
    match age.as_secs() {
        0 if at > now.after(Duration::from_secs(1)) => at.to_string(),
        0 => "just now".to_owned(),
        1..604_800 => format!("{} ago", span(age)),
        _ => at.to_string().chars().take("2026-11-22".len()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_relative_where_it_is_recent_and_a_day_else() {
        let now = Timestamp::parse_rfc3339("2026-11-22T10:00:00Z").unwrap();
        for (seconds, expected) in [
            (0, "just now"),
            (33, "33 s ago"),
            (7_500, "2 h 5 min ago"),
            (400_000, "4 d ago"),
            (864_000, "2026-11-12"),
        ] {
            assert_eq!(ago_at(now.before(Duration::from_secs(seconds)), now), expected);
        }
        // A clock that runs ahead is shown as it is.
        let ahead = now.after(Duration::from_mins(5));
        assert_eq!(ago_at(ahead, now), "2026-11-22T10:05:00.000Z");
    }
}
