//! What an expression sees of an event.

use std::fmt;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object};
use minijinja::{Error, ErrorKind, Value};

use crate::body::{self, UnreadableBody};
use crate::event::{Delivery, Event, EventId, Headers};

/// What of an event an expression names; `events` is a list of these three.
pub const ROOTS: [&str; 3] = ["event", "payload", "data"];

/// What an expression sees. Cheap to make and to clone; a body is parsed when an expression first
/// asks for it, and then once for all handlers.
#[derive(Clone, Debug)]
pub struct Scope(Value);

impl Scope {
    /// One event: `event`, `payload`, `data`; `events` is the list of just this one.
    pub fn of(event: &Arc<Event>) -> Self {
        Self(Value::from_object(Root { first: Some(Arc::clone(event)), others: Vec::new() }))
    }

    /// A batch: `events`, each with `event`, `payload` and `data`; the three at the top are those
    /// of the first event.
    pub fn of_batch(deliveries: &[Delivery]) -> Self {
        Self::of_events(deliveries.iter().map(|delivery| &delivery.event))
    }

    /// The same for some of a batch.
    pub fn of_events<'a>(events: impl Iterator<Item = &'a Arc<Event>>) -> Self {
        let mut events = events.map(Arc::clone);
        Self(Value::from_object(Root { first: events.next(), others: events.collect() }))
    }

    pub(super) fn value(&self) -> Value {
        self.0.clone()
    }
}

/// The top of the scope.
struct Root {
    first: Option<Arc<Event>>,
    others: Vec<Arc<Event>>,
}

/// Ids only: no content of an event goes into a log.
impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let events = self.first.iter().chain(&self.others);
        f.debug_list().entries(events.map(|event| event.id)).finish()
    }
}

impl Object for Root {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        if key == "events" {
            let events = self.first.iter().chain(&self.others);
            return Some(events.map(|event| Value::from_object(Item(Arc::clone(event)))).collect());
        }
        Item::field(self.first.as_ref()?, key)
    }
}

/// One of `events`.
struct Item(Arc<Event>);

impl Item {
    fn field(event: &Arc<Event>, key: &str) -> Option<Value> {
        match key {
            "event" => Some(Value::from_object(Fields(Arc::clone(event)))),
            "payload" => Some(match event.payload() {
                Ok(payload) => payload.value().clone(),
                Err(err) => unreadable(err),
            }),
            "data" => Some(event.data().unwrap_or_else(unreadable)),
            // What the two are rewritten to where a field of them is asked for.
            "payload_fields" | "data_fields" => Some(match event.payload() {
                Ok(payload) if payload.is_text() => {
                    let message = "the body is text, which has no fields";
                    Value::from(Error::new(ErrorKind::InvalidOperation, message))
                }
                Ok(payload) if key == "payload_fields" => payload.value().clone(),
                Ok(_) => event.data().unwrap_or_else(unreadable),
                Err(err) => unreadable(err),
            }),
            _ => None,
        }
    }
}

/// A value that makes whatever asks for it fail with the reader's own words.
fn unreadable(err: &UnreadableBody) -> Value {
    Value::from(Error::new(ErrorKind::InvalidOperation, err.to_string()))
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.id.fmt(f)
    }
}

impl Object for Item {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        Self::field(&self.0, key)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&["event", "payload", "data"])
    }
}

/// `event`.
struct Fields(Arc<Event>);

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.id.fmt(f)
    }
}

impl Object for Fields {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let event = &self.0;
        match key {
            // An id of zeros would be taken for one.
            "id" if event.id == EventId::NONE => Some(Value::from("")),
            "id" => Some(Value::from(event.id.to_string())),
            "source" => Some(Value::from(event.source.as_str())),
            "type" => Some(Value::from(event.event_type.as_str())),
            "received_at" => Some(Value::from(event.received_at.to_string())),
            "headers" => Some(Value::from_object(HeaderFields(event.headers.clone()))),
            "query" => Some(body::query(&event.headers.query_text())),
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&["id", "source", "type", "received_at", "headers", "query"])
    }
}

/// `event.headers`: a value by its name in any case, `user_agent` for `user-agent`. Repeated
/// headers are joined by `, ` as RFC 9110 has it; bytes that are not UTF-8 become `�`.
struct HeaderFields(Headers);

impl fmt::Debug for HeaderFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl HeaderFields {
    fn joined(&self, name: &str) -> Option<Value> {
        let mut values = self.0.get_all(name).map(String::from_utf8_lossy);
        let first = values.next()?.into_owned();
        let joined = values.fold(first, |joined, value| format!("{joined}, {value}"));
        Some(Value::from(joined))
    }
}

impl Object for HeaderFields {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let name = key.to_ascii_lowercase();
        self.joined(&name).or_else(|| self.joined(&name.replace('_', "-")))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let mut names: Vec<Value> = Vec::new();
        for (name, _) in self.0.iter() {
            let name = Value::from(name);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Enumerator::Values(names)
    }
}
