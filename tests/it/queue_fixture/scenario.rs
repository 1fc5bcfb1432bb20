//! Writes a queue in which everything occurs that a queue can hold, to be kept as a fixture of its
//! form on the disk. What must come out of it is beside the fixture, as text.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gatepost::clock::{Clock, ManualClock};
use gatepost::event::{
    DataRoot, Dedupe, DedupeKey, Delivery, Headers, NewEvent, OrderKey, Outcome, Position,
};
use gatepost::queue::embedded::{EmbeddedQueue, Settings};
use gatepost::queue::{Appended, DeadFilter, Queue, ReplayResult, Start, Subscription};

use crate::support::clock::BEGINNING;
use crate::support::events::{
    End, handler, key, new_event, settlement, source, take_due, tried, untried,
};

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
/// Small, so that the fixture has several.
const SEGMENT_BYTES: u32 = 8 << 10;
/// So many order keys the events have.
const N_KEYS: u64 = 8;
/// Events up to here are old: nearly all of their segments went.
const N_OLD: u64 = 60;
const N_EVENTS: u64 = 130;
/// Handlers took events up to here.
const TAKEN_TO: u64 = 100;

/// The handler whose events with the same type wait for each other.
pub(super) const ORDERED: &str = "ordered";

/// When the last call is made.
pub(super) fn end() -> gatepost::clock::Timestamp {
    BEGINNING.after(2 * HOUR)
}

pub(super) fn settings(folder: &Path, retention: Duration) -> Settings {
    let mut settings = Settings::new(folder);
    settings.segment_bytes = SEGMENT_BYTES;
    settings.disk_reserve = 0;
    settings.retention = retention;
    settings
}

/// The order key of an event's type, which is `k` and a digit.
pub(super) fn order_key(event_type: &str) -> OrderKey {
    key(event_type.strip_prefix('k').unwrap().parse().unwrap())
}

/// Event `n`, which gets position `n`.
fn event(n: u64) -> NewEvent {
    let received_at = BEGINNING.after(Duration::from_secs(10 * n));
    let json = format!("{{\"n\":{n},\"text\":\"{}\"}}", "ä".repeat(20 * small(n % 12)));
    let body = match n {
        25 => vec![b'l'; 20 << 10],
        n if n % 7 == 0 => Vec::new(),
        n if n % 7 == 1 => (0..300).map(|i| u8::try_from(i * n % 251).unwrap() | 0x80).collect(),
        _ => json.into_bytes(),
    };
    let number = n.to_string();
    let headers: &[(&str, &[u8])] =
        &[("content-type", b"application/json"), ("x-n", number.as_bytes()), ("x-odd", b"\xff")];
    let window = window(n);
    let dedupe_key = DedupeKey(u128::from(n).wrapping_mul(0x1234_5678_9abc_def1).to_be_bytes());
    NewEvent {
        source: source(if n.is_multiple_of(2) { "shop" } else { "blog" }),
        data_root: [DataRoot::Payload, DataRoot::Data, DataRoot::InnerPayload][small(n % 3)],
        is_json: n % 7 > 1 && n != 25,
        headers: headers.iter().copied().collect::<Headers>(),
        body: body.into(),
        dedupe: window.map_or(Dedupe::Off, |window| Dedupe::Within { key: dedupe_key, window }),
        ..new_event(&format!("k{}", n % N_KEYS), "", received_at)
    }
}

fn small(n: u64) -> usize {
    usize::try_from(n).unwrap()
}

/// How long a copy of event `n` counts as one, for those where it does.
fn window(n: u64) -> Option<Duration> {
    match n % 5 {
        0 => Some(30 * DAY),
        1 => Some(HOUR),
        _ => None,
    }
}

/// A copy of each event of which copies are still recognised at the end, with its number.
pub(super) fn copies() -> impl Iterator<Item = (u64, NewEvent)> {
    let numbers = (1..=N_EVENTS).filter(|n| window(*n) == Some(30 * DAY));
    numbers.map(|n| (n, NewEvent { received_at: end(), ..event(n) }))
}

/// Whether events with the same key wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    None,
    ByKey,
}

/// The queue that is written, and its clock.
struct Writer {
    queue: EmbeddedQueue,
    clock: Arc<ManualClock>,
}

impl Writer {
    fn open(folder: &Path, retention: Duration, clock: &Arc<ManualClock>) -> Self {
        let queue = EmbeddedQueue::open(settings(folder, retention), clock.clone()).unwrap();
        Self { queue, clock: Arc::clone(clock) }
    }

    async fn append(&self, numbers: std::ops::RangeInclusive<u64>) {
        for n in numbers {
            let appended = self.queue.append(event(n)).await.unwrap();
            let stored = self.queue.get(appended.id()).await.unwrap().unwrap();
            assert_eq!(stored.position, Position(n));
            assert!(matches!(appended, Appended::Stored(_)));
        }
    }

    async fn subscribe(&self, name: &str, start: Start) -> Box<dyn Subscription> {
        self.queue.subscribe(&handler(name), start).await.unwrap()
    }

    /// What was settled before is recorded when this returns.
    async fn record(&self) {
        self.queue.history(Position(u64::MAX)).await.unwrap();
    }

    /// Takes and settles until nothing more is due, a second a round. What is not `wanted` is taken
    /// and not settled.
    async fn handle(
        &self,
        subscription: &dyn Subscription,
        wanted: impl Fn(u64) -> bool,
        outcome: impl Fn(&Self, &Delivery) -> End,
        order: Order,
    ) {
        loop {
            let mut n_settled = 0;
            for delivery in take_due(subscription) {
                let position = delivery.event.position;
                let order_key = order_key(delivery.event.event_type.as_str());
                if !wanted(position.0) {
                    continue;
                }
                let must_wait = order == Order::ByKey
                    && subscription.is_key_waiting(order_key, position).await.unwrap();
                let end = if must_wait {
                    untried(Outcome::Held { order_key })
                } else {
                    outcome(self, &delivery)
                };
                subscription.settle(settlement(delivery, end)).await.unwrap();
                n_settled += 1;
            }
            self.record().await;
            self.clock.advance(Duration::from_secs(1));
            if n_settled == 0 {
                return;
            }
        }
    }

    fn tried(&self, outcome: Outcome) -> End {
        let error = match outcome {
            Outcome::Retry { .. } => "refused",
            Outcome::Dead { .. } => "gone for good: \"ä\"",
            Outcome::Delivered | Outcome::Skipped | Outcome::Held { .. } => "",
        };
        tried(outcome, self.clock.now(), error)
    }

    fn retry_in(&self, wait: Duration, order_key: Option<OrderKey>) -> End {
        let at = self.clock.steady().after(wait);
        self.tried(Outcome::Retry { at, order_key })
    }

    fn plain(&self, delivery: &Delivery) -> End {
        match (delivery.event.position.0, delivery.attempt) {
            (n, 1 | 2) if n % 20 == 2 => self.retry_in(Duration::ZERO, None),
            (n, _) if n % 20 == 2 || n == 7 || n == 70 => {
                self.tried(Outcome::Dead { order_key: None })
            }
            (n, 1) if n % 20 == 4 => self.retry_in(60 * DAY, None),
            (n, 1) if n % 20 == 15 => self.retry_in(Duration::ZERO, None),
            (n, 1) if n > N_OLD && n % 20 == 16 => self.retry_in(3 * HOUR, None),
            (n, _) if n % 20 == 6 => untried(Outcome::Skipped),
            _ => self.tried(Outcome::Delivered),
        }
    }

    fn ordered(&self, delivery: &Delivery) -> End {
        let order_key = Some(order_key(delivery.event.event_type.as_str()));
        match (delivery.event.position.0, delivery.attempt) {
            // Everything of its key waits behind it.
            (9, 1) => self.retry_in(20 * HOUR, order_key),
            // The same behind a dead letter that holds its key.
            (10, _) => self.tried(Outcome::Dead { order_key }),
            (11 | 75, 1) => self.retry_in(Duration::ZERO, order_key),
            (11 | 75, _) => self.tried(Outcome::Dead { order_key: None }),
            (84, 1) => self.retry_in(3 * HOUR, order_key),
            _ => self.tried(Outcome::Delivered),
        }
    }

    fn all_dead(&self, _delivery: &Delivery) -> End {
        self.tried(Outcome::Dead { order_key: None })
    }

    /// The old events, with two handlers that stay and one that is forgotten.
    async fn write_old(&self) {
        let plain = self.subscribe("plain", Start::Oldest).await;
        let ordered = self.subscribe(ORDERED, Start::Oldest).await;
        let forgotten = self.subscribe("forgotten", Start::Oldest).await;
        self.append(1..=N_OLD).await;
        self.handle(&*plain, |_| true, Self::plain, Order::None).await;
        self.handle(&*ordered, |_| true, Self::ordered, Order::ByKey).await;
        self.handle(&*forgotten, |n| n <= 20, Self::all_dead, Order::None).await;
        drop(forgotten);
        assert!(self.queue.forget(&handler("forgotten")).await.unwrap());
        assert_eq!(self.queue.drop_dead(dead_at("plain", 7)).await.unwrap(), 1);
    }

    /// Lets go what may go, however often it takes.
    async fn prune(&self) {
        let mut before = None;
        while before != Some(self.queue.stats().bytes) {
            before = Some(self.queue.stats().bytes);
            self.queue.clean().await.unwrap();
        }
        let stats = self.queue.stats();
        assert!(stats.events + 20 <= stats.last.0, "{stats:?}");
    }

    /// The newer ones, with handlers that come and go.
    async fn write_new(&self) {
        let plain = self.subscribe("plain", Start::Oldest).await;
        let ordered = self.subscribe(ORDERED, Start::Oldest).await;
        let left = self.subscribe("left", Start::Now).await;
        let again = self.subscribe("again", Start::Now).await;
        self.append(N_OLD + 1..=TAKEN_TO).await;
        // What is left is in the window, with settled ones behind it.
        self.handle(&*plain, |n| n % 9 != 0, Self::plain, Order::None).await;
        self.handle(&*ordered, |_| true, Self::ordered, Order::ByKey).await;
        for (name, subscription) in [("left", left), ("again", again)] {
            self.handle(&*subscription, |n| n <= N_OLD + 10, Self::all_dead, Order::None).await;
            drop(subscription);
            assert!(self.queue.forget(&handler(name)).await.unwrap());
        }
        let again = self.subscribe("again", Start::Now).await;
        drop(self.subscribe("now", Start::Now).await);
        drop(self.subscribe("oldest", Start::Oldest).await);
        self.append(TAKEN_TO + 1..=N_EVENTS).await;
        self.handle(&*again, |n| n <= TAKEN_TO + 3, Self::all_dead, Order::None).await;
        // Made due by hand: one out of the log, one whose segment went, one that is a dead letter.
        assert_eq!(self.queue.redrive(dead_at("plain", 82)).await.unwrap(), 1);
        assert_eq!(self.queue.redrive(dead_at("plain", 22)).await.unwrap(), 1);
        let delivered = [Position(N_OLD + 8), Position(N_OLD + 19)];
        assert_eq!(
            self.queue.replay(&handler("plain"), &delivered).await.unwrap(),
            [ReplayResult::Restarted; 2]
        );
        assert_eq!(self.queue.drop_dead(dead_at("plain", 70)).await.unwrap(), 1);
    }
}

fn dead_at(name: &str, position: u64) -> DeadFilter {
    let position = Some(Position(position));
    DeadFilter { handler: Some(handler(name)), position, ..DeadFilter::default() }
}

/// Writes the queue into `folder` and closes it.
pub(super) async fn write(folder: &Path) {
    let clock = Arc::new(ManualClock::new(BEGINNING));
    let writer = Writer::open(folder, 7 * DAY, &clock);
    writer.write_old().await;
    writer.queue.close().await.unwrap();
    let writer = Writer::open(folder, Duration::ZERO, &clock);
    writer.prune().await;
    writer.queue.close().await.unwrap();
    clock.advance(HOUR);
    let writer = Writer::open(folder, 7 * DAY, &clock);
    writer.write_new().await;
    assert!(clock.now() < end());
    writer.queue.close().await.unwrap();
}
