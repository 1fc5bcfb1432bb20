//! What becomes of events that the disk did not give for a while.

use super::*;
use crate::event::OrderKey;

/// The oldest segment's file, and what it holds.
fn oldest_segment(storage: &MemoryStorage) -> (PathBuf, Vec<u8>) {
    let is_oldest = |path: &PathBuf| path.to_str().unwrap().contains("/log/0000000001-");
    let path = storage.paths().into_iter().find(is_oldest).unwrap();
    let bytes = storage.bytes(&path).unwrap();
    (path, bytes)
}

/// Makes it unreadable behind its head.
fn spoil_oldest(storage: &MemoryStorage) -> (PathBuf, Vec<u8>) {
    let (path, bytes) = oldest_segment(storage);
    let mut spoiled = bytes.clone();
    spoiled[256..8_000].fill(0xff);
    storage.put_now(&path, spoiled);
    (path, bytes)
}

fn put_aside(storage: &MemoryStorage) -> usize {
    storage.paths().iter().filter(|path| path.starts_with("/queue/aside")).count()
}

fn open_keeping_nothing(storage: &MemoryStorage) -> EmbeddedQueue {
    let settings = Settings { retention: Duration::ZERO, ..settings(storage) };
    EmbeddedQueue::open_inline(settings, clock(), 7).unwrap()
}

async fn settle(subscription: &dyn Subscription, n_events: usize) -> BTreeSet<u64> {
    let mut settled = BTreeSet::new();
    while settled.len() < n_events {
        for delivery in subscription.next(100).await.unwrap() {
            settled.insert(delivery.event.position.0);
            let settlement = Settlement { delivery, outcome: Outcome::Delivered, attempt: None };
            subscription.settle(settlement).await.unwrap();
        }
    }
    settled
}

async fn lost(queue: &EmbeddedQueue) -> BTreeSet<u64> {
    let lost = queue.lost(DeadFilter::default()).await.unwrap();
    lost.into_iter().flat_map(|one| one.positions.start.0..one.positions.end.0).collect()
}

/// A queue of 40 events, those of the oldest segment lost.
async fn with_lost_ones(storage: &MemoryStorage) -> (EmbeddedQueue, Box<dyn Subscription>) {
    let queue = open_keeping_nothing(storage);
    let subscription = queue.subscribe(&web(), Start::Now).await.unwrap();
    let mut n_settled = 0;
    while n_settled + lost(&queue).await.len() < 40 {
        n_settled += settle(&*subscription, 1).await.len();
    }
    assert!(!lost(&queue).await.is_empty());
    (queue, subscription)
}

#[tokio::test]
async fn events_that_can_be_read_again_when_their_segment_goes_are_delivered() {
    let storage = MemoryStorage::new();
    filled(&storage).await;
    let (path, bytes) = spoil_oldest(&storage);
    let (queue, subscription) = with_lost_ones(&storage).await;
    let positions = lost(&queue).await;
    queue.core.ask(Request::Recorded).await.unwrap();
    drop(subscription);
    let storage = killed(&storage, queue);
    storage.put_now(&path, bytes);
    let queue = open_keeping_nothing(&storage);
    let subscription = queue.subscribe(&web(), Start::Now).await.unwrap();
    assert_eq!(lost(&queue).await, positions, "until they are looked for");
    queue.clean().await.unwrap();
    assert_eq!(lost(&queue).await, BTreeSet::new());
    assert_eq!(put_aside(&storage), 0);
    assert_eq!(settle(&*subscription, positions.len()).await, positions);
}

#[tokio::test]
async fn events_that_still_cannot_be_read_are_put_aside() {
    let storage = MemoryStorage::new();
    filled(&storage).await;
    spoil_oldest(&storage);
    let (queue, _subscription) = with_lost_ones(&storage).await;
    let positions = lost(&queue).await;
    queue.clean().await.unwrap();
    assert_eq!(put_aside(&storage), 1);
    assert_eq!(lost(&queue).await, positions);
}

#[tokio::test]
async fn segment_is_put_aside_where_an_event_that_waits_cannot_be_read() {
    let storage = MemoryStorage::new();
    let queue = open_keeping_nothing(&storage);
    let subscription = queue.subscribe(&web(), Start::Oldest).await.unwrap();
    for _ in 0..40 {
        queue.append(new_event()).await.unwrap();
    }
    let mut taken = Vec::new();
    while taken.len() < 40 {
        taken.extend(subscription.next(100).await.unwrap());
    }
    let at = Timestamp::from_millis(9_000_000);
    subscription.settle(failed(taken.remove(0), at)).await.unwrap();
    for delivery in taken {
        let settlement = Settlement { delivery, outcome: Outcome::Delivered, attempt: None };
        subscription.settle(settlement).await.unwrap();
    }
    queue.core.ask(Request::Recorded).await.unwrap();
    drop(subscription);
    let storage = killed(&storage, queue);
    spoil_oldest(&storage);
    let queue = open_keeping_nothing(&storage);
    queue.clean().await.unwrap();
    assert_eq!(put_aside(&storage), 1);
}

#[tokio::test]
async fn nothing_waits_once_all_parked_deliveries_are_settled() {
    const KEY: OrderKey = OrderKey([7; 16]);
    let storage = MemoryStorage::new();
    let queue = open_on(&storage);
    let subscription = queue.subscribe(&web(), Start::Oldest).await.unwrap();
    for _ in 0..10 {
        queue.append(new_event()).await.unwrap();
    }
    let n_waiting = || queue.core.handlers().iter().map(|cell| cell.n_waiting()).sum::<u64>();
    let mut taken = Vec::new();
    while taken.len() < 10 {
        taken.extend(subscription.next(100).await.unwrap());
    }
    for delivery in taken.split_off(1) {
        let outcome = Outcome::Held { order_key: KEY };
        subscription.settle(Settlement { delivery, outcome, attempt: None }).await.unwrap();
    }
    assert_eq!(n_waiting(), 9);
    let delivery = taken.pop().unwrap();
    let settlement = Settlement { delivery, outcome: Outcome::Delivered, attempt: None };
    subscription.settle(settlement).await.unwrap();
    assert!(subscription.release_key(KEY).await.unwrap());
    assert_eq!(settle(&*subscription, 9).await.len(), 9);
    assert_eq!(n_waiting(), 0);
}
