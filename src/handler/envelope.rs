//! An event as one JSON line: what `file` writes, what a worker program reads, what `http` sends
//! as a batch.
//!
//! ```text
//! {"id":"…","source":"…","type":"…","received_at":"…","headers":{…},"payload":…}
//! ```
//!
//! `payload` is the body's own JSON text: numbers, escapes and the order of keys stay as they are.
//! Only line breaks go, which in JSON stand between tokens and never inside a string. Of a body
//! that is not JSON by the letter (a form, text, what is packed or has flaws) `payload` is what the
//! reader of bodies makes of it, and the body itself is `body_base64`; where it makes nothing of
//! it, `unreadable` says why in the place of `payload`.
//!
//! Behind `headers` stands `query`, the parameters of the request's query by their names, where there are
//! some.
//!
//! A header's value is a string; a list of strings where the header is repeated; and
//! `{"base64":"…"}` in place of a string where the bytes are not UTF-8.

use std::borrow::Cow;
use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use crate::body;
use crate::body::json::{self, Layout};
use crate::event::{Event, Headers};

/// About as many headers as a request has.
const USUAL_HEADERS: usize = 16;
/// Appends the event without a line break; `attempt` is before `headers` where it is given.
pub(super) fn write_event(out: &mut Vec<u8>, event: &Event, attempt: Option<u32>) {
    let mut id = [0_u8; uuid::fmt::Hyphenated::LENGTH];
    out.extend_from_slice(b"{\"id\":\"");
    out.extend_from_slice(event.id.0.hyphenated().encode_lower(&mut id).as_bytes());
    out.extend_from_slice(b"\",\"source\":");
    write_str(out, event.source.as_str());
    out.extend_from_slice(b",\"type\":");
    write_str(out, event.event_type.as_str());
    write_fmt(out, format_args!(",\"received_at\":\"{}\"", event.received_at));
    if let Some(attempt) = attempt {
        write_fmt(out, format_args!(",\"attempt\":{attempt}"));
    }
    out.extend_from_slice(b",\"headers\":");
    write_headers(out, &event.headers);
    write_query(out, &event.headers);
    write_body(out, event);
    out.push(b'}');
}

/// What the request's query said, where it said something.
fn write_query(out: &mut Vec<u8>, headers: &Headers) {
    let query = headers.query_text();
    if query.is_empty() {
        return;
    }
    if let Ok(query) = json::write(&body::query(&query), Layout::Compact) {
        write_fmt(out, format_args!(",\"query\":{query}"));
    }
}

fn write_headers(out: &mut Vec<u8>, headers: &Headers) {
    let mut sorted: Vec<(&str, &[u8])> = Vec::with_capacity(USUAL_HEADERS);
    sorted.extend(headers.iter());
    // Stable: the values of a repeated header stay in the order they came.
    sorted.sort_by_key(|(name, _)| *name);
    out.push(b'{');
    for (index, values) in sorted.chunk_by(|one, next| one.0 == next.0).enumerate() {
        let Some((name, first)) = values.first() else { continue };
        if index > 0 {
            out.push(b',');
        }
        write_str(out, name);
        out.push(b':');
        if values.len() == 1 {
            write_header_value(out, first);
            continue;
        }
        for (index, (_, value)) in values.iter().enumerate() {
            out.push(if index == 0 { b'[' } else { b',' });
            write_header_value(out, value);
        }
        out.push(b']');
    }
    out.push(b'}');
}

fn write_header_value(out: &mut Vec<u8>, value: &[u8]) {
    match std::str::from_utf8(value) {
        Ok(text) => write_str(out, text),
        Err(_) => write_fmt(out, format_args!("{{\"base64\":\"{}\"}}", STANDARD.encode(value))),
    }
}

fn write_body(out: &mut Vec<u8>, event: &Event) {
    let json = event.json();
    if let Ok(Some(payload)) = &json {
        out.extend_from_slice(b",\"payload\":");
        write_one_line(out, payload);
    }
    if let Err(err) = json {
        out.extend_from_slice(b",\"unreadable\":");
        write_str(out, &err.to_string());
    }
    // What the payload does not say byte for byte is beside it.
    if !matches!(json, Ok(Some(Cow::Borrowed(_)))) {
        write_fmt(out, format_args!(",\"body_base64\":\"{}\"", STANDARD.encode(&event.body)));
    }
}

/// The JSON text that `body` is, without white space around it; `None` where it is none.
pub(super) fn json_text(body: &[u8]) -> Option<&str> {
    // A raw value is checked and not built: nothing is parsed into numbers or strings.
    serde_json::from_slice::<&RawValue>(body).ok().map(RawValue::get)
}

/// Appends checked JSON without its line breaks.
pub(super) fn write_one_line(out: &mut Vec<u8>, json: &str) {
    let mut rest = json.as_bytes();
    while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
        let (line, behind) = rest.split_at(at);
        out.extend_from_slice(line);
        rest = behind.get(1..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

fn write_str(out: &mut Vec<u8>, text: &str) {
    if json::lexer::plain_bytes(text.as_bytes()) < text.len() {
        write_fmt(out, format_args!("{}", serde_json::Value::from(text)));
    } else {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    }
}

fn write_fmt(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing into memory does not fail.
    out.write_fmt(text).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::testing::{delivery, id, with_headers};
    use super::*;
    use crate::body::Payload;

    fn line(event: &Event, attempt: Option<u32>) -> String {
        let mut out = Vec::new();
        write_event(&mut out, event, attempt);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_has_the_fields_in_order_and_the_bodys_own_text() {
        let body = r#"{"n":1.0e+2,"big":123456789012345678901234567890,"e":"\/\u00e9","n":2}"#;
        let expected = format!(
            r#"{{"id":"{}","source":"hyvor","type":"comment.create","received_at":"2026-11-22T12:00:00.000Z","headers":{{"content-type":"application/json"}},"payload":{body}}}"#,
            id(1)
        );
        assert_eq!(line(&delivery(body).event, None), expected);
    }

    #[test]
    fn query_stands_behind_the_headers_where_there_is_one() {
        let headers: Headers = [("via", &b"a"[..])].into_iter().collect();
        let query = "order=4%202&tag=a&tag=b&x";
        let arrived = headers.with_arrival(&crate::event::Arrival::default(), query);
        let event = with_headers(1, "1", arrived).event;
        let expected =
            r#""headers":{"via":"a"},"query":{"order":"4 2","tag":["a","b"],"x":""},"payload":1}"#;
        assert!(line(&event, None).ends_with(expected), "{}", line(&event, None));
    }

    #[test]
    fn the_attempt_stands_where_it_is_asked_for() {
        assert!(line(&delivery("1").event, Some(3)).contains(r#","attempt":3,"headers":"#));
    }

    #[track_caller]
    fn check_body(body: impl AsRef<[u8]>, expected: &str) {
        let mut event = Arc::into_inner(delivery(body).event).unwrap();
        let written = line(&event, None);
        assert!(written.ends_with(&format!("}},{expected}}}")), "{written}");
        // The same of a body that was looked at when it came in.
        event.received.is_json = event.payload().is_ok_and(Payload::is_own_json);
        assert_eq!(line(&event, None), written);
        serde_json::from_str::<serde_json::Value>(&written).unwrap();
        assert!(!written.contains(['\n', '\r']));
    }

    #[test]
    fn only_line_breaks_between_tokens_go() {
        check_body("\r\n {\"a\" :\r\n\t[1,\n 2]}\n", "\"payload\":{\"a\" :\t[1, 2]}");
        check_body(r#""a\nb""#, r#""payload":"a\nb""#);
        check_body("\"\u{2028}\"", "\"payload\":\"\u{2028}\"");
    }

    #[test]
    fn flawed_body_stands_beside_what_is_read_of_it() {
        let read = "\"payload\":{\"a\":\"\u{fffd}\"},\"body_base64\":\"eyJhIjoi/yJ9\"";
        check_body(b"{\"a\":\"\xff\"}", read);
        check_body("\"a\nb\"", r#""payload":"a\nb","body_base64":"ImEKYiI=""#);
    }

    #[test]
    fn unreadable_body_says_why() {
        let why = "\"unreadable\":\"the body is not JSON: the end expected at line 1, column 4\"";
        check_body("{} {}", &format!("{why},\"body_base64\":\"e30ge30=\""));
        let why = "\"unreadable\":\"the body is not JSON: it is empty\"";
        check_body("", &format!("{why},\"body_base64\":\"\""));
        let deep = "[".repeat(100_000);
        let line = line(&delivery(&deep).event, None);
        assert!(line.contains("nested deeper than 1000 levels") && !line.contains("[["), "deep");
    }

    #[test]
    fn line_breaks_go_wherever_they_stand() {
        for (json, expected) in [
            ("", ""),
            ("[]", "[]"),
            ("\n[\r\n1,\n\n2]\r", "[1,2]"),
            ("{\"a\":\n\"\\n\"}", "{\"a\":\"\\n\"}"),
        ] {
            let mut out = Vec::new();
            write_one_line(&mut out, json);
            assert_eq!(out, expected.as_bytes(), "{json:?}");
        }
    }

    #[test]
    fn repeated_and_odd_headers_keep_their_values() {
        let headers: Headers =
            [("via", &b"a"[..]), ("x", b"\xff"), ("via", b"b\"\t"), ("empty", b"")]
                .into_iter()
                .collect();
        let line = line(&with_headers(1, "1", headers).event, None);
        let expected = r#""headers":{"empty":"","via":["a","b\"\t"],"x":{"base64":"/w=="}},"#;
        assert!(line.contains(expected), "{line}");
    }
}
