//! Records that are whole and make no sense: a program error, or a disk's that nobody noticed.

use super::*;
use crate::queue::embedded::record::{Kind, Lsn, SegmentId, UnitBuilder};

/// Puts a record at the log's end.
fn put_at(storage: &MemoryStorage, end: Lsn, kind: Kind, payload: &[u8]) {
    let is_live = |path: &&PathBuf| {
        let id = SegmentId::of_file(path);
        path.starts_with("/queue/log") && id.is_some_and(|id| id.number == end.segment())
    };
    let paths = storage.paths();
    let path = paths.iter().find(is_live).unwrap();
    let mut unit = UnitBuilder::new(SegmentId::of_file(path).unwrap(), end.offset(), Vec::new());
    unit.push(kind, |out| out.extend_from_slice(payload));
    let mut bytes = storage.bytes(path).unwrap();
    let from = end.offset() as usize;
    bytes[from..from + unit.len()].copy_from_slice(unit.bytes());
    storage.put_now(path, bytes);
}

fn open_keeping_nothing(storage: &MemoryStorage) -> EmbeddedQueue {
    let settings = Settings { retention: Duration::ZERO, ..settings(storage) };
    EmbeddedQueue::open_inline(settings, clock(), 7).unwrap()
}

async fn settle_all(queue: &EmbeddedQueue, subscription: &dyn Subscription, n_events: usize) {
    for _ in 0..n_events {
        let delivery = subscription.next(1).await.unwrap().pop().unwrap();
        let settlement = Settlement { delivery, outcome: Outcome::Delivered, attempt: None };
        subscription.settle(settlement).await.unwrap();
    }
    queue.core.ask(Request::Recorded).await.unwrap();
}

#[tokio::test]
async fn outcomes_that_make_no_sense_hold_up_neither_handlers_nor_the_cleaner() {
    let storage = MemoryStorage::new();
    let queue = open_on(&storage);
    drop(queue.subscribe(&web(), Start::Oldest).await.unwrap());
    for _ in 0..2 {
        queue.append(new_event()).await.unwrap();
    }
    let end = queue.core.log.head().next;
    let storage = killed(&storage, queue);
    put_at(&storage, end, Kind::Settle, &[0xff]);
    let queue = open_keeping_nothing(&storage);
    for _ in 0..20 {
        queue.append(new_event()).await.unwrap();
    }
    // None of them is in memory any more.
    let storage = killed(&storage, queue);
    let queue = open_keeping_nothing(&storage);
    let subscription = queue.subscribe(&web(), Start::Now).await.unwrap();
    let mut taken = subscription.next(100).await.unwrap();
    assert_eq!(taken.len(), 22, "those before it and those behind it");
    // One of them is delivered, so that the others are open, and looked for by their positions.
    let delivery = taken.pop().unwrap();
    let settlement = Settlement { delivery, outcome: Outcome::Delivered, attempt: None };
    subscription.settle(settlement).await.unwrap();
    queue.core.ask(Request::Recorded).await.unwrap();
    let storage = killed(&storage, queue);
    let queue = open_keeping_nothing(&storage);
    let subscription = queue.subscribe(&web(), Start::Now).await.unwrap();
    settle_all(&queue, &*subscription, 21).await;
    queue.clean().await.unwrap();
    assert!(queue.core.log.segments().len() < 3, "what is settled goes");
    assert_eq!(queue.stats().damage, Vec::<String>::new(), "and what was said of it");
}
