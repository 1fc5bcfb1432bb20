//! What becomes of the deliveries of a call that did not do all of them.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::call_outcome::attempt_of;
use super::context::Context;
use super::retry::next_try;
use crate::event::{Attempt, Delivery, Failure, FailureKind, OrderKey, Outcome, Settlement};

/// Says what becomes of failed deliveries of one batch.
pub(super) struct Judge<'a> {
    pub(super) context: &'a Context,
    random: SmallRng,
    /// Keys of which an earlier delivery of this batch stays in the queue.
    stopped: Vec<OrderKey>,
}

/// What a failure speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureScope {
    /// This delivery alone.
    Own,
    /// All deliveries of the call that have no answer of their own.
    Call,
    /// Others before it: this delivery was not tried.
    Before,
}

impl<'a> Judge<'a> {
    /// `seed` is where its jitter comes from.
    pub(super) fn new(context: &'a Context, seed: u64) -> Self {
        Self { context, random: SmallRng::seed_from_u64(seed), stopped: Vec::new() }
    }

    /// What becomes of `delivery` by `failure`, in a call that took place as `attempt` says.
    pub(super) fn settle(
        &mut self,
        delivery: Delivery,
        failure: &Failure,
        attempt: &Attempt,
        scope: FailureScope,
    ) -> Settlement {
        let is_wait = scope == FailureScope::Before || failure.kind.is_wait();
        // It was answered for good, whatever it is behind.
        let is_over = scope == FailureScope::Own && failure.kind == FailureKind::Permanent;
        let outcome = match self.behind_stopped(&delivery).filter(|_| !is_over) {
            Some(order_key) => Outcome::Held { order_key },
            None if is_wait => self.deferred(&delivery, failure),
            None => self.failed(&delivery, failure, attempt),
        };
        if let Some(key) = outcome.blocked_key().filter(|key| !self.stopped.contains(key)) {
            self.stopped.push(key);
        }
        let attempt = (!is_wait).then(|| attempt_of(failure, attempt));
        Settlement { delivery, outcome, attempt }
    }

    /// The key of an earlier delivery that stays in the queue, where this one is behind it.
    pub(super) fn behind_stopped(&self, delivery: &Delivery) -> Option<OrderKey> {
        delivery.order_key.filter(|key| self.stopped.contains(key))
    }

    fn failed(&mut self, delivery: &Delivery, failure: &Failure, attempt: &Attempt) -> Outcome {
        let now = self.context.clock.steady();
        let first_attempt_at = delivery.first_attempt_at.unwrap_or(now.before(attempt.duration));
        let retry = &self.context.policy.retry;
        let random = self.random.random();
        let next = next_try(retry, delivery.attempt, first_attempt_at, now, failure, random);
        let order_key = delivery.order_key;
        match next {
            Some(at) => Outcome::Retry { at, order_key },
            None => Outcome::Dead { order_key: order_key.filter(|_| self.context.holds_dead()) },
        }
    }

    /// Not tried, because the handler is not there or it is not time yet.
    fn deferred(&mut self, delivery: &Delivery, failure: &Failure) -> Outcome {
        let now = self.context.clock.steady();
        let retry = &self.context.policy.retry;
        // As after the first try: nothing is known of this delivery, and no try is used up.
        let at = next_try(retry, 1, now, now, failure, self.random.random());
        Outcome::Retry { at: at.unwrap_or(now.after(retry.min)), order_key: delivery.order_key }
    }
}
