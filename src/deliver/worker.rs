//! One handler's delivery loop: take, filter, enqueue, call, settle.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt;
use smallvec::SmallVec;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::breaker::BreakerChange;
use super::call_outcome::{CallOutcome, HandlerHealth, Pause};
use super::context::Context;
use super::status::{Mode, Shared};
use crate::event::{Delivery, OrderKey, Outcome, Position, Settlement};
use crate::pace;
use crate::queue::{Queue, QueueError, Subscription};

mod calls;
mod intake;
mod state;

use state::Worker;

/// Shorter pauses are part of the work: of a rate of its own, or while a program is ended.
const PAUSE_TOLD: Duration = Duration::from_secs(5);

/// Delivers until `shutdown`, or until the queue cannot answer.
pub(super) async fn deliver(
    context: &Context,
    queue: &dyn Queue,
    subscription: &dyn Subscription,
    shared: &Shared,
    shutdown: &CancellationToken,
) -> Result<(), QueueError> {
    loop {
        // A worker before it may have ended by an error, or given calls up.
        shared.calls.clear();
        let mut worker = Worker::new(context, queue, subscription, shared);
        let end = worker.work(shared.mode.subscribe(), shutdown).await;
        worker.drain().await?;
        match end? {
            WorkEnd::Done => return Ok(()),
            WorkEnd::SubscriptionOver => {}
        }
        // What was taken and not tried goes with the worker.
        drop(worker);
        shared.left_alone(None);
        subscription.begin_anew();
    }
}

/// Why a loop ended.
enum WorkEnd {
    /// It was told to.
    Done,
    /// What was taken is not its to try any more.
    SubscriptionOver,
}

/// What a loop waited for.
enum LoopEvent {
    Shutdown,
    /// It is told to do something else, or a time has come.
    Woken,
    Taken(Vec<Delivery>),
    CallEnded(CallOutcome),
}

impl Worker<'_> {
    /// The loop: takes deliveries, filters and enqueues them, calls the handler with what is ready,
    /// and settles what comes of each call. Until `shutdown`, until it has finished, or until the
    /// subscription is over.
    async fn work(
        &mut self,
        mut mode: watch::Receiver<Mode>,
        shutdown: &CancellationToken,
    ) -> Result<WorkEnd, QueueError> {
        loop {
            let now = *mode.borrow_and_update();
            if self.subscription.is_over() {
                return Ok(WorkEnd::SubscriptionOver);
            }
            if now == Mode::Run && self.shared.take_asked() {
                self.try_now().await?;
            }
            match now {
                Mode::Run => self.call_ready().await?,
                Mode::Finish if self.in_flight.is_empty() => return Ok(WorkEnd::Done),
                Mode::Pause | Mode::Finish => {}
            }
            let (n_calls, n_taken) = (self.in_flight.len(), self.buffer.len());
            self.shared.counted(&self.breaker, n_calls, n_taken, self.context.clock.now());
            match self.next_event(now, &mut mode, shutdown).await? {
                LoopEvent::Shutdown => return Ok(WorkEnd::Done),
                LoopEvent::Woken => {}
                LoopEvent::Taken(deliveries) => {
                    let wanted = self.filter(deliveries).await?;
                    self.enqueue(wanted).await?;
                    tokio::task::yield_now().await;
                }
                LoopEvent::CallEnded(outcome) => self.settle_ended(outcome).await?,
            }
        }
    }

    /// Waits for what happens next. A mode other than [`Mode::Run`] takes nothing new.
    async fn next_event(
        &mut self,
        now: Mode,
        mode: &mut watch::Receiver<Mode>,
        shutdown: &CancellationToken,
    ) -> Result<LoopEvent, QueueError> {
        let is_running = now == Mode::Run;
        self.gathers_until = self.gathers_until.filter(|until| *until > Instant::now());
        let gathered = self.gathers_until;
        let room = if is_running { self.room() } else { 0 };
        let wake = if is_running { self.time_to_next_call() } else { None };
        let Self { in_flight, subscription, .. } = &mut *self;
        Ok(tokio::select! {
            // Ended calls before new deliveries: they free what those would wait for.
            biased;
            () = shutdown.cancelled() => LoopEvent::Shutdown,
            // The sender lives in `shared`, so it is never gone.
            _changed = mode.changed() => LoopEvent::Woken,
            Some(outcome) = in_flight.next(), if !in_flight.is_empty() => {
                LoopEvent::CallEnded(outcome)
            }
            taken = subscription.next(room), if room > 0 => {
                let taken = taken?;
                self.gather(taken.len() < room);
                LoopEvent::Taken(taken)
            }
            () = tokio::time::sleep(wake.unwrap_or_default()), if wake.is_some() => {
                LoopEvent::Woken
            }
            () = tokio::time::sleep_until(gathered.unwrap_or_else(Instant::now)),
                if gathered.is_some() => LoopEvent::Woken,
        })
    }

    /// Ends the calls under way, also where the queue cannot answer: one that is cut off has done a part of
    /// its work, and is made again. What was taken and is not on its way is simply left: it comes back with
    /// the next subscription.
    async fn drain(&mut self) -> Result<(), QueueError> {
        let too_late = tokio::time::sleep(self.context.policy.drain);
        tokio::pin!(too_late);
        let mut result = Ok(());
        while !self.in_flight.is_empty() {
            tokio::select! {
                biased;
                Some(outcome) = self.in_flight.next() => {
                    result = result.and(self.settle_ended(outcome).await);
                }
                () = &mut too_late => {
                    let n_calls = self.in_flight.len();
                    warn!(handler.name = %self.context.name, n_calls, "Calls given up at the end");
                    break;
                }
            }
        }
        result
    }

    /// Settles what came of a call that was under way.
    async fn settle_ended(&mut self, outcome: CallOutcome) -> Result<(), QueueError> {
        let settlements = outcome.settlements.iter();
        let ended: SmallVec<[Position; 4]> =
            settlements.map(|one| one.delivery.event.position).collect();
        // With its handler until it is settled: a replay that waits for the end of the call finds it so.
        self.settle(outcome).await?;
        self.shared.calls.end(ended);
        Ok(())
    }

    /// Settles what came of a call, and lets the next deliveries of its keys go.
    async fn settle(&mut self, outcome: CallOutcome) -> Result<(), QueueError> {
        self.note_health(&outcome);
        if let Some(Pause { wait, why }) = &outcome.pause {
            let now = self.context.clock.steady();
            let until = now.after(*wait);
            if *wait >= PAUSE_TOLD && self.paused_until.is_none_or(|before| before < until) {
                if self.pause_left(now).is_none() {
                    let name = &self.context.name;
                    info!(handler.name = %name, ?wait, reason = %why, "Handler is left alone");
                }
                self.shared.left_alone(Some((until, why.clone())));
            }
            self.paused_until = self.paused_until.max(Some(until));
        }
        let mut blocked: BTreeSet<OrderKey> = BTreeSet::new();
        for settlement in pace::in_steps(&outcome.settlements) {
            blocked.extend(settlement.outcome.blocked_key());
            // Where the queue does not take it, it is tried, and counted, again.
            self.note(settlement);
        }
        self.subscription.settle_all(outcome.settlements).await?;
        for key in outcome.keys {
            if blocked.contains(&key) {
                let held = self.buffer.block_key(key);
                self.hold(held).await?;
            } else {
                self.buffer.unblock_key(key);
                self.hold(Vec::new()).await?;
            }
        }
        Ok(())
    }

    fn note_health(&mut self, outcome: &CallOutcome) {
        let now = self.context.clock.steady();
        let change = match &outcome.health {
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
                self.shared.fails(now, outcome.next_try_at());
                self.breaker.failed(now, failure.retry_after)
            }
        };
        let name = &self.context.name;
        match change {
            BreakerChange::None => {}
            BreakerChange::Opened => {
                warn!(handler.name = %name, "Handler is down: it is only probed");
            }
            BreakerChange::Closed => info!(handler.name = %name, "Handler is back"),
        }
    }

    fn note(&self, settlement: &Settlement) {
        let Settlement { delivery, outcome, attempt } = settlement;
        // What was put off, by a rate limit say, is no try that failed.
        if attempt.is_some() || !matches!(outcome, Outcome::Retry { .. }) {
            self.context.metrics.settled(outcome);
        }
        let Some(attempt) = attempt else { return };
        if *outcome == Outcome::Delivered {
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
            if matches!(outcome, Outcome::Dead { .. }) {
                self.shared.gave_up(self.context.clock.steady());
            }
        }
    }
}
