//! Handlers that take and settle while old segments go without pause. Copying what is still
//! needed of a segment must change nothing that a handler can see: a dead letter stays dead, a retry
//! waits for its time, and whatever waits behind an order key is released.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use gatepost::clock::{Clock, Stopwatch, SystemClock, Timestamp};
use gatepost::event::{Delivery, HandlerName, Origin, Outcome, Position};
use gatepost::queue::embedded::EmbeddedQueue;
use gatepost::queue::{DeadFilter, Queue, Start, Subscription};

use super::{Site, event, record};
use crate::support::events::{End, handler, key, settlement, tried, untried};

const LOAD_FOR: Duration = Duration::from_secs(2);
/// How long whatever still waits may take behind the load. All of it is due within milliseconds.
const DRAIN_FOR: Duration = Duration::from_mins(2);
const HANDLERS: [&str; 2] = ["a", "b"];
const EVENT_BYTES: usize = 3_000;
/// Events may be this far ahead of the slower handler: segments go behind both of them only.
const AHEAD_MAX: u64 = 200;
const EVENTS_AT_ONCE: u64 = 10;
const N_KEYS: u64 = 12;
/// A dead letter had so many tries, each of which stands in the history.
const TRIES_OF_DEAD: u32 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    None,
    ByKey,
}

/// What must not happen, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Faults {
    dead_tried_again: u64,
    tried_before_due: u64,
    given_out_once_more: u64,
    overtaken: u64,
    left_waiting: u64,
}

/// How a handler left a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Due(Timestamp),
    Held,
    Dead,
    Delivered,
}

/// What one handler did.
#[derive(Debug, Default)]
struct Ledger {
    left: BTreeMap<Position, Left>,
    /// By key, the newest position that ended.
    ended: BTreeMap<u64, Position>,
    faults: Faults,
}

impl Ledger {
    fn n_dead(&self) -> usize {
        self.left.values().filter(|left| **left == Left::Dead).count()
    }

    /// How many deliveries ended.
    fn n_ended(&self) -> u64 {
        let ended = self.left.values();
        ended.filter(|left| matches!(left, Left::Dead | Left::Delivered)).count() as u64
    }

    /// Notes that a delivery was given out.
    fn note_taken(&mut self, delivery: &Delivery, now: Timestamp) {
        match self.left.get(&delivery.event.position) {
            None | Some(Left::Held) => {}
            Some(Left::Due(due)) => self.faults.tried_before_due += u64::from(*due > now),
            Some(Left::Dead) => self.faults.dead_tried_again += 1,
            Some(Left::Delivered) => self.faults.given_out_once_more += 1,
        }
    }

    /// Notes that a delivery ended, and whether a later one of its key had ended before.
    fn note_end(&mut self, position: Position, left: Left, order: Order) {
        self.left.insert(position, left);
        if order == Order::ByKey {
            let newest = self.ended.entry(position.0 % N_KEYS).or_insert(position);
            self.faults.overtaken += u64::from(*newest > position);
            *newest = position.max(*newest);
        }
    }
}

/// One in eleven dies after its tries, one in seven is tried twice.
fn n_tries(position: Position) -> (u32, Left) {
    match position.0 {
        n if n % 11 == 0 => (TRIES_OF_DEAD, Left::Dead),
        n if n % 7 == 0 => (2, Left::Delivered),
        _ => (1, Left::Delivered),
    }
}

/// A handler as `deliver` runs one: what waits behind an earlier event of its key is held.
struct Handler {
    order: Order,
    clock: Arc<SystemClock>,
    subscription: Box<dyn Subscription>,
    ledger: Ledger,
}

impl Handler {
    async fn turn(&mut self, seen: &AtomicU64) {
        let waited = tokio::time::timeout(Duration::from_millis(5), self.subscription.next(32));
        let Ok(taken) = waited.await else { return };
        for delivery in taken.unwrap() {
            let position = delivery.event.position;
            if delivery.origin == Origin::Log {
                seen.store(position.0, Ordering::SeqCst);
            }
            self.ledger.note_taken(&delivery, self.clock.steady());
            let end = self.outcome_of(&delivery).await;
            self.subscription.settle(settlement(delivery, end)).await.unwrap();
        }
    }

    async fn outcome_of(&mut self, delivery: &Delivery) -> End {
        let position = delivery.event.position;
        let order_key =
            (self.order == Order::ByKey).then(|| key(u8::try_from(position.0 % N_KEYS).unwrap()));
        if let Some(order_key) = order_key
            && self.subscription.is_key_waiting(order_key, position).await.unwrap()
        {
            self.ledger.left.insert(position, Left::Held);
            return untried(Outcome::Held { order_key });
        }
        let (n_tries, left) = n_tries(position);
        let now = self.clock.steady();
        if delivery.attempt < n_tries {
            let at = now.after(Duration::from_millis(1 + position.0 % 9));
            self.ledger.left.insert(position, Left::Due(at));
            return tried(Outcome::Retry { at, order_key }, now, "refused");
        }
        self.ledger.note_end(position, left, self.order);
        match left {
            // The key goes on: the dead letter holds it no longer.
            Left::Dead => tried(Outcome::Dead { order_key: None }, now, "gone for good"),
            Left::Due(_) | Left::Held | Left::Delivered => tried(Outcome::Delivered, now, ""),
        }
    }
}

/// What the tasks of one test share.
struct Stage {
    queue: EmbeddedQueue,
    n_appended: AtomicU64,
    /// The newest position that each handler has taken out of the log.
    seen: [AtomicU64; HANDLERS.len()],
    is_over: AtomicBool,
}

impl Stage {
    async fn append(&self) {
        let load = Stopwatch::start();
        let mut n_appended = 0;
        while load.elapsed() < LOAD_FOR {
            let slowest = self.seen.iter().map(|seen| seen.load(Ordering::SeqCst)).min().unwrap();
            if slowest + AHEAD_MAX > n_appended {
                let some = (0..EVENTS_AT_ONCE).map(|n| event(n_appended + n, EVENT_BYTES));
                let some = some.map(|event| self.queue.append(event));
                for appended in futures_util::future::join_all(some).await {
                    appended.unwrap();
                }
                n_appended += EVENTS_AT_ONCE;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.n_appended.store(n_appended, Ordering::SeqCst);
        self.is_over.store(true, Ordering::SeqCst);
    }

    async fn clean(&self) {
        while !self.is_over.load(Ordering::SeqCst) {
            self.queue.clean().await.unwrap();
        }
    }

    async fn handle(&self, index: usize, mut handler: Handler) -> Handler {
        let seen = &self.seen[index];
        while !self.is_over.load(Ordering::SeqCst) {
            handler.turn(seen).await;
        }
        let n_appended = self.n_appended.load(Ordering::SeqCst);
        let drain = Stopwatch::start();
        while handler.ledger.n_ended() < n_appended && drain.elapsed() < DRAIN_FOR {
            handler.turn(seen).await;
        }
        handler.ledger.faults.left_waiting = n_appended - handler.ledger.n_ended();
        handler
    }
}

async fn run(order: Order) {
    let site = Site::new();
    let clock = Arc::new(SystemClock::new());
    let mut settings = site.settings();
    settings.retention = Duration::ZERO;
    let queue = EmbeddedQueue::open(settings, clock.clone()).unwrap();
    let mut handlers = Vec::new();
    for name in HANDLERS {
        let subscription = queue.subscribe(&handler(name), Start::Oldest).await.unwrap();
        let clock = Arc::clone(&clock);
        handlers.push(Handler { order, clock, subscription, ledger: Ledger::default() });
    }
    let seen = [AtomicU64::new(0), AtomicU64::new(0)];
    let n_appended = AtomicU64::new(0);
    let is_over = AtomicBool::new(false);
    let stage = Arc::new(Stage { queue, n_appended, seen, is_over });
    let mut handling = Vec::new();
    for (index, handler) in handlers.into_iter().enumerate() {
        let stage = stage.clone();
        handling.push(spawn(async move { stage.handle(index, handler).await }));
    }
    let (appending, cleaning) = (stage.clone(), stage.clone());
    let appending = spawn(async move { appending.append().await });
    let cleaning = spawn(async move { cleaning.clean().await });
    let mut ledgers = BTreeMap::new();
    for (name, task) in HANDLERS.iter().zip(handling) {
        ledgers.insert(handler(name), task.await.unwrap().ledger);
    }
    appending.await.unwrap();
    cleaning.await.unwrap();
    let faults: Vec<Faults> = ledgers.values().map(|ledger| ledger.faults).collect();
    let queue = Arc::into_inner(stage).unwrap().queue;
    let n_gone = queue.stats().last.0 - queue.stats().events;
    let n_dead: usize = ledgers.values().map(Ledger::n_dead).sum();
    let context = format!("{order:?}: {n_gone} events went, {n_dead} dead letters");
    assert_eq!(faults, [Faults::default(); HANDLERS.len()], "{context}");
    assert!(n_gone > 100 && n_dead > 50, "too little happened: {context}");
    assert_dead_as_told(&queue, &ledgers, "as it is").await;
    queue.close().await.unwrap();
    site.remove_index();
    let queue = EmbeddedQueue::open(site.settings(), clock).unwrap();
    assert_dead_as_told(&queue, &ledgers, "made anew from the log").await;
}

/// Every dead letter is there, with all of its tries.
async fn assert_dead_as_told(
    queue: &EmbeddedQueue,
    ledgers: &BTreeMap<HandlerName, Ledger>,
    context: &str,
) {
    record(queue).await.unwrap();
    assert!(queue.is_indexed(Duration::from_secs(30)).await, "{context}");
    for (name, backlog) in queue.stats().handlers {
        assert_eq!((backlog.in_log, backlog.waiting), (0, 0), "{context}: {name}");
    }
    for (name, ledger) in ledgers {
        let filter = DeadFilter { handler: Some(name.clone()), ..DeadFilter::default() };
        let mut dead = queue.dead(filter).await.unwrap();
        dead.sort_by_key(|letter| letter.position);
        let told = ledger.left.iter().filter(|(_, left)| **left == Left::Dead);
        let told: Vec<Position> = told.map(|(position, _)| *position).collect();
        let found: Vec<Position> = dead.iter().map(|letter| letter.position).collect();
        assert_eq!(found, told, "{context}");
        for letter in dead.iter().step_by(20) {
            assert_eq!(letter.attempts, TRIES_OF_DEAD, "{context}");
            let history = queue.history(letter.position).await.unwrap();
            let history = history.iter().find(|history| history.handler == *name).unwrap();
            let numbers: Vec<u32> = history.attempts.iter().map(|tried| tried.number).collect();
            assert_eq!(numbers, (1..=TRIES_OF_DEAD).collect::<Vec<_>>(), "{context}");
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the tasks of a test end with it")]
fn spawn<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    tokio::spawn(task)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cleaning_changes_nothing_that_handlers_see() {
    run(Order::None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cleaning_changes_nothing_that_handlers_in_order_see() {
    run(Order::ByKey).await;
}
