//! An answer as it is kept for people: its head, and the beginning of its body where it was no success.

use std::borrow::Cow;
use std::fmt::Write;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION, SET_COOKIE};
use reqwest::{StatusCode, Version};
use serde_json::Value;

use crate::event::{Excerpt, Output};
use crate::secret::HIDDEN;
use crate::settings::names_secret;

/// How much of a body that is no JSON is looked at.
const BODY_BYTES_READ: usize = 4 * Excerpt::BODY_BYTES;
/// Most heads are smaller.
const HEAD_BYTES_USUAL: usize = 256;
/// Shorter ones are no secrets, and would be found everywhere.
const SECRET_BYTES_MIN: usize = 4;

/// What the request says that no answer may bring into the history.
pub(super) struct Secrets(Vec<Vec<u8>>);

impl Secrets {
    /// The values that are marked as sensitive, and their last words: `Bearer` is none.
    pub(super) fn of(request: &HeaderMap) -> Self {
        let sensitive = request.values().filter(|value| value.is_sensitive());
        let words =
            sensitive.filter_map(|value| value.as_bytes().rsplit(|byte| *byte == b' ').next());
        Self(words.filter(|word| word.len() >= SECRET_BYTES_MIN).map(<[u8]>::to_vec).collect())
    }

    fn hidden_in(&self, text: &str) -> String {
        let known = self.0.iter().filter_map(|secret| std::str::from_utf8(secret).ok());
        known.fold(text.to_owned(), |text, secret| text.replace(secret, HIDDEN))
    }

    fn are_in(&self, value: &[u8]) -> bool {
        self.0.iter().any(|secret| value.windows(secret.len()).any(|part| part == secret))
    }
}

/// Status line and headers, without what is or echoes a secret.
pub(super) fn head(
    version: Version,
    status: StatusCode,
    headers: &HeaderMap,
    secrets: &Secrets,
) -> String {
    let mut head = String::with_capacity(HEAD_BYTES_USUAL);
    // Writing to a text cannot fail.
    write!(head, "{version:?} {status}").unwrap_or_default();
    for (name, value) in headers {
        head.extend(["\n", name.as_str(), ": ", &shown(name, value, secrets)]);
        if head.len() > Excerpt::HEAD_BYTES {
            break;
        }
    }
    head
}

/// The same for people, with the body's beginning.
pub(super) fn output(head: String, body: &[u8], secrets: &Secrets) -> Output {
    let body = if body.is_empty() { None } else { body_shown(body, secrets) };
    Output::new([Excerpt::answer(head, &body.unwrap_or_default())])
}

/// A body's text without what is or echoes a secret; `None` = it is none, or what is a secret in it
/// cannot be told.
fn body_shown(body: &[u8], secrets: &Secrets) -> Option<String> {
    if let Ok(mut json) = serde_json::from_slice::<Value>(body) {
        hide(&mut json, secrets);
        // A text or number alone as it is, without quotes.
        return Some(json.as_str().map_or_else(|| json.to_string(), str::to_owned));
    }
    let text = String::from_utf8_lossy(body.get(..BODY_BYTES_READ).unwrap_or(body));
    let is_json = text.trim_start().starts_with(['{', '[']);
    if is_json || text.contains('\0') {
        return None;
    }
    Some(hidden_words(&secrets.hidden_in(&text)))
}

/// A text without `token=…`, `Bearer …` and what looks like a secret behind `password:`.
fn hidden_words(text: &str) -> String {
    let is_end = |c: char| c.is_whitespace() || "&;,<>\"'".contains(c);
    let mut shown = String::with_capacity(text.len());
    let mut is_named = false;
    for part in text.split_inclusive(is_end) {
        let word = part.trim_end_matches(is_end);
        if word.is_empty() {
            shown.push_str(part);
            continue;
        }
        let (name, value) = word.split_at(word.find(['=', ':']).map_or(0, |at| at + 1));
        let is_secret = names_secret(name) && (name.ends_with('=') || is_like_secret(value));
        let (open, hidden) = if is_secret && !value.is_empty() {
            (name, HIDDEN)
        } else if is_named && is_like_secret(word) {
            ("", HIDDEN)
        } else {
            (word, "")
        };
        shown.extend([open, hidden, part.get(word.len()..).unwrap_or_default()]);
        is_named = matches!(word, "Bearer" | "Basic") || value.is_empty() && names_secret(name);
    }
    shown
}

/// Words of a sentence have no digits.
fn is_like_secret(word: &str) -> bool {
    word.len() >= 6 && word.contains(|c: char| c.is_ascii_digit())
}

/// Values that `serde_json` reads are nested 127 levels deep at most.
fn hide(json: &mut Value, secrets: &Secrets) {
    match json {
        Value::Object(fields) => fields.iter_mut().for_each(|(name, field)| {
            if names_secret(name) && !matches!(field, Value::Null | Value::Bool(_)) {
                *field = Value::from(HIDDEN);
            } else {
                hide(field, secrets);
            }
        }),
        Value::Array(items) => items.iter_mut().for_each(|item| hide(item, secrets)),
        Value::String(text) => *text = secrets.hidden_in(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn shown<'a>(name: &HeaderName, value: &'a HeaderValue, secrets: &Secrets) -> Cow<'a, str> {
    if *name == SET_COOKIE || names_secret(name.as_str()) || secrets.are_in(value.as_bytes()) {
        return HIDDEN.into();
    }
    let text = String::from_utf8_lossy(value.as_bytes());
    match text.split_once('?') {
        // What follows may let its reader in.
        Some((path, _)) if *name == LOCATION => format!("{path}?…").into(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_is_shown_without_secrets() {
        let secrets = Secrets(vec![b"s3cret-value".to_vec()]);
        let long = "x".repeat(70_000);
        for (body, shown) in [
            (
                r#"{"error":"no such field: titel","code":17}"#,
                Some(r#"{"error":"no such field: titel","code":17}"#),
            ),
            (
                r#"{"access_token":"abc","a":[{"password":5}],"token":null}"#,
                Some(r#"{"access_token":"(hidden)","a":[{"password":"(hidden)"}],"token":null}"#),
            ),
            (r#"["you sent s3cret-value"]"#, Some(r#"["you sent (hidden)"]"#)),
            (r#""just said so""#, Some("just said so")),
            ("<p>wrong s3cret-value</p>", Some("<p>wrong (hidden)</p>")),
            (
                "a=1&token=abc&b=2 password: hunter22, Bearer abc123def",
                Some("a=1&token=(hidden)&b=2 password: (hidden), Bearer (hidden)"),
            ),
            ("invalid token: signature mismatch", Some("invalid token: signature mismatch")),
            ("{\"token\": \"abc", None),
            ("\u{1f}\0binary", None),
            ("", Some("")),
        ] {
            assert_eq!(body_shown(body.as_bytes(), &secrets).as_deref(), shown, "{body}");
        }
        let output = output("HTTP/1.1 500".into(), long.as_bytes(), &secrets);
        assert_eq!(output.n_bytes(), "HTTP/1.1 500\n\n".len() + Excerpt::BODY_BYTES);
        assert_eq!(
            super::output("HTTP/1.1 500".into(), b" ", &secrets).n_bytes(),
            "HTTP/1.1 500".len()
        );
    }
}
