//! Order by key.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use gatepost::deliver::{OnDeadLetter, Policy};
use gatepost::event::{Delivery, Failure};
use gatepost::expr::Expression;
use gatepost::queue::{DeadFilter, Queue};

use super::rig::{Rig, Step, delivered, policy, refused, secs, unwanted};

fn ordered() -> Policy {
    let order_by = Expression::compile("payload.k").unwrap();
    Policy { order_by: Some(Arc::new(order_by)), ..policy() }
}

async fn append_keys(rig: &Rig, keys: &str) {
    for key in keys.chars() {
        rig.append("a", &format!(r#"{{"k":"{key}"}}"#)).await;
    }
}

fn position(deliveries: &[Delivery]) -> u64 {
    deliveries[0].event.position.0
}

#[tokio::test(start_paused = true)]
async fn a_retry_keeps_its_key_waiting_and_no_other() {
    let rig = Rig::new();
    append_keys(&rig, "aabab").await;
    let ready = rig
        .ready(ordered(), |deliveries| match (position(deliveries), deliveries[0].attempt) {
            (1, 1 | 2) => refused(),
            _ => delivered(),
        })
        .await;
    rig.settle_all(ready.deliverer).await;
    assert_eq!(ready.handler.positions(), [[1], [3], [5], [1], [1], [2], [4]]);
}

#[tokio::test(start_paused = true)]
async fn calls_of_one_key_never_overlap_and_those_of_others_do() {
    let rig = Rig::new();
    append_keys(&rig, &"abcd".repeat(5)).await;
    let ready = rig.ready(ordered(), |_| Step::AnswerAfter(secs(1), Ok(()))).await;
    rig.settle_all(ready.deliverer).await;
    let calls = ready.handler.calls();
    let mut last: HashMap<u64, u64> = HashMap::new();
    for call in &calls {
        let (key, second) = (call.positions[0] % 4, call.at.as_secs());
        assert!(last.insert(key, second).is_none_or(|before| before < second));
    }
    assert_eq!(calls.last().unwrap().at.as_secs(), 4, "four keys at once, five rounds");
}

#[tokio::test(start_paused = true)]
async fn a_busy_key_does_not_keep_other_keys_from_being_taken() {
    let rig = Rig::new();
    append_keys(&rig, &"a".repeat(2_000)).await;
    append_keys(&rig, "bcd").await;
    let ready = rig
        .ready(ordered(), |deliveries| {
            let time = if position(deliveries) <= 2_000 { secs(1) } else { secs(0) };
            Step::AnswerAfter(time, Ok(()))
        })
        .await;
    let control = ready.control.clone();
    let handler = ready.handler.clone();
    let watch = async {
        super::rig::until(|| rig.backlog("h").in_log <= 256).await;
        assert!(control.status().taken <= 256);
        super::rig::until(|| handler.calls().iter().any(|call| call.positions == [2_003])).await;
        assert!(rig.clock.since_start() < secs(3), "the others do not wait for 2,000 seconds");
    };
    tokio::join!(rig.settle_all(ready.deliverer), watch);
    let busy: Vec<u64> =
        handler.positions().concat().into_iter().filter(|position| *position <= 2_000).collect();
    assert_eq!(busy, (1..=2_000).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_lets_its_key_go_on() {
    let rig = Rig::new();
    append_keys(&rig, "aab").await;
    let ready = rig
        .ready(
            ordered(),
            |deliveries| if position(deliveries) == 1 { unwanted() } else { delivered() },
        )
        .await;
    rig.settle_all(ready.deliverer).await;
    assert_eq!(ready.handler.positions(), [[1], [3], [2]]);
    assert_eq!(rig.dead().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_holds_keeps_its_key_until_somebody_looks() {
    let rig = Rig::new();
    append_keys(&rig, "aaba").await;
    let holding = || Policy { on_dead_letter: OnDeadLetter::Hold, ..ordered() };
    let first_is_bad = |deliveries: &[Delivery]| {
        if position(deliveries) == 1 { unwanted() } else { delivered() }
    };
    let ready = rig.ready(holding(), first_is_bad).await;
    rig.run_for(ready.deliverer, secs(1_000)).await;
    assert_eq!(ready.handler.positions(), [[1], [3]]);
    let backlog = rig.backlog("h");
    assert_eq!(backlog.in_log + backlog.waiting, 2);

    rig.queue.redrive(DeadFilter::default()).await.unwrap();
    let ready = rig.ready(holding(), first_is_bad).await;
    rig.run_for(ready.deliverer, secs(1_000)).await;
    assert_eq!(ready.handler.positions(), [[1]]);

    let ready = rig.ready(holding(), first_is_bad).await;
    let watch = async {
        super::rig::until(|| rig.clock.since_start() >= secs(3_000)).await;
        rig.queue.drop_dead(DeadFilter::default()).await.unwrap();
    };
    tokio::join!(rig.settle_all(ready.deliverer), watch);
    assert_eq!(ready.handler.positions(), [[2], [4]]);
}

#[tokio::test(start_paused = true)]
async fn a_restart_between_retries_keeps_the_order() {
    let rig = Rig::new();
    append_keys(&rig, "aaa").await;
    for _ in 0..3 {
        let down = Failure::transient("down").with_retry_after(Some(secs(100)));
        let ready = rig.ready(ordered(), move |_| Step::Answer(Err(down.clone()))).await;
        rig.run_for(ready.deliverer, secs(90)).await;
        assert_eq!(ready.handler.positions(), [[1]]);
    }
    let ready = rig.ready(ordered(), |_| delivered()).await;
    rig.settle_all(ready.deliverer).await;
    assert_eq!(ready.handler.positions(), [[1], [2], [3]]);
}

#[tokio::test(start_paused = true)]
async fn events_without_the_value_wait_for_nobody() {
    let rig = Rig::new();
    append_keys(&rig, "a").await;
    rig.append_n(3).await;
    let policy = Policy { concurrency: NonZeroUsize::new(1).unwrap(), ..ordered() };
    let ready = rig
        .ready(policy, |deliveries| match (position(deliveries), deliveries[0].attempt) {
            (1 | 2, 1) => refused(),
            _ => delivered(),
        })
        .await;
    rig.settle_all(ready.deliverer).await;
    let mut positions = ready.handler.positions().concat();
    assert_eq!(positions[..4], [1, 2, 3, 4]);
    positions[4..].sort_unstable();
    assert_eq!(positions[4..], [1, 2]);
}
