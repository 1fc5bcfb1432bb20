//! The turns of a loop: take, match, call, settle.

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

use super::Parts;
use super::attempt::{Answer, Done, Tried, attempt, unclear};
use super::breaker::{Breaker, Change, Permit};
use super::buffer::{Buffer, Job, Load};
use super::matching::{Match, look};
use super::status::{Mode, Shared};
use crate::clock::Timestamp;
use crate::event::{Delivery, OrderKey, Outcome, Settled};
use crate::pace;
use crate::queue::{LOOK_AGAIN, Queue, QueueError, Subscription};

/// After so much time in calls that ended at once, other tasks of the thread get their turn.
const YIELD_AFTER: Duration = Duration::from_millis(2);

/// How long events gather for a handler that takes many in one call, once it has caught up while
/// more come in: a sync for every few events is felt on the way in. What comes after a pause goes
/// at once.
const GATHER: Duration = Duration::from_millis(5);

/// Delivers until `shutdown`, or until the queue cannot answer.
pub(super) async fn deliver(
    parts: &Parts,
    queue: &dyn Queue,
    subscription: &dyn Subscription,
    shared: &Shared,
    shutdown: &CancellationToken,
) -> Result<(), QueueError> {
    let mut turn = Loop::new(parts, queue, subscription, shared);
    turn.work(shared.mode.subscribe(), shutdown).await?;
    turn.drain().await
}

struct Loop<'a> {
    parts: &'a Parts,
    queue: &'a dyn Queue,
    subscription: &'a dyn Subscription,
    shared: &'a Shared,
    /// The most deliveries that one call takes.
    load_max: usize,
    buffer: Buffer,
    breaker: Breaker,
    random: StdRng,
    in_flight: FuturesUnordered<BoxFuture<'a, Tried>>,
    /// Time spent since other tasks had their turn.
    busy: Duration,
    /// Until when nothing more is taken.
    gathers_until: Option<Instant>,
    /// Until when the handler takes nothing, by the steady clock.
    paused_until: Option<Timestamp>,
}

impl<'a> Loop<'a> {
    fn new(
        parts: &'a Parts,
        queue: &'a dyn Queue,
        subscription: &'a dyn Subscription,
        shared: &'a Shared,
    ) -> Self {
        let policy = &parts.policy;
        let unasked = parts.handler.batch_unasked();
        let wanted = policy.batch.as_ref().map_or(unasked, |batch| batch.max.get());
        let load_max = wanted.min(parts.handler.batch_max()).max(1);
        Self {
            parts,
            queue,
            subscription,
            shared,
            load_max,
            buffer: Buffer::new(policy.concurrency.get(), load_max),
            breaker: Breaker::new(policy.breaker),
            random: StdRng::seed_from_u64(parts.seed),
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
            self.shared.counted(self.breaker.state(), n_calls, self.buffer.len());
            self.gathers_until = self.gathers_until.filter(|until| *until > Instant::now());
            let gathered = self.gathers_until;
            let is_free = is_running && gathered.is_none();
            // What waits for a handler that takes nothing waits in the log, where it costs nothing.
            let is_free = is_free && self.pause_left(self.parts.clock.steady()).is_none();
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
                    self.sort(taken).await?;
                    tokio::task::yield_now().await;
                }
                () = tokio::time::sleep(wake.unwrap_or_default()), if wake.is_some() => {}
                () = tokio::time::sleep_until(gathered.unwrap_or_else(Instant::now)),
                    if gathered.is_some() => {}
            }
        }
    }

    /// Lets events gather where that saves calls. A batch that is asked for has a wait of its own;
    /// and of a line of events that wait for each other, each would gather for nobody.
    fn gather(&mut self, has_caught_up: bool) {
        let policy = &self.parts.policy;
        let saves_calls = self.load_max > 1 && policy.batch.is_none() && policy.order_by.is_none();
        self.gathers_until = (has_caught_up && saves_calls).then(|| Instant::now() + GATHER);
    }

    /// Ends the calls under way. What was taken and is not on its way is simply left: it comes back
    /// with the next subscription.
    async fn drain(&mut self) -> Result<(), QueueError> {
        let too_late = tokio::time::sleep(self.parts.policy.drain);
        tokio::pin!(too_late);
        while !self.in_flight.is_empty() {
            tokio::select! {
                biased;
                Some(tried) = self.in_flight.next() => self.settle(tried).await?,
                () = &mut too_late => {
                    let n_calls = self.in_flight.len();
                    warn!(handler.name = %self.parts.name, n_calls, "Calls given up at the end");
                    break;
                }
            }
        }
        Ok(())
    }

    /// Begins as many calls as may begin.
    async fn start(&mut self) -> Result<(), QueueError> {
        while self.has_slot() && self.buffer.n_ready() > 0 {
            let now = self.parts.clock.steady();
            if self.pause_left(now).is_some() {
                break;
            }
            let permit = self.breaker.permit(now);
            let max = match permit {
                Permit::Any if self.batch_waits_until().is_some_and(|at| at > now) => break,
                Permit::Any => self.load_max,
                Permit::Probe => 1,
                Permit::NotBefore(_) | Permit::Wait => break,
            };
            if permit == Permit::Probe {
                self.breaker.probe();
            }
            let load = self.buffer.load(max);
            self.call(load).await?;
        }
        Ok(())
    }

    fn has_slot(&self) -> bool {
        self.in_flight.len() < self.parts.policy.concurrency.get()
    }

    /// Until when an incomplete batch waits for more; `None` = it does not.
    fn batch_waits_until(&self) -> Option<Timestamp> {
        let is_complete =
            self.load_max == 1 || self.buffer.n_ready() >= self.load_max || self.buffer.is_heavy();
        if is_complete { None } else { self.buffer.send_by() }
    }

    /// Begins one call, and settles it where it ends at once.
    async fn call(&mut self, load: Load) -> Result<(), QueueError> {
        let seed = self.random.random();
        let mut call: BoxFuture<'a, Tried> = Box::pin(attempt(self.parts, self.queue, load, seed));
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
        let now = self.parts.clock.steady();
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

    /// Matches what was taken: skipped at once, or put into the buffer.
    async fn sort(&mut self, mut taken: Vec<Delivery>) -> Result<(), QueueError> {
        if self.parts.policy.order_by.is_some() {
            // Entries come by due time; of two with the same key the earlier one lines up first.
            taken.sort_by_key(|delivery| delivery.event.position);
        }
        let mut skipped = Vec::new();
        for delivery in pace::in_steps(taken) {
            match look(&self.parts.policy, &delivery.event) {
                Match::Skip => {
                    let settled = Settled { outcome: Outcome::Skipped, attempt: None };
                    self.parts.metrics.settled(&settled.outcome);
                    skipped.push((delivery, settled));
                }
                Match::Unclear(reason) => {
                    self.in_flight.push(Box::pin(unclear(self.parts, delivery, reason)));
                }
                Match::Take(key) => self.line_up(delivery, key).await?,
            }
        }
        self.subscription.settle_all(skipped).await
    }

    /// Puts a delivery into the line of its key: here, or in the queue when others of the key wait
    /// there.
    async fn line_up(
        &mut self,
        delivery: Delivery,
        key: Option<OrderKey>,
    ) -> Result<(), QueueError> {
        let must_wait = match key {
            None => false,
            Some(key) => {
                let position = delivery.event.position;
                self.buffer.has_spilled(key)
                    || self.subscription.is_key_waiting(key, position).await?
            }
        };
        let job = Job { send_by: self.send_by(&delivery), delivery, key };
        let unwanted = if must_wait { Err(job) } else { self.buffer.push(job) };
        let (Err(job), Some(key)) = (unwanted, key) else { return Ok(()) };
        let is_here = self.buffer.has(key);
        self.buffer.spill(key);
        self.hold_one(job.delivery, key).await?;
        if !is_here {
            // Whoever it waits for may have been dropped while it was being held.
            self.subscription.release_key(key).await?;
        }
        Ok(())
    }

    /// When a delivery goes even without a full batch: counted from when it came in, so that
    /// restarts do not put a digest off for ever.
    fn send_by(&self, delivery: &Delivery) -> Timestamp {
        let Some(batch) = &self.parts.policy.batch else { return self.parts.clock.steady() };
        let received_at = delivery.event.received_at;
        let age = self.parts.clock.now().since(received_at);
        let wait = batch.wait.after(received_at);
        self.parts.clock.steady().after(wait.saturating_sub(age))
    }

    async fn hold_one(
        &mut self,
        delivery: Delivery,
        order_key: OrderKey,
    ) -> Result<(), QueueError> {
        let settled = Settled { outcome: Outcome::Held { order_key }, attempt: None };
        self.subscription.settle(delivery, settled).await
    }

    /// Lets the queue hold what cannot wait here, then go on with the lines that have ended here.
    async fn hold(&mut self, held: Vec<Job>) -> Result<(), QueueError> {
        for Job { delivery, key, .. } in held {
            if let Some(key) = key {
                self.hold_one(delivery, key).await?;
            }
        }
        for key in self.buffer.take_ended() {
            self.subscription.release_key(key).await?;
        }
        Ok(())
    }

    async fn settle(&mut self, tried: Tried) -> Result<(), QueueError> {
        self.judge_handler(tried.answer.as_ref());
        if let Some(pause) = tried.pause {
            let until = self.parts.clock.steady().after(pause);
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
                let held = self.buffer.stop(key);
                self.hold(held).await?;
            } else {
                self.buffer.go_on(key);
                self.hold(Vec::new()).await?;
            }
        }
        Ok(())
    }

    fn judge_handler(&mut self, answer: Option<&Answer>) {
        let now = self.parts.clock.steady();
        let change = match answer {
            None => return,
            Some(Answer::Given) => {
                self.shared.answers();
                self.breaker.answered()
            }
            Some(Answer::NotAsked) => {
                self.breaker.not_asked(now);
                return;
            }
            Some(Answer::Missing(failure)) => {
                self.shared.fails(now);
                self.breaker.failed(now, failure.retry_after)
            }
        };
        let name = &self.parts.name;
        match change {
            Change::None => {}
            Change::Opened => warn!(handler.name = %name, "Handler is down: it is only probed"),
            Change::Closed => info!(handler.name = %name, "Handler is back"),
        }
    }

    fn note(&self, done: &Done) {
        let Done { delivery, settled, .. } = done;
        self.parts.metrics.settled(&settled.outcome);
        let Some(attempt) = &settled.attempt else { return };
        if settled.outcome == Outcome::Delivered {
            self.shared.succeeded(attempt.started_at.after(attempt.duration));
            debug!(
                handler.name = %self.parts.name,
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
