//! What becomes of the deliveries of a call that did not do all of them.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::Parts;
use super::attempt::{Answer, Done};
use super::buffer::Load;
use super::retry::{Verdict, decide};
use crate::event::{Attempt, Delivery, Failure, FailureKind, OrderKey, Outcome, Settled};

/// Says what becomes of failed deliveries of one load.
pub(super) struct Judge<'a> {
    pub(super) parts: &'a Parts,
    random: u64,
    /// Keys of which an earlier delivery of this load stays in the queue.
    stopped: Vec<OrderKey>,
}

impl<'a> Judge<'a> {
    /// `seed` is where its jitter comes from.
    pub(super) fn new(parts: &'a Parts, seed: u64) -> Self {
        Self { parts, random: seed, stopped: Vec::new() }
    }

    /// All deliveries failed as one.
    pub(super) fn together(
        &mut self,
        load: Load,
        failure: &Failure,
        attempt: &Attempt,
    ) -> Vec<Done> {
        let mut done = Vec::with_capacity(load.deliveries.len());
        for (delivery, key) in load.deliveries.into_iter().zip(load.keys) {
            done.push(match self.behind_stopped(key) {
                Some(order_key) => {
                    let outcome = Outcome::Held { order_key };
                    let attempt = Some(attempt.clone());
                    Done { delivery, key, settled: Settled { outcome, attempt } }
                }
                None => self.failed(delivery, key, failure, Some(attempt.clone())),
            });
        }
        done
    }

    /// Judges those of `load` that have an answer of their own in `failure`, and gives the others
    /// back.
    pub(super) fn answered(
        &mut self,
        load: Load,
        failure: &Failure,
        attempt: &Attempt,
        done: &mut Vec<Done>,
        answer: &mut Answer,
    ) -> Load {
        let mut left = Load::default();
        for (delivery, key) in load.deliveries.into_iter().zip(load.keys) {
            let own = failure.each.iter().find(|(id, _)| *id == delivery.event.id);
            let Some((_, own)) = own else {
                left.deliveries.push(delivery);
                left.keys.push(key);
                continue;
            };
            let given = match own.kind {
                FailureKind::Permanent => Answer::Given,
                FailureKind::Transient => Answer::Missing(own.clone()),
                FailureKind::PutOff | FailureKind::Paused => Answer::NotAsked,
            };
            *answer = std::mem::replace(answer, Answer::NotAsked).and(given);
            done.push(self.one_answered(delivery, key, own, attempt));
        }
        left
    }

    fn one_answered(
        &mut self,
        delivery: Delivery,
        key: Option<OrderKey>,
        own: &Failure,
        attempt: &Attempt,
    ) -> Done {
        let attempt = Attempt { error: own.text.clone(), status: own.status, ..attempt.clone() };
        match (own.kind, self.behind_stopped(key)) {
            // It was answered for good, whatever it stands behind.
            (FailureKind::Permanent, _) | (FailureKind::Transient, None) => {
                self.failed(delivery, key, own, Some(attempt))
            }
            (FailureKind::Transient, Some(order_key)) => {
                let settled =
                    Settled { outcome: Outcome::Held { order_key }, attempt: Some(attempt) };
                Done { delivery, key: Some(order_key), settled }
            }
            (FailureKind::PutOff | FailureKind::Paused, Some(order_key)) => {
                held(delivery, order_key)
            }
            (FailureKind::PutOff | FailureKind::Paused, None) => self.put_off(delivery, key, own),
        }
    }

    /// None of them was tried.
    pub(super) fn put_off_together(&mut self, load: Load, failure: &Failure) -> Vec<Done> {
        let mut done = Vec::with_capacity(load.deliveries.len());
        for (delivery, key) in load.deliveries.into_iter().zip(load.keys) {
            done.push(match self.behind_stopped(key) {
                Some(order_key) => held(delivery, order_key),
                None => self.put_off(delivery, key, failure),
            });
        }
        done
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
    ) -> Done {
        let now = self.parts.clock.steady();
        let duration = attempt.as_ref().map(|attempt| attempt.duration).unwrap_or_default();
        let first_attempt_at = delivery.first_attempt_at.unwrap_or(now.before(duration));
        let retry = &self.parts.policy.retry;
        let random = self.random();
        let outcome = match decide(retry, delivery.attempt, first_attempt_at, now, failure, random)
        {
            Verdict::Again(at) => Outcome::Retry { at, order_key: key },
            Verdict::Never => Outcome::Dead { order_key: key.filter(|_| self.parts.holds_dead()) },
        };
        let done = Done { delivery, key, settled: Settled { outcome, attempt } };
        self.stopped.extend(key.filter(|_| done.stays()));
        done
    }

    /// Not tried, because the handler is not there or it is not time yet.
    pub(super) fn put_off(
        &mut self,
        delivery: Delivery,
        key: Option<OrderKey>,
        failure: &Failure,
    ) -> Done {
        let now = self.parts.clock.steady();
        let retry = &self.parts.policy.retry;
        // As after the first try: nothing is known of this delivery, and no try is used up.
        let at = match decide(retry, 1, now, now, failure, self.random()) {
            Verdict::Again(at) => at,
            Verdict::Never => now.after(retry.min),
        };
        self.stopped.extend(key);
        let outcome = Outcome::Retry { at, order_key: key };
        Done { delivery, key, settled: Settled { outcome, attempt: None } }
    }

    fn random(&mut self) -> f64 {
        let mut random = StdRng::seed_from_u64(self.random);
        self.random = random.random();
        random.random()
    }
}

/// Not tried, because one before it with the same key stays in the queue.
pub(super) fn held(delivery: Delivery, order_key: OrderKey) -> Done {
    let settled = Settled { outcome: Outcome::Held { order_key }, attempt: None };
    Done { delivery, key: Some(order_key), settled }
}
