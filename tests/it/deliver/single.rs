//! One delivery at a time: matched, tried, settled.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gatepost::clock::Clock;
use gatepost::deliver::{Breaker, EventGlob, FailurePattern, Policy};
use gatepost::event::{Delivery, Failure, NewEvent};
use gatepost::expr::Expression;
use gatepost::queue::{DeadFilter, DeliveryState, Queue};

use super::rig::{Rig, Step, delivered, policy, refused, secs, until, unwanted};
use crate::support::events::{new_event, source};

#[tokio::test(start_paused = true)]
async fn every_wanted_event_is_delivered_once_and_the_others_are_skipped() {
    let rig = Rig::new();
    for event_type in ["comment.create", "vote", "comment.delete"] {
        rig.append(event_type, r#"{"n":1}"#).await;
    }
    rig.append("comment.create", r#"{"n":2}"#).await;
    let policy = Policy {
        on: vec![EventGlob::parse("shop:comment.*").unwrap()],
        when: Some(Arc::new(Expression::compile("payload.n == 1").unwrap())),
        ..policy()
    };
    let ready = rig.ready(policy, |_| delivered()).await;
    rig.settle_all(ready.deliverer).await;
    assert_eq!(ready.handler.positions(), [[1], [3]]);
    for (position, state, n_attempts) in [
        (1, DeliveryState::Delivered, 1),
        (2, DeliveryState::Skipped, 0),
        (3, DeliveryState::Delivered, 1),
        (4, DeliveryState::Skipped, 0),
    ] {
        let history = rig.history(position).await;
        assert_eq!((history.state, history.attempts.len()), (state, n_attempts));
    }
}

#[tokio::test(start_paused = true)]
async fn there_are_no_more_calls_at_once_than_allowed() {
    let rig = Rig::new();
    rig.append_n(40).await;
    let policy = Policy { concurrency: NonZeroUsize::new(3).unwrap(), ..policy() };
    let ready = rig.ready(policy, |_| Step::AnswerAfter(secs(1), Ok(()))).await;
    rig.settle_all(ready.deliverer).await;
    assert_eq!(ready.handler.n_most.load(Ordering::SeqCst), 3);
    assert_eq!(ready.handler.n_calls(), 40);
    // 40 calls of a second, three at once.
    let last = ready.handler.calls().pop().unwrap();
    assert_eq!(last.at.as_secs(), 13);
}

#[tokio::test(start_paused = true)]
async fn a_transient_failure_is_tried_again_within_the_policys_bounds() {
    let rig = Rig::new();
    rig.append_n(1).await;
    let ready = rig
        .ready(
            policy(),
            |deliveries| {
                if deliveries[0].attempt < 4 { refused() } else { delivered() }
            },
        )
        .await;
    rig.settle_all(ready.deliverer).await;
    let calls = ready.handler.calls();
    assert_eq!(calls.iter().map(|call| call.attempt).collect::<Vec<_>>(), [1, 2, 3, 4]);
    for (pair, ceiling) in calls.windows(2).zip([2, 4, 8]) {
        let wait = pair[1].at.saturating_sub(pair[0].at);
        assert!((secs(1)..=secs(ceiling) + Duration::from_millis(2)).contains(&wait), "{wait:?}");
    }
    let history = rig.history(1).await;
    assert_eq!(history.state, DeliveryState::Delivered);
    let errors: Vec<&str> = history.attempts.iter().map(|attempt| attempt.error.as_str()).collect();
    assert_eq!(errors, ["refused", "refused", "refused", ""]);
}

#[tokio::test(start_paused = true)]
async fn what_fails_too_often_or_for_good_is_a_dead_letter_and_is_told() {
    let rig = Rig::new();
    rig.append("good-for-nothing", "{}").await;
    rig.append("unwanted", "{}").await;
    let ready = rig
        .ready(policy(), |deliveries| match deliveries[0].event.event_type.as_str() {
            "unwanted" => unwanted(),
            _ => refused(),
        })
        .await;
    rig.settle_all(ready.deliverer).await;
    let mut dead = rig.dead().await;
    dead.sort_by_key(|letter| letter.position);
    let told: Vec<(u32, &str)> =
        dead.iter().map(|letter| (letter.attempts, letter.reason.as_str())).collect();
    assert_eq!(told, [(5, "refused"), (1, "not wanted")]);
    let mut told = rig.told.0.lock().unwrap().clone();
    told.sort_by_key(|letter| letter.position);
    assert_eq!(told, dead);
    assert_eq!(ready.handler.n_calls(), 6);
}

/// Whatever the kind makes of it.
#[tokio::test(start_paused = true)]
async fn owner_says_which_failures_are_tried_again_and_which_are_given_up() {
    let rig = Rig::new();
    for event_type in ["gone", "down"] {
        rig.append(event_type, "{}").await;
    }
    let patterns = |text: &str| vec![FailurePattern::parse(text).unwrap()];
    let policy = Policy { retry_on: patterns("410"), dead_on: patterns("503"), ..policy() };
    let ready = rig
        .ready(policy, |deliveries| {
            let failure = match deliveries[0].event.event_type.as_str() {
                "gone" => Failure::permanent("gone").with_status(410),
                _ => Failure::transient("down").with_status(503),
            };
            if deliveries[0].attempt == 1 { Step::Answer(Err(failure)) } else { delivered() }
        })
        .await;
    rig.settle_all(ready.deliverer).await;
    let dead: Vec<u64> = rig.dead().await.iter().map(|letter| letter.position.0).collect();
    assert_eq!(dead, [2]);
    let gone = rig.history(1).await;
    assert_eq!((gone.state, gone.attempts.len()), (DeliveryState::Delivered, 2));
    assert_eq!(rig.history(2).await.attempts.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_about_gateposts_own_event_is_not_told() {
    let rig = Rig::new();
    let own = new_event("dead_letter", "{}", rig.clock.now());
    rig.queue.append(NewEvent { source: source("gatepost"), ..own }).await.unwrap();
    let policy = Policy { on: vec![EventGlob::parse("*:*").unwrap()], ..policy() };
    let ready = rig.ready(policy, |_| unwanted()).await;
    rig.settle_all(ready.deliverer).await;
    assert_eq!(rig.dead().await.len(), 1);
    assert!(rig.told.0.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_filter_that_fails_makes_a_dead_letter_with_the_reason() {
    let rig = Rig::new();
    rig.append("a", r#"{"n":"text"}"#).await;
    let when = Expression::compile("payload.n - 1 == 0").unwrap();
    let policy = Policy { when: Some(Arc::new(when)), ..policy() };
    let ready = rig.ready(policy, |_| delivered()).await;
    rig.settle_all(ready.deliverer).await;
    assert_eq!(ready.handler.n_calls(), 0);
    let dead = rig.dead().await;
    assert!(dead[0].reason.as_str().starts_with("`when` failed: "), "{}", dead[0].reason);
    assert_eq!(rig.told.0.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_does_not_end_is_cut_off_and_tried_again() {
    let rig = Rig::new();
    rig.append_n(1).await;
    let ready = rig
        .ready(policy(), |deliveries| match deliveries[0].attempt {
            1 => Step::Hang,
            _ => delivered(),
        })
        .await;
    rig.settle_all(ready.deliverer).await;
    let history = rig.history(1).await;
    assert_eq!(history.attempts[0].error.as_str(), "no answer within 30s");
    assert_eq!(history.attempts[0].duration.as_secs(), 30);
    assert_eq!(history.state, DeliveryState::Delivered);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_transient_failure_of_one_delivery() {
    let rig = Rig::new();
    rig.append_n(3).await;
    let ready = rig
        .ready(policy(), |deliveries| {
            let delivery = &deliveries[0];
            if delivery.event.position.0 == 2 && delivery.attempt == 1 {
                Step::Panic
            } else {
                delivered()
            }
        })
        .await;
    rig.settle_all(ready.deliverer).await;
    let history = rig.history(2).await;
    assert_eq!(history.state, DeliveryState::Delivered);
    assert_eq!(history.attempts[0].error.as_str(), "the handler panicked");
    assert_eq!(ready.handler.n_calls(), 4);
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_obeyed() {
    let rig = Rig::new();
    rig.append_n(1).await;
    let ready = rig
        .ready(policy(), |deliveries| match deliveries[0].attempt {
            1 => {
                let busy = Failure::transient("429").with_status(429);
                Step::Answer(Err(busy.with_retry_after(Some(secs(600)))))
            }
            _ => delivered(),
        })
        .await;
    rig.settle_all(ready.deliverer).await;
    assert_eq!(ready.handler.calls()[1].at.as_secs(), 600);
    assert_eq!(rig.history(1).await.attempts[0].status, Some(429));
}

#[tokio::test(start_paused = true)]
async fn a_redriven_dead_letter_is_delivered() {
    let rig = Rig::new();
    rig.append_n(1).await;
    let ready = rig.ready(policy(), |_| unwanted()).await;
    rig.settle_all(ready.deliverer).await;
    assert_eq!(rig.queue.redrive(DeadFilter::default()).await.unwrap(), 1);
    let ready = rig.ready(policy(), |_| delivered()).await;
    rig.settle_all(ready.deliverer).await;
    assert_eq!(ready.handler.calls()[0].attempt, 1);
    assert_eq!(rig.history(1).await.state, DeliveryState::Delivered);
}

#[tokio::test(start_paused = true)]
async fn setting_the_wall_clock_neither_fires_nor_stalls_retries_nor_uses_up_their_time() {
    let rig = Rig::new();
    rig.append_n(5).await;
    let ask = |time| Step::Answer(Err(Failure::transient("no").with_retry_after(Some(time))));
    let script = move |deliveries: &[Delivery]| match deliveries[0].attempt {
        1 => ask(secs(100)),
        2 => ask(secs(200)),
        _ => delivered(),
    };
    let failures = NonZeroU32::new(1_000).unwrap();
    let policy = Policy { breaker: Breaker { failures, ..Breaker::DEFAULT }, ..policy() };
    let ready = rig.ready(policy, script).await;
    let year = Duration::from_hours(365 * 24);
    let jumps = async {
        until(|| rig.clock.since_start() >= secs(50)).await;
        rig.clock.set_forward(year);
        until(|| rig.clock.since_start() >= secs(150)).await;
        rig.clock.set_back(year * 2);
    };
    tokio::join!(rig.settle_all(ready.deliverer), jumps);
    let calls = ready.handler.calls();
    assert_eq!(calls.len(), 15);
    for call in calls {
        let due = [0, 100, 300][call.attempt as usize - 1];
        assert_eq!(call.at.as_secs(), due, "{call:?}");
    }
    assert!(rig.dead().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn time_in_suspend_counts() {
    let rig = Rig::new();
    rig.append_n(1).await;
    let ready = rig
        .ready(policy(), |deliveries| match deliveries[0].attempt {
            1 => {
                let hour = Duration::from_hours(1).saturating_sub(secs(10));
                Step::Answer(Err(Failure::transient("no").with_retry_after(Some(hour))))
            }
            _ => delivered(),
        })
        .await;
    let began = tokio::time::Instant::now();
    let sleep = async {
        until(|| began.elapsed() >= secs(60)).await;
        rig.clock.suspend(Duration::from_hours(1));
    };
    let handler = ready.handler.clone();
    tokio::join!(rig.run_until(ready.deliverer, || handler.n_calls() == 2), sleep);
    assert!(began.elapsed() <= secs(67), "it looks again every five seconds");
}
