//! Numbers, times and strangers' text as people read them.

use std::time::Duration;

use jiff::tz::TimeZone;

use crate::clock::Timestamp;
use crate::text;

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

/// How many bytes of strangers' text a page still has room for, as HTML: what there is no room for is
/// left out, so that no page grows with what somebody sends.
#[derive(Debug)]
pub(super) struct Room(usize);

impl Room {
    pub(super) const fn new(bytes: usize) -> Self {
        Self(bytes)
    }

    /// [`shown`], where there is room for it; `…` else.
    pub(super) fn shown(&mut self, text: &str, chars_max: usize) -> String {
        let shown = shown(text, chars_max);
        let as_html =
            |c: char| if matches!(c, '&' | '<' | '>' | '"' | '\'') { 6 } else { c.len_utf8() };
        let n_bytes: usize = shown.chars().map(as_html).sum();
        if n_bytes > self.0 {
            return "…".to_owned();
        }
        self.0 -= n_bytes;
        shown
    }
}

/// `1,204`
pub(super) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 event`, `1,204 events`
pub(super) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// `1.4 kB`
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(super) fn bytes(bytes: u64) -> String {
    if bytes < 1_000 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64;
    let mut unit = "B";
    for next in ["kB", "MB", "GB", "TB"] {
        if size < 999.5 {
            break;
        }
        size /= 1_000.0;
        unit = next;
    }
    if size < 9.95 { format!("{size:.1} {unit}") } else { format!("{size:.0} {unit}") }
}

/// `3 s`, `33 min`, `2 h 5 min`, `9 d`
pub(super) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    let with = |whole: String, rest: u64, unit| match rest {
        0 => whole,
        rest => format!("{whole} {rest} {unit}"),
    };
    match seconds {
        0 if !span.is_zero() => format!("{} ms", span.as_millis()),
        0..60 => format!("{seconds} s"),
        60..600 => with(format!("{minutes} min"), seconds % 60, "s"),
        600..3_600 => format!("{minutes} min"),
        3_600..36_000 => with(format!("{hours} h"), minutes % 60, "min"),
        36_000..172_800 => format!("{hours} h"),
        _ => format!("{days} d"),
    }
}

/// The zone that times are shown in: this machine's.
fn zone() -> TimeZone {
    TimeZone::system()
}

/// The zone's name.
pub(super) fn zone_name() -> String {
    zone().iana_name().unwrap_or("UTC").to_owned()
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
    fn numbers_are_written_as_people_read_them() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(counted(1, "event", "events"), "1 event");
        let sizes = [0, 999, 1_000, 1_412, 12_000, 999_600, 4_000_000_000];
        let expected = ["0 B", "999 B", "1.0 kB", "1.4 kB", "12 kB", "1.0 MB", "4.0 GB"];
        assert_eq!(sizes.map(bytes), expected);
    }

    #[test]
    fn spans_have_two_units_at_most() {
        let spans = [3, 61, 120, 1_999, 7_500, 90_000, 777_600].map(Duration::from_secs);
        let expected = ["3 s", "1 min 1 s", "2 min", "33 min", "2 h 5 min", "25 h", "9 d"];
        assert_eq!(spans.map(span), expected);
        assert_eq!(span(Duration::from_millis(12)), "12 ms");
        assert_eq!(span(Duration::ZERO), "0 s");
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
