//! A handler that says that it is not time yet.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gatepost::deliver::{BreakerState, Policy};
use gatepost::event::{Delivery, EventId, Failure};
use gatepost::expr::Expression;
use gatepost::queue::DeliveryState;

use super::rig::{Rig, Step, batches, delivered, policy, refused, secs, unwanted};

fn not_yet(wait: Duration) -> Step {
    Step::Answer(Err(Failure::deferred("not yet", wait)))
}

async fn assert_delivered_at_the_first_try(rig: &Rig, positions: impl Iterator<Item = u64>) {
    for position in positions {
        let history = rig.history(position).await;
        assert_eq!((history.state, history.attempts.len()), (DeliveryState::Delivered, 1));
        assert_eq!(history.attempts[0].error.as_str(), "");
    }
}

#[tokio::test(start_paused = true)]
async fn forty_mails_at_two_an_hour_all_arrive() {
    let rig = Rig::new();
    rig.append_n(40).await;
    let hour = Duration::from_hours(1);
    let ready = rig
        .ready(policy(), move |deliveries| {
            let done: Vec<EventId> = deliveries.iter().take(2).map(|one| one.event.id).collect();
            if deliveries.len() <= 2 {
                return delivered();
            }
            Step::Answer(Err(Failure::deferred("the hour is full", hour).with_done(done)))
        })
        .await;
    ready.handler.default_batch.store(100, Ordering::SeqCst);
    let control = ready.control.clone();
    rig.settle_all(ready.deliverer).await;
    let calls = ready.handler.calls();
    assert_eq!(calls.len(), 20);
    for (call, n_before) in calls.iter().zip(0..) {
        assert_eq!(call.positions, (2 * n_before + 1..=40).collect::<Vec<u64>>());
        assert_eq!((call.attempt, call.at.as_secs() / 3_600), (1, n_before));
    }
    assert!(rig.dead().await.is_empty());
    assert_delivered_at_the_first_try(&rig, 1..=40).await;
    let status = control.status();
    assert_eq!((status.breaker, status.last_error), (BreakerState::Closed, None));
}

#[tokio::test(start_paused = true)]
async fn however_often_it_is_put_off_no_try_is_used_up_and_the_handler_is_not_down() {
    let rig = Rig::new();
    rig.append_n(30).await;
    let clock = rig.clock.clone();
    let ready = rig
        .ready(policy(), move |_| {
            if clock.since_start() < secs(7_200) { not_yet(secs(600)) } else { delivered() }
        })
        .await;
    let control = ready.control.clone();
    let breaker = Mutex::new(BreakerState::Closed);
    rig.run_until(ready.deliverer, || {
        let now = control.status().breaker;
        if now != BreakerState::Closed {
            *breaker.lock().unwrap() = now;
        }
        rig.is_settled("h")
    })
    .await;
    assert_eq!(*breaker.lock().unwrap(), BreakerState::Closed);
    assert_eq!(ready.handler.n_calls(), 30 * 13, "due when it said, and not before");
    let counted = rig.metrics.text();
    for line in ["outcome=\"retry\"} 0", "outcome=\"delivered\"} 30"] {
        let line = format!("gatepost_deliveries_total{{handler=\"h\",{line}");
        assert!(counted.contains(&line), "{line}: {counted}");
    }
    assert!(rig.dead().await.is_empty());
    assert_delivered_at_the_first_try(&rig, 1..=30).await;
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_put_off_is_followed_by_another() {
    let rig = Rig::new();
    rig.append_n(30).await;
    let n_calls = AtomicUsize::new(0);
    let ready = rig
        .ready(Policy { concurrency: 1.try_into().unwrap(), ..policy() }, move |_| {
            match n_calls.fetch_add(1, Ordering::SeqCst) {
                0..10 => refused(),
                10..13 => not_yet(secs(60)),
                _ => delivered(),
            }
        })
        .await;
    let control = ready.control.clone();
    rig.settle_all(ready.deliverer).await;
    let calls = ready.handler.calls();
    let probes: Vec<u64> = calls[10..14].iter().map(|call| call.at.as_secs()).collect();
    assert_eq!(probes, [30, 30, 30, 30], "one after the other, since nobody was asked");
    assert_eq!(control.status().breaker, BreakerState::Closed);
    assert!(rig.dead().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_a_failed_call_has_done_is_not_done_again() {
    for failure in [Failure::transient("refused"), Failure::permanent("not wanted")] {
        let rig = Rig::new();
        rig.append_n(4).await;
        let ready = rig
            .ready(batches(4, Duration::ZERO), move |deliveries| match deliveries {
                [one, two, _, _] => {
                    let done = vec![one.event.id, two.event.id];
                    Step::Answer(Err(failure.clone().with_done(done)))
                }
                _ => delivered(),
            })
            .await;
        rig.settle_all(ready.deliverer).await;
        let positions = ready.handler.positions();
        assert_eq!(positions[0], [1, 2, 3, 4]);
        let mut others = positions[1..].concat();
        others.sort_unstable();
        assert_eq!(others, [3, 4]);
        assert_delivered_at_the_first_try(&rig, 1..=2).await;
    }
}

#[tokio::test(start_paused = true)]
async fn in_a_batch_that_is_put_off_one_that_can_never_be_done_ends_at_once() {
    let rig = Rig::new();
    for event_type in ["a", "a", "bad", "a"] {
        rig.append(event_type, "{}").await;
    }
    let is_bad = |one: &Delivery| one.event.event_type.as_str() == "bad";
    let ready = rig
        .ready(batches(4, Duration::ZERO), move |deliveries| match deliveries {
            _ if deliveries.iter().any(is_bad) => unwanted(),
            [_] => not_yet(secs(600)),
            _ => delivered(),
        })
        .await;
    rig.settle_all(ready.deliverer).await;
    let expected = [vec![1, 2, 3, 4], vec![1], vec![2], vec![3], vec![4], vec![1, 2, 4]];
    assert_eq!(ready.handler.positions(), expected);
    let dead = rig.dead().await;
    assert_eq!(dead.iter().map(|letter| letter.position.0).collect::<Vec<_>>(), [3]);
    assert_delivered_at_the_first_try(&rig, [1, 2, 4].into_iter()).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_put_off_stays_in_front_of_its_line() {
    let rig = Rig::new();
    for key in ["a", "a", "b"] {
        rig.append("a", &format!(r#"{{"k":"{key}"}}"#)).await;
    }
    let order_by = Some(Arc::new(Expression::compile("payload.k").unwrap()));
    let ready = rig
        .ready(Policy { order_by, ..batches(3, Duration::ZERO) }, |deliveries| match deliveries {
            [_, _, last] => {
                let failure = Failure::deferred("not yet", secs(600));
                Step::Answer(Err(failure.with_done(vec![last.event.id])))
            }
            _ => delivered(),
        })
        .await;
    rig.settle_all(ready.deliverer).await;
    assert_eq!(ready.handler.positions(), [vec![1, 2, 3], vec![1], vec![2]]);
    assert_delivered_at_the_first_try(&rig, 1..=3).await;
}

#[tokio::test(start_paused = true)]
async fn a_pause_leaves_the_backlog_in_the_log_and_uses_no_try() {
    let rig = Rig::new();
    rig.append_n(1_000).await;
    let clock = rig.clock.clone();
    let ready = rig
        .ready(policy(), move |_| {
            if clock.since_start() < secs(600) {
                Step::Answer(Err(Failure::paused("a limit", secs(60))))
            } else {
                delivered()
            }
        })
        .await;
    let control = ready.control.clone();
    let most_waiting = Mutex::new(0);
    rig.run_until(ready.deliverer, || {
        let mut most = most_waiting.lock().unwrap();
        *most = rig.backlog("h").waiting.max(*most);
        assert_eq!(control.status().breaker, BreakerState::Closed);
        rig.is_settled("h")
    })
    .await;
    // At most the four calls under way at once were asked in each of the ten minutes.
    let n_early = ready.handler.calls().iter().filter(|call| call.at < secs(600)).count();
    assert!((10..=40).contains(&n_early), "{n_early}");
    assert!(*most_waiting.lock().unwrap() <= 40, "{most_waiting:?}");
    assert!(rig.dead().await.is_empty());
    assert_delivered_at_the_first_try(&rig, 1..=1_000).await;
}

#[tokio::test(start_paused = true)]
async fn each_answer_of_a_call_counts_for_its_own_event_only() {
    let rig = Rig::new();
    rig.append_n(6).await;
    let ready = rig
        .ready(batches(10, Duration::ZERO), |deliveries| {
            let id = |index: usize| deliveries[index].event.id;
            match deliveries {
                [_, _, _, _, _, _] => {
                    let each = vec![
                        (id(1), Failure::transient("db down")),
                        (id(2), Failure::permanent("no such user")),
                        (id(3), Failure::deferred("later", secs(600))),
                    ];
                    let done = vec![id(0), id(4), id(5)];
                    let failure = Failure::transient("3 of 6").with_done(done);
                    Step::Answer(Err(failure.with_each(each)))
                }
                _ => delivered(),
            }
        })
        .await;
    let control = ready.control.clone();
    rig.settle_all(ready.deliverer).await;
    assert_eq!(ready.handler.positions(), [vec![1, 2, 3, 4, 5, 6], vec![2], vec![4]]);
    let letters = rig.dead().await;
    let letters: Vec<_> =
        letters.iter().map(|letter| (letter.position.0, letter.reason.as_str())).collect();
    assert_eq!(letters, [(3, "no such user")]);
    assert_delivered_at_the_first_try(&rig, [1, 4, 5, 6].into_iter()).await;
    let second = rig.history(2).await;
    let errors: Vec<&str> = second.attempts.iter().map(|one| one.error.as_str()).collect();
    assert_eq!((second.state, errors), (DeliveryState::Delivered, vec!["db down", ""]));
    assert_eq!(control.status().breaker, BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_ones_own_keeps_the_order_of_a_line() {
    let rig = Rig::new();
    for _ in 0..3 {
        rig.append("a", r#"{"k":"a"}"#).await;
    }
    let order_by = Some(Arc::new(Expression::compile("payload.k").unwrap()));
    let ready = rig
        .ready(Policy { order_by, ..batches(3, Duration::ZERO) }, |deliveries| match deliveries {
            [one, two, three] if one.attempt == 1 => {
                let each = [one, two, three].map(|one| (one.event.id, Failure::transient("down")));
                Step::Answer(Err(Failure::transient("3 of 3").with_each(each.into())))
            }
            _ => delivered(),
        })
        .await;
    rig.settle_all(ready.deliverer).await;
    let after: Vec<u64> = ready.handler.positions()[1..].concat();
    assert_eq!(after, [1, 2, 3]);
}
