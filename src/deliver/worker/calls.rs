//! Which calls may begin, and when.

use std::time::Duration;

use futures_util::future::{BoxFuture, poll_immediate};
use rand::Rng;
use smallvec::SmallVec;

use super::state::Worker;
use crate::clock::Timestamp;
use crate::deliver::attempt::attempt;
use crate::deliver::breaker::Permit;
use crate::deliver::call_outcome::CallOutcome;
use crate::event::{Delivery, Position};
use crate::queue::{LOOK_AGAIN, QueueError};

/// After so much time in calls that ended at once, other tasks of the thread get their turn.
const YIELD_AFTER: Duration = Duration::from_millis(2);

impl<'a> Worker<'a> {
    /// Begins as many calls as concurrency, breaker and batches allow.
    pub(super) async fn call_ready(&mut self) -> Result<(), QueueError> {
        while self.has_slot() && self.buffer.n_ready() > 0 && !self.subscription.is_over() {
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

    /// Lets one delivery be tried at once: one that was taken and finds the handler left alone, else
    /// the retry that is due next.
    pub(super) async fn try_now(&mut self) -> Result<(), QueueError> {
        let was_left_alone = self.breaker.hasten(self.context.clock.steady());
        if !was_left_alone || self.buffer.n_ready() == 0 {
            self.subscription.hasten().await?;
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
    async fn call(&mut self, batch: Vec<Delivery>) -> Result<(), QueueError> {
        let seed = self.random.random();
        let positions: SmallVec<[Position; 4]> =
            batch.iter().map(|one| one.event.position).collect();
        let mut call: BoxFuture<'a, CallOutcome> =
            Box::pin(attempt(self.context, self.queue, batch, seed));
        let Some(outcome) = poll_immediate(&mut call).await else {
            self.shared.calls.begin(positions, self.context.clock.now());
            self.in_flight.push(call);
            return Ok(());
        };
        self.busy = self.busy.saturating_add(outcome.duration);
        self.settle(outcome).await?;
        if self.busy > YIELD_AFTER {
            self.busy = Duration::ZERO;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// How long the handler takes nothing yet.
    pub(super) fn pause_left(&self, now: Timestamp) -> Option<Duration> {
        self.paused_until.filter(|until| *until > now).map(|until| until.since(now))
    }

    /// How long until a call may begin by itself; `None` = something else has to happen first.
    pub(super) fn time_to_next_call(&self) -> Option<Duration> {
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
}
