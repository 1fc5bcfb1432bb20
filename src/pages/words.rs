//! Numbers, times and strangers' text as people read them.

use std::time::Duration;

use jiff::tz::TimeZone;

use crate::clock::Timestamp;
use crate::text;

pub(super) use crate::text::{bytes, count, counted, latency, span, up_to};

/// How long it is from `earlier` to `later`, in whole seconds: `3 s`, `2 h 5 min`.
pub(super) fn between(earlier: Timestamp, later: Timestamp) -> String {
    span(Duration::from_secs(later.since(earlier).as_secs()))
}

/// A stranger's text in one line, with nothing in it that could deceive, cut off after so many
/// characters.
pub(super) fn shown(text: &str, chars_max: usize) -> String {
    let end = text.char_indices().nth(chars_max).map(|(at, _)| at);
    let kept = end.and_then(|end| text.get(..end)).unwrap_or(text);
    let mut shown = text::plain(kept).into_owned();
    if end.is_some() {
        shown.push('…');
    }
    shown
}

/// `text` as a sentence: with a full stop, where nothing ends it yet.
pub(super) fn ended(mut text: String) -> String {
    if !text.ends_with(['.', '…', '!', '?']) {
        text.push('.');
    }
    text
}

/// `text` as it begins a sentence.
pub(super) fn capital(text: String) -> String {
    match text.chars().next() {
        Some(first) if first.is_ascii_lowercase() => {
            let rest = text.get(1..).unwrap_or_default();
            format!("{}{rest}", first.to_ascii_uppercase())
        }
        Some(_) | None => text,
    }
}

/// How many bytes of strangers' text a page still has room for, as HTML: what there is no room for
/// is left out, so that no page grows with what a sender sends.
#[derive(Debug)]
pub(super) struct Room(usize);

impl Room {
    pub(super) const fn new(bytes: usize) -> Self {
        Self(bytes)
    }

    /// [`shown`], where there is room for it; `…` else.
    pub(super) fn shown(&mut self, text: &str, chars_max: usize) -> String {
        let shown = shown(text, chars_max);
        if self.takes_bytes(html_bytes(&shown)) { shown } else { "…".to_owned() }
    }

    /// Whether there is room for an address of ours, which is used up then.
    pub(super) fn takes(&mut self, address: &str) -> bool {
        self.takes_bytes(address.len())
    }

    pub(super) fn takes_bytes(&mut self, n_bytes: usize) -> bool {
        let left = self.0.checked_sub(n_bytes);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}

/// How many bytes a text takes as HTML.
pub(super) fn html_bytes(text: &str) -> usize {
    let as_html =
        |c: char| if matches!(c, '&' | '<' | '>' | '"' | '\'') { 6 } else { c.len_utf8() };
    text.chars().map(as_html).sum()
}

/// The zone that times are shown in: this machine's.
fn zone() -> TimeZone {
    TimeZone::system()
}

/// The zone's name.
pub(super) fn zone_name() -> String {
    zone().iana_name().unwrap_or("UTC").to_owned()
}

/// What a person writes into a field for a moment that is to come: a day with a time of day, or a time
/// of day, which is the next such one. Both are of the zone that times are shown in.
pub(super) fn moment_ahead(text: &str, now: Timestamp) -> Option<Timestamp> {
    moment_ahead_in(&zone(), text, now)
}

fn moment_ahead_in(zone: &TimeZone, text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Some(at) = Timestamp::parse_rfc3339(text) {
        return Some(at);
    }
    let moment = |day: jiff::civil::DateTime| {
        let zoned = day.to_zoned(zone.clone()).ok()?;
        Some(Timestamp::from_millis(zoned.timestamp().as_millisecond()))
    };
    if let Ok(day) = text.parse::<jiff::civil::DateTime>() {
        // A day alone is no moment.
        return text.contains(':').then(|| moment(day)).flatten();
    }
    let time: jiff::civil::Time = text.parse().ok()?;
    let now_there = jiff::Timestamp::from_millisecond(now.as_millis()).ok()?.to_zoned(zone.clone());
    let today = now_there.date();
    let at = moment(today.to_datetime(time))?;
    if at > now { Some(at) } else { moment(today.tomorrow().ok()?.to_datetime(time)) }
}

/// `newest event`, `newest 12 events`: of how many something is told.
pub(super) fn newest(n: u64) -> String {
    if n == 1 { "newest event".to_owned() } else { format!("newest {} events", count(n)) }
}

/// A text of the program's own in which moments are as people read them: `until 14:02`.
pub(super) fn with_clock(text: &str, now: Timestamp) -> String {
    let word = |word: &str| {
        let (moment, rest) = word.split_once('Z').unwrap_or((word, ""));
        let at = Timestamp::parse_rfc3339(&format!("{moment}Z"));
        at.map_or_else(|| word.to_owned(), |at| format!("{}{rest}", clock(at, now, false)))
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// `14:02` today, `26 Nov, 14:02` else; with seconds where `is_exact`.
pub(super) fn clock(at: Timestamp, now: Timestamp, is_exact: bool) -> String {
    let zoned = |at: Timestamp| {
        jiff::Timestamp::from_millisecond(at.as_millis()).ok().map(|at| at.to_zoned(zone()))
    };
    let (Some(at), Some(now)) = (zoned(at), zoned(now)) else { return at.to_string() };
    let time = at.strftime(if is_exact { "%H:%M:%S" } else { "%H:%M" });
    if at.date() == now.date() {
        time.to_string()
    } else if at.year() == now.year() {
        format!("{}, {time}", at.strftime("%-d %b"))
    } else {
        format!("{}, {time}", at.strftime("%-d %b %Y"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_in_a_text_are_shown_as_people_read_them() {
        let now = Timestamp::parse_rfc3339("2026-11-22T10:00:00Z").unwrap();
        let later = Timestamp::parse_rfc3339("2026-11-24T11:04:55.207Z").unwrap();
        let shown = with_clock("done until 2026-11-24T11:04:55.207Z: a Zoo, Z and zeroZ", now);
        let expected = format!("done until {}: a Zoo, Z and zeroZ", clock(later, now, false));
        assert_eq!(shown, expected);
        assert!(!shown.contains("207"), "{shown}");
        assert_eq!([1, 2_000].map(newest), ["newest event", "newest 2,000 events"]);
    }

    #[test]
    fn moment_ahead_is_of_the_zone_that_times_are_shown_in() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        // 12:00 there.
        let now = Timestamp::parse_rfc3339("2026-11-22T10:00:00Z").unwrap();
        let at = |text| moment_ahead_in(&zone, text, now).map(|at| at.to_string());
        for (text, expected) in [
            ("14:30", "2026-11-22T12:30:00"),
            ("09:15", "2026-11-23T07:15:00"),
            ("2026-12-01T08:00", "2026-12-01T06:00:00"),
            ("2026-12-01 08:00", "2026-12-01T06:00:00"),
            ("2026-12-01T08:00:00Z", "2026-12-01T08:00:00"),
        ] {
            assert!(at(text).is_some_and(|at| at.starts_with(expected)), "{text}: {:?}", at(text));
        }
        for wrong in ["soon", "25:00", "2026-12-01", "1h"] {
            assert_eq!(at(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_strangers_text_is_short_and_deceives_nobody() {
        assert_eq!(shown("a\u{202e}b\nc", 9), "a\u{fffd}b\u{fffd}c");
        assert_eq!(shown(&"ä".repeat(1 << 20), 3), "äää…");
        let mut room = Room::new(20);
        assert_eq!(
            [room.shown("<a>", 9), room.shown("<b>", 9), room.shown("c", 9)],
            ["<a>", "…", "c"]
        );
    }
}
