//! Events, names and outcomes in few words.

use std::time::Duration;

use futures_util::FutureExt;
use gatepost::clock::Timestamp;
use gatepost::event::{
    Attempt, Delivery, ErrorText, HandlerName, Headers, NewEvent, OrderKey, Outcome, Settlement,
    SourceName,
};
use gatepost::queue::embedded::EmbeddedQueue;
use gatepost::queue::{Queue, Start, Subscription};

use super::clock::BEGINNING;

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
        headers: headers.finish(),
        ..NewEvent::new(source("shop"), event_type, received_at, body.to_owned())
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

/// Settles a delivery, with a try where the outcome is of one.
pub(crate) async fn settle(subscription: &dyn Subscription, delivery: Delivery, outcome: Outcome) {
    let end = match outcome {
        Outcome::Skipped | Outcome::Held { .. } => untried(outcome),
        Outcome::Delivered | Outcome::Retry { .. } | Outcome::Dead { .. } => {
            tried(outcome, BEGINNING, "")
        }
    };
    subscription.settle(settlement(delivery, end)).await.unwrap();
}

/// All that is due just now.
pub(crate) fn take_due(subscription: &dyn Subscription) -> Vec<Delivery> {
    let mut taken = Vec::new();
    while let Some(more) = subscription.next(1_000).now_or_never() {
        taken.extend(more.unwrap());
    }
    taken
}

pub(crate) async fn subscribe(queue: &EmbeddedQueue, name: &str) -> Box<dyn Subscription> {
    queue.subscribe(&handler(name), Start::Oldest).await.unwrap()
}
