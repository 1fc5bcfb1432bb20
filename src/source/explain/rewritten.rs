//! The ways in which a proxy or a framework writes a body anew.

use std::fmt::Write as _;

use serde::Serialize as _;
use serde_json::Value;
use serde_json::ser::PrettyFormatter;

use super::super::field_ref::{Pair, pairs};
use super::super::signature::Encoding;

/// Every other way of writing `body`, each with a word for people.
pub(super) fn bodies(body: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
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
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        let forms = forms(body).into_iter();
        bodies.extend(forms.map(|body| ("with the fields of the form written anew", body)));
        return bodies;
    };
    let sorted = sorted(&value);
    for value in [&value, &sorted] {
        for style in Style::ALL {
            let mut text = String::new();
            write(value, style, &mut text);
            bodies.push((
                "after JSON normalisation (something parsed it and wrote it anew)",
                text.into_bytes(),
            ));
        }
        for indent in ["  ", "    ", "\t"] {
            let formatter = PrettyFormatter::with_indent(indent.as_bytes());
            let mut text = Vec::new();
            let mut writer = serde_json::Serializer::with_formatter(&mut text, formatter);
            if value.serialize(&mut writer).is_ok() {
                bodies.push(("after JSON normalisation (something wrote it with indents)", text));
            }
        }
    }
    bodies
}

/// How a language's usual writer writes JSON.
#[derive(Clone, Copy)]
struct Style {
    /// A blank behind `,` and `:`, as Python does.
    is_spaced: bool,
    /// `\u…` for all that is not ASCII, as PHP and Python do.
    is_ascii: bool,
    /// `\/`, as PHP does.
    escapes_slash: bool,
    /// `\u003c` for `<`, `>` and `&`, as Go and Rails do; PHP may, in capitals.
    markup: Markup,
}

/// How a writer writes what could be markup.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Markup {
    Plain,
    Lower,
    Upper,
}

impl Style {
    const fn of(is_spaced: bool, is_ascii: bool, escapes_slash: bool) -> Self {
        Self { is_spaced, is_ascii, escapes_slash, markup: Markup::Plain }
    }

    const fn with(self, markup: Markup) -> Self {
        Self { markup, ..self }
    }

    const ALL: [Self; 10] = [
        // JavaScript, Go, Ruby, Rust.
        Self::of(false, false, false),
        // PHP, with and without its usual flags.
        Self::of(false, true, true),
        Self::of(false, true, false),
        Self::of(false, false, true),
        // Python.
        Self::of(true, true, false),
        Self::of(true, false, false),
        // Go; Rails; PHP with JSON_HEX_TAG, without and with its slashes.
        Self::of(false, false, false).with(Markup::Lower),
        Self::of(false, true, false).with(Markup::Lower),
        Self::of(false, true, false).with(Markup::Upper),
        Self::of(false, true, true).with(Markup::Upper),
    ];
}

fn write(value: &Value, style: Style, out: &mut String) {
    let (comma, colon) = if style.is_spaced { (", ", ": ") } else { (",", ":") };
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => out.push_str(&value.to_string()),
        Value::String(text) => write_text(text, style, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { comma });
                write(item, style, out);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            out.push('{');
            for (index, (name, field)) in fields.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { comma });
                write_text(name, style, out);
                out.push_str(colon);
                write(field, style, out);
            }
            out.push('}');
        }
    }
}

fn write_text(text: &str, style: Style, out: &mut String) {
    let quoted = Value::from(text).to_string();
    for c in quoted.chars() {
        match c {
            '/' if style.escapes_slash => out.push_str("\\/"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' if style.markup == Markup::Lower => {
                write!(out, "\\u{:04x}", u32::from(c)).unwrap_or_default();
            }
            '<' | '>' | '&' | '\'' if style.markup == Markup::Upper => {
                write!(out, "\\u{:04X}", u32::from(c)).unwrap_or_default();
            }
            c if style.is_ascii && !c.is_ascii() => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing to a string cannot fail.
                    write!(out, "\\u{unit:04x}").unwrap_or_default();
                }
            }
            c => out.push(c),
        }
    }
}

/// The body that something put into another: a JSON text, the `body` of an API gateway, or the one
/// field of a form.
fn wrapped(body: &[u8]) -> Option<Vec<u8>> {
    match serde_json::from_slice::<Value>(body) {
        Ok(Value::String(text)) => return Some(text.into_bytes()),
        Ok(Value::Object(fields)) => {
            let text = fields.get("body").and_then(Value::as_str)?;
            let is_base64 = fields.get("isBase64Encoded").and_then(Value::as_bool);
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

/// The same with the keys of every object in order.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Object(fields) => {
            let mut fields: Vec<_> =
                fields.iter().map(|(name, field)| (name.clone(), sorted(field))).collect();
            fields.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(fields.into_iter().collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sent: &str, arrived: &str) {
        let found = bodies(arrived.as_bytes()).into_iter().any(|(_, body)| body == sent.as_bytes());
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
        let found =
            |sent: &[u8], arrived: &[u8]| bodies(arrived).into_iter().any(|(_, body)| body == sent);
        assert!(found(b"{\"a\":\"Zo\xeb\"}", "{\"a\":\"Zoë\"}".as_bytes()));
        assert!(found("{\"a\":\"Zoë\"}".as_bytes(), b"{\"a\":\"Zo\xeb\"}"));
    }
}
