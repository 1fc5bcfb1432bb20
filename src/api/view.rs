//! The shapes of the answers. Field names are part of the API: add, never rename.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::clock::Timestamp;
use crate::event::{
    ErrorText, Event, EventId, EventType, HandlerName, Headers, Output, Position, SourceName,
};
use crate::ingest::{ProxyRow, RefusedRow};
use crate::queue::{
    Backlog, DeadLetter, DeliveryHistory, DeliveryState, LostDeliveries, QueueStats,
};

use super::{HandlerControl, WantsView};

/// How everything stands.
#[derive(Debug, Serialize)]
pub struct StatusView {
    /// The program's version.
    pub version: &'static str,
    /// Whether a server answered, or the store was read while none runs.
    pub running: bool,
    /// When the server started.
    pub started_at: Option<Timestamp>,
    /// The queue.
    pub queue: QueueView,
    /// The configured sources.
    pub sources: Vec<SourceView>,
    /// Every handler that is configured or has a place in the log.
    pub handlers: Vec<HandlerView>,
    /// How many rejected requests are kept.
    pub rejected: usize,
    /// What was refused since the start before its signature was looked at.
    pub refused: Vec<RefusedRow>,
    /// The proxies that requests came through since the start.
    pub proxies: Vec<ProxyRow>,
}

/// The queue's figures.
#[derive(Debug, Serialize)]
pub struct QueueView {
    /// Retained events.
    pub events: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// The newest position.
    pub last: Position,
    /// Bytes of the log that the index has not taken in yet.
    pub lag_bytes: u64,
    /// Damage found in the log.
    pub damage: Vec<String>,
}

impl QueueView {
    /// The figures that `stats` holds.
    pub fn new(stats: &QueueStats) -> Self {
        let QueueStats { events, bytes, last, lag_bytes, handlers: _, damage } = stats;
        Self {
            events: *events,
            bytes: *bytes,
            last: *last,
            lag_bytes: *lag_bytes,
            damage: damage.clone(),
        }
    }
}

/// One configured source.
#[derive(Debug, Serialize)]
pub struct SourceView {
    /// Its name.
    pub name: SourceName,
    /// Its provider, or `custom`.
    pub provider: String,
    /// Where senders post to, below the public address.
    pub path: String,
    /// A type that `send` has a sample of.
    pub sample_type: Option<&'static str>,
    /// All types that it has one of.
    pub sample_types: Vec<&'static str>,
    /// What its owner does in the provider's console, step by step; `{url}` stands for the source's
    /// public address, `{secret}` for the place of its secret.
    pub setup: &'static [&'static str],
    /// Requests stored since the start.
    pub accepted: u64,
    /// Requests that were stored before.
    pub duplicate: u64,
    /// Requests that failed verification.
    pub rejected: u64,
    /// Requests that were turned away because too many from there failed it.
    pub turned_away: u64,
    /// Its secrets in the order of the configuration.
    pub secrets: Vec<SecretView>,
}

/// One secret of a source: never its value.
#[derive(Debug, Serialize)]
pub struct SecretView {
    /// Which one, counted from 0.
    pub index: usize,
    /// Where it is kept, as the configuration says.
    pub place: String,
    /// When a request was last signed with it since the start.
    pub last_matched_at: Option<Timestamp>,
}

/// One handler.
#[derive(Debug, Serialize)]
pub struct HandlerView {
    /// Its name.
    pub name: HandlerName,
    /// Its kind; `None` = it is not configured (any more), but has a place in the log.
    pub kind: Option<&'static str>,
    /// `running`, `paused`, `down`, `failed`, `finishing`, `disabled` or `stopped`; `unconfigured`
    /// where it stands in no configuration.
    pub state: &'static str,
    /// Why it is `failed`.
    pub reason: Option<String>,
    /// Events that the cursor has not passed.
    pub in_log: u64,
    /// Retries and held deliveries.
    pub waiting: u64,
    /// Dead letters.
    pub dead: u64,
    /// When the oldest event that is not settled came in.
    pub oldest_pending_at: Option<Timestamp>,
    /// How long that is ago.
    pub oldest_pending_seconds: u64,
    /// Calls that are under way.
    pub in_flight: usize,
    /// How many there may be.
    pub concurrency: usize,
    /// Since when its calls fail; nothing where the newest one did not.
    pub failing_since: Option<Timestamp>,
    /// How many calls failed in a row.
    pub failures: u32,
    /// While it is left alone because it is down: when it is tried next.
    pub probe_at: Option<Timestamp>,
    /// The newest failure since the start.
    pub last_error: Option<LastErrorView>,
    /// When the newest delivery since the start was made.
    pub last_success_at: Option<Timestamp>,
}

/// A failure.
#[derive(Clone, Debug, Serialize)]
pub struct LastErrorView {
    /// When.
    pub at: Timestamp,
    /// With which event.
    pub event: EventId,
    /// What went wrong.
    pub text: ErrorText,
}

/// Joins what the queue and the tasks know of the handlers. `configured` = `None` without a server.
pub(super) fn handlers(
    stats: &QueueStats,
    configured: Option<Vec<HandlerControl>>,
    now: Timestamp,
) -> Vec<HandlerView> {
    let without_task = if configured.is_some() { "unconfigured" } else { "stopped" };
    let configured = configured.unwrap_or_default();
    let unknown = stats
        .handlers
        .iter()
        .filter(|(name, _)| !configured.iter().any(|control| control.name == *name));
    let unknown: Vec<HandlerView> =
        unknown.map(|(name, backlog)| handler(name.clone(), without_task, *backlog, now)).collect();
    let known = configured.into_iter().map(|control| {
        let found = stats.handlers.iter().find(|(known, _)| *known == control.name);
        let backlog = found.map(|(_, backlog)| *backlog).unwrap_or_default();
        let view = handler(control.name, control.state, backlog, now);
        HandlerView {
            kind: Some(control.kind),
            reason: control.reason,
            in_flight: control.in_flight,
            concurrency: control.concurrency,
            failing_since: control.failing_since,
            failures: control.n_failures,
            probe_at: control.probe_at,
            last_error: control.last_error,
            last_success_at: control.last_success_at,
            ..view
        }
    });
    known.chain(unknown).collect()
}

fn handler(
    name: HandlerName,
    state: &'static str,
    backlog: Backlog,
    now: Timestamp,
) -> HandlerView {
    let Backlog { in_log, waiting, dead, oldest_pending_at } = backlog;
    HandlerView {
        name,
        kind: None,
        state,
        reason: None,
        in_log,
        waiting,
        dead,
        oldest_pending_at,
        oldest_pending_seconds: oldest_pending_at.map_or(0, |at| now.since(at).as_secs()),
        in_flight: 0,
        concurrency: 0,
        failing_since: None,
        failures: 0,
        probe_at: None,
        last_error: None,
        last_success_at: None,
    }
}

/// One event in a list.
#[derive(Debug, Serialize)]
pub struct EventSummary {
    /// Its stable name.
    pub id: EventId,
    /// Its place in the log.
    pub position: Position,
    /// The source that it came in by.
    pub source: SourceName,
    /// What happened, in the provider's words.
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// When it came in.
    pub received_at: Timestamp,
    /// The body's length.
    pub body_bytes: usize,
}

impl EventSummary {
    /// The summary of `event`.
    pub fn new(event: &Event) -> Self {
        Self {
            id: event.id,
            position: event.position,
            source: event.source.clone(),
            event_type: event.event_type.clone(),
            received_at: event.received_at,
            body_bytes: event.body.len(),
        }
    }
}

/// One event with all that is known of it.
#[derive(Debug, Serialize)]
pub struct EventDetail {
    /// The same as in a list.
    #[serde(flatten)]
    pub summary: EventSummary,
    /// Name and value of each header; bytes that are not UTF-8 are replaced.
    pub headers: Vec<(String, String)>,
    /// The body as JSON: its own text where it is JSON by the letter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<Box<RawValue>>,
    /// Why there is no payload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
    /// The body where the payload is not its own text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
    /// What each handler did with it.
    pub deliveries: Vec<DeliveryView>,
    /// Which handlers were not called and why, by today's configuration.
    pub not_called: Vec<WantsView>,
}

impl EventDetail {
    pub(super) fn new(event: &Event, history: Vec<DeliveryHistory>) -> Self {
        let json = event.json();
        let is_own = matches!(json, Ok(Some(Cow::Borrowed(_))));
        let payload = json.as_ref().ok().and_then(|text| text.as_deref());
        // What is JSON text makes a raw value.
        let payload = payload.and_then(|text| RawValue::from_string(text.to_owned()).ok());
        Self {
            summary: EventSummary::new(event),
            headers: headers(&event.headers),
            payload,
            unreadable: json.err().map(ToString::to_string),
            body_base64: (!is_own).then(|| STANDARD.encode(&event.body)),
            deliveries: history.into_iter().map(DeliveryView::new).collect(),
            not_called: Vec::new(),
        }
    }
}

/// Name and value of each header; bytes that are not UTF-8 are replaced.
pub(super) fn headers(headers: &Headers) -> Vec<(String, String)> {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    headers.iter().map(|(name, value)| (name.to_owned(), text(value))).collect()
}

/// What one handler did with an event.
#[derive(Debug, Serialize)]
pub struct DeliveryView {
    /// Whose it is.
    pub handler: HandlerName,
    /// How it stands.
    pub state: DeliveryState,
    /// Its tries, oldest first.
    pub attempts: Vec<AttemptView>,
}

impl DeliveryView {
    fn new(history: DeliveryHistory) -> Self {
        let DeliveryHistory { handler, state, attempts } = history;
        let attempts = attempts.into_iter().map(|attempt| AttemptView {
            number: attempt.number,
            started_at: attempt.started_at,
            duration_ms: u64::try_from(attempt.duration.as_millis()).unwrap_or(u64::MAX),
            led_to: attempt.led_to,
            error: attempt.error,
            status: attempt.status,
            output: attempt.output,
        });
        Self { handler, state, attempts: attempts.collect() }
    }
}

/// One try.
#[derive(Debug, Serialize)]
pub struct AttemptView {
    /// Which try, counted from 1.
    pub number: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took.
    pub duration_ms: u64,
    /// What it led to.
    pub led_to: DeliveryState,
    /// What went wrong; empty where nothing did.
    pub error: ErrorText,
    /// The status that the other side answered.
    pub status: Option<u16>,
    /// What the other side said: by `stdout`, `stderr` or `response`. Absent where it said nothing.
    #[serde(skip_serializing_if = "Output::is_empty")]
    pub output: Output,
}

/// What will not be tried again by itself.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum DeadEntry {
    /// A dead letter.
    Letter(DeadView),
    /// Deliveries whose events cannot be read.
    Lost(LostView),
}

/// Deliveries of one handler whose events cannot be read. They are redriven, for the case that the
/// disk gives them again, or dropped like dead letters.
#[derive(Debug, Serialize)]
pub struct LostView {
    /// Whose they are.
    pub handler: HandlerName,
    /// The first event's place.
    pub position: Position,
    /// How many events there are from there on.
    pub events: u64,
    /// Why.
    pub reason: String,
}

impl LostView {
    pub(super) fn new(lost: LostDeliveries) -> Self {
        let LostDeliveries { handler, positions } = lost;
        let events = positions.end.0.saturating_sub(positions.start.0);
        let (first, newest) = (positions.start.0, positions.end.0.saturating_sub(1));
        let reason = match events {
            1 => format!("the event at position {first} cannot be read"),
            _ => format!("the events at positions {first} to {newest} cannot be read"),
        };
        Self { handler, position: positions.start, events, reason }
    }
}

/// One dead letter.
#[derive(Debug, Serialize)]
pub struct DeadView {
    /// Whose it is.
    pub handler: HandlerName,
    /// The event's name.
    pub id: EventId,
    /// The event's place.
    pub position: Position,
    /// The event's source.
    pub source: SourceName,
    /// The event's type.
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// When the event came in.
    pub received_at: Timestamp,
    /// How many tries there were.
    pub attempts: u32,
    /// When it was given up.
    pub died_at: Timestamp,
    /// Why.
    pub reason: ErrorText,
}

impl DeadView {
    pub(super) fn new(letter: &DeadLetter) -> Self {
        let letter = letter.clone();
        Self {
            handler: letter.handler,
            id: letter.id,
            position: letter.position,
            source: letter.source,
            event_type: letter.event_type,
            received_at: letter.received_at,
            attempts: letter.attempts,
            died_at: letter.died_at,
            reason: letter.reason,
        }
    }
}
