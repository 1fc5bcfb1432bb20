//! A handler that does as it is told, and a loop around it.

use std::num::{NonZeroU32, NonZeroUsize};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use gatepost::clock::Clock;
use gatepost::deliver::{
    Attempts, Batch, Context, Control, Deliverer, FailureLog, Policy, Retry, SystemEvents, Wait,
};
use gatepost::event::{Delivery, EventId, Failure, HandlerName, Output, Position};
use gatepost::handler::Handler;
use gatepost::metrics::Metrics;
use gatepost::queue::embedded::EmbeddedQueue;
use gatepost::queue::embedded::testing::MemoryDisk;
use gatepost::queue::{Backlog, DeadFilter, DeadLetter, DeliveryHistory, Queue, Start};
use gatepost::trace::Traces;
use tokio_util::sync::CancellationToken;

use crate::support::clock::TokioClock;
use crate::support::events::{handler, new_event};

/// What a call of the handler does.
pub(crate) enum Step {
    Answer(Result<(), Failure>),
    /// It is done, and this is said of it.
    Say(Output),
    AnswerAfter(Duration, Result<(), Failure>),
    Hang,
    Panic,
}

pub(crate) fn delivered() -> Step {
    Step::Answer(Ok(()))
}

pub(crate) fn refused() -> Step {
    Step::Answer(Err(Failure::transient("refused")))
}

pub(crate) fn unwanted() -> Step {
    Step::Answer(Err(Failure::permanent("not wanted")))
}

/// One call, as the handler saw it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) positions: Vec<u64>,
    pub(crate) attempt: u32,
    /// Since the rig was made.
    pub(crate) at: Duration,
}

type Script = dyn Fn(&[Delivery]) -> Step + Send + Sync;

/// Does what its script says, and remembers its calls.
pub(crate) struct Scripted {
    script: Box<Script>,
    clock: Arc<TokioClock>,
    pub(crate) calls: Mutex<Vec<Call>>,
    /// How many deliveries a call takes unasked.
    pub(crate) default_batch: AtomicUsize,
    n_now: AtomicUsize,
    pub(crate) n_most: AtomicUsize,
    pub(crate) n_closed: AtomicUsize,
}

impl Scripted {
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// The positions of each call.
    pub(crate) fn positions(&self) -> Vec<Vec<u64>> {
        self.calls().into_iter().map(|call| call.positions).collect()
    }

    pub(crate) fn n_calls(&self) -> usize {
        self.calls.lock().unwrap().len()
    }
}

/// Counts calls that are under way, also those that are dropped.
struct Running<'a>(&'a AtomicUsize);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Handler for Scripted {
    async fn handle(&self, deliveries: &[Delivery]) -> Result<Output, Failure> {
        let n_now = self.n_now.fetch_add(1, Ordering::SeqCst) + 1;
        let _running = Running(&self.n_now);
        self.n_most.fetch_max(n_now, Ordering::SeqCst);
        self.calls.lock().unwrap().push(Call {
            positions: deliveries.iter().map(|delivery| delivery.event.position.0).collect(),
            attempt: deliveries[0].attempt,
            at: self.clock.since_start(),
        });
        match (self.script)(deliveries) {
            Step::Answer(result) => result.map(|()| Output::default()),
            Step::Say(output) => Ok(output),
            Step::AnswerAfter(time, result) => {
                tokio::time::sleep(time).await;
                result.map(|()| Output::default())
            }
            Step::Hang => std::future::pending().await,
            Step::Panic => panic!("as the script says"),
        }
    }

    fn batch_max(&self) -> usize {
        1_000
    }

    fn default_batch(&self) -> usize {
        self.default_batch.load(Ordering::SeqCst)
    }

    async fn close(&self) {
        self.n_closed.fetch_add(1, Ordering::SeqCst);
    }
}

/// Remembers the dead letters that it was told of.
#[derive(Default)]
pub(crate) struct Told(pub(crate) Mutex<Vec<DeadLetter>>);

#[async_trait]
impl SystemEvents for Told {
    async fn dead_letter(&self, letter: DeadLetter) {
        self.0.lock().unwrap().push(letter);
    }
}

/// A queue and a clock; loops are made from it.
pub(crate) struct Rig {
    pub(crate) clock: Arc<TokioClock>,
    pub(crate) disk: MemoryDisk,
    pub(crate) queue: Arc<EmbeddedQueue>,
    pub(crate) told: Arc<Told>,
    pub(crate) metrics: Metrics,
}

/// A loop that has not begun, and its handler.
pub(crate) struct Ready {
    pub(crate) handler: Arc<Scripted>,
    pub(crate) control: Control,
    pub(crate) deliverer: Deliverer,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let clock = TokioClock::new();
        let disk = MemoryDisk::new();
        let queue = Arc::new(disk.open(clock.clone()));
        Self { clock, disk, queue, told: Arc::default(), metrics: Metrics::new() }
    }

    /// Kills the queue and starts it again: what was taken and not settled comes back.
    pub(crate) fn kill(&mut self) {
        self.disk = self.disk.kill();
        self.queue = Arc::new(self.disk.open(self.clock.clone()));
    }

    pub(crate) async fn append(&self, event_type: &str, body: &str) -> EventId {
        let event = new_event(event_type, body, self.clock.now());
        self.queue.append(event).await.unwrap().id()
    }

    pub(crate) async fn append_n(&self, n: usize) {
        for _ in 0..n {
            self.append("a", "{}").await;
        }
    }

    /// A loop for handler `h` over all events.
    pub(crate) async fn ready(
        &self,
        policy: Policy,
        script: impl Fn(&[Delivery]) -> Step + Send + Sync + 'static,
    ) -> Ready {
        self.ready_as("h", policy, script).await
    }

    pub(crate) async fn ready_as(
        &self,
        name: &str,
        policy: Policy,
        script: impl Fn(&[Delivery]) -> Step + Send + Sync + 'static,
    ) -> Ready {
        let scripted = Arc::new(Scripted {
            script: Box::new(script),
            clock: Arc::clone(&self.clock),
            calls: Mutex::default(),
            default_batch: AtomicUsize::new(1),
            n_now: AtomicUsize::new(0),
            n_most: AtomicUsize::new(0),
            n_closed: AtomicUsize::new(0),
        });
        let (deliverer, control) = self.deliverer(name, policy, scripted.clone()).await;
        Ready { handler: scripted, control, deliverer }
    }

    pub(crate) async fn deliverer(
        &self,
        name: &str,
        policy: Policy,
        to: Arc<dyn Handler>,
    ) -> (Deliverer, Control) {
        let name = handler(name);
        let subscription = self.queue.subscribe(&name, Start::Oldest).await.unwrap();
        let context = self.context(name, policy, to);
        Deliverer::new(context, subscription, self.queue.clone())
    }

    pub(crate) fn context(
        &self,
        name: HandlerName,
        policy: Policy,
        to: Arc<dyn Handler>,
    ) -> Context {
        Context {
            policy,
            handler: to,
            clock: self.clock.clone(),
            metrics: self.metrics.handler(&name),
            attempts: Arc::new(Attempts::default()),
            system_events: self.told.clone(),
            traces: Traces::default(),
            seed: 7,
            log: FailureLog::default(),
            name,
        }
    }

    pub(crate) fn backlog(&self, name: &str) -> Backlog {
        let name = handler(name);
        let stats = self.queue.stats();
        stats.handlers.into_iter().find(|(found, _)| *found == name).unwrap().1
    }

    pub(crate) fn is_settled(&self, name: &str) -> bool {
        let backlog = self.backlog(name);
        backlog.in_log + backlog.waiting == 0
    }

    /// Runs the loop until everything is settled or dead.
    pub(crate) async fn settle_all(&self, deliverer: Deliverer) {
        self.run_until(deliverer, || self.is_settled("h")).await;
    }

    /// Runs the loop until `is_done`, then shuts it down.
    pub(crate) async fn run_until(&self, deliverer: Deliverer, is_done: impl Fn() -> bool) {
        let shutdown = CancellationToken::new();
        let mut run = pin!(deliverer.run(shutdown.clone()));
        tokio::select! {
            ended = &mut run => panic!("the loop ended: {ended:?}"),
            () = until(is_done) => shutdown.cancel(),
        }
        run.await.unwrap();
    }

    pub(crate) async fn run_for(&self, deliverer: Deliverer, time: Duration) {
        let end = self.clock.since_start() + time;
        self.run_until(deliverer, || self.clock.since_start() >= end).await;
    }

    pub(crate) async fn dead(&self) -> Vec<DeadLetter> {
        self.queue.dead(DeadFilter::default()).await.unwrap()
    }

    pub(crate) async fn history(&self, position: u64) -> DeliveryHistory {
        self.queue.history(Position(position)).await.unwrap().remove(0)
    }
}

/// Looks every 10 ms of the paused time, later every second. What takes a day of it hangs.
pub(crate) async fn until(is_done: impl Fn() -> bool) {
    let began = tokio::time::Instant::now();
    while !is_done() {
        assert!(began.elapsed() < Duration::from_hours(24), "nothing comes of it");
        let step = began.elapsed() / 100;
        tokio::time::sleep(step.clamp(Duration::from_millis(10), secs(1))).await;
    }
}

pub(crate) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Four calls at once, five tries 1 to 30 s apart.
pub(crate) fn policy() -> Policy {
    let retry = Retry {
        attempts: NonZeroU32::new(5),
        min: secs(1),
        max: secs(30),
        total: Duration::from_hours(1),
        ..Retry::DEFAULT
    };
    Policy { retry, ..Policy::default() }
}

pub(crate) fn batches(max: usize, wait: Duration) -> Policy {
    let max = NonZeroUsize::new(max).unwrap();
    Policy { batch: Some(Batch { max, wait: Wait::For(wait) }), ..policy() }
}
