//! What several starts make of damage that came between them.

use std::path::Path;

use super::*;
use crate::queue::embedded::testing::{Call, Faults, Verdict};

#[tokio::test]
async fn what_was_not_answered_counts_ten_minutes_after_a_kill_however_often_it_is_opened() {
    let clock = clock();
    let minutes = |n| clock.advance(Duration::from_mins(n));
    let storage = MemoryStorage::new();
    let (queue, first) = open_and_repeat(&storage, &clock).await;
    let storage = killed(&storage, queue);
    minutes(4);
    assert_eq!(open_and_repeat(&storage.copy(), &clock).await.1, Appended::Duplicate(first.id()));
    // Nothing comes in while it is open.
    let dynamic = Arc::clone(&clock) as Arc<dyn Clock>;
    let queue = EmbeddedQueue::open_inline(settings(&storage), dynamic, 7).unwrap();
    let storage = killed(&storage, queue);
    minutes(7);
    let (_queue, another) = open_and_repeat(&storage, &clock).await;
    assert_ne!(another.id(), first.id(), "an equal event of hours later is another one");
}

#[tokio::test]
async fn deliveries_of_an_only_segment_whose_beginning_is_damaged_are_lost_and_not_settled() {
    let storage = MemoryStorage::new();
    let queue = open_on(&storage);
    let subscription = queue.subscribe(&web(), Start::Oldest).await.unwrap();
    for _ in 0..5 {
        queue.append(new_event()).await.unwrap();
    }
    let delivery = subscription.next(100).await.unwrap().pop().unwrap();
    assert_eq!(delivery.event.position, Position(5));
    let settlement = Settlement { delivery, outcome: Outcome::Delivered, attempt: None };
    subscription.settle(settlement).await.unwrap();
    queue.core.ask(Request::Recorded).await.unwrap();
    let storage = killed(&storage, queue);
    let path = file_with("/log/0000000001-", &storage);
    let whole = storage.bytes(&path).unwrap();
    let mut damaged = whole.clone();
    // The head and four events.
    damaged[..3_100].fill(0xff);
    storage.put_now(&path, damaged);
    let queue = open_on(&storage);
    let subscription = queue.subscribe(&web(), Start::Now).await.unwrap();
    // What is written now says where the log begins.
    queue.append(NewEvent { body: Bytes::from(vec![b'x'; 3_000]), ..new_event() }).await.unwrap();
    take(&*subscription, 1).await;
    let lost = LostDeliveries { handler: web(), positions: Position(1)..Position(5) };
    assert_eq!(queue.lost(DeadFilter::default()).await.unwrap(), [lost]);
    let storage = killed(&storage, queue);
    storage.put_now(&path, whole);
    let queue = open_on(&storage);
    let subscription = queue.subscribe(&web(), Start::Now).await.unwrap();
    queue.redrive(DeadFilter::default()).await.unwrap();
    assert_eq!(take(&*subscription, 5).await.range(..5).count(), 4);
}

fn keyed(key: u8, body: &'static str) -> NewEvent {
    let dedupe = Dedupe::Within { key: DedupeKey([key; 16]), window: Duration::from_hours(1) };
    NewEvent { dedupe, body: Bytes::from_static(body.as_bytes()), ..new_event() }
}

/// A queue whose runs of keys are of so many.
fn with_runs_of(memtable_keys: usize, storage: &MemoryStorage) -> EmbeddedQueue {
    let settings = Settings { memtable_keys, ..settings(storage) };
    EmbeddedQueue::open_inline(settings, clock(), 7).unwrap()
}

fn file_with(part: &str, storage: &MemoryStorage) -> PathBuf {
    let has_part = |path: &PathBuf| path.to_str().unwrap().contains(part);
    storage.paths().into_iter().find(has_part).unwrap()
}

#[tokio::test]
async fn keys_of_events_that_the_log_has_lost_do_not_come_to_count_later() {
    let storage = MemoryStorage::new();
    let queue = with_runs_of(1, &storage);
    queue.append(keyed(1, "first event")).await.unwrap();
    queue.append(keyed(2, "second event")).await.unwrap();
    queue.clean().await.unwrap();
    let storage = killed(&storage, queue);
    let path = file_with("/log/0000000001-", &storage);
    let text = b"second event";
    let bytes = storage.bytes(&path).unwrap();
    let at = bytes.windows(text.len()).position(|window| window == text).unwrap();
    storage.flip_bit(&path, at as u64, 0);
    let is_stored = |appended: Appended| matches!(appended, Appended::Stored(_));
    let queue = with_runs_of(1, &storage);
    let damage = queue.stats().damage;
    assert!(damage.iter().any(|it| it.contains("the log's end is missing")), "{damage:?}");
    queue.append(keyed(3, "third event")).await.unwrap();
    let storage = killed(&storage, queue);
    let queue = with_runs_of(1, &storage);
    assert!(!is_stored(queue.append(keyed(1, "first event")).await.unwrap()));
    assert!(!is_stored(queue.append(keyed(3, "third event")).await.unwrap()));
    assert!(is_stored(queue.append(keyed(2, "second event")).await.unwrap()));
}

/// One file cannot be opened.
#[derive(Debug)]
struct NoOpen(PathBuf);

impl Faults for NoOpen {
    fn before(&self, call: Call, path: &Path, _offset: u64, _len: usize) -> Verdict {
        if call == Call::Open && path == self.0 { Verdict::Errno(5) } else { Verdict::Ok }
    }
}

#[tokio::test]
async fn keys_of_events_that_cannot_be_read_at_one_start_count_once_they_can() {
    let storage = MemoryStorage::new();
    let queue = with_runs_of(2, &storage);
    let filler = |n| NewEvent { body: Bytes::from(vec![b'x'; n]), ..new_event() };
    // Behind so much a run ends: the next one has the keys of the second and of the third segment.
    for n_bytes in [7_000, 3_000] {
        queue.append(filler(n_bytes)).await.unwrap();
    }
    queue.append(keyed(1, "first event")).await.unwrap();
    for n_bytes in [4_000, 2_000] {
        queue.append(filler(n_bytes)).await.unwrap();
    }
    queue.append(keyed(2, "second event")).await.unwrap();
    queue.append(keyed(3, "third event")).await.unwrap();
    assert_eq!(queue.core.log.head().next.segment(), 3);
    queue.clean().await.unwrap();
    let storage = killed(&storage, queue);
    storage.set_faults(Arc::new(NoOpen(file_with("/log/0000000003-", &storage))));
    let queue = with_runs_of(2, &storage);
    assert!(!queue.stats().damage.is_empty());
    let storage = killed(&storage, queue);
    storage.clear_faults();
    let queue = with_runs_of(2, &storage);
    for (key, body) in [(1, "first event"), (2, "second event")] {
        let repeated = queue.append(keyed(key, body)).await.unwrap();
        assert!(matches!(repeated, Appended::Duplicate(_)), "{key}: {repeated:?}");
    }
}
