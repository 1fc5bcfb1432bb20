//! One call of the handler, and what becomes of each delivery in it.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;
use tracing::{debug, error, warn};

use super::Parts;
use super::attempts::Beginning;
use super::buffer::Load;
use super::matching::OWN_SOURCE;
use super::retry::{Verdict, decide};
use crate::event::{
    Attempt, Delivery, ErrorText, EventId, Failure, FailureKind, OrderKey, Outcome, Settled,
};
use crate::queue::DeadLetter;

/// What the dead letter says of an event that is not tried a third time.
const SET_ASIDE: &str = "the process ended by itself each time this was begun, and was started again \
                         for it twice: set aside; a redrive tries it once more";

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
    /// Nobody knows: the other side was not asked.
    NotAsked,
}

/// Calls the handler with `load` and judges the result. `seed` is where its jitter comes from.
pub(super) async fn attempt(parts: &Parts, load: Load, seed: u64) -> Tried {
    let (attempt, result) = call(parts, &load.deliveries).await;
    let duration = attempt.duration;
    let mut judge = Judge { parts, random: seed, stopped: Vec::new() };
    let (done, answer) = match result {
        Ok(()) => (delivered(load, &attempt), Answer::Given),
        Err(failure) => {
            let (had, left) = split(load, &failure.done);
            let mut done = delivered(had, &attempt);
            let (others, answer) = match failure.kind {
                FailureKind::Permanent if left.deliveries.len() > 1 => {
                    one_by_one(&mut judge, left).await
                }
                FailureKind::Permanent => (judge.together(left, &failure, &attempt), Answer::Given),
                FailureKind::Transient => {
                    (judge.together(left, &failure, &attempt), Answer::Missing(failure))
                }
                FailureKind::PutOff => {
                    let answer = if done.is_empty() { Answer::NotAsked } else { Answer::Given };
                    (judge.put_off_together(left, &failure), answer)
                }
            };
            done.extend(others);
            (done, answer)
        }
    };
    tell_of_the_dead(parts, &done).await;
    Tried { done, answer: Some(answer), duration }
}

/// What is done of `load`, and the others.
fn split(load: Load, done: &[EventId]) -> (Load, Load) {
    let (mut had, mut left) = (Load::default(), Load::default());
    for (delivery, key) in load.deliveries.into_iter().zip(load.keys) {
        let part = if done.contains(&delivery.event.id) { &mut had } else { &mut left };
        part.deliveries.push(delivery);
        part.keys.push(key);
    }
    (had, left)
}

fn delivered(load: Load, attempt: &Attempt) -> Vec<Done> {
    let pairs = load.deliveries.into_iter().zip(load.keys);
    let delivered = pairs.map(|(delivery, key)| {
        // What the call says of others is no error of this one.
        let attempt = Attempt { error: ErrorText::default(), status: None, ..attempt.clone() };
        let settled = Settled { outcome: Outcome::Delivered, attempt: Some(attempt) };
        Done { delivery, key, settled }
    });
    delivered.collect()
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
    let refused = |text| {
        let (duration, error) = (Duration::ZERO, ErrorText::new(text));
        let attempt = Attempt { started_at, duration, error, status: None };
        (attempt, Err(Failure::permanent(text)))
    };
    // Until the call has ended.
    let _underway = match parts.attempts.begin(&parts.name, deliveries).await {
        Beginning::Begun(underway) => underway,
        Beginning::OneByOne => return refused("one of them may end the process"),
        Beginning::SetAside => return refused(SET_ASIDE),
    };
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
    let was_asked =
        |failure: &Failure| failure.kind != FailureKind::PutOff || !failure.done.is_empty();
    if result.as_ref().err().is_none_or(was_asked) {
        parts.metrics.attempt(duration);
    }
    let mut attempt = Attempt { started_at, duration, error: ErrorText::default(), status: None };
    if let Err(failure) = &result {
        attempt.error = failure.text.clone();
        attempt.status = failure.status;
        tell_of(parts, deliveries, failure, duration);
    }
    (attempt, result)
}

fn tell_of(parts: &Parts, deliveries: &[Delivery], failure: &Failure, duration: Duration) {
    let Some(first) = deliveries.first() else { return };
    if failure.kind == FailureKind::PutOff {
        debug!(
            handler.name = %parts.name,
            n_deliveries = deliveries.len(),
            n_done = failure.done.len(),
            wait = ?failure.retry_after,
            reason = %failure,
            "Put off"
        );
        return;
    }
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

    /// None of them was tried.
    fn put_off_together(&mut self, load: Load, failure: &Failure) -> Vec<Done> {
        let mut done = Vec::with_capacity(load.deliveries.len());
        for (delivery, key) in load.deliveries.into_iter().zip(load.keys) {
            done.push(match self.behind_stopped(key) {
                Some(order_key) => held(delivery, order_key),
                None => self.put_off(delivery, key, failure),
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

    /// Not tried, because the handler is not there or it is not time yet.
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

/// Not tried, because one before it with the same key stays in the queue.
fn held(delivery: Delivery, order_key: OrderKey) -> Done {
    let settled = Settled { outcome: Outcome::Held { order_key }, attempt: None };
    Done { delivery, key: Some(order_key), settled }
}

/// After a permanent failure of a batch: each alone, so that one bad event ends alone. A transient
/// failure ends this, and what is left is tried again later without having been tried.
async fn one_by_one(judge: &mut Judge<'_>, load: Load) -> (Vec<Done>, Answer) {
    let mut done = Vec::with_capacity(load.deliveries.len());
    let mut answer = Answer::Given;
    for (delivery, key) in load.deliveries.into_iter().zip(load.keys) {
        if let Some(order_key) = judge.behind_stopped(key) {
            done.push(held(delivery, order_key));
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
            // The others are asked for all the same: one that can never be done ends here.
            Err(failure) if failure.kind == FailureKind::PutOff => {
                done.push(judge.put_off(delivery, key, &failure));
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
