//! One call of the handler, and what becomes of each delivery in it.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;
use tracing::{error, warn};

use super::Parts;
use super::buffer::Load;
use super::matching::OWN_SOURCE;
use super::retry::{Verdict, decide};
use crate::event::{
    Attempt, Delivery, ErrorText, Failure, FailureKind, OrderKey, Outcome, Settled,
};
use crate::queue::DeadLetter;

/// A call that has ended.
#[derive(Debug, Default)]
pub(super) struct Tried {
    pub(super) done: Vec<Done>,
    /// What the call says about the handler; `None` = it was not called.
    pub(super) answer: Option<Answer>,
    pub(super) duration: Duration,
}

/// What is to be recorded for one delivery.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) delivery: Delivery,
    pub(super) key: Option<OrderKey>,
    pub(super) settled: Settled,
}

impl Done {
    /// Whether the delivery stays in the queue, in front of its line.
    pub(super) fn stays(&self) -> bool {
        match self.settled.outcome {
            Outcome::Delivered | Outcome::Skipped | Outcome::Dead { order_key: None } => false,
            Outcome::Retry { .. } | Outcome::Held { .. } | Outcome::Dead { order_key: Some(_) } => {
                true
            }
        }
    }
}

/// Whether the handler is there.
#[derive(Debug)]
pub(super) enum Answer {
    /// It took the deliveries, or said that it does not want them.
    Given,
    /// A transient failure.
    Missing(Failure),
}

/// Calls the handler with `load` and judges the result. `seed` is where its jitter comes from.
pub(super) async fn attempt(parts: &Parts, load: Load, seed: u64) -> Tried {
    let (attempt, result) = call(parts, &load.deliveries).await;
    let duration = attempt.duration;
    let mut judge = Judge { parts, random: seed, stopped: Vec::new() };
    let (done, answer) = match result {
        Ok(()) => {
            let delivered = load.deliveries.into_iter().zip(load.keys).map(|(delivery, key)| {
                let attempt = Some(attempt.clone());
                Done { delivery, key, settled: Settled { outcome: Outcome::Delivered, attempt } }
            });
            (delivered.collect(), Answer::Given)
        }
        Err(failure) if failure.kind == FailureKind::Permanent && load.deliveries.len() > 1 => {
            one_by_one(&mut judge, load).await
        }
        Err(failure) => {
            let done = judge.together(load, &failure, &attempt);
            let answer = match failure.kind {
                FailureKind::Transient => Answer::Missing(failure),
                FailureKind::Permanent => Answer::Given,
            };
            (done, answer)
        }
    };
    tell_of_the_dead(parts, &done).await;
    Tried { done, answer: Some(answer), duration }
}

/// A delivery that nobody can judge: dead, without a call.
pub(super) async fn unclear(parts: &Parts, delivery: Delivery, reason: ErrorText) -> Tried {
    let attempt = Attempt {
        started_at: parts.clock.now(),
        duration: Duration::ZERO,
        error: reason,
        status: None,
    };
    let settled = Settled { outcome: Outcome::Dead { order_key: None }, attempt: Some(attempt) };
    let done = vec![Done { delivery, key: None, settled }];
    tell_of_the_dead(parts, &done).await;
    Tried { done, ..Tried::default() }
}

/// One call, fenced: neither a panic nor an endless wait gets out of it.
async fn call(parts: &Parts, deliveries: &[Delivery]) -> (Attempt, Result<(), Failure>) {
    let started_at = parts.clock.now();
    let began = Instant::now();
    let fenced = AssertUnwindSafe(async { parts.handler.handle(deliveries).await }).catch_unwind();
    let result = match tokio::time::timeout(parts.policy.timeout, fenced).await {
        Ok(Ok(result)) => result,
        // What it said may contain a payload.
        Ok(Err(_panic)) => Err(Failure::transient("the handler panicked")),
        Err(_elapsed) => {
            Err(Failure::transient(format_args!("no answer within {:?}", parts.policy.timeout)))
        }
    };
    let duration = began.elapsed();
    parts.metrics.attempt(duration);
    let mut attempt = Attempt { started_at, duration, error: ErrorText::default(), status: None };
    if let Err(failure) = &result {
        attempt.error = failure.text.clone();
        attempt.status = failure.status;
        warn_of(parts, deliveries, failure, duration);
    }
    (attempt, result)
}

fn warn_of(parts: &Parts, deliveries: &[Delivery], failure: &Failure, duration: Duration) {
    let Some(first) = deliveries.first() else { return };
    warn!(
        handler.name = %parts.name,
        event.id = %first.event.id,
        n_deliveries = deliveries.len(),
        attempt = first.attempt,
        duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        error = %failure,
        "Attempt failed"
    );
}

/// Says what becomes of failed deliveries of one load.
struct Judge<'a> {
    parts: &'a Parts,
    random: u64,
    /// Keys of which an earlier delivery of this load stays in the queue.
    stopped: Vec<OrderKey>,
}

impl Judge<'_> {
    /// All deliveries failed as one.
    fn together(&mut self, load: Load, failure: &Failure, attempt: &Attempt) -> Vec<Done> {
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

    fn behind_stopped(&self, key: Option<OrderKey>) -> Option<OrderKey> {
        key.filter(|key| self.stopped.contains(key))
    }

    fn failed(
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

    /// Not tried, because the handler is not there.
    fn put_off(&mut self, delivery: Delivery, key: Option<OrderKey>, failure: &Failure) -> Done {
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

/// After a permanent failure of a batch: each alone, so that one bad event ends alone. A transient
/// failure ends this, and what is left is tried again later without having been tried.
async fn one_by_one(judge: &mut Judge<'_>, load: Load) -> (Vec<Done>, Answer) {
    let mut done = Vec::with_capacity(load.deliveries.len());
    let mut answer = Answer::Given;
    for (delivery, key) in load.deliveries.into_iter().zip(load.keys) {
        if let Some(order_key) = judge.behind_stopped(key) {
            let settled = Settled { outcome: Outcome::Held { order_key }, attempt: None };
            done.push(Done { delivery, key, settled });
            continue;
        }
        if let Answer::Missing(failure) = &answer {
            done.push(judge.put_off(delivery, key, failure));
            continue;
        }
        let (attempt, result) = call(judge.parts, std::slice::from_ref(&delivery)).await;
        match result {
            Ok(()) => {
                let settled = Settled { outcome: Outcome::Delivered, attempt: Some(attempt) };
                done.push(Done { delivery, key, settled });
            }
            Err(failure) => {
                done.push(judge.failed(delivery, key, &failure, Some(attempt)));
                if failure.kind == FailureKind::Transient {
                    answer = Answer::Missing(failure);
                }
            }
        }
    }
    (done, answer)
}

/// Reports dead letters before they are settled: after a crash in between they are reported again,
/// not never. A dead letter about one of Gatepost's own events is not reported: it would not end.
async fn tell_of_the_dead(parts: &Parts, done: &[Done]) {
    for Done { delivery, settled, .. } in done {
        let (Outcome::Dead { .. }, Some(attempt)) = (&settled.outcome, &settled.attempt) else {
            continue;
        };
        let event = &delivery.event;
        error!(
            handler.name = %parts.name,
            event.id = %event.id,
            attempt = delivery.attempt,
            error = %attempt.error,
            "Gave up a delivery: it is a dead letter"
        );
        if event.source.as_str() == OWN_SOURCE {
            continue;
        }
        let letter = DeadLetter {
            handler: parts.name.clone(),
            id: event.id,
            position: event.position,
            source: event.source.clone(),
            event_type: event.event_type.clone(),
            received_at: event.received_at,
            attempts: delivery.attempt,
            died_at: attempt.started_at.after(attempt.duration),
            reason: attempt.error.clone(),
        };
        parts.own_events.dead_letter(letter).await;
    }
}
