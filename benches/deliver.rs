//! How fast events come out: a backlog into a handler that does nothing, and the same in order by
//! key with failures in between. `cargo bench --bench deliver -- [EVENTS]`; figures, no verdict.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement that cannot go on has failed, and prints what it found"
)]

use std::collections::HashMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use gatepost::clock::{Clock, SystemClock};
use gatepost::deliver::{
    Attempts, Breaker, Context, Deliverer, FailureLog, Policy, Retry, SystemEvents,
};
use gatepost::event::{Delivery, Failure, HandlerName, NewEvent, Output, Position, SourceName};
use gatepost::expr::Expression;
use gatepost::handler::Handler;
use gatepost::metrics::Metrics;
use gatepost::queue::embedded::testing::MemoryDisk;
use gatepost::queue::embedded::{EmbeddedQueue, Settings};
use gatepost::queue::{DeadLetter, Queue, Start};
use gatepost::trace::Traces;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// From more events on, only the embedded queue is measured.
const IN_MEMORY_MAX: usize = 200_000;

/// Events of one key.
const PER_KEY: usize = 100;

/// Takes everything, and ends the loop with the last event.
struct Nothing {
    n_left: AtomicUsize,
    done: CancellationToken,
}

impl Nothing {
    fn one_less(&self) {
        if self.n_left.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.done.cancel();
        }
    }
}

#[async_trait]
impl Handler for Nothing {
    async fn handle(&self, deliveries: &[Delivery]) -> Result<Output, Failure> {
        for _delivery in deliveries {
            self.one_less();
        }
        Ok(Output::default())
    }
}

/// Fails one time in a hundred, and checks that each key's events come in order.
struct InOrder {
    takes: Nothing,
    last: Mutex<HashMap<u64, u64>>,
    n_wrong: AtomicUsize,
}

#[async_trait]
impl Handler for InOrder {
    async fn handle(&self, deliveries: &[Delivery]) -> Result<Output, Failure> {
        for delivery in deliveries {
            if rand::random_ratio(1, 100) {
                return Err(Failure::transient("at random"));
            }
            let payload = delivery.event.payload().unwrap().value();
            let number = |name| u64::try_from(payload.get_attr(name).unwrap()).unwrap();
            let (key, n) = (number("key"), number("n"));
            let before = self.last.lock().unwrap().insert(key, n).unwrap_or(0);
            if n != before.saturating_add(1) {
                self.n_wrong.fetch_add(1, Ordering::SeqCst);
            }
            self.takes.one_less();
        }
        Ok(Output::default())
    }
}

/// Is never there.
struct Down(AtomicUsize);

#[async_trait]
impl Handler for Down {
    async fn handle(&self, _deliveries: &[Delivery]) -> Result<Output, Failure> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Err(Failure::transient("down"))
    }
}

struct Nobody;

#[async_trait]
impl SystemEvents for Nobody {
    async fn dead_letter(&self, _letter: DeadLetter) {}
}

fn event(body: String, clock: &dyn Clock) -> NewEvent {
    NewEvent::new(SourceName::parse("bench").unwrap(), "comment.create", clock.now(), body)
}

/// Fills `queue`, as many appends at once as 64 connections have.
async fn fill(queue: &dyn Queue, clock: &dyn Clock, n_events: usize) {
    let n_keys = n_events.div_ceil(PER_KEY);
    let padding = "x".repeat(980);
    let bodies = (0..n_events).map(|index| {
        let (key, n) = (index % n_keys, index / n_keys + 1);
        format!(r#"{{"key":{key},"n":{n},"padding":"{padding}"}}"#)
    });
    let mut bodies = bodies.peekable();
    while bodies.peek().is_some() {
        let appends = bodies.by_ref().take(64).map(|body| queue.append(event(body, clock)));
        for appended in join_all(appends).await {
            appended.unwrap();
        }
    }
}

/// Runs a loop over the whole queue until its handler has had enough.
async fn run(
    queue: &Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    policy: Policy,
    handler: Arc<dyn Handler>,
    name: &str,
    done: CancellationToken,
) -> Duration {
    let name = HandlerName::parse(name).unwrap();
    let subscription = queue.subscribe(&name, Start::Oldest).await.unwrap();
    let metrics = Metrics::new().handler(&name);
    let system_events = Arc::new(Nobody);
    let attempts = Arc::new(Attempts::default());
    let context = Context {
        name,
        policy,
        handler,
        clock,
        metrics,
        attempts,
        system_events,
        traces: Traces::default(),
        log: FailureLog::default(),
        seed: 1,
    };
    let (deliverer, _control) = Deliverer::new(context, subscription, Arc::clone(queue));
    let began = Instant::now();
    deliverer.run(done).await.unwrap();
    began.elapsed()
}

fn show(what: &str, n_events: usize, time: Duration, rest: &str) {
    let per_second = u128::try_from(n_events).unwrap() * 1_000_000 / time.as_micros().max(1);
    println!("{what:<24} {n_events:>9} events {per_second:>9}/s {rest}");
}

async fn measure(kind: &str, queue: &Arc<dyn Queue>, clock: Arc<dyn Clock>, n_events: usize) {
    let began = Instant::now();
    fill(&**queue, &*clock, n_events).await;
    show(&format!("{kind}: append"), n_events, began.elapsed(), "");

    let takes = || Nothing { n_left: n_events.into(), done: CancellationToken::new() };
    let nothing = takes();
    let done = nothing.done.clone();
    let policy = Policy::default();
    let time = run(queue, Arc::clone(&clock), policy, Arc::new(nothing), "nothing", done).await;
    show(&format!("{kind}: drain"), n_events, time, "into a handler that does nothing");

    beside_one_that_is_down(kind, queue, &clock, n_events, time).await;
    replay(kind, queue, &clock, n_events).await;

    let in_order =
        Arc::new(InOrder { takes: takes(), last: Mutex::default(), n_wrong: AtomicUsize::new(0) });
    let done = in_order.takes.done.clone();
    let retry = Retry {
        attempts: None,
        min: Duration::from_millis(10),
        max: Duration::from_secs(1),
        ..Retry::DEFAULT
    };
    let failures = NonZeroU32::MAX;
    let policy = Policy {
        order_by: Some(Arc::new(Expression::compile("payload.key").unwrap())),
        concurrency: NonZeroUsize::new(64).unwrap(),
        breaker: Breaker { failures, ..Breaker::DEFAULT },
        retry,
        ..Policy::default()
    };
    let handler = Arc::clone(&in_order) as Arc<dyn Handler>;
    let time = run(queue, clock, policy, handler, "in-order", done).await;
    let n_wrong = in_order.n_wrong.load(Ordering::SeqCst);
    let rest = format!("1 % failing, {n_wrong} out of order");
    show(&format!("{kind}: in order"), n_events, time, &rest);
}

/// Everything once more for a handler that has it.
async fn replay(kind: &str, queue: &Arc<dyn Queue>, clock: &Arc<dyn Clock>, n_events: usize) {
    let name = HandlerName::parse("nothing").unwrap();
    let positions: Vec<_> = (1..=u64::try_from(n_events).unwrap()).map(Position).collect();
    let began = Instant::now();
    for page in positions.chunks(1_000) {
        queue.replay(&name, page).await.unwrap();
    }
    show(&format!("{kind}: replay"), n_events, began.elapsed(), "made due again");
    let nothing = Nothing { n_left: n_events.into(), done: CancellationToken::new() };
    let done = nothing.done.clone();
    let (clock, policy) = (Arc::clone(clock), Policy::default());
    let time = run(queue, clock, policy, Arc::new(nothing), "nothing", done).await;
    show(&format!("{kind}: replay"), n_events, time, "delivered again");
}

/// The same drain while another handler fails whatever it is given: as fast as `alone`?
async fn beside_one_that_is_down(
    kind: &str,
    queue: &Arc<dyn Queue>,
    clock: &Arc<dyn Clock>,
    n_events: usize,
    alone: Duration,
) {
    let (stop, down) = (CancellationToken::new(), Arc::new(Down(AtomicUsize::new(0))));
    let failing = {
        let (queue, clock, handler) = (Arc::clone(queue), Arc::clone(clock), Arc::clone(&down));
        let (policy, stop) = (Policy::default(), stop.clone());
        tokio::spawn(async move { run(&queue, clock, policy, handler, "down", stop).await })
    };
    let nothing = Nothing { n_left: n_events.into(), done: CancellationToken::new() };
    let done = nothing.done.clone();
    let (clock, policy) = (Arc::clone(clock), Policy::default());
    let time = run(queue, clock, policy, Arc::new(nothing), "beside", done).await;
    stop.cancel();
    failing.await.unwrap();
    let ratio = alone.as_secs_f64() / time.as_secs_f64();
    let n_calls = down.0.load(Ordering::SeqCst);
    let rest =
        format!("{ratio:.2} x (≥ 0.90), beside one that is down and was tried {n_calls} times");
    show(&format!("{kind}: drain"), n_events, time, &rest);
}

#[tokio::main]
async fn main() {
    let n_events =
        std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(100_000);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    // More would not fit into the memory of a small machine.
    if n_events <= IN_MEMORY_MAX {
        let queue: Arc<dyn Queue> = Arc::new(MemoryDisk::new().open(Arc::clone(&clock)));
        measure("memory", &queue, Arc::clone(&clock), n_events).await;
    }

    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let settings = Settings::new(folder.path().join("queue"));
    let queue: Arc<dyn Queue> =
        Arc::new(EmbeddedQueue::open(settings, Arc::clone(&clock)).unwrap());
    measure("sled", &queue, clock, n_events).await;
    queue.close().await.unwrap();
}
