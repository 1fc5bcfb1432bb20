//! Text of strangers where it goes: to people, in the log and on a terminal, and into addresses.

use std::borrow::Cow;

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

/// `text` in one line, with `U+FFFD` in place of what could deceive.
pub fn plain(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_deceptive) {
        Cow::Owned(text.chars().map(|c| if is_deceptive(c) { '\u{fffd}' } else { c }).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// One line of a log, which ends with a newline and has none before: what a stranger wrote into it must
/// not look like a line of ours. `\n`, `\r` and tabs are shown as such; the escapes that colour a line
/// stay.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_has_one_line_and_one_direction() {
        let text = "a\u{1b}[2Jb\nc\u{202e}d\u{2028}e\u{2066}f\u{200f}g\u{85}h\u{e0041}";
        let expected =
            "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\u{fffd}e\u{fffd}f\u{fffd}g\u{fffd}h\u{fffd}";
        assert_eq!(plain(text), expected);
        // Emoji are joined by an invisible character that deceives nobody.
        assert_eq!(plain("Zoë 👩\u{200d}💻 שלום"), "Zoë 👩\u{200d}💻 שלום");
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
