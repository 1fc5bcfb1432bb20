//! The ways in which a proxy or a framework writes a body anew.

use std::fmt::Write as _;

use serde_json::Value;

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
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return bodies };
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
        if let Ok(text) = serde_json::to_vec_pretty(value) {
            bodies.push(("after JSON normalisation (something wrote it with indents)", text));
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
}

impl Style {
    const fn of(is_spaced: bool, is_ascii: bool, escapes_slash: bool) -> Self {
        Self { is_spaced, is_ascii, escapes_slash }
    }

    const ALL: [Self; 6] = [
        // JavaScript, Go, Ruby, Rust.
        Self::of(false, false, false),
        // PHP, with and without its usual flags.
        Self::of(false, true, true),
        Self::of(false, true, false),
        Self::of(false, false, true),
        // Python.
        Self::of(true, true, false),
        Self::of(true, false, false),
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
    }
}
