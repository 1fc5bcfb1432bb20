//! Events on their way from one queue into another, with how their deliveries stand.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::event::{Dedupe, EventId, HandlerName, NewEvent, Position};
use crate::queue::{Appended, CarriedState, EventQuery, ListOrder};

use super::{Api, ApiError, ExportError, ExportedEvent, HandlerStatus, SenderSecrets, export};

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
        secrets: SenderSecrets,
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
        let dedupes = self.queue.dedupes(&positions).await?;
        let lines = self.exported(events.iter(), secrets).into_iter().zip(carried).zip(dedupes);
        let lines =
            lines.map(|((line, how), dedupe)| line.with_dedupe(dedupe).with_deliveries(how));
        Ok(lines.collect())
    }

    /// Stores events that were exported elsewhere; says how many were new, and which have another id here.
    /// They keep theirs where those are newer than all that is here; repeats by their senders are known as
    /// such. The same one again is a duplicate. Their deliveries stand as they did there, but for those that
    /// were tried or settled here. What stops in the middle is simply done again.
    pub async fn import(&self, events: Vec<ExportedEvent>) -> Result<ImportView, ApiError> {
        let n_events = events.len() as u64;
        let imported = self.import_part(events).await;
        self.note_import(n_events, &imported);
        imported
    }

    async fn import_part(&self, events: Vec<ExportedEvent>) -> Result<ImportView, ApiError> {
        let bad = |err: ExportError| ApiError::Bad(err.to_string());
        let now = self.clock.now();
        let (mut parsed, mut told) = (Vec::with_capacity(events.len()), BTreeSet::new());
        for event in events {
            let mut one = ParsedEvent::of(event, now).map_err(bad)?;
            if let Some((id, position)) = self.known_as(&one).await? {
                if id == one.id {
                    self.leave_out_tried(position, &mut one.deliveries).await?;
                }
                one.known = Some(id);
            } else {
                // What is open is due here as well.
                let stood = one.deliveries.iter().filter(|(_, it)| *it != CarriedState::Open);
                told.extend(stood.map(|(handler, _)| handler.clone()));
            }
            parsed.push(one);
        }
        self.check_none_delivers(&told)?;
        let (mut view, mut carried) = (ImportView::default(), Vec::new());
        for ParsedEvent { id, event, deliveries, known } in parsed {
            let appended = match known {
                Some(known) => Appended::Duplicate(known),
                None => self.queue.append_named(event, id).await?,
            };
            view.count += u64::from(matches!(appended, Appended::Stored(_)));
            if appended.id() != id {
                view.other_ids.push(OtherId { was: id, is: appended.id() });
            }
            if !deliveries.is_empty() {
                carried.push((appended.id(), deliveries));
            }
        }
        self.carry_over(carried).await?;
        Ok(view)
    }

    async fn carry_over(&self, carried: Vec<(EventId, CarriedDeliveries)>) -> Result<(), ApiError> {
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
        Ok(())
    }

    /// The event here that `event` is or repeats, with its place; 0 where the shared log does not have it
    /// yet. By its id, by what its sender repeats, or as what an earlier import made of it.
    async fn known_as(&self, event: &ParsedEvent) -> Result<Option<(EventId, Position)>, ApiError> {
        // One without a place was forwarded to a log that is not this one.
        let here = self.queue.get(event.id).await?.filter(|here| here.position > Position(0));
        if let Some(here) = here {
            return Ok(Some((here.id, here.position)));
        }
        let as_imported = NewEvent { dedupe: event.imported_key(), ..event.event.clone() };
        for it in [&event.event, &as_imported] {
            if let Some(id) = self.queue.find_repeated(it).await? {
                return Ok(Some((id, Position(0))));
            }
        }
        Ok(None)
    }

    /// Leaves the deliveries out that were tried here: what was made due again since is not settled by how
    /// they stood before.
    async fn leave_out_tried(
        &self,
        position: Position,
        deliveries: &mut CarriedDeliveries,
    ) -> Result<(), ApiError> {
        deliveries.retain(|(_, state)| *state != CarriedState::Open);
        if deliveries.is_empty() {
            return Ok(());
        }
        let history = self.queue.whole_history(position).await?.ok_or_else(|| {
            ApiError::Conflict("the log is being read: import again in a moment".into())
        })?;
        let is_tried = |handler: &HandlerName| {
            history.iter().any(|it| it.handler == *handler && !it.attempts.is_empty())
        };
        deliveries.retain(|(handler, _)| !is_tried(handler));
        Ok(())
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

/// How an event's deliveries stood.
type CarriedDeliveries = Vec<(HandlerName, CarriedState)>;

/// What came of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportView {
    /// How many events were new.
    pub count: u64,
    /// The events that have another id here.
    #[serde(default)]
    pub other_ids: Vec<OtherId>,
}

/// An event that has another id than where it was exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherId {
    /// The id that it had there.
    pub was: EventId,
    /// The id that it has here.
    pub is: EventId,
}

/// An event out of an export.
struct ParsedEvent {
    id: EventId,
    event: NewEvent,
    deliveries: CarriedDeliveries,
    /// What it is here already.
    known: Option<EventId>,
}

impl ParsedEvent {
    fn of(event: ExportedEvent, now: Timestamp) -> Result<Self, ExportError> {
        let (id, deliveries) = (event.id.parse()?, event.carried()?);
        let senders_key = event.senders_key(now)?;
        let imported = event.into_event()?;
        let dedupe = senders_key.unwrap_or(imported.dedupe);
        Ok(Self { id, event: NewEvent { dedupe, ..imported }, deliveries, known: None })
    }

    /// What an import of it is known by whose sender's repeats are not known any more.
    fn imported_key(&self) -> Dedupe {
        export::imported_key(&self.event.source, &self.id.to_string())
    }
}
