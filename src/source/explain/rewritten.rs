//! The ways in which a proxy or a framework writes a body anew.

use std::fmt::Write as _;

use minijinja::Value;
use minijinja::value::ValueKind;

use crate::body::json::{self, Layout};

use super::super::field_ref::{Pair, pairs};
use super::super::signature::Encoding;

/// How much longer than the body what it was written from may be: each sign an escape.
const GROWTH_MAX: usize = 6;
/// The same for what is indented, and for what is short.
const GROWTH_BYTES: usize = 256 << 10;
/// As deep as most readers go.
const DEPTH_MAX: usize = 128;

/// Every other way of writing `body`, each with a word for people, one at a time.
pub(super) fn bodies(body: &[u8]) -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    let mut bodies = Vec::new();
    bodies.push(("without the blanks at its end", body.trim_ascii_end().to_vec()));
    bodies.push(("with a newline at its end", [body, b"\n"].concat()));
    bodies.push(("with a newline at its end", [body, b"\r\n"].concat()));
    if let Ok(text) = std::str::from_utf8(body) {
        let unix = text.replace("\r\n", "\n");
        bodies.push(("with other line ends", unix.replace('\n', "\r\n").into_bytes()));
        bodies.push(("with other line ends", unix.into_bytes()));
        bodies.push(("with a byte order mark", format!("\u{feff}{text}").into_bytes()));
        let text = text.trim_start_matches('\u{feff}');
        bodies.push(("without its byte order mark", text.as_bytes().to_vec()));
    }
    bodies
        .extend(wrapped(body).map(|body| ("what is wrapped in it (something put it there)", body)));
    bodies.extend(other_charset(body).map(|body| ("with another charset", body)));
    let value = json::read(body).ok().map(|(value, _)| value);
    if value.is_none() {
        let forms = forms(body).into_iter();
        bodies.extend(forms.map(|body| ("with the fields of the form written anew", body)));
    }
    bodies.into_iter().chain(value.into_iter().flat_map({
        let most = body.len() * GROWTH_MAX + GROWTH_BYTES;
        move |value| normalised(value, most)
    }))
}

/// What parsers of JSON make of `value`, as long as it is at most so many bytes.
fn normalised(value: Value, most: usize) -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    let plain = Style::ALL
        .map(|style| (style, "after JSON normalisation (something parsed it and wrote it anew)"));
    let indented = ["  ", "    ", "\t"].map(|indent| {
        let style = Style { indent: Some(indent), ..Style::PLAIN };
        (style, "after JSON normalisation (something wrote it with indents)")
    });
    let styles = plain.into_iter().chain(indented);
    let styles = styles.flat_map(|(style, what)| [(style, what, false), (style, what, true)]);
    styles.filter_map(move |(style, what, is_sorted)| {
        let mut written = RewrittenBody { text: String::new(), is_sorted, most };
        style.write(&value, 0, &mut written)?;
        Some((what, written.text.into_bytes()))
    })
}

/// What was written so far.
struct RewrittenBody {
    text: String,
    /// The keys of every object come in order.
    is_sorted: bool,
    /// How long it may be.
    most: usize,
}

/// How a language's usual writer writes JSON. Numbers stay as they are written.
#[derive(Clone, Copy)]
struct Style {
    /// Behind `,` and `:`; Python has a blank there.
    comma: &'static str,
    colon: &'static str,
    /// One item a line, with so much before it for each level.
    indent: Option<&'static str>,
    /// How what is not ASCII is escaped.
    non_ascii: UnicodeEscape,
    /// How what could be markup is escaped.
    markup: UnicodeEscape,
    /// What counts as markup.
    markup_signs: &'static str,
    /// `\/`, as PHP does.
    escapes_slash: bool,
}

/// How a sign is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum UnicodeEscape {
    Plain,
    /// `\u00e9`
    Lower,
    /// `\u00E9`
    Upper,
}

/// As Go and Rails see markup.
const MARKUP: &str = "<>&\u{2028}\u{2029}";
/// As PHP and .NET do.
const MARKUP_AND_QUOTES: &str = "<>&'+\"";

impl Style {
    /// JavaScript, Ruby, Rust.
    const PLAIN: Self = Self {
        comma: ",",
        colon: ":",
        indent: None,
        non_ascii: UnicodeEscape::Plain,
        markup: UnicodeEscape::Plain,
        markup_signs: MARKUP,
        escapes_slash: false,
    };
    const ASCII: Self = Self { non_ascii: UnicodeEscape::Lower, ..Self::PLAIN };
    const SPACED: Self = Self { comma: ", ", colon: ": ", ..Self::PLAIN };
    const PHP_MARKUP: Self =
        Self { markup: UnicodeEscape::Upper, markup_signs: "<>&'", ..Self::ASCII };

    const ALL: [Self; 12] = [
        Self::PLAIN,
        // PHP, with and without its usual flags.
        Self { escapes_slash: true, ..Self::ASCII },
        Self::ASCII,
        Self { escapes_slash: true, ..Self::PLAIN },
        // Python.
        Self { non_ascii: UnicodeEscape::Lower, ..Self::SPACED },
        Self::SPACED,
        // Go; Rails; PHP with JSON_HEX_TAG, without and with its slashes.
        Self { markup: UnicodeEscape::Lower, ..Self::PLAIN },
        Self { markup: UnicodeEscape::Lower, ..Self::ASCII },
        Self::PHP_MARKUP,
        Self { escapes_slash: true, ..Self::PHP_MARKUP },
        // .NET, and Java in its ASCII mode.
        Self {
            non_ascii: UnicodeEscape::Upper,
            markup: UnicodeEscape::Upper,
            markup_signs: MARKUP_AND_QUOTES,
            ..Self::PLAIN
        },
        Self { non_ascii: UnicodeEscape::Upper, ..Self::PLAIN },
    ];

    /// `None` = it becomes too long, or is too deep.
    fn write(self, value: &Value, depth: usize, written: &mut RewrittenBody) -> Option<()> {
        if depth > DEPTH_MAX || written.text.len() > written.most {
            return None;
        }
        let is_map = value.kind() == ValueKind::Map;
        if !is_map && value.kind() != ValueKind::Seq {
            match value.as_str() {
                Some(text) => self.write_text(text, &mut written.text),
                None => written.text.push_str(&json::write(value, Layout::Compact).ok()?),
            }
            return Some(());
        }
        let mut items: Vec<Value> = value.try_iter().ok()?.collect();
        if is_map && written.is_sorted {
            items.sort_unstable_by(|one, other| one.as_str().cmp(&other.as_str()));
        }
        written.text.push(if is_map { '{' } else { '[' });
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                written.text.push_str(if self.indent.is_some() { "," } else { self.comma });
            }
            self.break_line(depth + 1, &mut written.text);
            if is_map {
                self.write_text(item.as_str()?, &mut written.text);
                written.text.push_str(if self.indent.is_some() { ": " } else { self.colon });
                self.write(&value.get_item(item).ok()?, depth + 1, written)?;
            } else {
                self.write(item, depth + 1, written)?;
            }
        }
        if !items.is_empty() {
            self.break_line(depth, &mut written.text);
        }
        written.text.push(if is_map { '}' } else { ']' });
        Some(())
    }

    fn break_line(self, depth: usize, out: &mut String) {
        if let Some(indent) = self.indent {
            out.push('\n');
            (0..depth).for_each(|_| out.push_str(indent));
        }
    }

    fn write_text(self, text: &str, out: &mut String) {
        let is_markup =
            |sign: char| self.markup != UnicodeEscape::Plain && self.markup_signs.contains(sign);
        let quoted = serde_json::Value::from(text).to_string();
        let mut signs = quoted.chars();
        while let Some(sign) = signs.next() {
            match sign {
                '\\' => match signs.next() {
                    Some('"') if is_markup('"') => self.markup.write('"', out),
                    // An escape goes on as it is.
                    next => out.extend([sign].into_iter().chain(next)),
                },
                '"' => out.push('"'),
                '/' if self.escapes_slash => out.push_str("\\/"),
                sign if is_markup(sign) => self.markup.write(sign, out),
                sign if !sign.is_ascii() => self.non_ascii.write(sign, out),
                sign => out.push(sign),
            }
        }
    }
}

impl UnicodeEscape {
    fn write(self, sign: char, out: &mut String) {
        for unit in sign.encode_utf16(&mut [0; 2]) {
            match self {
                Self::Plain => return out.push(sign),
                // Writing to a string cannot fail.
                Self::Lower => write!(out, "\\u{unit:04x}").unwrap_or_default(),
                Self::Upper => write!(out, "\\u{unit:04X}").unwrap_or_default(),
            }
        }
    }
}

/// The body that something put into another: a JSON text, the `body` of an API gateway, or the one
/// field of a form.
fn wrapped(body: &[u8]) -> Option<Vec<u8>> {
    match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(serde_json::Value::String(text)) => return Some(text.into_bytes()),
        Ok(serde_json::Value::Object(fields)) => {
            let text = fields.get("body").and_then(serde_json::Value::as_str)?;
            let is_base64 = fields.get("isBase64Encoded").and_then(serde_json::Value::as_bool);
            let encoding = if is_base64 == Some(true) { Encoding::Base64 } else { Encoding::Plain };
            return encoding.decode(text.as_bytes());
        }
        Ok(_) => return None,
        Err(_) => {}
    }
    let mut fields = pairs(body);
    match (fields.next(), fields.next()) {
        (Some((_, value)), None) if !value.is_empty() => Some(value.into_owned()),
        (_, _) => None,
    }
}

/// The text in Latin-1 where it came as UTF-8, and the other way round.
fn other_charset(body: &[u8]) -> Option<Vec<u8>> {
    if body.is_ascii() {
        return None;
    }
    match std::str::from_utf8(body) {
        Ok(text) => text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect(),
        Err(_) => Some(body.iter().map(|byte| char::from(*byte)).collect::<String>().into_bytes()),
    }
}

/// A form as other writers escape it; nothing where it is none.
fn forms(body: &[u8]) -> Vec<Vec<u8>> {
    if !body.contains(&b'=') {
        return Vec::new();
    }
    let fields: Vec<_> = pairs(body).take(FIELDS_MAX).collect();
    let mut forms = Vec::new();
    for (blank, plain) in [("+", "-._*"), ("+", "-._~"), ("%20", "-._~"), ("%20", "-._~!*'()")] {
        let escape = |bytes: &[u8], lower: bool| {
            let mut text = String::new();
            for byte in bytes {
                match byte {
                    b' ' => text.push_str(blank),
                    byte if byte.is_ascii_alphanumeric() || plain.as_bytes().contains(byte) => {
                        text.push(char::from(*byte));
                    }
                    byte if lower => write!(text, "%{byte:02x}").unwrap_or_default(),
                    byte => write!(text, "%{byte:02X}").unwrap_or_default(),
                }
            }
            text
        };
        for lower in [false, true] {
            let pair = |(name, value): &Pair<'_>| {
                format!("{}={}", escape(name, lower), escape(value, lower))
            };
            forms.push(fields.iter().map(pair).collect::<Vec<_>>().join("&").into_bytes());
        }
    }
    forms
}

/// The most fields of a form that are written anew.
const FIELDS_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sent: &str, arrived: &str) {
        let found = bodies(arrived.as_bytes()).any(|(_, body)| body == sent.as_bytes());
        assert!(found, "{sent}");
    }

    #[test]
    fn what_each_language_wrote_is_found_again() {
        let arrived = r#"{ "url": "https://a/b", "b": "ö👍", "a": [1, 2.5, null] }"#;
        check(r#"{"url":"https://a/b","b":"ö👍","a":[1,2.5,null]}"#, arrived);
        check(r#"{"url":"https:\/\/a\/b","b":"\u00f6\ud83d\udc4d","a":[1,2.5,null]}"#, arrived);
        check(r#"{"url": "https://a/b", "b": "\u00f6\ud83d\udc4d", "a": [1, 2.5, null]}"#, arrived);
        check(r#"{"a":[1,2.5,null],"b":"ö👍","url":"https://a/b"}"#, arrived);
        check("{\n  \"a\": 1\n}", r#"{"a":1}"#);
        check("a=1", "a=1\n");
        check("a=1\n", "a=1");
        check("{\"a\":1}", "\u{feff}{\"a\":1}");
        check("a\r\nb", "a\nb");
        // Go and Rails, PHP with JSON_HEX_TAG.
        check(r#"{"a":"\u003cp\u003e \u0026 /"}"#, r#"{"a": "<p> & /"}"#);
        check(r#"{"a":"\u003Cp\u003E\u00f6"}"#, r#"{"a":"<p>ö"}"#);
        // .NET.
        check(r#"{"a":"\u003Cp\u003E\u00E9\u0022\u002B"}"#, r#"{"a": "<p>é\"+"}"#);
        check(r#"{"a":"Zo\u00EB\n\\"}"#, r#"{"a":"Zoë\n\\"}"#);
        // Numbers, however they are written.
        check(r#"{"a": 1.10, "b": 1e3}"#, r#"{"a":1.10,"b":1e3}"#);
        check(r#"{"n": 12345678901234567890123}"#, r#"{"n":12345678901234567890123}"#);
        check("{}", "{ }");
        check("{\n\t\"a\": [\n\t\t1\n\t],\n\t\"b\": {}\n}", r#"{"a":[1],"b":{}}"#);
        // What an API gateway or a form was put around.
        check("{\"a\":1}", r#""{\"a\":1}""#);
        check("{\"a\":1}", r#"{"body":"{\"a\":1}","isBase64Encoded":false}"#);
        check("{\"a\":1}", r#"{"body":"eyJhIjoxfQ==","isBase64Encoded":true}"#);
        check("{\"a\":1}", "payload=%7B%22a%22%3A1%7D");
        // A form that was read and written anew.
        check("a=%C3%B6+b&c=%2F", "a=%c3%b6%20b&c=/");
        check("a=x%20y%21", "a=x+y!");
    }

    #[test]
    fn another_charset_is_found_again() {
        let found = |sent: &[u8], arrived: &[u8]| bodies(arrived).any(|(_, body)| body == sent);
        assert!(found(b"{\"a\":\"Zo\xeb\"}", "{\"a\":\"Zoë\"}".as_bytes()));
        assert!(found("{\"a\":\"Zoë\"}".as_bytes(), b"{\"a\":\"Zo\xeb\"}"));
    }

    /// A stranger's body is explained too.
    #[test]
    fn no_body_is_written_to_many_times_its_size() {
        let items = "0,".repeat(200_000);
        for depth in [100, 990] {
            let (open, close) = ("[".repeat(depth), "]".repeat(depth));
            let body = format!("{open}{items}0{close}");
            let longest = bodies(body.as_bytes()).map(|(_, body)| body.len()).max().unwrap();
            assert!(longest <= 7 * body.len() + GROWTH_BYTES, "{longest} of {}", body.len());
        }
    }
}
