//! The words that every floor shares: an event, its names, and what becomes of its deliveries.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::body::{self, Payload, UnreadableBody};
use crate::clock::Timestamp;

mod arrival;
mod delivery;
mod glob;
mod headers;
mod outcome;
mod output;

pub use arrival::{Arrival, KnownBy};
pub use delivery::{Delivery, Origin, Settlement};
pub use glob::Glob;
pub use headers::{Headers, HeadersBuilder};
pub use outcome::{
    Attempt, ErrorText, Failure, FailureClass, FailureKind, OrderKey, Outcome, Progress,
};
pub use output::{Excerpt, Output, Stream};

/// A text that is no event's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an event's id")]
pub struct BadEventId(pub String);

/// The stable name of an event: a UUID of version 7 (RFC 9562), given by the queue when it stores
/// the event. Ids ascend in the order of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(pub Uuid);

impl EventId {
    /// The id of what is no event: a list without items has an answer all the same.
    pub const NONE: Self = Self(Uuid::nil());
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for EventId {
    type Err = BadEventId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self).map_err(|_| BadEventId(text.to_owned()))
    }
}

/// An event's place in the log: 1 is the first event ever stored, each next one is one more.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Position(pub u64);

impl Position {
    /// The place right behind this one. The last one has none, and a request may name it.
    #[must_use]
    pub const fn next(self) -> Self {
        self.after(1)
    }

    /// The place right before this one: 0, which no event has, is before the first.
    #[must_use]
    pub const fn previous(self) -> Self {
        self.before(1)
    }

    /// `n_events` places further on, at most the last one.
    #[must_use]
    pub const fn after(self, n_events: u64) -> Self {
        Self(self.0.saturating_add(n_events))
    }

    /// `n_events` places further back, at least 0.
    #[must_use]
    pub const fn before(self, n_events: u64) -> Self {
        Self(self.0.saturating_sub(n_events))
    }

    /// How many places there are from this one to before `end`; 0 where `end` is not behind it.
    pub const fn events_until(self, end: Self) -> u64 {
        end.0.saturating_sub(self.0)
    }

    /// How many places there are from `earlier`, which is never behind this one, to before this.
    pub fn events_since(self, earlier: Self) -> u64 {
        debug_assert!(earlier <= self, "{earlier:?} is behind {self:?}");
        earlier.events_until(self)
    }
}

/// A name that cannot stand for a source or a handler.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a name: use 1 to 64 of a-z, 0-9, `-` and `_`, with a letter or digit first")]
pub struct BadName(pub String);

fn check_name(text: &str) -> Result<Arc<str>, BadName> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let starts_well = text.chars().next().is_some_and(is_plain);
    let is_good = starts_well
        && text.len() <= 64
        && text.chars().all(|c| is_plain(c) || c == '-' || c == '_');
    if is_good { Ok(text.into()) } else { Err(BadName(text.to_owned())) }
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `text` once; the type is the proof from then on.
            pub fn parse(text: &str) -> Result<Self, BadName> {
                check_name(text).map(Self)
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                Self::parse(&Cow::<str>::deserialize(from)?).map_err(serde::de::Error::custom)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }
    };
}

name_type! {
    /// The name of a source: the last part of `POST /hooks/{source}`.
    SourceName
}
name_type! {
    /// The name of a handler, and so of its subscription.
    HandlerName
}

/// What happened, in the provider's own words (`comment.create`). Opaque: any text of 1 to 256
/// bytes without control characters; what is longer or empty is `unknown`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventType(Arc<str>);

impl EventType {
    /// The type of a body in which no type was found.
    pub const UNKNOWN: &'static str = "unknown";
    /// The longest type that is kept, in bytes.
    pub const BYTES_MAX: usize = 256;

    /// `text` as a type, or `unknown` where it cannot be one.
    pub fn new(text: &str) -> Self {
        let is_good =
            (1..=Self::BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
        Self(if is_good { text } else { Self::UNKNOWN }.into())
    }

    /// The type of a body in which no type was found.
    pub fn unknown() -> Self {
        Self(Self::UNKNOWN.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// Where `data` begins in an event's payload: a property of the provider, kept with the event so
/// that an expression means the same when the source is gone from the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataRoot {
    /// `data` is `payload`.
    Payload,
    /// `data` is `payload.data`: UserEcho and Hyvor Talk.
    Data,
    /// `data` is the body's own field `payload`: Hyvor Relay.
    InnerPayload,
}

impl DataRoot {
    /// The payload's own field that `data` is; `None` = it is the payload.
    pub const fn field(self) -> Option<&'static str> {
        match self {
            Self::Payload => None,
            Self::Data => Some("data"),
            Self::InnerPayload => Some("payload"),
        }
    }
}

/// A verified request on its way into the queue, which gives it its id and position.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// The source that it came in by.
    pub source: SourceName,
    /// What happened, in the provider's words.
    pub event_type: EventType,
    /// When the request's head was read, by the wall clock.
    pub received_at: Timestamp,
    /// Where `data` begins in the payload.
    pub data_root: DataRoot,
    /// Whether the body was found to be JSON by the letter when it came in, which any reader takes
    /// as it stands. `false` = it is not, or was not checked.
    pub is_json: bool,
    /// All request headers.
    pub headers: Headers,
    /// The raw body, byte for byte.
    pub body: Bytes,
    /// What makes a second copy of this event a duplicate.
    pub dedupe: Dedupe,
}

impl NewEvent {
    /// An event whose payload is its data, without headers, of which nothing makes a duplicate.
    pub fn new(
        source: SourceName,
        event_type: &str,
        received_at: Timestamp,
        body: impl Into<Bytes>,
    ) -> Self {
        Self {
            source,
            event_type: EventType::new(event_type),
            received_at,
            data_root: DataRoot::Payload,
            is_json: false,
            headers: Headers::default(),
            body: body.into(),
            dedupe: Dedupe::Off,
        }
    }
}

/// What makes an event a duplicate of an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dedupe {
    /// Nothing: two equal requests are two events.
    Off,
    /// The same key within `window` before it.
    Within {
        /// Equal for two requests that are the same event.
        key: DedupeKey,
        /// How long a key is remembered after the event that brought it.
        window: Duration,
    },
    /// The same key within [`Dedupe::UNANSWERED`], where the answer to the earlier request cannot
    /// have arrived: its sender tries again, while an equal request after an answer is another
    /// event.
    Unanswered {
        /// Equal for two requests that may be the same event.
        key: DedupeKey,
    },
}

impl Dedupe {
    /// How long an event is remembered whose sender got no answer: UserEcho and most others try
    /// again within 5 minutes.
    pub const UNANSWERED: Duration = Duration::from_mins(10);

    /// The key of what is repeated only where the answer cannot have arrived.
    pub fn unanswered_key(self) -> Option<DedupeKey> {
        if let Self::Unanswered { key } = self { Some(key) } else { None }
    }
}

/// The first 16 bytes of a SHA-256 over the source and the delivery id or body: two keys collide
/// by chance once in about 10^19 events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DedupeKey(pub [u8; 16]);

/// What may stand around JSON (RFC 8259).
const WHITE_SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// A stored event: its parts are read as if they were its own fields.
#[derive(Debug)]
pub struct Event {
    pub id: EventId,
    /// Its place in the log.
    pub position: Position,
    /// What came in. Its `dedupe` is always [`Dedupe::Off`]: which key makes a repeat of it is told apart.
    pub received: NewEvent,
    /// The body as it is read, made when an expression first asks for it and then shared by all
    /// handlers that have this event at the same time: reading costs far more than evaluating.
    payload: OnceLock<Result<Payload, UnreadableBody>>,
}

impl Event {
    /// A stored event out of what came in and what the queue gave it.
    pub fn new(new: NewEvent, id: EventId, position: Position) -> Self {
        let received = NewEvent { dedupe: Dedupe::Off, ..new };
        Self { id, position, received, payload: OnceLock::new() }
    }

    /// The event that it is an edited copy of.
    pub fn parent(&self) -> Option<EventId> {
        self.headers.arrival()?.parent
    }

    /// The body as it is read.
    pub fn payload(&self) -> Result<&Payload, &UnreadableBody> {
        let payload = self.payload.get_or_init(|| {
            let (content_type, encoding) = ("content-type", "content-encoding");
            body::read(self.headers.get(content_type), self.headers.get(encoding), &self.body)
        });
        payload.as_ref()
    }

    /// The provider's data root within the payload; undefined where there is none. Of a payload
    /// that is text it is the text.
    pub fn data(&self) -> Result<minijinja::Value, &UnreadableBody> {
        let payload = self.payload()?;
        Ok(match self.data_root.field().filter(|_| !payload.is_text()) {
            None => payload.value().clone(),
            Some(field) => payload.value().get_attr(field).unwrap_or_default(),
        })
    }

    /// The body as JSON text for people and programs; `None` = it is empty.
    pub fn json(&self) -> Result<Option<Cow<'_, str>>, &UnreadableBody> {
        // Who looked when it came in need not look again: it would cost as much as all the rest.
        if self.is_json
            && let Ok(text) = std::str::from_utf8(&self.body)
        {
            return Ok(Some(Cow::Borrowed(text.trim_matches(WHITE_SPACE))));
        }
        let payload = self.payload()?;
        if payload.is_own_json()
            && let Ok(text) = std::str::from_utf8(&self.body)
        {
            return Ok(Some(Cow::Borrowed(text.trim_matches(WHITE_SPACE))));
        }
        Ok(payload.to_json().map(Cow::Owned))
    }
}

impl Deref for Event {
    type Target = NewEvent;

    fn deref(&self) -> &NewEvent {
        &self.received
    }
}

#[cfg(test)]
mod tests;
