//! One call of the handler, and what becomes of each delivery in it.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;
use tracing::{debug, error, warn};

use super::attempts::Beginning;
use super::call_outcome::{CallOutcome, HandlerHealth, Pause, attempt_of, without_words};
use super::context::Context;
use super::judge::{FailureScope, Judge};
use super::matching::OWN_SOURCE;
use super::replays;
use super::spans::CallSpans;
use crate::clock::whole_millis;
use crate::event::{
    Attempt, Delivery, ErrorText, Failure, FailureClass, FailureKind, Outcome, Settlement,
};
use crate::queue::{DeadLetter, Queue};
use crate::trace;

/// What the dead letter says of an event that is not tried a third time.
const SET_ASIDE: &str = "the process ended by itself each time this was begun, and was started again \
                         for it twice: set aside; a redrive tries it once more";

/// How long a call waits that other suspects keep from being made.
const SUSPECTS_AGAIN: Duration = Duration::from_secs(1);

/// Why a call is put off then.
const BEHIND_SUSPECTS: &str = "calls that may have ended the process before are made alone";

/// Calls the handler with `batch` and judges the result. `seed` is where its jitter comes from.
pub(super) async fn attempt(
    context: &Context,
    queue: &dyn Queue,
    mut batch: Vec<Delivery>,
    seed: u64,
) -> CallOutcome {
    let (attempt, result) = match replays::count(context, queue, &mut batch).await {
        Ok(()) => call(context, &batch).await,
        Err(failure) => (not_called(context, &failure), Err(failure)),
    };
    let duration = attempt.duration;
    let keys = batch.iter().filter_map(|delivery| delivery.order_key).collect();
    let mut judge = Judge::new(context, seed);
    let mut pause = None;
    let (settlements, health) = match result {
        Ok(()) => (delivered(batch, &attempt), HandlerHealth::Up),
        Err(failure) => {
            pause = pause_of(&failure);
            // Apart, or each call would make room for it: 4.7 KiB in place of 1.1.
            Box::pin(failed(&mut judge, batch, failure, &attempt)).await
        }
    };
    report_dead_letters(context, &settlements).await;
    CallOutcome { settlements, keys, health: Some(health), pause, duration }
}

/// How long the handler takes nothing, as one of the answers says.
fn pause_of(failure: &Failure) -> Option<Pause> {
    let each = failure.each.iter().map(|(_, failure)| failure);
    let paused = each.chain([failure]).filter(|one| one.kind == FailureKind::Paused);
    let asked = paused.filter_map(|one| Some((one.retry_after?, one)));
    let (wait, longest) = asked.max_by_key(|(wait, _)| *wait)?;
    Some(Pause { wait, why: longest.text.clone() })
}

/// What becomes of a call that did not do all of `batch`.
async fn failed(
    judge: &mut Judge<'_>,
    batch: Vec<Delivery>,
    failure: Failure,
    attempt: &Attempt,
) -> (Vec<Settlement>, HandlerHealth) {
    let is_done = |delivery: &Delivery| failure.done.contains(&delivery.event.id);
    let (had, left): (Vec<_>, Vec<_>) = batch.into_iter().partition(is_done);
    // What the call says of others is no error of these.
    let mut settlements = delivered(had, &without_words(attempt));
    let mut health =
        if settlements.is_empty() { HandlerHealth::Unknown } else { HandlerHealth::Up };
    let mut others = Vec::new();
    for delivery in left {
        // Receivers that answer for each event: each is judged by its own answer.
        match failure.each.iter().find(|(id, _)| *id == delivery.event.id) {
            Some((_, own)) => {
                health = health.and(HandlerHealth::of(own));
                settlements.push(judge.settle(delivery, own, attempt, FailureScope::Own));
            }
            None => others.push(delivery),
        }
    }
    if others.is_empty() {
        return (settlements, health);
    }
    if failure.kind == FailureKind::Permanent && others.len() > 1 {
        let (others, health_of_others) = one_by_one(judge, others, &failure).await;
        settlements.extend(others);
        return (settlements, health.and(health_of_others));
    }
    let judged = others.into_iter();
    settlements.extend(judged.map(|one| judge.settle(one, &failure, attempt, FailureScope::Call)));
    (settlements, health.and(HandlerHealth::of(&failure)))
}

fn delivered(batch: Vec<Delivery>, attempt: &Attempt) -> Vec<Settlement> {
    batch.into_iter().map(|delivery| done(delivery, attempt.clone())).collect()
}

/// The handler is done with it: it has the event, or the event had nothing for it.
fn done(delivery: Delivery, attempt: Attempt) -> Settlement {
    match attempt.output.why_skipped(delivery.event.id) {
        None => Settlement { delivery, outcome: Outcome::Delivered, attempt: Some(attempt) },
        Some(why) => {
            let attempt = Attempt { error: ErrorText::new(why), ..attempt };
            Settlement { delivery, outcome: Outcome::Skipped, attempt: Some(attempt) }
        }
    }
}

/// A delivery whose filter fails: dead, without a call.
pub(super) async fn unclear(
    context: &Context,
    delivery: Delivery,
    reason: ErrorText,
) -> CallOutcome {
    let started_at = context.clock.now();
    let attempt = Attempt { started_at, error: reason, ..Attempt::default() };
    let outcome = Outcome::Dead { order_key: None };
    let settlements = vec![Settlement { delivery, outcome, attempt: Some(attempt) }];
    report_dead_letters(context, &settlements).await;
    CallOutcome { settlements, ..CallOutcome::default() }
}

/// A try that ended before the handler was called.
fn not_called(context: &Context, failure: &Failure) -> Attempt {
    let (started_at, error) = (context.clock.now(), failure.text.clone());
    Attempt { started_at, error, ..Attempt::default() }
}

/// One call, fenced: neither a panic nor an endless wait gets out of it.
async fn call(context: &Context, deliveries: &[Delivery]) -> (Attempt, Result<(), Failure>) {
    let started_at = context.clock.now();
    let refused = |failure| (not_called(context, &failure), Err(failure));
    // Until the call has ended.
    let permit = context.attempts.begin(&context.name, deliveries, context.policy.timeout);
    let _underway = match permit.await {
        Beginning::Begun(underway) => underway,
        Beginning::OneByOne => {
            return refused(Failure::permanent("one of them may end the process"));
        }
        Beginning::Later => return refused(Failure::deferred(BEHIND_SUSPECTS, SUSPECTS_AGAIN)),
        Beginning::SetAside => return refused(Failure::permanent(SET_ASIDE)),
    };
    let began = Instant::now();
    let spans = CallSpans::begin(&context.traces, &context.name, deliveries);
    let handled = async { context.handler.handle(deliveries).await };
    let fenced = AssertUnwindSafe(trace::within(spans.context(), handled)).catch_unwind();
    let result = match tokio::time::timeout(context.policy.timeout, fenced).await {
        Ok(Ok(result)) => result,
        // What it said may contain a payload.
        Ok(Err(_panic)) => Err(Failure::transient("the handler panicked")),
        Err(_elapsed) => {
            let text = format_args!("no answer within {:?}", context.policy.timeout);
            Err(Failure::transient(text).with_class(FailureClass::Timeout))
        }
    };
    let duration = began.elapsed();
    let result = result.map_err(|failure| context.policy.classify(failure));
    let times = (started_at, duration);
    spans.end(&context.traces, &context.name, times, result.as_ref().err());
    let was_asked = |failure: &Failure| {
        !failure.kind.is_wait() || !failure.done.is_empty() || !failure.each.is_empty()
    };
    if result.as_ref().err().is_none_or(was_asked) {
        context.metrics.attempt(duration);
    }
    let attempt = Attempt { started_at, duration, ..Attempt::default() };
    match result {
        // For each of a large batch it would be the same words again.
        Ok(output) if deliveries.len() > 1 => {
            (Attempt { output: output.without_excerpts(), ..attempt }, Ok(()))
        }
        Ok(output) => (Attempt { output, ..attempt }, Ok(())),
        Err(failure) => {
            log_failure(context, deliveries, &failure, duration);
            (attempt_of(&failure, &attempt), Err(failure))
        }
    }
}

fn log_failure(context: &Context, deliveries: &[Delivery], failure: &Failure, duration: Duration) {
    let Some(first) = deliveries.first() else { return };
    if failure.kind.is_wait() && failure.each.is_empty() {
        debug!(
            handler.name = %context.name,
            n_deliveries = deliveries.len(),
            n_done = failure.done.len(),
            wait = ?failure.retry_after,
            reason = %failure,
            "Put off"
        );
        return;
    }
    let now = context.clock.now();
    let Some(n_silent) = context.log.attempts.open(&failure.to_string(), now) else { return };
    warn!(
        handler.name = %context.name,
        event.id = %first.event.id,
        n_silent,
        n_deliveries = deliveries.len(),
        n_done = failure.done.len(),
        attempt = first.attempt,
        duration_ms = whole_millis(duration),
        error = %failure,
        "Attempt failed"
    );
}

/// After a permanent failure of a batch: each alone, so that one bad event ends alone. A transient
/// failure ends this, and what is left is tried again later without having been tried.
async fn one_by_one(
    judge: &mut Judge<'_>,
    batch: Vec<Delivery>,
    failure: &Failure,
) -> (Vec<Settlement>, HandlerHealth) {
    let mut settlements = Vec::with_capacity(batch.len());
    let mut health = HandlerHealth::Up;
    let mut stop = None;
    for delivery in batch {
        if stop.is_some() || judge.behind_stopped(&delivery).is_some() {
            let why = stop.as_ref().unwrap_or(failure);
            settlements.push(judge.settle(
                delivery,
                why,
                &Attempt::default(),
                FailureScope::Before,
            ));
            continue;
        }
        let (attempt, result) = call(judge.context, std::slice::from_ref(&delivery)).await;
        let Err(failure) = result else {
            settlements.push(done(delivery, attempt));
            continue;
        };
        settlements.push(judge.settle(delivery, &failure, &attempt, FailureScope::Own));
        match failure.kind {
            // The others are asked for all the same: one that can never be done ends here.
            FailureKind::Deferred | FailureKind::Permanent => {}
            FailureKind::Paused => stop = Some(failure),
            FailureKind::Transient => {
                health = HandlerHealth::of(&failure);
                stop = Some(failure);
            }
        }
    }
    (settlements, health)
}

/// Reports dead letters before they are settled: after a crash in between they are reported again,
/// not never. A dead letter about one of Gatepost's own events is not reported: it would not end.
async fn report_dead_letters(context: &Context, settlements: &[Settlement]) {
    for Settlement { delivery, outcome, attempt } in settlements {
        let (Outcome::Dead { .. }, Some(attempt)) = (outcome, attempt) else {
            continue;
        };
        let event = &delivery.event;
        let now = context.clock.now();
        if let Some(n_silent) = context.log.dead_letters.open(&attempt.error.to_string(), now) {
            error!(
                handler.name = %context.name,
                event.id = %event.id,
                n_silent,
                attempt = delivery.attempt,
                error = %attempt.error,
                "Gave up a delivery: it is a dead letter"
            );
        }
        if event.source.as_str() == OWN_SOURCE {
            continue;
        }
        let letter = DeadLetter {
            handler: context.name.clone(),
            id: event.id,
            position: event.position,
            source: event.source.clone(),
            event_type: event.event_type.clone(),
            received_at: event.received_at,
            attempts: delivery.attempt,
            died_at: attempt.started_at.after(attempt.duration),
            reason: attempt.error.clone(),
        };
        context.system_events.dead_letter(letter).await;
    }
}
