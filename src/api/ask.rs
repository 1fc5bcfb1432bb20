//! What can be said in a query or in the body of a change, on both sides of the socket. Unknown keys
//! are refused: a filter with a typing mistake must not become "all".

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::event::{HandlerName, Position};
use crate::queue::{BodyFilter, DeliveryFilter, DeliveryState, EventQuery, ListOrder};

use super::values::{contains, handler, json_equals, source};
use super::{ApiError, search};

/// Which events to list.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventsAsk {
    pub source: Option<String>,
    /// Only types that match this pattern.
    #[serde(rename = "type")]
    pub event_type: Option<String>,
    /// Only from this moment on.
    pub since: Option<Timestamp>,
    /// Only before this moment.
    pub until: Option<Timestamp>,
    /// Only those whose body contains this text.
    pub contains: Option<String>,
    /// Only those with this value in their JSON body: `data.comment.id=5`.
    pub field: Option<String>,
    /// Words, each of which must be in the body: text, `data.comment.id:5`, `source:`, `-source:`,
    /// `type:`, `handler:`, `has:dead`, `has:unasked`, `since:`, `before:`. Quotation marks keep a text together.
    pub q: Option<String>,
    /// Only events that this handler was or will be given; with `state` in that state.
    pub handler: Option<String>,
    /// Only events with a delivery in this state.
    pub state: Option<DeliveryState>,
    /// Only positions before this one: newest first.
    pub before: Option<u64>,
    /// Only positions after this one: oldest first.
    pub after: Option<u64>,
    pub limit: Option<usize>,
}

/// As many as fill a screen or two.
pub(super) const LIMIT: usize = 50;

/// `path=value` with the parts of the path between dots.
fn field(text: &str) -> Result<BodyFilter, ApiError> {
    let Some((path, value)) = text.split_once('=').filter(|(path, _)| !path.is_empty()) else {
        let what = format!("`{text}` is no field with its value: for example `data.comment.id=5`");
        return Err(ApiError::Bad(what));
    };
    Ok(json_equals(path, value))
}

impl EventsAsk {
    /// The question that it stands for. `now` is what `since:2h` is counted from.
    pub fn parse(self, now: Timestamp) -> Result<EventQuery, ApiError> {
        let (cursor, order) = match (self.before, self.after) {
            (before, None) => (before, ListOrder::Newest),
            (None, after) => (after, ListOrder::Oldest),
            (Some(_), Some(_)) => {
                return Err(ApiError::Bad("`before` and `after` exclude each other".into()));
            }
        };
        let contains = self.contains.as_deref().map(contains);
        let field = self.field.as_deref().map(field).transpose()?;
        let body = contains.into_iter().chain(field).collect();
        let handler = self.handler.as_deref().map(handler).transpose()?;
        let is_by_delivery = handler.is_some() || self.state.is_some();
        let query = EventQuery {
            source: self.source.map(|name| source(&name)).transpose()?,
            event_type: self.event_type,
            since: self.since,
            until: self.until,
            body,
            delivery: is_by_delivery.then_some(DeliveryFilter {
                handler,
                state: self.state,
                given: None,
            }),
            cursor: cursor.map(Position),
            order,
            limit: self.limit.unwrap_or(LIMIT).clamp(1, EventQuery::LIMIT_MAX),
            ..EventQuery::default()
        };
        match self.q {
            Some(q) => search::narrow(query, &q, now),
            None => Ok(query),
        }
    }
}

/// Which events to export.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportAsk {
    /// Only positions after this one.
    pub after: Option<u64>,
    pub limit: Option<usize>,
}

impl ExportAsk {
    /// Where to begin, and how many there may be.
    pub fn parse(self) -> (Option<Position>, usize) {
        (self.after.map(Position), self.limit.unwrap_or(LIMIT))
    }
}

/// Whom to replay an event to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayAsk {
    pub handler: Option<String>,
}

impl ReplayAsk {
    pub fn handler(self) -> Result<Option<HandlerName>, ApiError> {
        self.handler.map(|name| handler(&name)).transpose()
    }
}

/// How many rejected requests to list.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RejectedAsk {
    /// Only requests to this source.
    pub source: Option<String>,
    /// Only those that were turned down for this reason.
    pub reason: Option<String>,
    /// Only numbers before this one.
    pub before: Option<u64>,
    pub limit: Option<usize>,
}

impl RejectedAsk {
    pub fn limit(&self) -> usize {
        self.limit.unwrap_or(LIMIT).max(1)
    }
}
