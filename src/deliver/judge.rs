//! What becomes of the deliveries of a call that did not do all of them.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::buffer::CallBatch;
use super::call_outcome::{HandlerHealth, attempt_of};
use super::context::Context;
use super::retry::next_try;
use crate::event::{Attempt, Delivery, Failure, FailureKind, OrderKey, Outcome, Settlement};

/// Says what becomes of failed deliveries of one batch.
pub(super) struct Judge<'a> {
    pub(super) context: &'a Context,
    random: u64,
    /// Keys of which an earlier delivery of this batch stays in the queue.
    stopped: Vec<OrderKey>,
}

impl<'a> Judge<'a> {
    /// `seed` is where its jitter comes from.
    pub(super) fn new(context: &'a Context, seed: u64) -> Self {
        Self { context, random: seed, stopped: Vec::new() }
    }

    /// All deliveries failed as one.
    pub(super) fn together(
        &mut self,
        batch: CallBatch,
        failure: &Failure,
        attempt: &Attempt,
    ) -> Vec<Settlement> {
        let mut settlements = Vec::with_capacity(batch.deliveries.len());
        for (delivery, key) in batch.deliveries.into_iter().zip(batch.keys) {
            settlements.push(match self.behind_stopped(key) {
                Some(order_key) => {
                    let outcome = Outcome::Held { order_key };
                    Settlement { delivery, outcome, attempt: Some(attempt.clone()) }
                }
                None => self.failed(delivery, key, failure, Some(attempt.clone())),
            });
        }
        settlements
    }

    /// Judges those of `batch` that have an answer of their own in `failure`, and gives the others
    /// back.
    pub(super) fn answered(
        &mut self,
        batch: CallBatch,
        failure: &Failure,
        attempt: &Attempt,
        settlements: &mut Vec<Settlement>,
        health: &mut HandlerHealth,
    ) -> CallBatch {
        let mut left = CallBatch::default();
        for (delivery, key) in batch.deliveries.into_iter().zip(batch.keys) {
            let own = failure.each.iter().find(|(id, _)| *id == delivery.event.id);
            let Some((_, own)) = own else {
                left.deliveries.push(delivery);
                left.keys.push(key);
                continue;
            };
            *health = std::mem::replace(health, HandlerHealth::Unknown).and(HandlerHealth::of(own));
            settlements.push(self.one_answered(delivery, key, own, attempt));
        }
        left
    }

    fn one_answered(
        &mut self,
        delivery: Delivery,
        key: Option<OrderKey>,
        own: &Failure,
        attempt: &Attempt,
    ) -> Settlement {
        let attempt = attempt_of(own, attempt);
        match (own.kind, self.behind_stopped(key)) {
            // It was answered for good, whatever it is behind.
            (FailureKind::Permanent, _) | (FailureKind::Transient, None) => {
                self.failed(delivery, key, own, Some(attempt))
            }
            (FailureKind::Transient, Some(order_key)) => {
                let outcome = Outcome::Held { order_key };
                Settlement { delivery, outcome, attempt: Some(attempt) }
            }
            (FailureKind::Deferred | FailureKind::Paused, Some(order_key)) => {
                held(delivery, order_key)
            }
            (FailureKind::Deferred | FailureKind::Paused, None) => self.defer(delivery, key, own),
        }
    }

    /// None of them was tried.
    pub(super) fn defer_together(
        &mut self,
        batch: CallBatch,
        failure: &Failure,
    ) -> Vec<Settlement> {
        let mut settlements = Vec::with_capacity(batch.deliveries.len());
        for (delivery, key) in batch.deliveries.into_iter().zip(batch.keys) {
            settlements.push(match self.behind_stopped(key) {
                Some(order_key) => held(delivery, order_key),
                None => self.defer(delivery, key, failure),
            });
        }
        settlements
    }

    pub(super) fn behind_stopped(&self, key: Option<OrderKey>) -> Option<OrderKey> {
        key.filter(|key| self.stopped.contains(key))
    }

    pub(super) fn failed(
        &mut self,
        delivery: Delivery,
        key: Option<OrderKey>,
        failure: &Failure,
        attempt: Option<Attempt>,
    ) -> Settlement {
        let now = self.context.clock.steady();
        let duration = attempt.as_ref().map(|attempt| attempt.duration).unwrap_or_default();
        let first_attempt_at = delivery.first_attempt_at.unwrap_or(now.before(duration));
        let retry = &self.context.policy.retry;
        let random = self.random();
        let next = next_try(retry, delivery.attempt, first_attempt_at, now, failure, random);
        let outcome = match next {
            Some(at) => Outcome::Retry { at, order_key: key },
            None => Outcome::Dead { order_key: key.filter(|_| self.context.holds_dead()) },
        };
        self.stopped.extend(outcome.blocked_key());
        Settlement { delivery, outcome, attempt }
    }

    /// Not tried, because the handler is not there or it is not time yet.
    pub(super) fn defer(
        &mut self,
        delivery: Delivery,
        key: Option<OrderKey>,
        failure: &Failure,
    ) -> Settlement {
        let now = self.context.clock.steady();
        let retry = &self.context.policy.retry;
        // As after the first try: nothing is known of this delivery, and no try is used up.
        let at = next_try(retry, 1, now, now, failure, self.random());
        let at = at.unwrap_or(now.after(retry.min));
        self.stopped.extend(key);
        let outcome = Outcome::Retry { at, order_key: key };
        Settlement { delivery, outcome, attempt: None }
    }

    fn random(&mut self) -> f64 {
        let mut random = StdRng::seed_from_u64(self.random);
        self.random = random.random();
        random.random()
    }
}

/// Not tried, because one before it with the same key stays in the queue.
pub(super) fn held(delivery: Delivery, order_key: OrderKey) -> Settlement {
    Settlement { delivery, outcome: Outcome::Held { order_key }, attempt: None }
}
