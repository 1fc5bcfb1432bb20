//! Events: what came in, and what was done with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::deliver::Policy;
use crate::event::{Event, EventId, HandlerName, NewEvent, Position};
use crate::queue::{
    DeliveryHistory, DeliveryState, EventNames, EventQuery, Searched, WantedBodies,
};
use crate::source::SourceCredentials;

use super::view::{ArrivalView, DeliveryView};
use super::waits;
use super::{
    Api, ApiError, EventDetail, EventLine, EventSummary, EventsAsk, ExportedEvent, WantsView, Wish,
};

/// How long a list takes before it says how far it came: its caller waits for it.
const LIST_TIME: Duration = Duration::from_secs(2);
/// The same of what is taken away as a file, which cannot say so.
const EXPORT_TIME: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub struct ListedEvents {
    pub events: Vec<EventSummary>,
    /// The position to go on with; `None` = everything was looked at.
    pub next: Option<u64>,
    pub looked_at: u64,
}

/// One event in a list, with how its deliveries stand.
#[derive(Debug)]
pub struct EventRow {
    pub summary: EventSummary,
    /// Whose deliveries there are, and how they stand.
    pub deliveries: Vec<(HandlerName, DeliveryState)>,
    /// The event itself, without the passwords that came with it, and without a body that is longer than
    /// [`ROW_BODY_MAX`](super::find::ROW_BODY_MAX).
    pub event: Event,
}

/// One event with all that is known of it.
#[derive(Debug)]
pub struct EventEntry {
    /// The event itself, without the passwords that came with it.
    pub event: Arc<Event>,
    /// Whether its body is shown as it came: no password was taken out.
    pub is_body_whole: bool,
    pub detail: EventDetail,
}

impl Api {
    /// The question that `ask` stands for. Which events a handler is given is by today's configuration:
    /// what it skipped for its `on` is recorded like what it skipped for its `when`.
    pub fn question(&self, ask: EventsAsk) -> Result<EventQuery, ApiError> {
        let mut query = ask.parse(self.now())?;
        if let Some(delivery) = &mut query.delivery
            && let Some(handler) = &delivery.handler
        {
            delivery.given = self.given(handler);
        }
        if let Some(names) = &mut query.named_by_none {
            *names = self.named();
        }
        Ok(query)
    }

    /// The events that a handler's `on` names; `None` = it is not configured.
    pub fn given(&self, handler: &HandlerName) -> Option<EventNames> {
        match &self.server {
            Some(server) => server.control.given(handler),
            None => self.policies.get(handler).map(Policy::names),
        }
    }

    /// Events as `ask` asks for them, within `LIST_TIME`.
    pub async fn events(&self, ask: EventsAsk) -> Result<ListedEvents, ApiError> {
        self.events_within(ask, LIST_TIME).await
    }

    pub async fn events_within(
        &self,
        ask: EventsAsk,
        most: Duration,
    ) -> Result<ListedEvents, ApiError> {
        let query = EventQuery { bodies: WantedBodies::UpTo(0), ..self.question(ask)? };
        let Searched { events, next, looked_at } = self.queue.search(query, most).await?;
        let events =
            events.iter().map(|(event, bytes)| EventSummary::sized(event, *bytes)).collect();
        Ok(ListedEvents { events, next: next.map(|next| next.0), looked_at })
    }

    /// What `query` finds within `most`, and from where to go on; `None` = all was looked at. For a stream.
    pub async fn newer(
        &self,
        query: EventQuery,
        most: Duration,
    ) -> Result<(Vec<EventSummary>, Option<Position>), ApiError> {
        let query = EventQuery { bodies: WantedBodies::UpTo(0), ..query };
        let found = self.queue.search(query, most).await?;
        let events = found.events.iter().map(|(event, bytes)| EventSummary::sized(event, *bytes));
        Ok((events.collect(), found.next))
    }

    /// One event with all that is known of it.
    pub async fn event(&self, id: EventId) -> Result<EventDetail, ApiError> {
        self.entry(id).await.map(|entry| entry.detail)
    }

    /// The same with the event itself, and what its handlers say to it today.
    pub async fn entry(&self, id: EventId) -> Result<EventEntry, ApiError> {
        let event = Arc::new(self.get(id).await?);
        let history = self.queue.history(event.position).await?;
        let credentials = self.credentials();
        let shown = Arc::new(shown(&event, &credentials));
        let mut detail = EventDetail::new(&shown, history);
        let ingest = self.server.as_ref().map(|server| &server.ingest);
        let answered_after = ingest.and_then(|ingest| ingest.acknowledged().of(event.id).pop());
        let repeated_at = ingest.map(|ingest| ingest.repeats().of(event.id)).unwrap_or_default();
        // The headers that are shown say nothing of how it came.
        detail.summary.parent = event.parent();
        (detail.edits, detail.made_by) = self.edits_of(event.id);
        detail.arrival = ArrivalView::of(&event, answered_after, repeated_at);
        if let (Some(arrival), Some(hidden)) = (&mut detail.arrival, credentials.get(&event.source))
        {
            arrival.query = hidden.mask_query(&arrival.query);
        }
        detail.summary.body_bytes = event.body.len();
        let server = self.server.as_ref();
        let handlers = server.map(|server| server.control.handlers()).unwrap_or_default();
        for delivery in &mut detail.deliveries {
            let handler = handlers.iter().find(|one| one.name == delivery.handler);
            waits::explain(delivery, handler);
            if is_open(delivery.state) {
                delivery.under_way_since = handler.and_then(|one| one.calls.since(event.position));
            }
            if delivery.state != DeliveryState::Retry || delivery.under_way_since.is_some() {
                continue;
            }
            let probe_at = handler.and_then(|handler| handler.probe_at);
            let Some(next) = self.queue.next_try(&delivery.handler, event.position) else {
                continue;
            };
            delivery.next_try_at = Some(self.next_try_at(next.due, probe_at));
            // The last try is made then, or later where the handler is left alone.
            let total = handler.and_then(|handler| handler.retry_total);
            let last = next.first_attempt_at.zip(total).map(|(first, total)| first.after(total));
            delivery.attempts_max =
                handler.and_then(|handler| handler.retry_attempts).map(u32::from);
            delivery.given_up_at = last.map(|last| self.next_try_at(last.max(next.due), probe_at));
        }
        let wants = self.server.as_ref().map(|server| server.control.wants(&event));
        let wants = wants.unwrap_or_default();
        detail.lines = lines(&wants);
        detail.not_called =
            wants.iter().filter(|one| !is_called(one, &detail.deliveries)).cloned().collect();
        let is_body_whole = shown.body == event.body;
        Ok(EventEntry { event: shown, is_body_whole, detail })
    }

    /// Events, each with how its deliveries stand. One that a handler skipped because its `on` does not
    /// name it, or will once it comes to it, is no delivery: the handler is not called. What its `when` says is
    /// not asked: that needs the body of each event.
    pub(super) async fn rows(
        &self,
        events: Vec<(Event, usize)>,
    ) -> Result<Vec<EventRow>, ApiError> {
        let positions: Vec<Position> = events.iter().map(|(event, _)| event.position).collect();
        let histories = self.queue.histories(&positions).await?;
        let credentials = self.credentials();
        let mut given: BTreeMap<HandlerName, Option<EventNames>> = BTreeMap::new();
        let mut is_named = |handler: &HandlerName, event: &Event| {
            let names = given.entry(handler.clone()).or_insert_with(|| self.given(handler));
            names.as_ref().is_none_or(|names| names.contains(event))
        };
        let rows = events.into_iter().zip(histories);
        let rows = rows.map(|((event, body_bytes), history)| EventRow {
            summary: EventSummary::sized(&event, body_bytes),
            deliveries: history
                .into_iter()
                .filter(|one| !may_be_passed_over(one) || is_named(&one.handler, &event))
                .map(|one| (one.handler, one.state))
                .collect(),
            event: shown(&event, &credentials),
        });
        Ok(rows.collect())
    }

    /// One event's body: byte for byte, but for what is hidden.
    pub async fn raw(&self, id: EventId, secrets: SenderSecrets) -> Result<Bytes, ApiError> {
        let event = self.get(id).await?;
        Ok(match secrets {
            SenderSecrets::Given => event.received.body,
            SenderSecrets::Hidden => shown(&event, &self.credentials()).received.body,
        })
    }

    /// The lines of `events`, as their reader may have them.
    pub(super) fn exported<'e>(
        &self,
        events: impl Iterator<Item = &'e Event>,
        secrets: SenderSecrets,
    ) -> Vec<ExportedEvent> {
        let credentials = self.credentials();
        let exported = events.map(|event| {
            let whole = ExportedEvent::new(event);
            if secrets == SenderSecrets::Given {
                return whole;
            }
            // The headers that are shown say nothing of how it came.
            let ExportedEvent { query, parent, .. } = whole;
            let hidden = credentials.get(&event.source);
            let query = hidden.map_or_else(|| query.clone(), |hidden| hidden.mask_query(&query));
            ExportedEvent { query, parent, ..ExportedEvent::new(&shown(event, &credentials)) }
        });
        exported.collect()
    }

    pub(super) async fn get(&self, id: EventId) -> Result<Event, ApiError> {
        let event = self.queue.get(id).await?;
        event.ok_or_else(|| ApiError::NotFound(format!("no event `{id}` is retained")))
    }

    /// The newest events that `ask` finds, oldest first, with all that is needed to store them elsewhere:
    /// at most as many as it says, and so many bytes of bodies.
    pub async fn export_found(
        &self,
        ask: EventsAsk,
        bytes_max: usize,
        secrets: SenderSecrets,
    ) -> Result<Vec<ExportedEvent>, ApiError> {
        let query = EventQuery { bytes_max: Some(bytes_max), ..self.question(ask)? };
        let found = self.queue.search(query, EXPORT_TIME).await?.events;
        Ok(self.exported(found.iter().rev().map(|(event, _)| event), secrets))
    }

    /// The place of the event `id` in the log, for a [`crate::queue::DeadFilter`].
    pub async fn position(&self, id: EventId) -> Result<Position, ApiError> {
        Ok(self.get(id).await?.position)
    }
}

/// Whether what senders prove themselves by is in a body and the headers that are given away whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SenderSecrets {
    /// To who may change everything.
    Given,
    /// As on all pages: they would be enough to make events.
    Hidden,
}

/// Whether a handler was called with the event, or will be. One that had nothing to do with it was: its try says
/// why. One that has not come to it will not be, where it does not ask for it.
fn is_called(wants: &WantsView, deliveries: &[DeliveryView]) -> bool {
    let is_refused = matches!(wants.answer, Wish::NotNamed | Wish::Filtered);
    deliveries.iter().filter(|one| one.handler == wants.handler).any(|one| {
        let is_passed_over = one.state == DeliveryState::Skipped
            || one.state == DeliveryState::Pending && is_refused && one.under_way_since.is_none();
        !is_passed_over || !one.attempts.is_empty()
    })
}

/// Whether the handler has nothing to do with the event where its `on` does not name it: no try was made.
pub(super) fn may_be_passed_over(delivery: &DeliveryHistory) -> bool {
    delivery.state == DeliveryState::Skipped
        || delivery.state == DeliveryState::Pending && delivery.attempts.is_empty()
}

/// The lines that an event is in, each once with all whose line it is.
fn lines(wants: &[WantsView]) -> Vec<EventLine> {
    let mut lines: Vec<EventLine> = Vec::new();
    for line in wants.iter().filter_map(|one| one.line.as_ref()) {
        match lines.iter_mut().find(|known| known.q == line.q) {
            Some(known) => known.handlers.extend(line.handlers.iter().cloned()),
            None => lines.push(line.clone()),
        }
    }
    lines
}

/// Whether it may be with its handler.
pub(super) fn is_open(state: DeliveryState) -> bool {
    matches!(state, DeliveryState::Pending | DeliveryState::Retry | DeliveryState::Held)
}

/// The event as it is shown.
fn shown(event: &Event, credentials: &SourceCredentials) -> Event {
    let hidden = credentials.get(&event.source).cloned().unwrap_or_default();
    let masked = hidden.mask_body(&event.headers, &event.body);
    let is_as_sent = std::ptr::eq(&raw const *masked, &raw const *event.body);
    let shown = NewEvent {
        is_json: event.is_json && is_as_sent,
        headers: hidden.mask_headers(&event.headers),
        body: if is_as_sent { event.body.clone() } else { Bytes::from(masked.into_owned()) },
        ..event.received.clone()
    };
    Event::new(shown, event.id, event.position)
}
