//! Pausing, ending, and what the loop tells of itself.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};

use gatepost::deliver::{BreakerState, LoopState, Policy, StopCause};
use gatepost::event::Failure;
use gatepost::queue::{DeliveryState, Queue, QueueError};
use tokio_util::sync::CancellationToken;

use super::rig::{Rig, Step, delivered, policy, refused, secs, until, unwanted};

#[tokio::test(start_paused = true)]
async fn a_paused_loop_begins_no_calls_until_it_is_resumed() {
    let rig = Rig::new();
    let ready = rig.ready(policy(), |_| delivered()).await;
    let (control, handler) = (ready.control.clone(), ready.handler.clone());
    control.pause();
    let watch = async {
        rig.append_n(3).await;
        until(|| rig.clock.since_start() >= secs(100)).await;
        assert_eq!(handler.n_calls(), 0);
        assert_eq!(control.status().state, LoopState::Paused);
        control.resume();
        until(|| handler.n_calls() == 3).await;
        control.pause();
        rig.append_n(1).await;
        until(|| rig.clock.since_start() >= secs(200)).await;
        assert_eq!(handler.n_calls(), 3);
        control.resume();
    };
    let is_done = || handler.n_calls() == 4;
    tokio::join!(rig.run_until(ready.deliverer, is_done), watch);
    // Beside what came late it is said why.
    let status = control.status();
    assert!(status.began_at.is_some_and(|at| at <= status.stops[0].from), "{status:?}");
    let paused: Vec<_> = status
        .stops
        .iter()
        .map(|stop| (stop.cause, stop.until.map(|until| until.since(stop.from).as_secs() >= 90)))
        .collect();
    assert_eq!(paused, [(StopCause::Paused, Some(true)); 2]);
}

#[tokio::test(start_paused = true)]
async fn at_the_end_calls_under_way_are_finished_and_nothing_new_begins() {
    let rig = Rig::new();
    rig.append_n(10).await;
    let ready = rig.ready(policy(), |_| Step::AnswerAfter(secs(5), Ok(()))).await;
    let shutdown = CancellationToken::new();
    let watch = async {
        until(|| rig.clock.since_start() >= secs(1)).await;
        shutdown.cancel();
    };
    let (run, ()) = tokio::join!(ready.deliverer.run(shutdown.clone()), watch);
    run.unwrap();
    assert_eq!(rig.clock.since_start().as_secs(), 5);
    assert_eq!(ready.handler.n_calls(), 4);
    assert_eq!(ready.handler.n_closed.load(Ordering::SeqCst), 1);
    assert_eq!(ready.control.status().state, LoopState::Stopped);
    for position in 1..=4 {
        assert_eq!(rig.history(position).await.state, DeliveryState::Delivered);
    }
    let ready = rig.ready(policy(), |_| delivered()).await;
    rig.settle_all(ready.deliverer).await;
    assert_eq!(ready.handler.positions(), [[5], [6], [7], [8], [9], [10]]);
}

#[tokio::test(start_paused = true)]
async fn at_the_end_a_call_that_hangs_is_given_up_and_its_delivery_comes_back() {
    let rig = Rig::new();
    rig.append_n(1).await;
    let ready = rig.ready(policy(), |_| Step::Hang).await;
    rig.run_for(ready.deliverer, secs(1)).await;
    assert!(rig.clock.since_start() <= secs(10), "within the time that a stop may take");
    let ready = rig.ready(policy(), |_| delivered()).await;
    rig.settle_all(ready.deliverer).await;
    assert_eq!(ready.handler.calls()[0].attempt, 1);
}

/// As where a reload replaces it: its calls have their own `timeout`, and not the seconds of a shutdown.
#[tokio::test(start_paused = true)]
async fn loop_that_finishes_leaves_its_calls_all_their_time() {
    let rig = Rig::new();
    rig.append_n(10).await;
    let policy = Policy { timeout: secs(600), ..policy() };
    let ready = rig
        .ready(policy, |deliveries| match deliveries[0].event.position.0 {
            4 => Step::Hang,
            _ => Step::AnswerAfter(secs(590), Ok(())),
        })
        .await;
    let watch = async {
        until(|| ready.control.status().in_flight == 4).await;
        ready.control.finish();
        until(|| rig.clock.since_start() >= secs(300)).await;
        assert_eq!(ready.control.status().state, LoopState::Finishing);
    };
    let (run, ()) = tokio::join!(ready.deliverer.run(CancellationToken::new()), watch);
    run.unwrap();
    assert_eq!(rig.clock.since_start().as_secs(), 600, "as long as the one that hangs may take");
    assert_eq!(ready.handler.n_calls(), 4, "nothing new is begun");
    for position in 1..=3 {
        assert_eq!(rig.history(position).await.state, DeliveryState::Delivered);
    }
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_closed_ends_the_loop_with_its_error() {
    let rig = Rig::new();
    let ready = rig.ready(policy(), |_| delivered()).await;
    let mut run = pin!(ready.deliverer.run(CancellationToken::new()));
    let (ended, closed) = tokio::join!(&mut run, rig.queue.close());
    closed.unwrap();
    assert!(matches!(ended, Err(QueueError::Closed)));
    assert_eq!(ready.handler.n_closed.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn the_status_tells_what_goes_on() {
    let rig = Rig::new();
    for event_type in ["good", "bad", "slow"] {
        rig.append(event_type, "{}").await;
    }
    let ready = rig
        .ready(policy(), |deliveries| match deliveries[0].event.event_type.as_str() {
            "good" => delivered(),
            "slow" => Step::AnswerAfter(secs(20), Ok(())),
            _ => unwanted(),
        })
        .await;
    let control = ready.control.clone();
    assert_eq!(control.status().last_success_at, None);
    let watch = async {
        until(|| control.status().in_flight == 1 && control.status().last_error.is_some()).await;
        control.status()
    };
    let ((), status) = tokio::join!(rig.settle_all(ready.deliverer), watch);
    assert_eq!(status.state, LoopState::Running);
    assert_eq!(status.breaker, BreakerState::Closed);
    assert_eq!((status.in_flight, status.taken), (1, 0));
    assert_eq!(status.last_error.unwrap().text.as_str(), "not wanted");
    assert!(status.last_success_at.is_some());
    assert!(control.status().last_success_at > status.last_success_at);
}

#[tokio::test(start_paused = true)]
async fn what_is_done_is_counted() {
    let rig = Rig::new();
    for event_type in ["good", "bad", "flaky"] {
        rig.append(event_type, "{}").await;
    }
    let ready = rig
        .ready(policy(), |deliveries| {
            match (deliveries[0].event.event_type.as_str(), deliveries[0].attempt) {
                ("bad", _) => Step::Answer(Err(Failure::permanent("no"))),
                ("flaky", 1) => refused(),
                _ => delivered(),
            }
        })
        .await;
    rig.settle_all(ready.deliverer).await;
    let text = rig.metrics.text();
    for line in [
        r#"gatepost_deliveries_total{handler="h",outcome="delivered"} 2"#,
        r#"gatepost_deliveries_total{handler="h",outcome="retry"} 1"#,
        r#"gatepost_deliveries_total{handler="h",outcome="dead"} 1"#,
        r#"gatepost_delivery_seconds_count{handler="h"} 4"#,
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn loop_that_nobody_drives_does_not_go_round_and_one_that_runs_does() {
    let rig = Rig::new();
    let ready = rig.ready(policy(), |_| delivered()).await;
    let control = ready.control.clone();
    // As where something keeps its thread: it is not polled.
    assert!(tokio::time::timeout(secs(60), control.go_round()).await.is_err());
    let went_round = AtomicBool::new(false);
    let watch = async {
        control.go_round().await;
        went_round.store(true, Ordering::SeqCst);
    };
    let is_done = || went_round.load(Ordering::SeqCst);
    tokio::join!(rig.run_until(ready.deliverer, is_done), watch);
    // What has ended is no reason to wait.
    control.go_round().await;
    assert_eq!(control.status().state, LoopState::Stopped);
}
