//! Events, and what each handler did with them.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::arrival::ArrivalView;
use super::wait::WaitView;
use crate::api::Actor;
use crate::api::edited::EditView;
use crate::api::wants::{EventLine, WantsView};
use crate::clock::{Timestamp, whole_millis};
use crate::event::{
    ErrorText, Event, EventId, EventType, HandlerName, Headers, Output, Position, SourceName,
};
use crate::queue::{DeliveryHistory, DeliveryState};

/// One event in a list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EventSummary {
    pub id: EventId,
    /// Its place in the log.
    pub position: Position,
    /// The source that it came in by.
    pub source: SourceName,
    #[serde(rename = "type")]
    pub event_type: EventType,
    pub received_at: Timestamp,
    pub body_bytes: usize,
    /// The event that it is an edited copy of.
    #[serde(default)]
    pub parent: Option<EventId>,
}

impl EventSummary {
    pub fn new(event: &Event) -> Self {
        Self::sized(event, event.body.len())
    }

    /// The same of one whose body was left out of a list.
    pub fn sized(event: &Event, body_bytes: usize) -> Self {
        Self {
            id: event.id,
            position: event.position,
            source: event.source.clone(),
            event_type: event.event_type.clone(),
            received_at: event.received_at,
            body_bytes,
            parent: event.parent(),
        }
    }
}

/// One event with all that is known of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "ReadEventDetail")]
pub struct EventDetail {
    #[serde(flatten)]
    pub summary: EventSummary,
    /// Who made it, where it is an edited copy and the action log still says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made_by: Option<Actor>,
    /// The edited copies that were made of it, oldest first, as far as the action log goes back.
    pub edits: Vec<EditView>,
    /// How its request came in; nothing where that was not kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrival: Option<ArrivalView>,
    /// Name and value of each header, by name; bytes that are not UTF-8 are replaced.
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
    /// Which events handlers take one after the other with it, by today's configuration.
    #[serde(default)]
    pub lines: Vec<EventLine>,
}

/// [`EventDetail`] as it is read: serde cannot read a field's own text beside flattened ones.
#[derive(Deserialize)]
struct ReadEventDetail {
    id: EventId,
    position: Position,
    source: SourceName,
    #[serde(rename = "type")]
    event_type: EventType,
    received_at: Timestamp,
    body_bytes: usize,
    parent: Option<EventId>,
    made_by: Option<Actor>,
    #[serde(default)]
    edits: Vec<EditView>,
    arrival: Option<ArrivalView>,
    headers: Vec<(String, String)>,
    #[serde(default, deserialize_with = "own_text")]
    payload: Option<Box<RawValue>>,
    unreadable: Option<String>,
    body_base64: Option<String>,
    deliveries: Vec<DeliveryView>,
    not_called: Vec<WantsView>,
    #[serde(default)]
    lines: Vec<EventLine>,
}

/// A payload that is there: `null` is one, too.
fn own_text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(from).map(Some)
}

impl From<ReadEventDetail> for EventDetail {
    fn from(read: ReadEventDetail) -> Self {
        let ReadEventDetail { id, position, source, event_type, received_at, .. } = read;
        let (body_bytes, parent) = (read.body_bytes, read.parent);
        Self {
            summary: EventSummary {
                id,
                position,
                source,
                event_type,
                received_at,
                body_bytes,
                parent,
            },
            made_by: read.made_by,
            edits: read.edits,
            arrival: read.arrival,
            headers: read.headers,
            payload: read.payload,
            unreadable: read.unreadable,
            body_base64: read.body_base64,
            deliveries: read.deliveries,
            not_called: read.not_called,
            lines: read.lines,
        }
    }
}

impl EventDetail {
    pub(in crate::api) fn new(event: &Event, history: Vec<DeliveryHistory>) -> Self {
        let json = event.json();
        let is_own = matches!(json, Ok(Some(Cow::Borrowed(_))));
        let payload = json.as_ref().ok().and_then(|text| text.as_deref());
        // What is JSON text makes a raw value.
        let payload = payload.and_then(|text| RawValue::from_string(text.to_owned()).ok());
        Self {
            summary: EventSummary::new(event),
            made_by: None,
            edits: Vec::new(),
            arrival: None,
            headers: headers(&event.headers),
            payload,
            unreadable: json.err().map(ToString::to_string),
            body_base64: (!is_own).then(|| STANDARD.encode(&event.body)),
            deliveries: history.into_iter().map(DeliveryView::new).collect(),
            not_called: Vec::new(),
            lines: Vec::new(),
        }
    }
}

/// Name and value of each header, by name: they are kept as the HTTP library gave them, which is
/// another order each time. Bytes that are not UTF-8 are replaced.
pub(in crate::api) fn headers(headers: &Headers) -> Vec<(String, String)> {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let pairs = headers.iter().map(|(name, value)| (name.to_owned(), text(value)));
    let mut pairs: Vec<(String, String)> = pairs.collect();
    // Stable: the values of a repeated header stay in the order they came.
    pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
    pairs
}

/// What one handler did with an event.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeliveryView {
    pub handler: HandlerName,
    pub state: DeliveryState,
    /// Its tries, oldest first.
    pub attempts: Vec<AttemptView>,
    /// While it is with its handler: since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub under_way_since: Option<Timestamp>,
    /// While it waits for another try: when that is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try_at: Option<Timestamp>,
    /// While it waits for another try and has failed once: when it is given up if it keeps failing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_up_at: Option<Timestamp>,
    /// While it waits: after which try it is given up, where tries are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts_max: Option<u32>,
}

impl DeliveryView {
    fn new(history: DeliveryHistory) -> Self {
        let DeliveryHistory { handler, state, attempts, n_let_go: _ } = history;
        // Redriven or replayed it is counted from 1 again: here they are told apart.
        let (mut before, mut last) = (0, 0);
        let mut number = |own: u32| {
            if own <= last {
                before += last;
            }
            last = own;
            before.saturating_add(own)
        };
        let attempts = attempts.into_iter().map(|attempt| AttemptView {
            wait: WaitView::of(&attempt),
            number: number(attempt.number),
            started_at: attempt.started_at,
            duration_ms: whole_millis(attempt.duration),
            led_to: attempt.led_to,
            error: attempt.error,
            status: attempt.status,
            output: attempt.output,
        });
        Self {
            handler,
            state,
            attempts: attempts.collect(),
            under_way_since: None,
            next_try_at: None,
            given_up_at: None,
            attempts_max: None,
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AttemptView {
    /// Which try, counted from 1, on over redrives and replays.
    pub number: u32,
    pub started_at: Timestamp,
    pub duration_ms: u64,
    pub led_to: DeliveryState,
    /// What went wrong; empty where nothing did.
    pub error: ErrorText,
    /// The status that the other side answered.
    pub status: Option<u16>,
    /// What the other side said: by `stdout`, `stderr` or `response`. Absent where it said nothing.
    #[serde(default, skip_serializing_if = "Output::is_empty")]
    pub output: Output,
    /// How long the next one is waited for, and why; nothing where none comes by itself, or where nothing is
    /// known of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<WaitView>,
}
