//! One handler's delivery loop: take, filter, enqueue, call, settle.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, poll_immediate};
use futures_util::stream::FuturesUnordered;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::Context;
use super::attempt::{CallOutcome, HandlerHealth, Settlement, attempt, unclear};
use super::breaker::{Breaker, Change, Permit};
use super::buffer::{Buffer, CallBatch, PendingDelivery};
use super::matching::{Match, evaluate};
use super::status::{Mode, Shared};
use crate::clock::Timestamp;
use crate::event::{Delivery, OrderKey, Outcome, Settled};
use crate::pace;
use crate::queue::{LOOK_AGAIN, Queue, QueueError, Subscription};

/// After so much time in calls that ended at once, other tasks of the thread get their turn.
const YIELD_AFTER: Duration = Duration::from_millis(2);

/// How long deliveries gather for a handler that takes many in one call, once it has caught up
/// while more come in: a sync of its own for every few events competes with the way in for the
/// disk. What comes after a pause is delivered at once.
const GATHER: Duration = Duration::from_millis(5);

/// Delivers until `shutdown`, or until the queue cannot answer.
pub(super) async fn deliver(
    context: &Context,
    queue: &dyn Queue,
    subscription: &dyn Subscription,
    shared: &Shared,
    shutdown: &CancellationToken,
) -> Result<(), QueueError> {
    let mut worker = Worker::new(context, queue, subscription, shared);
    worker.work(shared.mode.subscribe(), shutdown).await?;
    worker.drain().await
}

struct Worker<'a> {
    context: &'a Context,
    queue: &'a dyn Queue,
    subscription: &'a dyn Subscription,
    shared: &'a Shared,
    /// The most deliveries that one call takes.
    batch_max: usize,
    buffer: Buffer,
    breaker: Breaker,
    random: StdRng,
    in_flight: FuturesUnordered<BoxFuture<'a, CallOutcome>>,
    /// Time spent since other tasks had their turn.
    busy: Duration,
    /// Until when nothing more is taken.
    gathers_until: Option<Instant>,
    /// Until when the handler takes nothing, by the steady clock.
    paused_until: Option<Timestamp>,
}

impl<'a> Worker<'a> {
    fn new(
        context: &'a Context,
        queue: &'a dyn Queue,
        subscription: &'a dyn Subscription,
        shared: &'a Shared,
    ) -> Self {
        let policy = &context.policy;
        let unasked = context.handler.default_batch();
        let wanted = policy.batch.as_ref().map_or(unasked, |batch| batch.max.get());
        let batch_max = wanted.min(context.handler.batch_max()).max(1);
        Self {
            context,
            queue,
            subscription,
            shared,
            batch_max,
            buffer: Buffer::new(policy.concurrency.get(), batch_max),
            breaker: Breaker::new(policy.breaker),
            random: StdRng::seed_from_u64(context.seed),
            in_flight: FuturesUnordered::new(),
            busy: Duration::ZERO,
            gathers_until: None,
            paused_until: None,
        }
    }

    async fn work(
        &mut self,
        mut mode: watch::Receiver<Mode>,
        shutdown: &CancellationToken,
    ) -> Result<(), QueueError> {
        loop {
            let is_running = match *mode.borrow_and_update() {
                Mode::Run => true,
                Mode::Finish if self.in_flight.is_empty() => return Ok(()),
                Mode::Pause | Mode::Finish => false,
            };
            if is_running {
                self.start().await?;
            }
            let n_calls = self.in_flight.len();
            self.shared.counted(&self.breaker, n_calls, self.buffer.len());
            self.gathers_until = self.gathers_until.filter(|until| *until > Instant::now());
            let gathered = self.gathers_until;
            let is_free = is_running && gathered.is_none();
            // What waits for a handler that takes nothing waits in the log, where it costs nothing.
            let is_free = is_free && self.pause_left(self.context.clock.steady()).is_none();
            let room = if is_free { self.buffer.room() } else { 0 };
            let wake = if is_running { self.wake() } else { None };
            let Self { in_flight, subscription, .. } = &mut *self;
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                // The sender lives in `shared`, so there is nothing but changes.
                _changed = mode.changed() => {}
                Some(tried) = in_flight.next(), if n_calls > 0 => self.settle(tried).await?,
                taken = subscription.next(room), if room > 0 => {
                    let taken = taken?;
                    self.gather(taken.len() < room);
                    self.filter(taken).await?;
                    tokio::task::yield_now().await;
                }
                () = tokio::time::sleep(wake.unwrap_or_default()), if wake.is_some() => {}
                () = tokio::time::sleep_until(gathered.unwrap_or_else(Instant::now)),
                    if gathered.is_some() => {}
            }
        }
    }

    /// Lets deliveries gather where that saves calls. A configured batch has a wait of its own; with
    /// `order_by` only one delivery per key is ready, so waiting gains nothing.
    fn gather(&mut self, has_caught_up: bool) {
        let policy = &self.context.policy;
        let saves_calls = self.batch_max > 1 && policy.batch.is_none() && policy.order_by.is_none();
        self.gathers_until = (has_caught_up && saves_calls).then(|| Instant::now() + GATHER);
    }

    /// Ends the calls under way. What was taken and is not on its way is simply left: it comes back
    /// with the next subscription.
    async fn drain(&mut self) -> Result<(), QueueError> {
        let too_late = tokio::time::sleep(self.context.policy.drain);
        tokio::pin!(too_late);
        while !self.in_flight.is_empty() {
            tokio::select! {
                biased;
                Some(tried) = self.in_flight.next() => self.settle(tried).await?,
                () = &mut too_late => {
                    let n_calls = self.in_flight.len();
                    warn!(handler.name = %self.context.name, n_calls, "Calls given up at the end");
                    break;
                }
            }
        }
        Ok(())
    }

    /// Begins as many calls as may begin.
    async fn start(&mut self) -> Result<(), QueueError> {
        while self.has_slot() && self.buffer.n_ready() > 0 {
            let now = self.context.clock.steady();
            if self.pause_left(now).is_some() {
                break;
            }
            let permit = self.breaker.permit(now);
            let max = match permit {
                Permit::Any if self.batch_waits_until().is_some_and(|at| at > now) => break,
                Permit::Any => self.batch_max,
                Permit::Probe => 1,
                Permit::NotBefore(_) | Permit::Wait => break,
            };
            if permit == Permit::Probe {
                self.breaker.probe();
            }
            let batch = self.buffer.take_batch(max);
            self.call(batch).await?;
        }
        Ok(())
    }

    fn has_slot(&self) -> bool {
        self.in_flight.len() < self.context.policy.concurrency.get()
    }

    /// Until when an incomplete batch waits for more; `None` = it does not.
    fn batch_waits_until(&self) -> Option<Timestamp> {
        let is_complete = self.batch_max == 1
            || self.buffer.n_ready() >= self.batch_max
            || self.buffer.is_heavy();
        if is_complete { None } else { self.buffer.send_by() }
    }

    /// Begins one call, and settles it where it ends at once.
    async fn call(&mut self, batch: CallBatch) -> Result<(), QueueError> {
        let seed = self.random.random();
        let mut call: BoxFuture<'a, CallOutcome> =
            Box::pin(attempt(self.context, self.queue, batch, seed));
        let Some(tried) = poll_immediate(&mut call).await else {
            self.in_flight.push(call);
            return Ok(());
        };
        self.busy = self.busy.saturating_add(tried.duration);
        self.settle(tried).await?;
        if self.busy > YIELD_AFTER {
            self.busy = Duration::ZERO;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// How long the handler takes nothing yet.
    fn pause_left(&self, now: Timestamp) -> Option<Duration> {
        self.paused_until.filter(|until| *until > now).map(|until| until.since(now))
    }

    /// How long nothing happens by itself; `None` = until something else does.
    fn wake(&self) -> Option<Duration> {
        let now = self.context.clock.steady();
        if let Some(left) = self.pause_left(now) {
            return Some(left.clamp(Duration::from_millis(1), LOOK_AGAIN));
        }
        if !self.has_slot() || self.buffer.n_ready() == 0 {
            return None;
        }
        let at = match self.breaker.permit(now) {
            Permit::Any => self.batch_waits_until()?,
            Permit::Probe => now,
            Permit::NotBefore(at) => at,
            Permit::Wait => return None,
        };
        // Timers stand while the machine is suspended, the steady clock does not.
        Some(at.since(now).clamp(Duration::from_millis(1), LOOK_AGAIN))
    }

    /// Settles at once what the handler does not want, and enqueues the rest.
    async fn filter(&mut self, mut taken: Vec<Delivery>) -> Result<(), QueueError> {
        if self.context.policy.order_by.is_some() {
            // Entries come by due time; of two with the same key the earlier event goes first.
            taken.sort_by_key(|delivery| delivery.event.position);
        }
        let mut skipped = Vec::new();
        for delivery in pace::in_steps(taken) {
            match evaluate(&self.context.policy, &delivery.event) {
                Match::Skip => {
                    let settled = Settled { outcome: Outcome::Skipped, attempt: None };
                    self.context.metrics.settled(&settled.outcome);
                    skipped.push((delivery, settled));
                }
                Match::Error(reason) => {
                    self.in_flight.push(Box::pin(unclear(self.context, delivery, reason)));
                }
                Match::Take(key) => self.enqueue(delivery, key).await?,
            }
        }
        self.subscription.settle_all(skipped).await
    }

    /// Puts a delivery behind the others of its key: here, or in the log when some wait there.
    async fn enqueue(
        &mut self,
        delivery: Delivery,
        key: Option<OrderKey>,
    ) -> Result<(), QueueError> {
        let must_wait = match key {
            None => false,
            Some(key) => {
                let position = delivery.event.position;
                self.buffer.has_overflowed(key)
                    || self.subscription.is_key_waiting(key, position).await?
            }
        };
        let pending = PendingDelivery { send_by: self.send_by(&delivery), delivery, key };
        let unwanted = if must_wait { Err(pending) } else { self.buffer.push(pending) };
        let (Err(pending), Some(key)) = (unwanted, key) else { return Ok(()) };
        let is_here = self.buffer.has(key);
        self.buffer.mark_overflowed(key);
        self.hold_one(pending.delivery, key).await?;
        if !is_here {
            // The delivery in front may have been dropped while this one was being held.
            self.subscription.release_key(key).await?;
        }
        Ok(())
    }

    /// When a delivery goes even without a full batch: counted from when it came in, so that
    /// restarts do not put a digest off for ever.
    fn send_by(&self, delivery: &Delivery) -> Timestamp {
        let Some(batch) = &self.context.policy.batch else { return self.context.clock.steady() };
        let received_at = delivery.event.received_at;
        let age = self.context.clock.now().since(received_at);
        let wait = batch.wait.after(received_at);
        self.context.clock.steady().after(wait.saturating_sub(age))
    }

    async fn hold_one(
        &mut self,
        delivery: Delivery,
        order_key: OrderKey,
    ) -> Result<(), QueueError> {
        let settled = Settled { outcome: Outcome::Held { order_key }, attempt: None };
        self.subscription.settle(delivery, settled).await
    }

    /// Holds in the log what cannot wait here, then releases there the keys that have drained here.
    async fn hold(&mut self, held: Vec<PendingDelivery>) -> Result<(), QueueError> {
        for PendingDelivery { delivery, key, .. } in held {
            if let Some(key) = key {
                self.hold_one(delivery, key).await?;
            }
        }
        for key in self.buffer.take_drained_keys() {
            self.subscription.release_key(key).await?;
        }
        Ok(())
    }

    async fn settle(&mut self, tried: CallOutcome) -> Result<(), QueueError> {
        self.note_health(tried.answer.as_ref());
        if let Some(pause) = tried.pause {
            let until = self.context.clock.steady().after(pause);
            self.paused_until = self.paused_until.max(Some(until));
        }
        // Of each key in the call, and whether one of it stays in the queue.
        let mut lines: Vec<(OrderKey, bool)> = Vec::new();
        let mut settled = Vec::with_capacity(tried.done.len());
        for done in pace::in_steps(tried.done) {
            if let Some(key) = done.key {
                match lines.iter_mut().find(|(known, _)| *known == key) {
                    Some((_, stays)) => *stays |= done.stays(),
                    None => lines.push((key, done.stays())),
                }
            }
            // Where the queue does not take it, it is tried, and counted, again.
            self.note(&done);
            settled.push((done.delivery, done.settled));
        }
        self.subscription.settle_all(settled).await?;
        for (key, stays) in lines {
            if stays {
                let held = self.buffer.block_key(key);
                self.hold(held).await?;
            } else {
                self.buffer.unblock_key(key);
                self.hold(Vec::new()).await?;
            }
        }
        Ok(())
    }

    fn note_health(&mut self, answer: Option<&HandlerHealth>) {
        let now = self.context.clock.steady();
        let change = match answer {
            None => return,
            Some(HandlerHealth::Up) => {
                self.shared.answers();
                self.breaker.answered()
            }
            Some(HandlerHealth::Unknown) => {
                self.breaker.not_asked(now);
                return;
            }
            Some(HandlerHealth::Down(failure)) => {
                self.shared.fails(now);
                self.breaker.failed(now, failure.retry_after)
            }
        };
        let name = &self.context.name;
        match change {
            Change::None => {}
            Change::Opened => warn!(handler.name = %name, "Handler is down: it is only probed"),
            Change::Closed => info!(handler.name = %name, "Handler is back"),
        }
    }

    fn note(&self, done: &Settlement) {
        let Settlement { delivery, settled, .. } = done;
        self.context.metrics.settled(&settled.outcome);
        let Some(attempt) = &settled.attempt else { return };
        if settled.outcome == Outcome::Delivered {
            self.shared.succeeded(attempt.started_at.after(attempt.duration));
            debug!(
                handler.name = %self.context.name,
                event.id = %delivery.event.id,
                attempt = delivery.attempt,
                "Delivered"
            );
        } else {
            let at = attempt.started_at.after(attempt.duration);
            self.shared.failed(at, delivery.event.id, attempt.error.clone());
        }
    }
}
