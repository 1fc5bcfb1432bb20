//! What can be said in a query or in the body of a change. Unknown keys are refused: a filter with
//! a typing mistake must not become "all".

use std::str::FromStr;

use serde::Deserialize;

use crate::api::{Api, ApiError};
use crate::clock::Timestamp;
use crate::event::{EventId, HandlerName, Position, SourceName};
use crate::queue::{DeadFilter, EventQuery, ListOrder};

/// Which events to list.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Events {
    source: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    /// Only positions before this one: newest first.
    before: Option<u64>,
    /// Only positions after this one: oldest first.
    after: Option<u64>,
    limit: Option<usize>,
}

/// As many as fill a screen or two.
const LIMIT: usize = 50;

impl Events {
    pub(super) fn parse(self) -> Result<EventQuery, ApiError> {
        let (cursor, order) = match (self.before, self.after) {
            (before, None) => (before, ListOrder::Newest),
            (None, after) => (after, ListOrder::Oldest),
            (Some(_), Some(_)) => {
                return Err(ApiError::Bad("`before` and `after` exclude each other".into()));
            }
        };
        Ok(EventQuery {
            source: self.source.map(|name| source(&name)).transpose()?,
            event_type: self.event_type,
            since: self.since,
            until: self.until,
            cursor: cursor.map(Position),
            order,
            limit: self.limit.unwrap_or(LIMIT).clamp(1, EventQuery::LIMIT_MAX),
        })
    }
}

/// Which dead letters.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Dead {
    handler: Option<String>,
    id: Option<String>,
    reason: Option<String>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    limit: Option<usize>,
}

impl Dead {
    /// `api` knows the place of the event that is named.
    pub(super) async fn parse(self, api: &Api) -> Result<DeadFilter, ApiError> {
        let position = match self.id {
            None => None,
            Some(text) => {
                let id = EventId::from_str(&text)
                    .map_err(|_| ApiError::Bad(format!("`{text}` is not an event's id")))?;
                Some(api.position(id).await?)
            }
        };
        Ok(DeadFilter {
            handler: self.handler.map(|name| handler(&name)).transpose()?,
            position,
            reason: self.reason,
            since: self.since,
            until: self.until,
            limit: self.limit,
        })
    }
}

/// Whom to replay an event to.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Replay {
    handler: Option<String>,
}

impl Replay {
    pub(super) fn handler(self) -> Result<Option<HandlerName>, ApiError> {
        self.handler.map(|name| handler(&name)).transpose()
    }
}

/// How many rejected requests to list.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rejected {
    limit: Option<usize>,
}

impl Rejected {
    pub(super) fn limit(&self) -> usize {
        self.limit.unwrap_or(LIMIT)
    }
}

fn source(text: &str) -> Result<SourceName, ApiError> {
    SourceName::parse(text).map_err(|err| ApiError::Bad(err.to_string()))
}

fn handler(text: &str) -> Result<HandlerName, ApiError> {
    HandlerName::parse(text).map_err(|err| ApiError::Bad(err.to_string()))
}
