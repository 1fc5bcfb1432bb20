//! The metrics' names and help texts. The registry writes `gatepost_` before each name, and
//! `_total` behind a counter's.

use prometheus_client::registry::Registry;

use super::labels::{DeliveryLabels, HandlerLabels, NoLabels, RequestLabels, SecretLabels};
use super::{Count, Counter, Family, Histogram, Info, Seconds};

pub(super) fn build_info(registry: &mut Registry) {
    let info = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("build", "The running version", info);
}

pub(super) fn requests(registry: &mut Registry) -> Family<RequestLabels, Counter> {
    let family = Family::default();
    registry.register("requests", "Requests to the hook routes", family.clone());
    family
}

pub(super) fn ack(registry: &mut Registry) -> Histogram {
    let histogram = Histogram::new(ACK_SECONDS);
    registry.register("ack_seconds", "From a request's head to its 200", histogram.clone());
    histogram
}

pub(super) fn commit(registry: &mut Registry) -> Histogram {
    let histogram = Histogram::new(ACK_SECONDS);
    registry.register("commit_seconds", "One durable commit of the queue", histogram.clone());
    histogram
}

pub(super) fn commit_events(registry: &mut Registry) -> Histogram {
    let histogram = Histogram::new(COMMIT_EVENTS);
    registry.register("commit_events", "Events in one durable commit", histogram.clone());
    histogram
}

pub(super) fn queue_events(registry: &mut Registry) -> Count {
    let gauge = Count::default();
    registry.register("queue_events", "Retained events", gauge.clone());
    gauge
}

pub(super) fn queue_bytes(registry: &mut Registry) -> Count {
    let gauge = Count::default();
    registry.register("queue_bytes", "Bytes of the queue on disk", gauge.clone());
    gauge
}

pub(super) fn queue_lag_bytes(registry: &mut Registry) -> Count {
    let gauge = Count::default();
    registry.register(
        "queue_lag_bytes",
        "Bytes of the log that the index has not taken in yet",
        gauge.clone(),
    );
    gauge
}

pub(super) fn queue_damages(registry: &mut Registry) -> Count {
    let gauge = Count::default();
    registry.register("queue_damages", "Damaged places found in the log", gauge.clone());
    gauge
}

pub(super) fn backlog(registry: &mut Registry) -> Family<HandlerLabels, Count> {
    let family = Family::default();
    registry.register("backlog_events", "Events not settled yet; what a handler's on or when leaves out counts until it comes to it", family.clone());
    family
}

pub(super) fn oldest_pending(registry: &mut Registry) -> Family<HandlerLabels, Seconds> {
    let family = Family::default();
    registry.register(
        "oldest_pending_seconds",
        "How long the oldest event that is not settled has waited, one that the handler will leave out or not",
        family.clone(),
    );
    family
}

pub(super) fn dead_letters(registry: &mut Registry) -> Family<HandlerLabels, Count> {
    let family = Family::default();
    registry.register("dead_letters", "Deliveries given up", family.clone());
    family
}

pub(super) fn deliveries(registry: &mut Registry) -> Family<DeliveryLabels, Counter> {
    let family = Family::default();
    registry.register("deliveries", "Settled deliveries", family.clone());
    family
}

pub(super) fn delivery(
    registry: &mut Registry,
) -> Family<HandlerLabels, Histogram, fn() -> Histogram> {
    let new: fn() -> Histogram = || Histogram::new(DELIVERY_SECONDS);
    let family = Family::new_with_constructor(new);
    registry.register("delivery_seconds", "One call of a handler", family.clone());
    family
}

pub(super) fn secret_matched(registry: &mut Registry) -> Family<SecretLabels, Seconds> {
    let family = Family::default();
    registry.register(
        "secret_last_matched_timestamp_seconds",
        "When a request was last signed with this secret, counted from 0 in the configuration",
        family.clone(),
    );
    family
}

pub(super) fn certificate_end(registry: &mut Registry) -> Family<NoLabels, Seconds> {
    let family = Family::default();
    registry.register(
        "certificate_end_timestamp_seconds",
        "When the public listener's certificate ends",
        family.clone(),
    );
    family
}

pub(super) fn standby_connected(registry: &mut Registry) -> Family<NoLabels, Count> {
    let family = Family::default();
    registry.register("standby_connected", "Whether a standby follows", family.clone());
    family
}

pub(super) fn standby_lag(registry: &mut Registry) -> Family<NoLabels, Seconds> {
    let family = Family::default();
    registry.register(
        "standby_lag_seconds",
        "How long the log has had something that the standby's copy has not",
        family.clone(),
    );
    family
}

pub(super) fn standby_lag_bytes(registry: &mut Registry) -> Family<NoLabels, Count> {
    let family = Family::default();
    registry.register(
        "standby_lag_bytes",
        "Bytes of the log that the standby's copy has not",
        family.clone(),
    );
    family
}

/// From one fast sync to the commit's deadline.
const ACK_SECONDS: [f64; 14] =
    [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 8.0];

/// Powers of four up to the largest batch.
const COMMIT_EVENTS: [f64; 7] = [1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0];

/// From an append to a file to the usual longest timeout.
const DELIVERY_SECONDS: [f64; 11] =
    [0.0001, 0.001, 0.005, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0];
