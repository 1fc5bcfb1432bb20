//! Events as lines of JSON that another gateway can take in.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::clock::{Timestamp, whole_millis};
use crate::event::{
    Arrival, BadEventId, BadName, DataRoot, Dedupe, DedupeKey, ErrorText, Event, EventType,
    HandlerName, Headers, NewEvent, OrderKey, Position, SourceName,
};
use crate::queue::CarriedState;
use crate::source::dedupe_key;

/// How long an imported event is remembered: an import that was broken off is simply repeated.
const WINDOW: Duration = Duration::from_hours(24 * 365);

/// One event with all that is needed to store it elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedEvent {
    /// Its stable name where it was exported.
    pub id: String,
    /// Its place there.
    pub position: u64,
    /// The source that it came in by.
    pub source: String,
    #[serde(rename = "type")]
    pub event_type: String,
    pub received_at: Timestamp,
    pub data_root: DataRoot,
    pub headers: Vec<(String, Exact)>,
    /// The parameters of its query, as they were written.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub query: String,
    /// The event that it is an edited copy of, where it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The raw body.
    pub body: Exact,
    /// What makes a repeat of it, where that is remembered; older exports have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dedupe: Option<ExportedDedupe>,
    /// How each handler's delivery stood.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub deliveries: BTreeMap<String, ExportedState>,
}

/// How a delivery stood. All times are of the wall clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportedState {
    /// The handler was done with it.
    Settled,
    /// It was not tried yet.
    Open,
    /// To be tried again.
    #[serde(rename = "retry")]
    Waiting {
        /// Not before this moment.
        due: Timestamp,
        attempts: u32,
        first_attempt_at: Option<Timestamp>,
        /// The key of `order_by` whose later events wait for it, in hexadecimal digits.
        order_key: Option<String>,
    },
    Dead {
        died_at: Option<Timestamp>,
        reason: String,
        attempts: u32,
        /// The key of `order_by` whose later events wait for it, in hexadecimal digits.
        order_key: Option<String>,
    },
}

/// What makes a repeat of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedDedupe {
    /// In hexadecimal digits.
    pub key: String,
    /// How long it is remembered after the event came in.
    pub window_ms: u64,
}

/// Bytes, as text where they are text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exact {
    /// UTF-8.
    Text(String),
    /// Anything else.
    Base64(String),
}

/// Why a line is no event.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    #[error("the source: {0}")]
    Source(#[from] BadName),
    #[error("the id: {0}")]
    Id(#[from] BadEventId),
    #[error("the handler of a delivery: {0}")]
    Handler(BadName),
    #[error("the dedupe key `{0}`: it is 32 hexadecimal digits")]
    DedupeKey(String),
    #[error("the order key `{0}`: it is 32 hexadecimal digits")]
    OrderKey(String),
    #[error("base64: {0}")]
    Base64(#[from] base64::DecodeError),
}

impl Exact {
    /// `bytes`, as text where they are text.
    pub fn new(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64(STANDARD.encode(bytes)),
        }
    }

    pub fn into_bytes(self) -> Result<Vec<u8>, ExportError> {
        match self {
            Self::Text(text) => Ok(text.into_bytes()),
            Self::Base64(text) => Ok(STANDARD.decode(text)?),
        }
    }
}

impl ExportedEvent {
    pub fn new(event: &Event) -> Self {
        let headers = event.headers.iter();
        Self {
            id: event.id.to_string(),
            position: event.position.0,
            source: event.source.to_string(),
            event_type: event.event_type.to_string(),
            received_at: event.received_at,
            data_root: event.data_root,
            headers: headers.map(|(name, value)| (name.to_owned(), Exact::new(value))).collect(),
            query: event.headers.query_text(),
            parent: event.parent().map(|parent| parent.to_string()),
            body: Exact::new(&event.body),
            dedupe: None,
            deliveries: BTreeMap::new(),
        }
    }

    /// The same with what makes a repeat of it. Which requests were not answered is a matter of minutes.
    #[must_use]
    pub fn with_dedupe(self, dedupe: Dedupe) -> Self {
        let dedupe = match dedupe {
            Dedupe::Within { key, window } => {
                Some(ExportedDedupe { key: hex::encode(key.0), window_ms: whole_millis(window) })
            }
            Dedupe::Off | Dedupe::Unanswered { .. } => None,
        };
        Self { dedupe, ..self }
    }

    /// What its sender's repeats are known by, where that is still remembered `now`.
    pub(super) fn senders_key(&self, now: Timestamp) -> Result<Option<Dedupe>, ExportError> {
        let Some(ExportedDedupe { key: text, window_ms }) = &self.dedupe else { return Ok(None) };
        let mut key = [0; 16];
        let decoded = hex::decode_to_slice(text, &mut key);
        decoded.map_err(|_| ExportError::DedupeKey(text.clone()))?;
        let window = Duration::from_millis(*window_ms);
        let is_remembered = now < self.received_at.after(window);
        Ok(is_remembered.then_some(Dedupe::Within { key: DedupeKey(key), window }))
    }

    #[must_use]
    pub fn with_deliveries(self, deliveries: Vec<(HandlerName, CarriedState)>) -> Self {
        let deliveries = deliveries.into_iter();
        let told = deliveries.map(|(handler, state)| (handler.to_string(), state.into()));
        Self { deliveries: told.collect(), ..self }
    }

    /// How its deliveries stood.
    pub fn carried(&self) -> Result<Vec<(HandlerName, CarriedState)>, ExportError> {
        let carried = self.deliveries.iter().map(|(handler, state)| {
            let handler = HandlerName::parse(handler).map_err(ExportError::Handler)?;
            Ok((handler, state.carried()?))
        });
        carried.collect()
    }

    /// The event with its own name and place.
    pub fn into_stored(self) -> Result<Event, ExportError> {
        let (id, position) = (self.id.parse()?, Position(self.position));
        Ok(Event::new(self.into_event()?, id, position))
    }

    /// The event as it came in, known by its old id: the same import may be made again.
    pub fn into_event(self) -> Result<NewEvent, ExportError> {
        let source = SourceName::parse(&self.source)?;
        let mut headers = Headers::builder();
        for (name, value) in self.headers {
            headers.push(&name, &value.into_bytes()?);
        }
        let parent = self.parent.as_deref().map(str::parse).transpose()?;
        Ok(NewEvent {
            dedupe: imported_key(&source, &self.id),
            source,
            event_type: EventType::new(&self.event_type),
            received_at: self.received_at,
            data_root: self.data_root,
            is_json: false,
            headers: match (parent, self.query.as_str()) {
                (None, "") => headers.finish(),
                (parent, query) => {
                    let arrival = Arrival { parent, ..Arrival::default() };
                    headers.finish().with_arrival(&arrival, query)
                }
            },
            body: self.body.into_bytes()?.into(),
        })
    }
}

/// What an import of the event with this id is known by.
pub(super) fn imported_key(source: &SourceName, id: &str) -> Dedupe {
    let delivery_id = format!("imported {id}");
    Dedupe::Within { key: dedupe_key(source, Some(&delivery_id), b""), window: WINDOW }
}

impl From<CarriedState> for ExportedState {
    fn from(state: CarriedState) -> Self {
        let hex = |key: Option<OrderKey>| key.map(|key| hex::encode(key.0));
        match state {
            CarriedState::Settled => Self::Settled,
            CarriedState::Open => Self::Open,
            CarriedState::Waiting { due, attempts, first_attempt_at, order_key } => {
                Self::Waiting { due, attempts, first_attempt_at, order_key: hex(order_key) }
            }
            CarriedState::Dead { died_at, reason, attempts, order_key } => {
                let (reason, order_key) = (reason.as_str().to_owned(), hex(order_key));
                Self::Dead { died_at, reason, attempts, order_key }
            }
        }
    }
}

impl ExportedState {
    fn carried(&self) -> Result<CarriedState, ExportError> {
        let key = |text: &Option<String>| -> Result<Option<OrderKey>, ExportError> {
            let Some(text) = text else { return Ok(None) };
            let mut key = [0; 16];
            let decoded = hex::decode_to_slice(text, &mut key);
            decoded.map_err(|_| ExportError::OrderKey(text.clone()))?;
            Ok(Some(OrderKey(key)))
        };
        Ok(match self {
            Self::Settled => CarriedState::Settled,
            Self::Open => CarriedState::Open,
            Self::Waiting { due, attempts, first_attempt_at, order_key } => CarriedState::Waiting {
                due: *due,
                attempts: *attempts,
                first_attempt_at: *first_attempt_at,
                order_key: key(order_key)?,
            },
            Self::Dead { died_at, reason, attempts, order_key } => CarriedState::Dead {
                died_at: *died_at,
                reason: ErrorText::new(reason),
                attempts: *attempts,
                order_key: key(order_key)?,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventId;

    fn order_paid() -> NewEvent {
        let at = Timestamp::from_millis(1_398_399_458_306);
        NewEvent::new(SourceName::parse("shop").unwrap(), "order.paid", at, "")
    }

    fn event(new: NewEvent) -> Event {
        Event::new(new, EventId(uuid::Uuid::nil()), Position(7))
    }

    #[test]
    fn an_edited_copy_comes_back_with_its_parent_and_query() {
        let arrival =
            Arrival { parent: Some(EventId(uuid::Uuid::from_u128(9))), ..Arrival::default() };
        for query in ["", "a=1&b"] {
            let headers = Headers::default().with_arrival(&arrival, query);
            let event = event(NewEvent { headers, ..order_paid() });
            let line = serde_json::to_string(&ExportedEvent::new(&event)).unwrap();
            let back: ExportedEvent = serde_json::from_str(&line).unwrap();
            assert_eq!(back.into_event().unwrap().headers, event.headers, "{line}");
            let wrong = line.replace("00000000-0000-0000-0000-000000000009", "nobody");
            let wrong: ExportedEvent = serde_json::from_str(&wrong).unwrap();
            assert!(matches!(wrong.into_event(), Err(ExportError::Id(_))));
        }
    }

    #[test]
    fn an_event_comes_back_from_its_line() {
        let headers: [(&str, &[u8]); 2] = [("host", b"a"), ("x-odd", b"\xff\x00")];
        for body in [&b"{\"a\":\"\\/\"}"[..], b"\xff\xfe", b""] {
            let event = event(NewEvent {
                data_root: DataRoot::Data,
                headers: headers.into_iter().collect(),
                body: bytes::Bytes::copy_from_slice(body),
                ..order_paid()
            });
            let line = serde_json::to_string(&ExportedEvent::new(&event)).unwrap();
            let back: ExportedEvent = serde_json::from_str(&line).unwrap();
            let back = back.into_event().unwrap();
            assert_eq!(back.body, event.body);
            assert_eq!(back.headers, event.headers);
            assert_eq!(back.received_at, event.received_at);
            assert_eq!(back.data_root, event.data_root);
            assert_eq!((&back.source, &back.event_type), (&event.source, &event.event_type));
        }
    }
}
