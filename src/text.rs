//! Text of strangers where it goes: to people, in the log and on a terminal, and into addresses;
//! and numbers as people read them.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::time::Duration;

/// Whether a character could make text look like what it is not: control characters, line and
/// paragraph separators, and what turns the direction of the text around it.
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{061c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// `text` as one word of a POSIX shell.
pub fn shell_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// `text` in one line, with `U+FFFD` in place of what could deceive.
pub fn plain(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_deceptive) {
        Cow::Owned(text.chars().map(|c| if is_deceptive(c) { '\u{fffd}' } else { c }).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// JSON in one line, with what could deceive in its texts as escapes: read, it stays what it was.
pub fn plain_json(json: String) -> String {
    if !json.chars().any(is_deceptive) {
        return json;
    }
    let mut safe = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_deceptive(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let escape = format!("\\u{unit:04x}");
                safe.push_str(&escape);
            }
        } else {
            safe.push(c);
        }
    }
    safe
}

/// JSON as people read it: characters that its writer escaped without need, as PHP and Python do with everything
/// that is not ASCII, stand for themselves. What could deceive stays escaped.
pub fn unescaped_json(json: &str) -> Cow<'_, str> {
    if !json.contains("\\u") && !json.contains("\\/") {
        return Cow::Borrowed(json);
    }
    let mut text = String::with_capacity(json.len());
    let mut rest = json;
    while let Some((before, escape)) = rest.split_once('\\') {
        text.push_str(before);
        let (shown, n_bytes) = match escaped_char(escape) {
            Some((c, n_bytes)) if !is_deceptive(c) && !matches!(c, '"' | '\\') => {
                (Some(c), n_bytes)
            }
            // The character behind the sign may be one itself.
            _ => (None, escape.chars().next().map_or(0, char::len_utf8)),
        };
        let (escape, behind) = escape.split_at_checked(n_bytes).unwrap_or((escape, ""));
        if let Some(c) = shown {
            text.push(c);
        } else {
            text.push('\\');
            text.push_str(escape);
        }
        rest = behind;
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// What `/` or `u00fc` behind a backslash stands for, and how long that is in bytes.
fn escaped_char(escape: &str) -> Option<(char, usize)> {
    if escape.starts_with('/') {
        return Some(('/', 1));
    }
    let unit = |at: usize| {
        let digits = escape.get(at..at + 5)?.strip_prefix('u')?;
        u16::from_str_radix(digits, 16).ok()
    };
    let first = unit(0)?;
    if let Some(c) = char::from_u32(first.into()) {
        return Some((c, 5));
    }
    let second = unit(6).filter(|_| escape.get(5..6) == Some("\\"))?;
    let c = char::decode_utf16([first, second]).next()?.ok()?;
    Some((c, 11))
}

/// One line of a log, which ends with a newline and has none before: what a stranger wrote into it
/// must not look like a line of ours. `\n`, `\r` and tabs are shown as such; the escapes that
/// colour a line stay.
pub fn log_line(line: &str) -> Cow<'_, str> {
    let (text, end) = line.strip_suffix('\n').map_or((line, ""), |text| (text, "\n"));
    let is_plain = |c: char| c == '\u{1b}' || !is_deceptive(c);
    if text.chars().all(is_plain) {
        return Cow::Borrowed(line);
    }
    let mut safe = String::with_capacity(line.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            c if is_plain(c) => safe.push(c),
            _ => safe.push('\u{fffd}'),
        }
    }
    safe.push_str(end);
    Cow::Owned(safe)
}

/// A time of microseconds as people read it: `480 µs`, `1.2 ms`, `35 ms`, `2.5 s`.
pub fn latency(micros: u64) -> String {
    let tenths = |number: u64, unit: u64| (number / unit, number % unit * 10 / unit);
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..10_000 => {
            let (whole, tenth) = tenths(micros, 1_000);
            format!("{whole}.{tenth} ms")
        }
        10_000..1_000_000 => format!("{} ms", micros / 1_000),
        _ => {
            let (whole, tenth) = tenths(micros, 1_000_000);
            format!("{whole}.{tenth} s")
        }
    }
}

/// Whether a variable of this name says what programs run or how a shell reads: no sender may set it.
pub fn steers_programs(name: &str) -> bool {
    const NAMES: [&str; 9] =
        ["PATH", "HOME", "SHELL", "ENV", "BASH_ENV", "IFS", "PS4", "NODE_OPTIONS", "CDPATH"];
    const PREFIXES: [&str; 6] = ["LD_", "PYTHON", "PERL", "RUBY", "GIT_", "BASH_FUNC_"];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether a program that runs for an event can be given a variable of this name: `=` would end it, and
/// those that begin with `GATEPOST_` tell of the event.
pub fn can_be_variable(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0']) && !name.starts_with("GATEPOST_")
}

/// Whether a program's environment may have a variable of this name: letters, digits and `_`.
pub fn is_variable_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// Whether expressions may have it behind a point: a variable's name that begins with no digit.
pub fn is_field_name(name: &str) -> bool {
    is_variable_name(name.as_bytes()) && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// A server's name or address with its port, as it stands in a URL: an address of IPv6 in brackets.
pub fn host_and_port(host: &str, port: u16) -> String {
    let is_bare = host.contains(':') && !host.starts_with('[');
    if is_bare { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// `text` as a part of an address or a form: all but letters, digits and `-._~`, which never mean
/// anything there (RFC 3986, 2.3), is percent-encoded.
pub fn percent_encoded(text: &str) -> String {
    let hex_digit =
        |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0').to_ascii_uppercase();
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.extend(['%', hex_digit(byte >> 4), hex_digit(byte & 15)]);
        }
    }
    encoded
}

/// The bytes that `text` stands for: `%40` is `@`. What is no such escape stays as it is.
pub fn percent_decoded(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind.get(..2).filter(|_| *first == b'%');
        let byte = digits.and_then(|digits| hex::decode(digits).ok()?.first().copied());
        decoded.push(byte.unwrap_or(*first));
        rest = byte.and_then(|_| behind.get(2..)).unwrap_or(behind);
    }
    decoded
}

/// Adds text. Writing into a `String` cannot fail.
pub fn put(text: &mut String, added: fmt::Arguments<'_>) {
    text.write_fmt(added).unwrap_or_default();
}

/// `1,204`
pub fn count(count: u64) -> String {
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
pub fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// A number that is no more than a bound, where it is one: `up to 12`.
pub fn up_to(is_bound: bool, number: String) -> String {
    if is_bound { format!("up to {number}") } else { number }
}

/// `1.4 kB`
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn bytes(bytes: u64) -> String {
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
pub fn span(span: Duration) -> String {
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

/// `err` and its causes in one line.
pub fn error_chain(err: &dyn std::error::Error) -> String {
    let mut text = err.to_string();
    let mut cause = err.source();
    while let Some(err) = cause {
        let own = err.to_string();
        // Some errors say their cause in their own text as well.
        if !text.ends_with(&own) {
            text.push_str(": ");
            text.push_str(&own);
        }
        cause = err.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_shown_with_the_characters_that_were_escaped_without_need() {
        for (json, shown) in [
            (
                r#"{"a":"Gr\u00fc\u00DFe \u041f \ud83d\ude00 \u003cb\u003e"}"#,
                r#"{"a":"Grüße П 😀 <b>"}"#,
            ),
            (r#""https:\/\/a.example\/x""#, r#""https://a.example/x""#),
            // What JSON needs, what could deceive, and what is half of something.
            (r#""\u0022 \u005c \" \\ \n""#, r#""\u0022 \u005c \" \\ \n""#),
            (r#""\u202e\u0000\u2028""#, r#""\u202e\u0000\u2028""#),
            (r#""\ud83d x \ud83d\u0041""#, r#""\ud83d x \ud83dA""#),
            (r#""\\u00fc \u00f""#, r#""\\u00fc \u00f""#),
            ("\\", "\\"),
            ("\\/ \\é", "/ \\é"),
        ] {
            assert_eq!(unescaped_json(json), shown, "{json}");
        }
    }

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
    fn plain_text_has_one_line_and_one_direction() {
        let text = "a\u{1b}[2Jb\nc\u{202e}d\u{2028}e\u{2066}f\u{200f}g\u{85}h\u{e0041}";
        let expected =
            "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\u{fffd}e\u{fffd}f\u{fffd}g\u{fffd}h\u{fffd}";
        assert_eq!(plain(text), expected);
        // Emoji are joined by an invisible character, which imitates no other text.
        assert_eq!(plain("Zoë 👩\u{200d}💻 שלום"), "Zoë 👩\u{200d}💻 שלום");
    }

    #[test]
    fn plain_json_reads_as_the_same() {
        let value = serde_json::json!({ "a\u{202e}": "b\u{2028}c\u{85}\n\u{e0041}é👩\u{200d}💻" });
        let json = plain_json(value.to_string());
        assert_eq!(json, r#"{"a\u202e":"b\u2028c\u0085\n\udb40\udc41é👩‍💻"}"#);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap(), value);
    }

    #[test]
    fn percent_encoding_leaves_what_means_nothing_in_an_address() {
        assert_eq!(percent_encoded("aZ09-._~"), "aZ09-._~");
        assert_eq!(percent_encoded("é +/&\n"), "%C3%A9%20%2B%2F%26%0A");
    }

    #[test]
    fn a_log_line_stays_one_line() {
        let line = "\u{1b}[32mINFO\u{1b}[0m it\n2026 ERROR forged\r\u{2028}\n";
        assert_eq!(log_line(line), "\u{1b}[32mINFO\u{1b}[0m it\\n2026 ERROR forged\\r\u{fffd}\n");
        assert!(matches!(log_line("INFO good\n"), Cow::Borrowed(_)));
    }

    #[test]
    fn percent_decoding_leaves_what_is_no_escape() {
        for (text, decoded) in
            [("a%40b", "a@b"), ("100%", "100%"), ("%zz%4", "%zz%4"), ("%C3%A4", "ä")]
        {
            assert_eq!(percent_decoded(text), decoded.as_bytes(), "{text}");
        }
    }
}
