//! A handler that is down.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gatepost::clock::Clock;
use gatepost::deliver::{BreakerState, Health, Policy, Retry, StopCause};
use gatepost::event::{Failure, FailureClass};
use tokio_util::sync::CancellationToken;

use super::rig::{Rig, Step, delivered, policy, refused, secs, until};

/// An hour of patience, so that nothing dies in these tests.
fn patient() -> Policy {
    Policy { retry: Retry::DEFAULT, ..policy() }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_is_down_costs_one_probe_per_interval_and_slows_nobody() {
    const N_EVENTS: usize = 100_000;
    let rig = Rig::new();
    rig.append_n(N_EVENTS).await;
    let bad = rig.ready_as("bad", patient(), |_| refused()).await;
    let good = rig.ready_as("good", patient(), |_| delivered()).await;
    let hour = Duration::from_hours(1);
    let shutdown = CancellationToken::new();
    let most_taken = Cell::new(0);
    let watch = async {
        until(|| rig.is_settled("good")).await;
        assert!(rig.clock.since_start() < secs(1), "nobody waits for the one that is down");
        until(|| {
            most_taken.set(most_taken.get().max(bad.control.status().taken));
            rig.clock.since_start() >= hour
        })
        .await;
        assert_eq!(bad.control.status().breaker, BreakerState::Open);
        let in_log = rig.backlog("bad").in_log;
        assert!(in_log < N_EVENTS as u64 - 50, "its cursor moves all the same: {in_log}");
        shutdown.cancel();
    };
    let (good_run, bad_run, ()) = tokio::join!(
        good.deliverer.run(shutdown.clone()),
        bad.deliverer.run(shutdown.clone()),
        watch
    );
    good_run.unwrap();
    bad_run.unwrap();
    assert_eq!(good.handler.n_calls(), N_EVENTS);
    // The failures that opened it, and one probe per half minute.
    let n_calls = bad.handler.n_calls();
    assert!((100..=10 + 3 + 120).contains(&n_calls), "{n_calls}");
    assert!(most_taken.get() <= 256, "{}", most_taken.get());
    assert!(rig.dead().await.is_empty());
    // What found the breaker open was not tried.
    assert!(rig.history(50_000).await.attempts.is_empty());
}

/// As `url = "https://{{ payload.host }}/"` whose host is gone for some events.
#[tokio::test(start_paused = true)]
async fn places_that_events_choose_are_not_the_handler() {
    let rig = Rig::new();
    rig.append_n(100).await;
    let elsewhere = || Failure::transient("no such host").of_event();
    let ready = rig
        .ready(patient(), move |deliveries| match deliveries[0].event.position.0 {
            100 => delivered(),
            _ => Step::Answer(Err(elsewhere())),
        })
        .await;
    let shutdown = CancellationToken::new();
    let watch = async {
        until(|| ready.control.status().last_success_at.is_some()).await;
        assert!(rig.clock.since_start() < secs(1), "nobody waits for them");
        assert_eq!(ready.control.status().breaker, BreakerState::Closed);
        shutdown.cancel();
    };
    let (run, ()) = tokio::join!(ready.deliverer.run(shutdown.clone()), watch);
    run.unwrap();
}

/// By that it is told of as down though it fails once an hour; waiting is not failing.
#[tokio::test(start_paused = true)]
async fn it_is_known_when_what_failed_is_tried_again() {
    let (hour, asked) = (secs(3_600), Some(secs(3_600)));
    let long = Policy { retry: Retry { min: hour, ..Retry::DEFAULT }, ..policy() };
    let once = Retry { attempts: NonZeroU32::new(1), ..Retry::DEFAULT };
    let once = Policy { retry: once, ..policy() };
    let busy = Failure::transient("busy");
    for (policy, failure, expected) in [
        (patient(), busy.clone().with_retry_after(asked), Some(Some(hour))),
        (patient(), busy.clone(), Some(Some(secs(10)))),
        (long, busy.clone(), Some(Some(hour))),
        (once, busy.with_retry_after(asked), Some(None)),
        (patient(), Failure::paused("a limit", hour), None),
        (patient(), Failure::deferred("not yet", hour), None),
    ] {
        let rig = Rig::new();
        rig.append_n(1).await;
        let answer = failure.clone();
        let ready = rig.ready(policy, move |_| Step::Answer(Err(answer.clone()))).await;
        let control = ready.control.clone();
        let began = rig.clock.steady();
        rig.run_until(ready.deliverer, || rig.clock.since_start() >= secs(5)).await;
        assert_eq!(ready.handler.n_calls(), 1, "{failure}");
        let found = match control.status().health {
            Health::Unknown => None,
            Health::Answers => panic!("{failure}"),
            Health::Fails { count, next_try_at, .. } => {
                assert_eq!(count, 1, "{failure}");
                Some(next_try_at.map(|at| at.since(began)))
            }
        };
        let is_right = match (found, expected) {
            // Within a second of it, or as the jitter has it.
            (Some(Some(found)), Some(Some(expected))) => {
                found >= expected && found <= expected * 2 + secs(1)
            }
            (found, expected) => found == expected,
        };
        assert!(is_right, "{failure}: {found:?} {expected:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn handler_that_takes_a_part_of_each_is_not_down() {
    let rig = Rig::new();
    rig.append_n(50).await;
    let ready = rig
        .ready(patient(), |deliveries| {
            if deliveries[0].attempt > 1 {
                return delivered();
            }
            let part = Failure::transient("one mailbox is full").with_class(FailureClass::Partly);
            let each = vec![(deliveries[0].event.id, part.clone())];
            Step::Answer(Err(part.with_each(each)))
        })
        .await;
    let control = ready.control.clone();
    let shutdown = CancellationToken::new();
    let watch = async {
        until(|| ready.handler.n_calls() >= 50).await;
        assert!(rig.clock.since_start() < secs(1), "the others do not wait for that");
        assert_eq!(control.status().breaker, BreakerState::Closed);
        until(|| ready.handler.n_calls() >= 100).await;
        shutdown.cancel();
    };
    let (run, ()) = tokio::join!(ready.deliverer.run(shutdown.clone()), watch);
    run.unwrap();
}

#[tokio::test(start_paused = true)]
async fn when_the_handler_is_back_everything_is_delivered() {
    let rig = Rig::new();
    rig.append_n(500).await;
    let is_up = Arc::new(AtomicBool::new(false));
    let script = {
        let is_up = is_up.clone();
        move |_: &[_]| if is_up.load(Ordering::SeqCst) { delivered() } else { refused() }
    };
    let ready = rig.ready(patient(), script).await;
    let control = ready.control.clone();
    let watch = async {
        until(|| rig.clock.since_start() >= secs(600)).await;
        assert_eq!(control.status().breaker, BreakerState::Open);
        is_up.store(true, Ordering::SeqCst);
        until(|| control.status().breaker == BreakerState::Closed).await;
        rig.clock.since_start()
    };
    let ((), back_after) = tokio::join!(rig.settle_all(ready.deliverer), watch);
    assert!(back_after <= secs(631), "{back_after:?}");
    let [stop] = control.status().stops[..] else { panic!("it was down once") };
    assert_eq!(stop.cause, StopCause::Down);
    assert!(stop.until.is_some_and(|until| until.since(stop.from) > secs(500)), "{stop:?}");
    assert!(rig.dead().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_probe_waits_as_long_as_the_handler_asks() {
    let rig = Rig::new();
    rig.append_n(100).await;
    let asked = Some(secs(300));
    let ready = rig
        .ready(patient(), move |_| {
            Step::Answer(Err(Failure::transient("429").with_retry_after(asked)))
        })
        .await;
    rig.run_for(ready.deliverer, secs(1_000)).await;
    let times: Vec<u64> =
        ready.handler.calls().iter().skip(10).map(|call| call.at.as_secs()).collect();
    assert_eq!(times, [300, 600, 900]);
}

#[tokio::test(start_paused = true)]
async fn slow_failures_under_way_do_not_count_as_probes() {
    let rig = Rig::new();
    rig.append_n(100).await;
    let refused_late = |_: &[_]| Step::AnswerAfter(secs(5), Err(Failure::transient("refused")));
    let ready = rig.ready(patient(), refused_late).await;
    rig.run_for(ready.deliverer, secs(120)).await;
    // Four at once until ten have failed: at 15 s, with two more under way; then probes.
    let calls = ready.handler.calls();
    let after = calls.iter().filter(|call| call.at > secs(16)).count();
    assert!((2..=4).contains(&after), "{after}");
}
