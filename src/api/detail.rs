//! One handler and one source with all that is known of them, and what a handler would do with an
//! event: what their pages show.

use serde::{Deserialize, Serialize};

use super::events::may_be_passed_over;
use super::find::SEARCH_TIME;
use super::type_count::{TYPES_MAX, TypeCount, commonest};
use super::view::{EventSummary, HandlerView, SourceView};
use super::{Api, ApiError, DeadGroup, PlanView, values};
use crate::clock::Timestamp;
use crate::event::{Event, EventId, EventType, HandlerName, Position, SourceName};
use crate::queue::{DeadFilter, DeliveryState, EventNames, EventQuery, ListOrder, WantedBodies};

/// Tries that are told ahead.
const TRIES_MAX: usize = 20;
/// Of how many of the newest events types are counted.
const LOOKED_AT_MAX: usize = 1_000;
/// The same where each event's deliveries are asked for, too.
const TAKEN_MAX: usize = 100;
/// Bodies of how many bytes are passed over for that, without being read: a page must not wait for a disk.
const BYTES_MAX: usize = 128 << 20;
/// Reasons that are told.
const ROWS_MAX: usize = TYPES_MAX;

/// One handler with all that is known of it.
#[derive(Clone, Debug, Serialize)]
pub struct HandlerDetail {
    #[serde(flatten)]
    pub handler: HandlerView,
    /// Its retries that are due next, the soonest first; none of them before `probe_at`.
    pub next_tries: Vec<NextTry>,
    /// What it was given among the newest events, the commonest first.
    pub takes: Vec<TypeCount>,
    /// How many of the newest events that are its own were looked at for that.
    pub looked_at: u64,
    /// Its dead letters by what went wrong.
    pub dead_groups: Vec<DeadGroup>,
}

/// A retry that is due at some time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextTry {
    pub id: EventId,
    pub position: Position,
    pub source: SourceName,
    #[serde(rename = "type")]
    pub event_type: EventType,
    pub received_at: Timestamp,
    /// Not before this moment.
    pub at: Timestamp,
}

/// How many events there are of a type, and who asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenType {
    #[serde(flatten)]
    pub seen: TypeCount,
    /// Handlers whose `on` names it, by today's configuration; their `when` is not asked.
    pub handlers: Vec<HandlerName>,
}

/// One source with all that is known of it.
#[derive(Clone, Debug, Serialize)]
pub struct SourceDetail {
    #[serde(flatten)]
    pub source: SourceView,
    /// When its newest event came in that is kept.
    pub newest_at: Option<Timestamp>,
    /// Its types among its newest events, the commonest first.
    pub types: Vec<TakenType>,
    /// How many of its newest events were looked at for that.
    pub looked_at: u64,
    /// The longest time between two of those.
    pub longest_silence_seconds: Option<u64>,
    /// Its rejected requests that this gateway keeps, by reason, the commonest first.
    pub rejections: Vec<ReasonCount>,
}

/// How many requests were rejected for a reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonCount {
    pub reason: String,
    pub count: u64,
    /// The newest one's number.
    pub newest: u64,
}

impl Api {
    /// One handler with all that is known of it.
    pub async fn handler(&self, name: &HandlerName) -> Result<HandlerDetail, ApiError> {
        let found = self.handlers().into_iter().find(|handler| handler.name == *name);
        self.handler_detail(found.ok_or_else(|| no_handler(name.as_str()))?).await
    }

    /// Refuses a name that no handler has, and none whose deliveries wait. `None` = none is named.
    pub fn require_handler(&self, name: Option<&str>) -> Result<(), ApiError> {
        let Some(name) = name else { return Ok(()) };
        // What can be no name is told as that.
        values::handler(name)?;
        let is_known = self.handlers().iter().any(|handler| handler.name.as_str() == name);
        if is_known { Ok(()) } else { Err(no_handler(name)) }
    }

    /// The same where it was found in the list.
    pub async fn handler_detail(
        &self,
        mut handler: HandlerView,
    ) -> Result<HandlerDetail, ApiError> {
        let name = &handler.name;
        let filter = DeadFilter { handler: Some(name.clone()), ..DeadFilter::default() };
        let dead_groups = match handler.dead {
            0 => Vec::new(),
            _ => self.dead_groups_lately(filter).await?.answer.groups.clone(),
        };
        let (takes, looked_at) = self.taken_by(name).await?;
        let next_tries = self.next_tries(&handler).await?;
        // Read from the clock once more, the same moment differs by its last digit.
        if let Some(next) = next_tries.first() {
            handler.next_try_at = Some(next.at);
        }
        Ok(HandlerDetail { handler, next_tries, takes, looked_at, dead_groups })
    }

    /// One source with all that is known of it.
    pub async fn source(&self, name: &SourceName) -> Result<SourceDetail, ApiError> {
        let found = self.sources().into_iter().find(|source| source.name == *name);
        let missing = || ApiError::NotFound(format!("there is no source `{name}`"));
        self.source_detail(found.ok_or_else(missing)?).await
    }

    /// The same where it was found in the list.
    pub async fn source_detail(&self, source: SourceView) -> Result<SourceDetail, ApiError> {
        let query = EventQuery {
            source: Some(source.name.clone()),
            limit: LOOKED_AT_MAX,
            bytes_max: Some(BYTES_MAX),
            bodies: WantedBodies::UpTo(0),
            ..EventQuery::default()
        };
        let events = self.queue.search(query, SEARCH_TIME).await?.events;
        let gaps = events.windows(2).filter_map(|pair| match pair {
            [(newer, _), (older, _)] => Some(newer.received_at.since(older.received_at).as_secs()),
            _ => None,
        });
        Ok(SourceDetail {
            newest_at: events.first().map(|(event, _)| event.received_at),
            longest_silence_seconds: gaps.max(),
            types: self
                .with_takers(commonest(events.iter().map(|(event, _)| names(event))), &events),
            looked_at: events.len() as u64,
            rejections: self.rejections(&source.name),
            source,
        })
    }

    /// Who asks for each of the types that these events have.
    fn with_takers(&self, types: Vec<TypeCount>, events: &[(Event, usize)]) -> Vec<TakenType> {
        let handlers = self.handlers().into_iter();
        let given: Vec<_> =
            handlers.filter_map(|one| Some((self.given(&one.name)?, one.name))).collect();
        let takers = |seen: &TypeCount| {
            let mut events = events.iter().map(|(event, _)| event);
            let event = events.find(|event| event.event_type == seen.event_type);
            let takes = |names: &EventNames| event.is_some_and(|event| names.contains(event));
            given.iter().filter(|(names, _)| takes(names)).map(|(_, name)| name.clone()).collect()
        };
        types.into_iter().map(|seen| TakenType { handlers: takers(&seen), seen }).collect()
    }

    /// What a handler would do with an event, by today's configuration. Nothing is done.
    pub async fn plan(&self, id: EventId, ask: PlanAsk) -> Result<PlanView, ApiError> {
        let handler = ask.handler.ok_or_else(|| ApiError::Bad("name a `handler`".to_owned()))?;
        let handler = values::handler(&handler)?;
        let event = self.entry(id).await?.event;
        self.server()?.control.plan(&handler, &event)
    }

    /// The retries of a handler that are due next.
    async fn next_tries(&self, handler: &HandlerView) -> Result<Vec<NextTry>, ApiError> {
        let mut tries = Vec::new();
        for (position, due) in self.queue.next_tries(&handler.name, TRIES_MAX) {
            // One that is gone, or cannot be read, has no name.
            let Some(event) = self.summary_at(position).await? else { continue };
            let EventSummary { id, position, source, event_type, received_at, .. } = event;
            let at = self.next_try_at(due, handler.probe_at);
            tries.push(NextTry { id, position, source, event_type, received_at, at });
        }
        Ok(tries)
    }

    /// What a list says of the event at a place of the log; `None` = it is gone, or cannot be read.
    pub async fn summary_at(&self, position: Position) -> Result<Option<EventSummary>, ApiError> {
        let query = EventQuery {
            cursor: Some(position.previous()),
            order: ListOrder::Oldest,
            limit: 1,
            bodies: WantedBodies::UpTo(0),
            ..EventQuery::default()
        };
        let found = self.queue.search(query, SEARCH_TIME).await?;
        let first = found.events.first().filter(|(event, _)| event.position == position);
        Ok(first.map(|(event, bytes)| EventSummary::sized(event, *bytes)))
    }

    /// When a retry is made that is `due` by the steady clock, by the wall clock: one that has passed is
    /// now, and none is made before a handler that is left alone is tried (`probe_at`).
    pub(super) fn next_try_at(&self, due: Timestamp, probe_at: Option<Timestamp>) -> Timestamp {
        let at = self.clock.now().after(due.since(self.clock.steady()));
        probe_at.map_or(at, |probe_at| at.max(probe_at))
    }

    /// What a handler was given among the newest events, or will be: what it has not come to counts where its
    /// `on` names it.
    async fn taken_by(&self, name: &HandlerName) -> Result<(Vec<TypeCount>, u64), ApiError> {
        let query = EventQuery {
            limit: TAKEN_MAX,
            bytes_max: Some(BYTES_MAX),
            bodies: WantedBodies::UpTo(0),
            ..EventQuery::default()
        };
        let events = self.queue.search(query, SEARCH_TIME).await?.events;
        let looked_at = events.len() as u64;
        let positions: Vec<Position> = events.iter().map(|(event, _)| event.position).collect();
        let histories = self.queue.histories(&positions).await?;
        let given = self.given(name);
        let is_named = |event: &Event| given.as_ref().is_none_or(|names| names.contains(event));
        let taken = events.iter().zip(histories).filter(|((event, _), deliveries)| {
            let mut of_it = deliveries.iter().filter(|one| one.handler == *name);
            of_it.any(|one| {
                one.state != DeliveryState::Skipped && (!may_be_passed_over(one) || is_named(event))
            })
        });
        Ok((commonest(taken.map(|((event, _), _)| names(event))), looked_at))
    }

    fn rejections(&self, source: &SourceName) -> Vec<ReasonCount> {
        let Some(server) = &self.server else { return Vec::new() };
        let mut rows: Vec<ReasonCount> = Vec::new();
        // Newest first.
        for request in server.ingest.rejected().list(usize::MAX) {
            if request.source != *source {
                continue;
            }
            match rows.iter_mut().find(|row| row.reason == request.reason) {
                Some(row) => row.count += 1,
                None => rows.push(ReasonCount {
                    reason: request.reason.clone(),
                    count: 1,
                    newest: request.number,
                }),
            }
        }
        rows.sort_by_key(|row| std::cmp::Reverse(row.count));
        rows.truncate(ROWS_MAX);
        rows
    }
}

/// What an event is counted by.
fn names(event: &Event) -> (&SourceName, &EventType) {
    (&event.source, &event.event_type)
}

/// Whose plan is asked for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanAsk {
    pub handler: Option<String>,
}

fn no_handler(name: &str) -> ApiError {
    ApiError::NotFound(format!("there is no handler `{name}`"))
}
