//! `/events/{id}`: what happened to this one?

use std::time::Duration;

use askama::Template;

use super::event_body::{ShownBody, content_type, shown_body};
use super::events::{about, of_type};
use super::fields::Fields;
use super::frame::{Frame, Here};
use super::widgets::{Sign, When, state_word};
use super::words::Room;
use super::{Answer, Viewer, rendered, words};
use crate::api::{
    Api, ApiError, AttemptView, DeliveryView, EventEntry, EventsAsk, WantsView, Wish,
};
use crate::clock::Timestamp;
use crate::event::{Event, EventId};
use crate::queue::DeliveryState;

/// Tries that are shown of all handlers together, the newest of each.
const STEPS_MAX: usize = 48;
/// Bytes of errors and answers, of headers, and of what decided that a handler is not called.
const ERRORS_ROOM: usize = 8 << 10;
const HEADERS_ROOM: usize = 6 << 10;
const WANTS_ROOM: usize = 4 << 10;
/// What the other side said in one try: so many pieces of so many characters.
const SAID_MAX: usize = 3;
const SAID_CHARS_MAX: usize = 160;
/// Handlers that are shown.
const LANES_MAX: usize = 24;
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
    n_more_lanes: usize,
    body: ShownBody,
    headers: Vec<(String, String)>,
    facts: Vec<(&'static str, String)>,
    received: When,
    newer: Option<String>,
    older: Option<String>,
    handlers: Vec<String>,
    similar: String,
    send: String,
    curl: String,
    is_own: bool,
}

/// What one handler did with it.
#[derive(Debug)]
struct Lane {
    handler: String,
    sign: Sign,
    word: &'static str,
    is_dead: bool,
    n_earlier: usize,
    steps: Vec<Step>,
}

/// One try.
#[derive(Debug)]
struct Step {
    after: String,
    number: u32,
    is_good: bool,
    text: String,
    took: String,
    /// How long the next one was waited for.
    waited: String,
    at: When,
    /// What the other side said, by where it said it.
    said: Vec<(&'static str, String)>,
}

/// Why a handler was not called.
#[derive(Debug)]
struct NotCalled {
    handler: String,
    kind: String,
    sentence: &'static str,
    because: String,
    values: Vec<(String, String)>,
}

/// The page, or the body as a file.
pub(super) async fn show(
    api: &Api,
    id: EventId,
    fields: &Fields,
    viewer: &Viewer,
) -> Result<Answer, ApiError> {
    if fields.get("body") == Some("file") {
        return Ok(Answer::File { name: format!("{id}.body"), body: api.raw(id).await? });
    }
    let entry = api.entry(id).await?;
    let neighbours = neighbours(api, &entry).await?;
    let (status, now) = (api.status(), api.now());
    let title = words::shown(entry.event.event_type.as_str(), 60);
    let json = format!("/api/v1/events/{id}");
    let frame = Frame::new(api, &status, fields, viewer, Here::Events, title, json);
    let handlers = status.handlers.iter().map(|one| one.name.to_string()).collect();
    rendered(&page(frame, &entry, fields, neighbours, handlers, now)).map(Answer::Html)
}

/// The event that came after it, and the one before.
async fn neighbours(
    api: &Api,
    entry: &EventEntry,
) -> Result<(Option<String>, Option<String>), ApiError> {
    let position = entry.event.position.0;
    let one = EventsAsk { limit: Some(1), ..EventsAsk::default() };
    let newer = api.events(EventsAsk { after: Some(position), ..one.clone() }).await?.events.pop();
    let older = api.events(EventsAsk { before: Some(position), ..one }).await?.events.pop();
    let address = |event: crate::api::EventSummary| format!("/events/{}", event.id);
    Ok((newer.map(address), older.map(address)))
}

fn page(
    frame: Frame,
    entry: &EventEntry,
    fields: &Fields,
    (newer, older): (Option<String>, Option<String>),
    handlers: Vec<String>,
    now: Timestamp,
) -> EventPage {
    let (event, detail) = (&entry.event, &entry.detail);
    // Skipped by its filter and nothing more: its reason says all.
    let called: Vec<&DeliveryView> = detail
        .deliveries
        .iter()
        .filter(|one| one.state != DeliveryState::Skipped || !one.attempts.is_empty())
        .collect();
    let source = event.source.to_string();
    let event_type = event.event_type.as_str();
    let headers = detail.headers.iter().take(HEADERS_MAX);
    let mut room = Room::new(HEADERS_ROOM);
    let headers = headers.map(|(name, value)| (room.shown(name, 60), room.shown(value, 300)));
    let headers = headers.collect();
    let steps_max = (STEPS_MAX / called.len().clamp(1, LANES_MAX)).max(2);
    let mut room = Room::new(ERRORS_ROOM);
    let lanes = called.iter().take(LANES_MAX);
    let lanes = lanes.map(|one| lane(one, event.received_at, now, steps_max, &mut room)).collect();
    let mut room = Room::new(WANTS_ROOM);
    let not_called = detail.not_called.iter().take(LANES_MAX);
    let not_called = not_called.map(|wants| self::not_called(wants, &mut room)).collect();
    EventPage {
        id: event.id.to_string(),
        about: about(event),
        lead: lead(&detail.deliveries, handlers.is_empty()),
        lanes,
        n_more_lanes: called.len().saturating_sub(LANES_MAX),
        not_called,
        body: shown_body(entry, fields.get("body").unwrap_or_default()),
        headers,
        facts: vec![
            ("Position", words::count(event.position.0)),
            ("Body", words::bytes(detail.summary.body_bytes as u64)),
        ],
        received: When::exact(event.received_at, now),
        similar: of_type(&source, event_type),
        send: send_line(event),
        curl: curl_line(entry),
        is_own: source == "gatepost",
        event_type: words::shown(event_type, 120),
        newer,
        older,
        handlers,
        source,
        frame,
    }
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

/// The same by `curl`, which needs a signature of the sender's own.
fn curl_line(entry: &EventEntry) -> String {
    format!(
        "curl -X POST --data-binary @{id}.body -H 'Content-Type: {}' -H 'SIGNATURE-HEADER: …' \
         http://127.0.0.1:8080/hooks/{source}",
        content_type(entry),
        id = entry.event.id,
        source = entry.event.source,
    )
}

/// What is the case, in a sentence.
fn lead(deliveries: &[DeliveryView], is_for_nobody: bool) -> String {
    let named = |wanted: &[DeliveryState]| -> Vec<String> {
        let found = deliveries.iter().filter(|one| wanted.contains(&one.state));
        found.map(|one| one.handler.to_string()).collect()
    };
    let done = named(&[DeliveryState::Delivered]);
    let waiting = named(&[DeliveryState::Retry, DeliveryState::Held]);
    let pending = named(&[DeliveryState::Pending]);
    let dead = named(&[DeliveryState::Dead]);
    let n_asking = done.len() + waiting.len() + pending.len() + dead.len();
    if n_asking == 0 {
        return if is_for_nobody {
            "No handler is configured: nobody gets it.".to_owned()
        } else {
            "No handler asks for it.".to_owned()
        };
    }
    let mut text = match (done.len(), n_asking) {
        (n, all) if n == all && all == 1 => "The handler that asks for it has it.".to_owned(),
        (n, all) if n == all => format!("All {all} handlers that ask for it have it."),
        (n, all) => format!("{n} of the {all} handlers that ask for it have it."),
    };
    for (names, one, many) in [
        (dead, "gave it up: it is a dead letter.", "gave it up: they are dead letters."),
        (waiting, "tries again.", "try again."),
        (pending, "has it before itself.", "have it before themselves."),
    ] {
        if !names.is_empty() {
            let names_text = names.iter().take(6).cloned().collect::<Vec<_>>().join(", ");
            text.extend([" ", &names_text, " ", if names.len() == 1 { one } else { many }]);
        }
    }
    text
}

fn lane(
    delivery: &DeliveryView,
    received_at: Timestamp,
    now: Timestamp,
    steps_max: usize,
    room: &mut Room,
) -> Lane {
    let n_earlier = delivery.attempts.len().saturating_sub(steps_max);
    let shown = delivery.attempts.iter().skip(n_earlier);
    let next = delivery.attempts.iter().skip(n_earlier + 1).map(Some).chain([None]);
    Lane {
        handler: delivery.handler.to_string(),
        sign: Sign::of(delivery.state),
        word: state_word(delivery.state),
        is_dead: delivery.state == DeliveryState::Dead,
        n_earlier,
        steps: shown
            .zip(next)
            .map(|(one, next)| step(one, next, (received_at, now), room))
            .collect(),
    }
}

fn step(
    attempt: &AttemptView,
    next: Option<&AttemptView>,
    (received_at, now): (Timestamp, Timestamp),
    room: &mut Room,
) -> Step {
    let took = Duration::from_millis(attempt.duration_ms);
    let is_good = attempt.led_to == DeliveryState::Delivered;
    let status = attempt.status.map(|status| format!("status {status}"));
    let error = room.shown(attempt.error.as_str(), 400);
    let text = match (status, error.is_empty()) {
        (Some(status), false) if !error.contains(status.trim_start_matches("status ")) => {
            format!("{status}: {error}")
        }
        (_, false) => error,
        (Some(status), true) => status,
        (None, true) if is_good => "delivered".to_owned(),
        (None, true) => "failed".to_owned(),
    };
    let ended_at = attempt.started_at.after(took);
    let waited = next.map(|next| words::span(next.started_at.since(ended_at)));
    Step {
        after: format!("+{}", words::span(attempt.started_at.since(received_at))),
        number: attempt.number,
        is_good,
        text,
        took: if took.is_zero() { "< 1 ms".to_owned() } else { precise(took) },
        waited: waited.unwrap_or_default(),
        at: When::exact(attempt.started_at, now),
        said: said(attempt, room),
    }
}

/// What the other side said, cut off where it is long.
fn said(attempt: &AttemptView, room: &mut Room) -> Vec<(&'static str, String)> {
    let excerpts = attempt.output.excerpts().iter().take(SAID_MAX);
    let lines = excerpts
        .map(|excerpt| (excerpt.stream.name(), room.shown(excerpt.text().trim(), SAID_CHARS_MAX)));
    lines.collect()
}

/// `812 ms`, `30.0 s`
fn precise(took: Duration) -> String {
    match took.as_millis() {
        millis @ 0..1_000 => format!("{millis} ms"),
        _ => format!("{:.1} s", took.as_secs_f64()),
    }
}

fn not_called(wants: &WantsView, room: &mut Room) -> NotCalled {
    let values = wants.values.iter();
    NotCalled {
        handler: wants.handler.to_string(),
        kind: wants.kind.to_string(),
        sentence: match wants.answer {
            Wish::Wanted => {
                "It would be called today: it was configured otherwise then, or began later"
            }
            Wish::NotNamed => "does not name it",
            Wish::Filtered => "said no",
            Wish::Unclear => "could not be worked out",
            Wish::Disabled => "is in its table",
        },
        because: room.shown(&wants.because, 300),
        values: values
            .map(|seen| (room.shown(&seen.field, 80), room.shown(&seen.value, 80)))
            .collect(),
    }
}
