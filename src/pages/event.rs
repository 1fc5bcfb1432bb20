//! `/events/{id}`: what happened to this one?

use std::collections::HashMap;
use std::time::Duration;

use askama::Template;

use super::about::about;
use super::event_body::{BodySource, ShownBody, shown_body};
use super::event_edit::{EditPart, SentForm};
use super::event_lanes::{self, Lane, LaneContext, NotCalled, lane};
use super::event_lead::lead;
use super::event_list::{EventList, LIST};
use super::event_plan::{ShownPlan, shown_plan};
use super::events::of_type;
use super::fields::{Fields, address};
use super::frame::{Frame, Here};
use super::widgets::When;
use super::words::Room;
use super::{Answer, Viewer, rendered, words};
use crate::api::{
    Api, ApiError, ArrivalView, DeliveryView, EventDetail, EventEntry, EventLine, HandlerStatus,
    HandlerView, PlanAsk, StatusView, Wish,
};
use crate::clock::Timestamp;
use crate::deliver::OWN_SOURCE;
use crate::event::{Event, EventId, HandlerName};
use crate::queue::DeliveryState;

/// Tries that are shown of all handlers together, the newest of each.
const STEPS_MAX: usize = 48;
/// Bytes of errors and answers, of headers, and of what decided that a handler is not called.
const ERRORS_ROOM: usize = 8 << 10;
const HEADERS_ROOM: usize = 6 << 10;
const WANTS_ROOM: usize = 4 << 10;
/// Handlers that are shown.
const LANES_MAX: usize = 24;
/// Characters of what is known of its request, each.
const FACT_CHARS_MAX: usize = 120;
/// Lines that it is in.
const LINES_MAX: usize = 6;
/// Headers that are shown.
const HEADERS_MAX: usize = 40;

#[derive(Template)]
#[template(path = "event.html")]
struct EventPage {
    frame: Frame,
    id: String,
    source: String,
    event_type: String,
    about: String,
    lead: String,
    lanes: Vec<Lane>,
    not_called: Vec<NotCalled>,
    /// No handler's `on` names it.
    is_unasked: bool,
    plan: Option<ShownPlan>,
    n_more_lanes: usize,
    body: ShownBody,
    headers: Vec<(String, String)>,
    position: String,
    facts: Vec<(&'static str, String)>,
    received: When,
    /// How long after it was stored the line of all lanes ends.
    axis_end: String,
    /// The list that it was opened from, and its own address that knows it: alone, and with room for more fields.
    list: String,
    list_query: String,
    here: String,
    with: String,
    newer: Option<String>,
    older: Option<String>,
    handlers: Vec<String>,
    similar: String,
    lines: Vec<LineLink>,
    send: String,
    curl: String,
    is_own: bool,
    /// Whether its source has a page: Gatepost's own, and one that is gone, have none.
    is_source_here: bool,
    edit: EditPart,
}

/// Events that are in line with it.
#[derive(Debug)]
struct LineLink {
    address: String,
    fields: Vec<String>,
    values: String,
    handlers: String,
    is_of_one: bool,
}

/// What the page shows beside the event itself.
struct EventAround {
    handlers: Vec<String>,
    kinds: HashMap<String, String>,
    /// Why those handlers that take nothing now do not.
    held: HashMap<String, String>,
    retention: Duration,
    neighbours: (Option<String>, Option<String>),
    list: EventList,
    plan: Option<ShownPlan>,
    edit: EditPart,
    is_source_here: bool,
    now: Timestamp,
}

/// The page, or a file: the body, or the event as a test case.
pub(super) async fn show(
    api: &Api,
    id: EventId,
    fields: &Fields,
    viewer: &Viewer,
) -> Result<Answer, ApiError> {
    if fields.get("body") == Some("file") {
        return Ok(Answer::File {
            name: format!("{id}.body"),
            body: api.raw(id, viewer.secrets()).await?,
        });
    }
    if fields.get("save") == Some("fixture") {
        let fixture = api.fixture(id).await?;
        let body = fixture.text().map_err(|err| ApiError::Conflict(err.to_string()))?;
        return Ok(Answer::File { name: fixture.name, body: body.into() });
    }
    whole(api, id, (fields, None), viewer).await.map(Answer::Html)
}

async fn whole(
    api: &Api,
    id: EventId,
    (fields, sent): (&Fields, Option<SentForm>),
    viewer: &Viewer,
) -> Result<String, ApiError> {
    let is_posted = sent.is_some();
    let entry = api.entry(id).await?;
    let status = api.status();
    let around = around(api, &entry, (fields, sent), &status, viewer).await?;
    let title = words::shown(entry.event.event_type.as_str(), 60);
    let json = format!("/api/v1/events/{id}");
    let mut frame = Frame::new(api, &status, fields, viewer, Here::Events, title, json);
    frame.is_posted = is_posted;
    rendered(&page(frame, &entry, fields, around))
}

/// The page with the form of an edited copy as it was sent.
pub(super) async fn edited(
    api: &Api,
    id: EventId,
    fields: &Fields,
    sent: SentForm,
    viewer: &Viewer,
) -> Result<String, ApiError> {
    whole(api, id, (&fields.only(&[LIST], &[("body", "edit")]), Some(sent)), viewer).await
}

/// The page that a form stood on which was refused: without what the form chose.
pub(super) async fn again(
    api: &Api,
    id: EventId,
    fields: &Fields,
    viewer: &Viewer,
) -> Result<String, ApiError> {
    let why = fields.wrong().unwrap_or_default().to_owned();
    whole(api, id, (&fields.refused(why, &["handler"]), None), viewer).await
}

async fn around(
    api: &Api,
    entry: &EventEntry,
    (fields, sent): (&Fields, Option<SentForm>),
    status: &StatusView,
    viewer: &Viewer,
) -> Result<EventAround, ApiError> {
    let plan = match fields.text("handler") {
        Some(handler) => {
            let ask = PlanAsk { handler: Some(handler) };
            Some(shown_plan(&api.plan(entry.event.id, ask).await?))
        }
        None => None,
    };
    let surroundings = api.surroundings()?;
    let list = EventList::of_event(fields);
    let handlers = status.handlers.iter();
    // The form offers the first: one that lacks it, not one that would have it twice.
    let mut names: Vec<String> = handlers.clone().map(|one| one.name.to_string()).collect();
    let lacks = |name: &str| {
        let mut dead =
            entry.detail.deliveries.iter().filter(|one| one.state == DeliveryState::Dead);
        dead.any(|one| one.handler.as_str() == name)
    };
    names.sort_by_key(|name| !lacks(name));
    let kinds = handlers
        .clone()
        .map(|one| (one.name.to_string(), one.kind.as_deref().unwrap_or_default().to_owned()));
    Ok(EventAround {
        kinds: kinds.collect(),
        held: status.handlers.iter().filter_map(|one| held(one, api.now())).collect(),
        handlers: names,
        retention: Duration::from_secs(surroundings.retention_seconds),
        neighbours: list.neighbours(api, entry.event.position.0).await?,
        list,
        plan,
        edit: EditPart::new(entry, fields, status, viewer, (sent, api.now())),
        is_source_here: status.sources.iter().any(|one| one.name == entry.event.source),
        now: api.now(),
    })
}

/// Why a handler takes nothing now, beside its name: what waits for it is not forgotten.
fn held(handler: &HandlerView, now: Timestamp) -> Option<(String, String)> {
    let why = match handler.state {
        HandlerStatus::Down => match handler.probe_at {
            Some(at) => format!("is down, and is tried again in {}", words::between(now, at)),
            None => "is down".to_owned(),
        },
        HandlerStatus::Failed => "could not be started".to_owned(),
        HandlerStatus::Paused => "is paused".to_owned(),
        HandlerStatus::Disabled => "is disabled".to_owned(),
        HandlerStatus::Unconfigured => "is in no configuration".to_owned(),
        HandlerStatus::Running
            if let (Some(why), Some(at)) = (handler.why_left_alone(), handler.probe_at) =>
        {
            let why = words::shown(why, 120);
            format!("waits ({why}), and goes on in {}", words::between(now, at))
        }
        HandlerStatus::Running | HandlerStatus::Finishing | HandlerStatus::Stopped => return None,
    };
    let rest = match handler.state {
        HandlerStatus::Unconfigured => "What waits for it is let go of after orphan_retention.",
        _ => "Nothing is lost: it waits.",
    };
    Some((handler.name.to_string(), format!("{} {why}. {rest}", handler.name)))
}

fn page(frame: Frame, entry: &EventEntry, fields: &Fields, around: EventAround) -> EventPage {
    let is_source_here = around.is_source_here;
    let EventAround { handlers, kinds, held, retention, neighbours, list, plan, .. } = around;
    let (edit, now) = (around.edit, around.now);
    let (newer, older) = neighbours;
    let (event, detail) = (&entry.event, &entry.detail);
    let here = list.event(event.id);
    let called = called(detail);
    let source = event.source.to_string();
    let event_type = event.event_type.as_str();
    let steps_max = (STEPS_MAX / called.len().clamp(1, LANES_MAX)).max(2);
    let mut room = Room::new(ERRORS_ROOM);
    let (kinds, held) = (&kinds, &held);
    let until = event_lanes::until(&called, event.received_at);
    let of = LaneContext { received_at: event.received_at, now, until, kinds, held, steps_max };
    let lanes = called.iter().take(LANES_MAX).map(|one| lane(one, &of, &mut room)).collect();
    let mut room = Room::new(WANTS_ROOM);
    let is_unasked =
        called.is_empty() && detail.not_called.iter().all(|one| one.answer == Wish::NotNamed);
    let not_called = detail.not_called.iter().take(LANES_MAX);
    let not_called = not_called.map(|wants| event_lanes::not_called(wants, &mut room)).collect();
    let mut body = shown_body(&BodySource::of(entry), fields.get("body").unwrap_or_default());
    if edit.is_asked() {
        body.form = "edit";
    }
    EventPage {
        id: event.id.to_string(),
        about: about(event),
        lead: lead(&called, handlers.is_empty(), now),
        lanes,
        n_more_lanes: called.len().saturating_sub(LANES_MAX),
        not_called,
        is_unasked,
        plan,
        body,
        headers: headers(detail),
        position: words::count(event.position.0),
        facts: facts(entry, retention, now),
        received: When::exact(event.received_at, now),
        axis_end: format!("+{}", words::span(until.since(event.received_at))),
        lines: detail.lines.iter().take(LINES_MAX).map(|line| line_link(line, &source)).collect(),
        similar: of_type(&source, event_type),
        send: send_line(event),
        curl: format!("{} --curl", send_line(event)),
        is_own: source == OWN_SOURCE,
        is_source_here,
        edit,
        event_type: words::shown(event_type, 120),
        with: with(&here),
        here,
        list: list.address(),
        list_query: list.query().to_owned(),
        newer,
        older,
        handlers,
        source,
        frame,
    }
}

/// The deliveries that are shown as such. Of one that is passed over, now or once its handler comes to it, the
/// reason says all.
fn called(detail: &EventDetail) -> Vec<&DeliveryView> {
    let is_refused = |one: &DeliveryView| {
        detail.not_called.iter().any(|wants| wants.handler == one.handler)
            || one.state == DeliveryState::Skipped && one.attempts.is_empty()
    };
    detail.deliveries.iter().filter(|one| !is_refused(one)).collect()
}

fn headers(detail: &EventDetail) -> Vec<(String, String)> {
    let mut room = Room::new(HEADERS_ROOM);
    let headers = detail.headers.iter().take(HEADERS_MAX);
    headers.map(|(name, value)| (room.shown(name, 60), room.shown(value, 300))).collect()
}

/// An address to which a field is added.
fn with(address: &str) -> String {
    let sign = if address.contains('?') { '&' } else { '?' };
    format!("{address}{sign}")
}

fn line_link(line: &EventLine, source: &str) -> LineLink {
    let names: Vec<&str> = line.handlers.iter().take(6).map(HandlerName::as_str).collect();
    let values: Vec<&str> = line.values.iter().map(|seen| seen.value.as_str()).collect();
    LineLink {
        address: address("/events", [("source", source), ("q", line.q.as_str())]),
        fields: line.values.iter().map(|seen| words::shown(&seen.field, 60)).collect(),
        values: words::shown(&values.join(", "), 80),
        handlers: names.join(", "),
        is_of_one: line.handlers.len() == 1,
    }
}

/// What is known of it, by name.
fn facts(entry: &EventEntry, retention: Duration, now: Timestamp) -> Vec<(&'static str, String)> {
    let (event, detail) = (&entry.event, &entry.detail);
    let arrival = detail.arrival.iter().flat_map(ArrivalView::facts);
    let mut facts: Vec<_> =
        arrival.map(|(name, value)| (name, words::shown(&value, FACT_CHARS_MAX))).collect();
    facts.extend([
        ("Position", words::count(event.position.0)),
        ("Body", words::bytes(detail.summary.body_bytes as u64)),
        ("Kept until", kept_until(event.received_at.after(retention), now)),
    ]);
    facts
}

/// How the event is sent once more by the command line.
fn send_line(event: &Event) -> String {
    format!(
        "gatepost events show {id} --raw | gatepost send {source} '{}' --body -",
        words::shown(event.event_type.as_str(), 100).replace('\'', ""),
        id = event.id,
        source = event.source,
    )
}

/// Until when it is kept at least: longer where a handler still needs it.
fn kept_until(at: Timestamp, now: Timestamp) -> String {
    if at > now { words::clock(at, now, false) } else { "the next clean-up".to_owned() }
}
