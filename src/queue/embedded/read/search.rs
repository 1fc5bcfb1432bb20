//! What a list looks for.

use crate::event::{Event, Glob, Position};
use crate::queue::embedded::index::Zone;
use crate::queue::{BodyFilter, EventQuery};

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

    /// Whether an event of this zone can match.
    pub(super) fn may_match(&self, zone: &Zone) -> bool {
        let query = &self.query;
        let is_in_time = query.since.is_none_or(|since| zone.newest >= since)
            && query.until.is_none_or(|until| zone.oldest < until);
        let is_named = |name: &String| {
            let (source, event_type) = name.split_once(':').unwrap_or((name, ""));
            query.source.as_ref().is_none_or(|wanted| wanted.as_str() == source)
                && self.event_type.as_ref().is_none_or(|glob| glob.matches(event_type))
        };
        is_in_time && zone.names.as_ref().is_none_or(|names| names.iter().any(is_named))
    }

    /// Whether the event matches. What is cheap is looked at first.
    pub(super) fn matches(&self, event: &Event) -> bool {
        let query = &self.query;
        query.source.as_ref().is_none_or(|source| *source == event.source)
            && query.since.is_none_or(|since| event.received_at >= since)
            && query.until.is_none_or(|until| event.received_at < until)
            && self.event_type.as_ref().is_none_or(|glob| glob.matches(event.event_type.as_str()))
            && query.body.iter().all(|filter| filter.matches(event))
    }
}

impl BodyFilter {
    fn matches(&self, event: &Event) -> bool {
        match self {
            Self::Contains(bytes) => contains(&event.body, bytes),
            Self::JsonEquals { pointer, value } => {
                // Where nothing is escaped the value is there as it is: most bodies need not
                // be read as JSON at all.
                let may_match = contains(&event.body, value.as_bytes())
                    || memchr::memchr(b'\\', &event.body).is_some();
                may_match && equals(&event.body, pointer, value)
            }
        }
    }
}

fn equals(body: &[u8], pointer: &str, value: &str) -> bool {
    let body: Result<serde_json::Value, _> = serde_json::from_slice(body);
    let at = body.as_ref().ok().and_then(|body| body.pointer(pointer));
    at.is_some_and(|at| match at.as_str() {
        Some(text) => text == value,
        None => serde_json::to_string(at).is_ok_and(|text| text == value),
    })
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(haystack, needle).is_some()
}
