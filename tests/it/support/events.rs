//! Events, names and outcomes in few words.

use std::time::Duration;

use bytes::Bytes;
use gatepost::clock::Timestamp;
use gatepost::event::{
    Attempt, DataRoot, Dedupe, Delivery, ErrorText, EventType, HandlerName, Headers, NewEvent,
    OrderKey, Outcome, Settlement, SourceName,
};

pub(crate) fn handler(name: &str) -> HandlerName {
    HandlerName::parse(name).unwrap()
}

pub(crate) fn source(name: &str) -> SourceName {
    SourceName::parse(name).unwrap()
}

/// An event of source `shop` without dedupe.
pub(crate) fn new_event(event_type: &str, body: &str, received_at: Timestamp) -> NewEvent {
    let mut headers = Headers::builder();
    headers.push("content-type", b"application/json");
    NewEvent {
        source: source("shop"),
        event_type: EventType::new(event_type),
        received_at,
        data_root: DataRoot::Payload,
        is_json: false,
        headers: headers.finish(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        dedupe: Dedupe::Off,
    }
}

pub(crate) fn key(n: u8) -> OrderKey {
    OrderKey([n; 16])
}

/// An outcome, and the try that led to it.
pub(crate) type End = (Outcome, Option<Attempt>);

pub(crate) fn settlement(delivery: Delivery, (outcome, attempt): End) -> Settlement {
    Settlement { delivery, outcome, attempt }
}

pub(crate) fn tried(outcome: Outcome, started_at: Timestamp, error: &str) -> End {
    let attempt = Attempt {
        started_at,
        duration: Duration::from_millis(7),
        error: ErrorText::new(error),
        status: (!error.is_empty()).then_some(503),
        ..Attempt::default()
    };
    (outcome, Some(attempt))
}

pub(crate) fn untried(outcome: Outcome) -> End {
    (outcome, None)
}
