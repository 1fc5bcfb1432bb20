//! The head of an answer, as it is kept for people.

use std::fmt::Write;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION, SET_COOKIE};
use reqwest::{StatusCode, Version};

use crate::event::{Excerpt, Output, Stream};
use crate::secret::HIDDEN;
use crate::settings::names_secret;

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

    fn are_in(&self, value: &[u8]) -> bool {
        self.0.iter().any(|secret| value.windows(secret.len()).any(|part| part == secret))
    }
}

/// Status line and headers, without what is or echoes a secret.
pub(super) fn output(
    version: Version,
    status: StatusCode,
    headers: &HeaderMap,
    secrets: &Secrets,
) -> Output {
    let mut head = format!("{version:?} {status}");
    for (name, value) in headers {
        let shown = shown(name, value, secrets);
        // Writing to a text cannot fail.
        write!(head, "\n{name}: {shown}").unwrap_or_default();
        if head.len() > Excerpt::HEAD_BYTES {
            break;
        }
    }
    Output::new([Excerpt::head(Stream::Response, &head)])
}

fn shown(name: &HeaderName, value: &HeaderValue, secrets: &Secrets) -> String {
    if *name == SET_COOKIE || names_secret(name.as_str()) || secrets.are_in(value.as_bytes()) {
        return HIDDEN.to_owned();
    }
    let text = String::from_utf8_lossy(value.as_bytes());
    match text.split_once('?') {
        // What follows may let its reader in.
        Some((path, _)) if *name == LOCATION => format!("{path}?…"),
        _ => text.into_owned(),
    }
}
