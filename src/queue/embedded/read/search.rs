//! What a list looks for.

use crate::event::{Event, Glob};
use crate::queue::EventQuery;
use crate::queue::embedded::index::Zone;

/// What a list looks for: what an [`EventQuery`] asks, and what must be in the bodies.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    pub(crate) query: EventQuery,
    event_type: Option<Glob>,
    body: Vec<BodyFilter>,
}

/// What must be in an event's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BodyFilter {
    /// These bytes, anywhere.
    Contains(Vec<u8>),
    /// At this JSON pointer (RFC 6901) a text with this content, or another value that is written
    /// so.
    JsonEquals { pointer: String, value: String },
}

impl Search {
    pub(crate) fn new(query: EventQuery, body: Vec<BodyFilter>) -> Self {
        let event_type = query.event_type.as_deref().map(Glob::new);
        Self { query, event_type, body }
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
            && self.body.iter().all(|filter| filter.matches(event))
    }
}

impl BodyFilter {
    fn matches(&self, event: &Event) -> bool {
        match self {
            Self::Contains(bytes) => contains(&event.body, bytes),
            Self::JsonEquals { pointer, value } => {
                let body: Result<serde_json::Value, _> = serde_json::from_slice(&event.body);
                let at = body.as_ref().ok().and_then(|body| body.pointer(pointer));
                at.is_some_and(|at| match at.as_str() {
                    Some(text) => text == value,
                    None => serde_json::to_string(at).is_ok_and(|text| text == *value),
                })
            }
        }
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    needle.is_empty() || haystack.windows(needle.len()).any(|window| window == needle)
}
