//! What a list looks for.

use crate::body::json::{self, Layout};
use crate::body::{self, number};
use crate::event::{Event, Glob, Position};
use crate::queue::embedded::index::Zone;
use crate::queue::{BodyFilter, EventQuery, WantedBodies};

/// What a list looks for.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    pub(crate) query: EventQuery,
    event_type: Option<Glob>,
}

impl Search {
    pub(crate) fn new(query: EventQuery) -> Self {
        let event_type = query.event_type.as_deref().map(Glob::new);
        Self { query, event_type }
    }

    /// What is left to look for once a part of the list was found.
    pub(crate) fn go_on(&mut self, next: Option<Position>, n_found: usize, body_bytes: usize) {
        let query = &mut self.query;
        query.cursor = next;
        query.limit = query.limit.clamp(1, EventQuery::LIMIT_MAX) - n_found;
        query.bytes_max = query.bytes_max.map(|bytes_max| bytes_max - body_bytes);
    }

    /// How much of the bodies must be read: all of it to look for something in it.
    pub(super) fn bodies_read(&self) -> WantedBodies {
        if self.query.body.is_empty() { self.query.bodies } else { WantedBodies::Whole }
    }

    /// Whether an event of this zone can match.
    pub(super) fn may_match(&self, zone: &Zone) -> bool {
        let query = &self.query;
        let is_in_time = query.since.is_none_or(|since| zone.newest >= since)
            && query.until.is_none_or(|until| zone.oldest < until);
        let is_named = |name: &String| {
            let (source, event_type) = name.split_once(':').unwrap_or((name, ""));
            query.source.as_ref().is_none_or(|wanted| wanted.as_str() == source)
                && query.except.as_ref().is_none_or(|other| other.as_str() != source)
                && self.event_type.as_ref().is_none_or(|glob| glob.matches(event_type))
        };
        is_in_time && zone.names.as_ref().is_none_or(|names| names.iter().any(is_named))
    }

    /// Whether the event matches. What is cheap is looked at first.
    pub(super) fn matches(&self, event: &Event) -> bool {
        let query = &self.query;
        query.source.as_ref().is_none_or(|source| *source == event.source)
            && query.except.as_ref().is_none_or(|source| *source != event.source)
            && query.since.is_none_or(|since| event.received_at >= since)
            && !query.named_by_none.iter().flatten().any(|names| names.contains(event))
            && query.until.is_none_or(|until| event.received_at < until)
            && self.event_type.as_ref().is_none_or(|glob| glob.matches(event.event_type.as_str()))
            && query.body.iter().all(|filter| filter.matches(event))
    }
}

impl BodyFilter {
    fn matches(&self, event: &Event) -> bool {
        match self {
            Self::Contains(texts) => texts.iter().any(|text| contains(&event.body, text)),
            Self::ContainsInAnyCase(texts) => {
                texts.iter().any(|text| contains_in_any_case(&event.body, text))
            }
            Self::JsonEquals { pointer, value } => {
                // A list or an object may be written with blanks.
                let may_differ = value.starts_with(['[', '{']) || !is_plain(event);
                (may_differ || contains(&event.body, value.as_bytes()))
                    && equals(event, pointer, value)
            }
            Self::Any(filters) => filters.iter().any(|filter| filter.matches(event)),
        }
    }
}

/// Whether each text and number of the body stands in it as it is read: nothing is packed, escaped or
/// in another charset. Most bodies need not be read as JSON at all.
fn is_plain(event: &Event) -> bool {
    body::starts_like_json(&event.body)
        && memchr::memchr2(b'\\', b'\0', &event.body).is_none()
        && event.headers.get("content-encoding").is_none()
        && std::str::from_utf8(&event.body).is_ok()
}

/// Whether every reader of the event sees `value` at `pointer`; a number as it is written.
fn equals(event: &Event, pointer: &str, value: &str) -> bool {
    let Ok(payload) = event.payload() else { return false };
    let parts = pointer.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~"));
    let Some(at) = body::at(payload.value(), parts) else { return false };
    match at.as_str() {
        Some(text) => text == value,
        None => number::written(&at).map_or_else(
            || json::write(&at, Layout::Compact).is_ok_and(|text| text == value),
            |text| text == value,
        ),
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(haystack, needle).is_some()
}

/// The same, whatever the case of the letters A to Z. Only where the needle's rarest byte stands is the rest
/// looked at.
fn contains_in_any_case(haystack: &[u8], needle: &[u8]) -> bool {
    let rarest = needle.iter().copied().enumerate().min_by_key(|(_, byte)| commonness(*byte));
    let Some((offset, byte)) = rarest else { return true };
    let cases = (byte.to_ascii_lowercase(), byte.to_ascii_uppercase());
    let is_here = |at: usize| {
        let found =
            at.checked_sub(offset).and_then(|start| haystack.get(start..)?.get(..needle.len()));
        found.is_some_and(|found| found.eq_ignore_ascii_case(needle))
    };
    memchr::memchr2_iter(cases.0, cases.1, haystack).any(is_here)
}

/// How often a byte stands in bodies, roughly: other signs than letters and digits are rare, but for what JSON is
/// made of.
fn commonness(byte: u8) -> usize {
    /// The letters of English and of JSON's words, the rarest first.
    const LETTERS: &[u8] = b"qjzxkvwyfgbphmudclrnsoiate";
    match byte.to_ascii_lowercase() {
        b'"' | b',' | b':' | b' ' => 100,
        b'0'..=b'9' => 40,
        letter @ b'a'..=b'z' => {
            10 + LETTERS.iter().position(|one| *one == letter).unwrap_or_default()
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_found_whatever_the_case_of_its_letters() {
        let body = "{\"name\":\"Anna K\u{f6}hler\",\"mail\":\"ANNA@Example.COM\"}".as_bytes();
        for (needle, expected) in [
            ("anna", true),
            ("ANNA@example.com", true),
            ("a k\u{f6}HLER", true),
            ("\"Name\"", true),
            ("anna@example.org", false),
            ("}", true),
            ("}x", false),
            ("x{", false),
            ("", true),
        ] {
            assert_eq!(contains_in_any_case(body, needle.as_bytes()), expected, "{needle}");
        }
        assert!(!contains_in_any_case(b"", b"a"));
    }
}
