//! What can be said in a query or in the body of a change, on both sides of the socket. Unknown keys
//! are refused: a filter with a typing mistake must not become "all".

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::event::{EventId, HandlerName, Position, SourceName};
use crate::queue::{BodyFilter, DeadFilter, DeliveryFilter, DeliveryState, EventQuery, ListOrder};

use super::dead::target_of_ask;
use super::{Api, ApiError, DeadSelection, search};

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
    /// Words, each of which must be in the body: text, `data.comment.id:5`, `source:`, `type:`,
    /// `handler:`, `has:dead`, `since:`, `before:`. Quotation marks keep a text together.
    pub q: Option<String>,
    /// Only events of which this handler has a delivery; with `state` in that state.
    pub handler: Option<String>,
    /// Only events with a delivery in this state.
    pub state: Option<DeliveryState>,
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
    Ok(json_equals(path, value))
}

/// The same of a path and a value.
pub(super) fn json_equals(path: &str, value: &str) -> BodyFilter {
    let parts = parts_of(path).into_iter().map(|part| part.replace('~', "~0").replace('/', "~1"));
    let pointer = parts.fold(String::new(), |pointer, part| pointer + "/" + &part);
    BodyFilter::JsonEquals { pointer, value: value.to_owned() }
}

/// The parts of `data.items[0].id`, which may also be written `$.data.items.0.id` or, for names with
/// other signs in them, `$.data["a.b"]`.
fn parts_of(path: &str) -> Vec<String> {
    let path = path.strip_prefix("$.").or_else(|| path.strip_prefix('$')).unwrap_or(path);
    let (mut parts, mut rest) = (Vec::new(), path);
    while !rest.is_empty() {
        let bracketed = rest.strip_prefix('[').and_then(|inner| inner.split_once(']'));
        let (part, behind) = match bracketed {
            Some((inner, behind)) => (inner.trim_matches(['"', '\'']), behind),
            None => rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len()).max(1)),
        };
        parts.push(part.to_owned());
        rest = behind.strip_prefix('.').unwrap_or(behind);
    }
    parts
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
        let contains = self.contains.map(|text| BodyFilter::Contains(text.into_bytes()));
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
            delivery: is_by_delivery.then_some(DeliveryFilter { handler, state: self.state }),
            cursor: cursor.map(Position),
            order,
            limit: self.limit.unwrap_or(LIMIT).clamp(1, EventQuery::LIMIT_MAX),
            bytes_max: None,
        };
        match self.q {
            Some(q) => search::narrow(query, &q, now),
            None => Ok(query),
        }
    }
}

/// Which dead letters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Only reasons that are this one once numbers and ids are taken out of them, as groups show it.
    pub like: Option<String>,
    /// `reason`: groups in place of single dead letters.
    pub group: Option<GroupBy>,
    /// A change only counts what it would be for.
    #[serde(default)]
    pub dry_run: bool,
}

/// What dead letters are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupBy {
    /// Handler and reason.
    Reason,
}

impl DeadAsk {
    /// `api` knows the place of the event that is named.
    pub async fn parse(self, api: &Api) -> Result<DeadSelection, ApiError> {
        let position = match self.id {
            None => None,
            Some(text) => {
                let id = EventId::from_str(&text).map_err(|err| ApiError::Bad(err.to_string()))?;
                Some(api.position(id).await?)
            }
        };
        let filter = DeadFilter {
            handler: self.handler.map(|name| handler(&name)).transpose()?,
            position,
            reason: self.reason,
            since: self.since,
            until: self.until,
            limit: self.limit,
        };
        Ok(DeadSelection { filter, like: self.like, is_dry_run: self.dry_run })
    }
}

/// Which dead letters to redrive by stages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RolloutAsk {
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
    /// Only reasons that are this one once numbers and ids are taken out of them, or its key.
    pub like: Option<String>,
    /// At most this many a second.
    pub rate: Option<u32>,
}

impl RolloutAsk {
    /// Which ones, in words.
    pub(super) fn target(&self) -> String {
        target_of_ask(&self.clone().into())
    }
}

impl From<RolloutAsk> for DeadAsk {
    fn from(ask: RolloutAsk) -> Self {
        let RolloutAsk { handler, id, reason, since, until, limit, like, rate: _ } = ask;
        Self { handler, id, reason, since, until, limit, like, group: None, dry_run: false }
    }
}

impl DeadAsk {
    /// The same as a rollout.
    pub fn into_rollout(self, rate: Option<u32>) -> RolloutAsk {
        let Self { handler, id, reason, since, until, limit, like, group: _, dry_run: _ } = self;
        RolloutAsk { handler, id, reason, since, until, limit, like, rate }
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

/// How many actions to list.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionsAsk {
    /// At most this many.
    pub limit: Option<usize>,
}

impl ActionsAsk {
    /// How many to list.
    pub fn limit(&self) -> usize {
        self.limit.unwrap_or(LIMIT)
    }
}

pub(super) fn source(text: &str) -> Result<SourceName, ApiError> {
    SourceName::parse(text).map_err(|err| ApiError::Bad(err.to_string()))
}

pub(super) fn handler(text: &str) -> Result<HandlerName, ApiError> {
    HandlerName::parse(text).map_err(|err| ApiError::Bad(err.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_however_they_are_written() {
        for (path, expected) in [
            ("data.comment.id", "/data/comment/id"),
            ("$.data.items[0].id", "/data/items/0/id"),
            ("data.items.0.id", "/data/items/0/id"),
            ("$[1][2].x", "/1/2/x"),
            ("$.type", "/type"),
            ("$['a.b'].c[\"d/e\"]", "/a.b/c/d~1e"),
            ("a[", "/a/["),
            ("$", ""),
        ] {
            let BodyFilter::JsonEquals { pointer, .. } = json_equals(path, "1") else { panic!() };
            assert_eq!(pointer, expected, "{path}");
        }
    }
}
