//! Promises 6 and 9: what waits for its time.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::poll_immediate;
use gatepost::clock::{Clock, ManualClock, SystemClock};
use gatepost::event::{Origin, Outcome};
use gatepost::queue::Start;

use super::{Backend, World, settle, take_one, take_types};
use crate::support::events::{handler, key, new_event, settlement, tried, untried};

pub(super) async fn a_retry_comes_when_it_is_due_and_counts_up<B: Backend>(world: World<B>) {
    let subscription = world.oldest().await;
    world.append("a").await;
    let began = world.clock.steady();
    for attempt in 1..=3 {
        let delivery = take_types(&*subscription, &["a"]).await.remove(0);
        assert_eq!(delivery.attempt, attempt);
        if attempt > 1 {
            assert_eq!(delivery.origin, Origin::Entry);
            let first = delivery.first_attempt_at.unwrap();
            // The tries say that they took 7 ms.
            assert_eq!(first, began.before(Duration::from_millis(7)));
        }
        subscription.settle(settlement(delivery, world.retry(10))).await.unwrap();
        world.advance_secs(9);
        world.assert_nothing_due(&*subscription).await;
        world.advance_secs(1);
    }
    let delivery = take_types(&*subscription, &["a"]).await.remove(0);
    settle(&*subscription, delivery, Outcome::Delivered).await;
    world.advance_secs(86_400);
    world.assert_nothing_due(&*subscription).await;
}

pub(super) async fn a_hastened_retry_comes_at_once<B: Backend>(world: World<B>) {
    let subscription = world.oldest().await;
    world.append("a").await;
    let delivery = take_one(&*subscription).await;
    subscription.settle(settlement(delivery, world.retry(3_600))).await.unwrap();
    world.assert_nothing_due(&*subscription).await;
    assert!(subscription.hasten().await.unwrap());
    let delivery = take_types(&*subscription, &["a"]).await.remove(0);
    assert_eq!((delivery.attempt, delivery.origin), (2, Origin::Entry));
    settle(&*subscription, delivery, Outcome::Delivered).await;
    world.assert_nothing_due(&*subscription).await;
    // Not before the first delivery: a node that has just been given the handler cannot tell yet.
    assert!(!subscription.hasten().await.unwrap(), "nothing waits");
}

pub(super) async fn a_hastened_retry_that_is_not_tried_stays_due<B: Backend>(world: World<B>) {
    let subscription = world.oldest().await;
    world.append("a").await;
    let delivery = take_one(&*subscription).await;
    subscription.settle(settlement(delivery, world.retry(3_600))).await.unwrap();
    // One that waits for it gives up between the call and its effect.
    let mut waiting = subscription.next(1);
    assert!(poll_immediate(&mut waiting).await.is_none(), "nothing is due");
    assert!(subscription.hasten().await.unwrap());
    drop(waiting);
    let delivery = take_types(&*subscription, &["a"]).await.remove(0);
    subscription.release(delivery).await.unwrap();
    let delivery = take_types(&*subscription, &["a"]).await.remove(0);
    assert_eq!(delivery.attempt, 2);
    settle(&*subscription, delivery, Outcome::Delivered).await;
    world.assert_nothing_due(&*subscription).await;
}

pub(super) async fn a_settlement_without_a_try_does_not_count<B: Backend>(world: World<B>) {
    let subscription = world.oldest().await;
    world.append("a").await;
    let delivery = take_one(&*subscription).await;
    let later = Outcome::Retry { at: world.in_secs(1), order_key: None };
    subscription.settle(settlement(delivery, untried(later))).await.unwrap();
    world.advance_secs(1);
    let delivery = take_one(&*subscription).await;
    assert_eq!((delivery.attempt, delivery.first_attempt_at), (1, None));
    subscription
        .settle(settlement(delivery, untried(Outcome::Held { order_key: key(1) })))
        .await
        .unwrap();
    assert!(subscription.release_key(key(1)).await.unwrap());
    assert_eq!(take_one(&*subscription).await.attempt, 1);
}

pub(super) async fn retries_come_in_due_order_before_the_log<B: Backend>(world: World<B>) {
    let subscription = world.oldest().await;
    world.append_all(&["a", "b", "c"]).await;
    let taken = take_types(&*subscription, &["a", "b", "c"]).await;
    for (delivery, secs) in taken.into_iter().zip([3, 1, 2]) {
        subscription.settle(settlement(delivery, world.retry(secs))).await.unwrap();
    }
    world.append("d").await;
    world.advance_secs(3);
    take_types(&*subscription, &["b", "c", "a", "d"]).await;
}

pub(super) async fn a_retry_does_not_keep_the_log_waiting<B: Backend>(mut world: World<B>) {
    let subscription = world.oldest().await;
    world.append_all(&["a", "b", "c"]).await;
    let first = take_one(&*subscription).await;
    subscription.settle(settlement(first, world.retry(60))).await.unwrap();
    for delivery in take_types(&*subscription, &["b", "c"]).await {
        settle(&*subscription, delivery, Outcome::Delivered).await;
    }
    drop(subscription);
    world.reopen().await;
    let subscription = world.oldest().await;
    world.assert_nothing_due(&*subscription).await;
    world.advance_secs(60);
    take_types(&*subscription, &["a"]).await;
}

pub(super) async fn a_retry_survives_a_restart<B: Backend>(mut world: World<B>) {
    let subscription = world.oldest().await;
    world.append("a").await;
    for _ in 0..2 {
        let delivery = take_one(&*subscription).await;
        subscription.settle(settlement(delivery, world.retry(10))).await.unwrap();
        world.advance_secs(10);
    }
    let first_attempt_at = world.clock.steady().before(Duration::from_millis(20_007));
    let delivery = take_one(&*subscription).await;
    assert_eq!(delivery.first_attempt_at, Some(first_attempt_at));
    subscription.settle(settlement(delivery, world.retry(10))).await.unwrap();
    drop(subscription);
    world.reopen().await;
    let subscription = world.oldest().await;
    world.assert_nothing_due(&*subscription).await;
    world.advance_secs(10);
    let delivery = take_one(&*subscription).await;
    assert_eq!((delivery.attempt, delivery.origin), (4, Origin::Entry));
    assert_eq!(delivery.first_attempt_at, Some(first_attempt_at));
}

/// By the system's clock: it waits for the retry and comes no sooner.
pub(super) async fn next_wakes_when_a_retry_is_due<B: Backend>(mut world: World<B>) {
    world.queue.close().await.unwrap();
    let clock = Arc::new(SystemClock::new());
    world.queue = world.backend.open(world.folder.path(), clock.clone()).await;
    let subscription = world.queue.subscribe(&handler("h"), Start::Oldest).await.unwrap();
    world.queue.append(new_event("a", "{}", clock.now())).await.unwrap();
    let delivery = take_one(&*subscription).await;
    let at = clock.steady().after(Duration::from_millis(30));
    let retry = tried(Outcome::Retry { at, order_key: None }, clock.now(), "refused");
    subscription.settle(settlement(delivery, retry)).await.unwrap();
    let delivery = take_one(&*subscription).await;
    assert_eq!(delivery.attempt, 2);
    assert!(clock.steady() >= at);
}

pub(super) async fn a_jump_of_the_wall_clock_neither_fires_nor_stalls_a_retry<B: Backend>(
    world: World<B>,
) {
    let year = Duration::from_hours(365 * 24);
    let subscription = world.oldest().await;
    world.append("a").await;
    for jumped in [world.now().after(year), world.now().before(year)] {
        let delivery = take_types(&*subscription, &["a"]).await.remove(0);
        subscription.settle(settlement(delivery, world.retry(10))).await.unwrap();
        world.clock.jump_to(jumped);
        world.advance_secs(9);
        world.assert_nothing_due(&*subscription).await;
        world.advance_secs(1);
    }
    let delivery = take_types(&*subscription, &["a"]).await.remove(0);
    // A total time of three days is not used up by setting a clock.
    let since_first = world.clock.steady().since(delivery.first_attempt_at.unwrap());
    assert_eq!(since_first, Duration::from_millis(20_007));
}

pub(super) async fn a_clock_that_was_set_back_before_a_start_does_not_stall_a_retry<B: Backend>(
    mut world: World<B>,
) {
    let subscription = world.oldest().await;
    world.append("a").await;
    let delivery = take_one(&*subscription).await;
    subscription.settle(settlement(delivery, world.retry(10))).await.unwrap();
    drop(subscription);
    let year_ago = world.now().before(Duration::from_hours(365 * 24));
    world.reopen_with(Arc::new(ManualClock::new(year_ago))).await;
    let subscription = world.oldest().await;
    world.assert_nothing_due(&*subscription).await;
    world.advance_secs(10);
    let delivery = take_types(&*subscription, &["a"]).await.remove(0);
    assert_eq!(delivery.attempt, 2);
}
