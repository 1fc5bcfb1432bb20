//! Promises 4 and 5: every handler sees every event, at least once.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use gatepost::event::{Origin, Outcome};
use gatepost::queue::{QueueError, Start, TAKE_BYTES_MAX};

use super::{Backend, World, settle, settle_all, take, take_one, take_types, types};
use crate::support::events::{handler, new_event, settlement};

pub(super) async fn a_new_handler_begins_at_the_oldest_event_or_behind_the_newest<B: Backend>(
    world: World<B>,
) {
    world.append_all(&["a", "b"]).await;
    let oldest = world.subscribe("o", Start::Oldest).await;
    let now = world.subscribe("n", Start::Now).await;
    world.append("c").await;
    let taken = take_types(&*oldest, &["a", "b", "c"]).await;
    for delivery in taken.iter().chain(&take_types(&*now, &["c"]).await) {
        assert_eq!(delivery.attempt, 1);
        assert_eq!(delivery.first_attempt_at, None);
        assert_eq!(delivery.origin, Origin::Log);
    }
}

pub(super) async fn a_place_outlives_restarts_and_its_start_is_asked_once<B: Backend>(
    mut world: World<B>,
) {
    world.append("a").await;
    drop(world.subscribe("h", Start::Now).await);
    world.append("b").await;
    world.reopen().await;
    world.append("c").await;
    let subscription = world.subscribe("h", Start::Now).await;
    take_types(&*subscription, &["b", "c"]).await;
    drop(subscription);
    let subscription = world.subscribe("h", Start::Oldest).await;
    take_types(&*subscription, &["b", "c"]).await;
}

pub(super) async fn every_handler_sees_every_event_whatever_the_others_do<B: Backend>(
    world: World<B>,
) {
    let (one, two) =
        (world.subscribe("one", Start::Oldest).await, world.subscribe("two", Start::Oldest).await);
    world.append_all(&["a", "b", "c"]).await;
    let mut taken = take_types(&*one, &["a", "b", "c"]).await.into_iter();
    settle(&*one, taken.next().unwrap(), Outcome::Delivered).await;
    one.settle(settlement(taken.next().unwrap(), world.dead("no"))).await.unwrap();
    one.settle(settlement(taken.next().unwrap(), world.retry(0))).await.unwrap();
    let taken = take_types(&*two, &["a", "b", "c"]).await;
    assert!(taken.iter().all(|delivery| delivery.attempt == 1));
}

pub(super) async fn a_handler_has_one_subscription_at_a_time<B: Backend>(world: World<B>) {
    let subscription = world.oldest().await;
    let second = world.queue.subscribe(&handler("h"), Start::Oldest).await;
    assert!(matches!(second, Err(QueueError::Busy(name)) if name == handler("h")));
    drop(subscription);
    world.oldest().await;
}

pub(super) async fn next_waits_for_an_append<B: Backend>(world: World<B>) {
    let subscription = world.oldest().await;
    let (delivery, _) = tokio::join!(take_one(&*subscription), world.append("a"));
    assert_eq!(types(&[delivery]), ["a"]);
}

pub(super) async fn next_gives_no_more_than_asked_for<B: Backend>(world: World<B>) {
    let subscription = world.oldest().await;
    world.append_all(&["a", "b", "c"]).await;
    let first = subscription.next(2).await.unwrap();
    assert!((1..=2).contains(&first.len()));
    let rest = take(&*subscription, 3 - first.len()).await;
    assert_eq!([types(&first), types(&rest)].concat(), ["a", "b", "c"]);
}

pub(super) async fn next_stops_when_the_bodies_get_large<B: Backend>(world: World<B>) {
    let subscription = world.oldest().await;
    for _ in 0..6 {
        let mut event = new_event("large", "", world.now());
        event.body = Bytes::from(vec![b'x'; TAKE_BYTES_MAX / 4]);
        world.queue.append(event).await.unwrap();
    }
    let taken = subscription.next(100).await.unwrap();
    assert!((1..=4).contains(&taken.len()), "{}", taken.len());
    take(&*subscription, 6 - taken.len()).await;
}

pub(super) async fn dropping_a_waiting_next_takes_nothing<B: Backend>(world: World<B>) {
    let subscription = world.oldest().await;
    for _ in 0..50 {
        assert!(subscription.next(10).now_or_never().is_none());
        let mut waiting = subscription.next(10);
        assert!((&mut waiting).now_or_never().is_none());
        world.append("a").await;
        drop(waiting);
        let taken = take_types(&*subscription, &["a"]).await;
        settle_all(&*subscription, taken, &Outcome::Delivered).await;
    }
}

pub(super) async fn what_is_taken_is_not_given_out_again<B: Backend>(world: World<B>) {
    let subscription = world.oldest().await;
    world.append_all(&["a", "b"]).await;
    let _taken = take_types(&*subscription, &["a", "b"]).await;
    world.advance_secs(86_400);
    world.assert_nothing_due(&*subscription).await;
}

pub(super) async fn what_was_taken_and_not_settled_comes_back_at_the_next_start<B: Backend>(
    mut world: World<B>,
) {
    let subscription = world.oldest().await;
    world.append_all(&["a", "b", "c", "d"]).await;
    let mut taken = take_types(&*subscription, &["a", "b", "c"]).await;
    settle(&*subscription, taken.remove(0), Outcome::Delivered).await;
    settle(&*subscription, taken.remove(0), Outcome::Skipped).await;
    drop((taken, subscription));
    world.reopen().await;
    let subscription = world.oldest().await;
    let taken = take_types(&*subscription, &["c", "d"]).await;
    assert!(taken.iter().all(|delivery| delivery.attempt == 1));
    world.assert_nothing_due(&*subscription).await;
}

pub(super) async fn what_was_taken_and_not_settled_comes_back_to_the_next_subscription<
    B: Backend,
>(
    world: World<B>,
) {
    let subscription = world.oldest().await;
    world.append_all(&["a", "b", "c"]).await;
    let mut taken = take_types(&*subscription, &["a", "b"]).await;
    settle(&*subscription, taken.remove(0), Outcome::Delivered).await;
    drop((taken, subscription));
    let subscription = world.oldest().await;
    take_types(&*subscription, &["b", "c"]).await;
}

pub(super) async fn what_was_settled_out_of_order_does_not_come_back<B: Backend>(
    mut world: World<B>,
) {
    let subscription = world.oldest().await;
    world.append_all(&["a", "b", "c", "d", "e"]).await;
    for (n, delivery) in take(&*subscription, 5).await.into_iter().enumerate() {
        if n % 2 == 1 {
            settle(&*subscription, delivery, Outcome::Delivered).await;
        }
    }
    drop(subscription);
    world.reopen().await;
    let subscription = world.oldest().await;
    let taken = take_types(&*subscription, &["a", "c", "e"]).await;
    settle_all(&*subscription, taken, &Outcome::Delivered).await;
    drop(subscription);
    world.reopen().await;
    let subscription = world.oldest().await;
    world.assert_nothing_due(&*subscription).await;
}

pub(super) async fn a_released_delivery_is_due_again_at_once<B: Backend>(world: World<B>) {
    let subscription = world.oldest().await;
    world.append_all(&["a", "b"]).await;
    let mut taken = take_types(&*subscription, &["a", "b"]).await;
    subscription.release(taken.remove(0)).await.unwrap();
    let again = take_types(&*subscription, &["a"]).await.remove(0);
    assert_eq!(again.attempt, 1);
    subscription.settle(settlement(again, world.retry(1))).await.unwrap();
    world.clock.advance(Duration::from_secs(1));
    let retry = take_types(&*subscription, &["a"]).await.remove(0);
    subscription.release(retry).await.unwrap();
    let retry = take_types(&*subscription, &["a"]).await.remove(0);
    assert_eq!(retry.attempt, 2);
}
