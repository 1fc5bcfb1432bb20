//! What a queue holds, as text: asked through the traits only, so that it says the same whatever
//! keeps it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use gatepost::clock::ManualClock;
use gatepost::event::{Delivery, Event, HandlerName, Outcome};
use gatepost::queue::{
    Appended, AttemptRecord, DeadFilter, DeliveryState, EventQuery, ListOrder, Queue, Start,
    Subscription,
};
use sha2::{Digest, Sha256};

use super::scenario::{ORDERED, copies, order_key};
use crate::support::events::{settlement, take_due, untried};

/// How long is waited for more deliveries, step by step.
const STEPS: [(&str, Duration); 4] = [
    ("at once", Duration::ZERO),
    ("4 hours later", Duration::from_hours(4)),
    ("a day later", Duration::from_hours(24)),
    ("100 days later", Duration::from_hours(2_400)),
];

/// All that the queue holds. Uses it up: at the end everything is delivered.
pub(super) async fn describe(queue: &dyn Queue, clock: &ManualClock) -> String {
    let events = events(queue).await;
    let mut text = String::from("# Events that are there\n");
    for event in &events {
        writeln!(text, "{}", of_event(event)).unwrap();
    }
    text.push_str("\n# Copies, and the event that each repeats\n");
    for (n, copy) in copies() {
        let Appended::Duplicate(id) = queue.append(copy).await.unwrap() else {
            panic!("the copy of {n} was stored")
        };
        writeln!(text, "{n}: {id}").unwrap();
    }
    let handlers: Vec<HandlerName> =
        queue.stats().handlers.into_iter().map(|(name, _)| name).collect();
    for handler in &handlers {
        writeln!(text, "\n# Handler `{handler}`").unwrap();
        backlog(queue, handler, &mut text);
        dead_letters(queue, handler, &mut text).await;
        history(queue, handler, &events, &mut text).await;
    }
    deliveries(queue, clock, &handlers, &mut text).await;
    text
}

async fn events(queue: &dyn Queue) -> Vec<Event> {
    let query = EventQuery { order: ListOrder::Oldest, limit: 1_000, ..EventQuery::default() };
    let events = queue.list(query).await.unwrap();
    for event in &events {
        assert_eq!(queue.get(event.id).await.unwrap().unwrap().position, event.position);
    }
    events
}

fn of_event(event: &Event) -> String {
    let headers: Vec<String> = event
        .headers
        .iter()
        .map(|(name, value)| format!("{name}={}", value.escape_ascii()))
        .collect();
    format!(
        "{} {} {} {}:{} {:?} json={} [{}] {} bytes, sha256 {}",
        event.position.0,
        event.id,
        event.received_at,
        event.source,
        event.event_type,
        event.data_root,
        event.is_json,
        headers.join(" "),
        event.body.len(),
        hex::encode(Sha256::digest(&event.body)),
    )
}

fn backlog(queue: &dyn Queue, handler: &HandlerName, text: &mut String) {
    let stats = queue.stats();
    let (_, backlog) = stats.handlers.iter().find(|(name, _)| name == handler).unwrap();
    let unsettled = backlog.in_log + backlog.waiting;
    let oldest = backlog.oldest_pending_at.map_or("-".into(), |at| at.to_string());
    writeln!(text, "{unsettled} unsettled, the oldest of {oldest}; {} dead", backlog.dead).unwrap();
}

async fn dead_letters(queue: &dyn Queue, handler: &HandlerName, text: &mut String) {
    let filter = DeadFilter { handler: Some(handler.clone()), ..DeadFilter::default() };
    for letter in queue.dead(filter).await.unwrap() {
        writeln!(
            text,
            "dead letter {} after {} tries at {}: {}",
            letter.position.0, letter.attempts, letter.died_at, letter.reason
        )
        .unwrap();
    }
}

/// What became of each event. What is not named waits, and shows below when it comes, or was there
/// before the handler.
async fn history(queue: &dyn Queue, handler: &HandlerName, events: &[Event], text: &mut String) {
    for event in events {
        let histories = queue.history(event.position).await.unwrap();
        let found = histories.into_iter().find(|history| history.handler == *handler);
        // One that came before the handler may be left out.
        let Some(history) = found else { continue };
        let state = match history.state {
            // Whether a held one is told apart from one not taken yet is nobody's business.
            DeliveryState::Pending | DeliveryState::Held if history.attempts.is_empty() => continue,
            DeliveryState::Pending | DeliveryState::Held => "waits",
            DeliveryState::Delivered => "delivered",
            DeliveryState::Skipped => "skipped",
            DeliveryState::Retry => "retry",
            DeliveryState::Dead => "dead",
        };
        let attempts: String = history.attempts.iter().map(of_attempt).collect();
        writeln!(text, "{} {state}{attempts}", event.position.0).unwrap();
    }
}

fn of_attempt(attempt: &AttemptRecord) -> String {
    let AttemptRecord { number, started_at, duration, led_to, error, status, .. } = attempt;
    let status = status.map_or(String::new(), |status| format!(" {status} {error}"));
    format!("; try {number} at {started_at}, {duration:?}, {led_to:?}{status}")
}

/// Delivers everything, in the order of the keys where the handler asks for that.
async fn deliveries(
    queue: &dyn Queue,
    clock: &ManualClock,
    handlers: &[HandlerName],
    text: &mut String,
) {
    let mut subscriptions = Vec::new();
    for handler in handlers {
        // A handler that has a place keeps it.
        let subscription = queue.subscribe(handler, Start::Now).await.unwrap();
        subscriptions.push((handler, subscription));
    }
    for (when, wait) in STEPS {
        clock.advance(wait);
        for (handler, subscription) in &subscriptions {
            writeln!(text, "\n# `{handler}` gets {when}").unwrap();
            deliver(handler, &**subscription, text).await;
        }
    }
    let n_dropped = queue.drop_dead(DeadFilter::default()).await.unwrap();
    writeln!(text, "\n# Dead letters that are dropped: {n_dropped}").unwrap();
    for (handler, subscription) in &subscriptions {
        writeln!(text, "\n# `{handler}` gets without them").unwrap();
        deliver(handler, &**subscription, text).await;
        let backlog = subscription.backlog();
        assert_eq!((backlog.in_log, backlog.waiting, backlog.dead), (0, 0, 0), "{handler}");
    }
}

async fn deliver(handler: &HandlerName, subscription: &dyn Subscription, text: &mut String) {
    let is_ordered = handler.as_str() == ORDERED;
    // By key, because nothing is said about the order of events with different ones.
    let mut delivered: BTreeMap<String, Vec<String>> = BTreeMap::new();
    loop {
        let due = take_due(subscription);
        if due.is_empty() {
            break;
        }
        for delivery in due {
            let event_type = delivery.event.event_type.as_str().to_owned();
            let key = order_key(&event_type);
            let position = delivery.event.position;
            if is_ordered && subscription.is_key_waiting(key, position).await.unwrap() {
                let held = untried(Outcome::Held { order_key: key });
                subscription.settle(settlement(delivery, held)).await.unwrap();
                continue;
            }
            let line = if is_ordered { event_type } else { String::new() };
            delivered.entry(line).or_default().push(of_delivery(&delivery));
            subscription.settle(settlement(delivery, untried(Outcome::Delivered))).await.unwrap();
        }
    }
    for (key, mut delivered) in delivered {
        if !is_ordered {
            delivered.sort();
        }
        writeln!(text, "{key}{}{}", if is_ordered { ": " } else { "" }, delivered.join(", "))
            .unwrap();
    }
}

fn of_delivery(delivery: &Delivery) -> String {
    let Delivery { event, attempt, first_attempt_at, .. } = delivery;
    match first_attempt_at {
        Some(first) => format!("{:03} (try {attempt} since {first})", event.position.0),
        None if *attempt == 1 => format!("{:03}", event.position.0),
        None => format!("{:03} (try {attempt})", event.position.0),
    }
}
