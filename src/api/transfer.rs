//! Events on their way from one queue into another, with how their deliveries stand.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::event::{EventId, HandlerName, NewEvent, Position};
use crate::queue::{Appended, CarriedState, EventQuery, ListOrder};

use super::{Api, ApiError, ExportError, ExportedEvent, HandlerStatus};

/// How long an event may be without a place: where several gateways share a log it has one when that has it.
const PLACED_WITHIN: Duration = Duration::from_secs(30);
/// How often is looked for it.
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl Api {
    /// At most `limit` events behind the position `after`, with all that is needed to store them
    /// elsewhere and how each handler's delivery of them stands.
    pub async fn export(
        &self,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<ExportedEvent>, ApiError> {
        let query = EventQuery {
            cursor: after,
            order: ListOrder::Oldest,
            limit: limit.clamp(1, EventQuery::LIMIT_MAX),
            ..EventQuery::default()
        };
        let events = self.queue.list(query).await?;
        let positions: Vec<Position> = events.iter().map(|event| event.position).collect();
        let carried = self.queue.carried(&positions).await?;
        let lines = events.iter().zip(carried);
        Ok(lines.map(|(it, how)| ExportedEvent::new(it).with_deliveries(how)).collect())
    }

    /// Stores events that were exported elsewhere; says how many were new. They get ids of their own; the
    /// same one again is a duplicate, and one that was exported here is left out. Their deliveries stand as
    /// they did there, but for those that were tried or settled here. What stops in the middle is simply done
    /// again.
    pub async fn import(&self, events: Vec<ExportedEvent>) -> Result<u64, ApiError> {
        let bad = |err: ExportError| ApiError::Bad(err.to_string());
        let (mut parsed, mut told) = (Vec::with_capacity(events.len()), BTreeSet::new());
        for event in events {
            let id = event.id.parse().map_err(|err| bad(ExportError::Id(err)))?;
            let one = parse(event).map_err(bad)?;
            // One without a place was forwarded to a log that is not this one.
            let here = self.queue.get(id).await?;
            if here.is_some_and(|event| event.position > Position(0)) {
                continue;
            }
            if self.queue.find_repeated(&one.0).await?.is_none() {
                // What is open is due here as well.
                let stood = one.1.iter().filter(|(_, state)| *state != CarriedState::Open);
                told.extend(stood.map(|(handler, _)| handler.clone()));
            }
            parsed.push(one);
        }
        self.check_none_delivers(&told)?;
        let (mut n_stored, mut carried) = (0, Vec::new());
        for (event, deliveries) in parsed {
            let appended = self.queue.append(event).await?;
            n_stored += u64::from(matches!(appended, Appended::Stored(_)));
            if !deliveries.is_empty() {
                carried.push((appended.id(), deliveries));
            }
        }
        let mut by_handler: BTreeMap<HandlerName, Vec<(Position, CarriedState)>> = BTreeMap::new();
        for (id, deliveries) in carried {
            let Some(position) = self.placed(id).await? else { continue };
            for (handler, state) in deliveries {
                by_handler.entry(handler).or_default().push((position, state));
            }
        }
        for (handler, deliveries) in by_handler {
            self.queue.carry_over(&handler, deliveries).await?;
        }
        Ok(n_stored)
    }

    /// A handler that delivers would have an event again before it is told how that stood.
    fn check_none_delivers(&self, told: &BTreeSet<HandlerName>) -> Result<(), ApiError> {
        let Some(server) = &self.server else { return Ok(()) };
        let handlers = server.control.handlers().into_iter();
        let delivers = handlers.filter(|it| it.pause.is_none() && told.contains(&it.name));
        let enabled = delivers.filter(|it| it.state != HandlerStatus::Disabled);
        let names: Vec<String> = enabled.map(|it| format!("`{}`", it.name)).collect();
        if names.is_empty() {
            return Ok(());
        }
        Err(ApiError::Conflict(format!(
            "the import says what {} had, and would come too late: pause what delivers first \
             (`gatepost handlers pause NAME`), import, and resume it",
            names.join(", ")
        )))
    }

    /// The place of an event that was stored; `None` = it is not retained any more.
    async fn placed(&self, id: EventId) -> Result<Option<Position>, ApiError> {
        let look = async {
            loop {
                match self.queue.get(id).await?.map(|event| event.position) {
                    Some(Position(0)) => tokio::time::sleep(LOOK_EVERY).await,
                    place => return Ok(place),
                }
            }
        };
        let looked = tokio::time::timeout(PLACED_WITHIN, look).await;
        looked.unwrap_or_else(|_| {
            let why = "the shared log does not have the events yet: import them again when it does";
            Err(ApiError::Conflict(why.into()))
        })
    }
}

/// An event, and how its deliveries stood.
type ParsedEvent = (NewEvent, Vec<(HandlerName, CarriedState)>);

fn parse(event: ExportedEvent) -> Result<ParsedEvent, ExportError> {
    let carried = event.carried()?;
    Ok((event.into_event()?, carried))
}
