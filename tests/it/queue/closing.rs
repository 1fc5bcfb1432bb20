//! Forgetting a handler, and the end.

use gatepost::event::{EventId, Outcome, Position};
use gatepost::queue::{DeadFilter, EventQuery, QueueError, Start};
use uuid::Uuid;

use super::{Backend, World, settle, take_one, take_types};
use crate::support::events::{handler, new_event, settlement, untried};

pub(super) async fn a_forgotten_handler_begins_anew<B: Backend>(mut world: World<B>) {
    let subscription = world.oldest().await;
    world.append_all(&["a", "b", "c"]).await;
    let mut taken = take_types(&*subscription, &["a", "b", "c"]).await;
    subscription.settle(settlement(taken.remove(0), world.dead("no"))).await.unwrap();
    subscription.settle(settlement(taken.remove(0), world.retry(10))).await.unwrap();
    settle(&*subscription, taken.remove(0), Outcome::Delivered).await;
    drop(subscription);
    assert!(world.queue.forget(&handler("h")).await.unwrap());
    assert!(!world.queue.forget(&handler("h")).await.unwrap());
    for _ in 0..2 {
        assert_eq!(world.n_dead().await, 0);
        assert!(world.queue.stats().handlers.is_empty());
        assert!(world.queue.history(Position(1)).await.unwrap().is_empty());
        world.reopen().await;
    }
    world.advance_secs(10);
    let subscription = world.subscribe("h", Start::Now).await;
    world.assert_nothing_due(&*subscription).await;
    drop(subscription);
    assert!(world.queue.forget(&handler("h")).await.unwrap());
    let subscription = world.subscribe("h", Start::Oldest).await;
    let taken = take_types(&*subscription, &["a", "b", "c", "marker"]).await;
    assert!(taken.iter().all(|delivery| delivery.attempt == 1));
}

pub(super) async fn a_subscribed_handler_is_not_forgotten<B: Backend>(world: World<B>) {
    let subscription = world.oldest().await;
    world.append("a").await;
    let forgotten = world.queue.forget(&handler("h")).await;
    assert!(matches!(forgotten, Err(QueueError::Busy(name)) if name == handler("h")));
    take_types(&*subscription, &["a"]).await;
}

pub(super) async fn after_closing_every_call_says_closed<B: Backend>(mut world: World<B>) {
    let subscription = world.oldest().await;
    world.append_all(&["a", "b"]).await;
    let delivery = take_one(&*subscription).await;
    let queue = world.queue.clone();
    queue.close().await.unwrap();

    let event = new_event("a", "{}", world.now());
    assert!(is_closed(&queue.append(event).await));
    assert!(is_closed(&queue.subscribe(&handler("new"), Start::Now).await));
    assert!(is_closed(&queue.forget(&handler("h")).await));
    assert!(is_closed(&queue.get(EventId(Uuid::nil())).await));
    assert!(is_closed(&queue.list(EventQuery::default()).await));
    assert!(is_closed(&queue.history(Position(1)).await));
    assert!(is_closed(&queue.dead(DeadFilter::default()).await));
    assert!(is_closed(&queue.redrive(DeadFilter::default()).await));
    assert!(is_closed(&queue.drop_dead(DeadFilter::default()).await));
    assert!(is_closed(&queue.replay(&handler("h"), &[Position(1)]).await));
    assert!(is_closed(&queue.probe().await));
    assert!(is_closed(&queue.close().await));
    assert!(is_closed(&subscription.next(1).await));
    assert!(is_closed(&subscription.settle(settlement(delivery, untried(Outcome::Skipped))).await));

    drop((queue, subscription));
    world.queue = world.backend.open(world.folder.path(), world.clock.clone()).await;
    let subscription = world.oldest().await;
    take_types(&*subscription, &["a", "b"]).await;
}

fn is_closed<T>(result: &Result<T, QueueError>) -> bool {
    matches!(result, Err(QueueError::Closed))
}

pub(super) async fn closing_ends_a_waiting_next<B: Backend>(world: World<B>) {
    let subscription = world.oldest().await;
    let (mut next, closed) = tokio::join!(subscription.next(1), world.queue.close());
    closed.unwrap();
    // A node of a cluster gives its leases back first, of which an empty answer tells.
    if next.as_ref().is_ok_and(Vec::is_empty) {
        next = subscription.next(1).await;
    }
    assert!(matches!(next, Err(QueueError::Closed)));
}

pub(super) async fn an_open_queue_takes_a_probe<B: Backend>(world: World<B>) {
    world.queue.probe().await.unwrap();
    assert_eq!(world.queue.stats().events, 0);
}
