//! What becomes of events that the disk did not give for a while.

use std::path::Path;

use super::*;
use crate::event::OrderKey;
use crate::queue::embedded::testing::{Call, Faults, Verdict};

/// Files of the log that cannot be read.
#[derive(Debug)]
struct NoRead(PathBuf);

impl Faults for NoRead {
    fn before(&self, call: Call, path: &Path, _offset: u64, _len: usize) -> Verdict {
        if call == Call::Read && path == self.0 { Verdict::Errno(5) } else { Verdict::Ok }
    }
}

fn oldest_segment(storage: &MemoryStorage) -> PathBuf {
    let is_oldest = |path: &PathBuf| path.to_str().unwrap().contains("/log/0000000001-");
    storage.paths().into_iter().find(is_oldest).unwrap()
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

/// A queue of 40 events whose oldest segment could not be read when they were delivered, with its
/// subscription and how many deliveries were lost by that.
async fn with_lost_ones(storage: &MemoryStorage) -> (EmbeddedQueue, Box<dyn Subscription>, usize) {
    filled(storage).await;
    let queue = open_keeping_nothing(storage);
    storage.set_faults(Arc::new(NoRead(oldest_segment(storage))));
    let subscription = queue.subscribe(&web(), Start::Now).await.unwrap();
    let n_lost = usize::try_from(queue.core.log.first_position_of(2).unwrap().unwrap().0 - 1);
    let n_lost = n_lost.unwrap();
    assert!(n_lost > 0);
    settle(&*subscription, 40 - n_lost).await;
    assert_eq!(queue.lost(DeadFilter::default()).await.unwrap().len(), 1);
    (queue, subscription, n_lost)
}

#[tokio::test]
async fn events_that_can_be_read_again_when_their_segment_goes_are_delivered() {
    let storage = MemoryStorage::new();
    let (queue, subscription, n_lost) = with_lost_ones(&storage).await;
    storage.clear_faults();
    queue.clean().await.unwrap();
    assert_eq!(queue.lost(DeadFilter::default()).await.unwrap(), []);
    assert_eq!(put_aside(&storage), 0);
    let again = settle(&*subscription, n_lost).await;
    assert_eq!(again, (1..=n_lost as u64).collect());
}

#[tokio::test]
async fn events_that_still_cannot_be_read_are_put_aside() {
    let storage = MemoryStorage::new();
    let (queue, _subscription, n_lost) = with_lost_ones(&storage).await;
    queue.clean().await.unwrap();
    assert_eq!(put_aside(&storage), 1);
    let positions = Position(1)..Position(n_lost as u64 + 1);
    let lost = LostDeliveries { handler: web(), positions };
    assert_eq!(queue.lost(DeadFilter::default()).await.unwrap(), [lost]);
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
    storage.set_faults(Arc::new(NoRead(oldest_segment(&storage))));
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
