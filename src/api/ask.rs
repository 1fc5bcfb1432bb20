//! What can be said in a query or in the body of a change, on both sides of the socket. Unknown keys
//! are refused: a filter with a typing mistake must not become "all".

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::event::{EventId, HandlerName, Position, SourceName};
use crate::queue::{BodyFilter, DeadFilter, EventQuery, ListOrder};

use super::{Api, ApiError};

/// Which events to list.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventsAsk {
    /// Only this source.
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
    /// Only positions before this one: newest first.
    pub before: Option<u64>,
    /// Only positions after this one: oldest first.
    pub after: Option<u64>,
    /// At most this many.
    pub limit: Option<usize>,
}

/// As many as fill a screen or two.
const LIMIT: usize = 50;

/// `path=value` with the parts of the path between dots.
fn field(text: &str) -> Result<BodyFilter, ApiError> {
    let Some((path, value)) = text.split_once('=').filter(|(path, _)| !path.is_empty()) else {
        let what = format!("`{text}` is no field with its value: for example `data.comment.id=5`");
        return Err(ApiError::Bad(what));
    };
    let parts = path.split('.').map(|part| part.replace('~', "~0").replace('/', "~1"));
    let pointer = parts.fold(String::new(), |pointer, part| pointer + "/" + &part);
    Ok(BodyFilter::JsonEquals { pointer, value: value.to_owned() })
}

impl EventsAsk {
    /// The question that it stands for.
    pub fn parse(self) -> Result<EventQuery, ApiError> {
        let (cursor, order) = match (self.before, self.after) {
            (before, None) => (before, ListOrder::Newest),
            (None, after) => (after, ListOrder::Oldest),
            (Some(_), Some(_)) => {
                return Err(ApiError::Bad("`before` and `after` exclude each other".into()));
            }
        };
        let contains = self.contains.map(|text| BodyFilter::Contains(text.into_bytes()));
        let field = self.field.as_deref().map(field).transpose()?;
        let body = contains.into_iter().chain(field).collect();
        Ok(EventQuery {
            source: self.source.map(|name| source(&name)).transpose()?,
            event_type: self.event_type,
            since: self.since,
            until: self.until,
            body,
            cursor: cursor.map(Position),
            order,
            limit: self.limit.unwrap_or(LIMIT).clamp(1, EventQuery::LIMIT_MAX),
            bytes_max: None,
        })
    }
}

/// Which dead letters.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeadAsk {
    /// Only this handler.
    pub handler: Option<String>,
    /// Only this event.
    pub id: Option<String>,
    /// Only reasons that contain this text.
    pub reason: Option<String>,
    /// Only from this moment on.
    pub since: Option<Timestamp>,
    /// Only before this moment.
    pub until: Option<Timestamp>,
    /// At most this many.
    pub limit: Option<usize>,
}

impl DeadAsk {
    /// `api` knows the place of the event that is named.
    pub async fn parse(self, api: &Api) -> Result<DeadFilter, ApiError> {
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

/// Which events to export.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportAsk {
    /// Only positions after this one.
    pub after: Option<u64>,
    /// At most this many.
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
    /// Only this handler.
    pub handler: Option<String>,
}

impl ReplayAsk {
    /// The handler's name.
    pub fn handler(self) -> Result<Option<HandlerName>, ApiError> {
        self.handler.map(|name| handler(&name)).transpose()
    }
}

/// How many rejected requests to list.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RejectedAsk {
    /// At most this many.
    pub limit: Option<usize>,
}

impl RejectedAsk {
    /// How many to list.
    pub fn limit(&self) -> usize {
        self.limit.unwrap_or(LIMIT)
    }
}

fn source(text: &str) -> Result<SourceName, ApiError> {
    SourceName::parse(text).map_err(|err| ApiError::Bad(err.to_string()))
}

pub(super) fn handler(text: &str) -> Result<HandlerName, ApiError> {
    HandlerName::parse(text).map_err(|err| ApiError::Bad(err.to_string()))
}
