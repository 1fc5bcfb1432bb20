use std::path::Path;
use std::time::Duration;

use super::*;
use crate::clock::{ManualClock, Timestamp};
use crate::event::{
    Attempt, ErrorText, HandlerName, NewEvent, Outcome, Output, Settlement, SourceName,
};
use crate::queue::embedded::testing::MemoryStorage;
use crate::queue::embedded::{EmbeddedQueue, IndexIn, Settings, whole_until};
use crate::queue::storage::{OpenMode, Storage};
use crate::queue::{DeadFilter, EventQuery, Queue, Start};

fn open(storage: &MemoryStorage) -> EmbeddedQueue {
    let settings = Settings {
        segment_bytes: 8_192,
        disk_reserve: 0,
        retention: Duration::ZERO,
        storage: Arc::new(storage.clone()),
        index: IndexIn::Memory,
        ..Settings::new("/queue")
    };
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_000_000)));
    EmbeddedQueue::open_inline(settings, clock, 7).unwrap()
}

fn new_event(n: u8) -> NewEvent {
    let source = SourceName::parse("shop").unwrap();
    NewEvent::new(source, "x.y", Timestamp::from_millis(5), vec![n; 900])
}

fn web() -> HandlerName {
    HandlerName::parse("web").unwrap()
}

/// Forty events, the first of which ends as a dead letter and the next nineteen of which are
/// delivered; the segments of these are gone.
async fn used(storage: &MemoryStorage) -> EmbeddedQueue {
    let queue = open(storage);
    let subscription = queue.subscribe(&web(), Start::Oldest).await.unwrap();
    for n in 0..40 {
        queue.append(new_event(n)).await.unwrap();
    }
    for (n, delivery) in subscription.next(20).await.unwrap().into_iter().enumerate() {
        let attempt = Attempt {
            started_at: Timestamp::from_millis(9),
            duration: Duration::ZERO,
            error: ErrorText::new("no"),
            status: None,
            output: Output::default(),
            progress: None,
        };
        let outcome = if n == 0 { Outcome::Dead { order_key: None } } else { Outcome::Delivered };
        let settlement = Settlement { delivery, outcome, attempt: Some(attempt) };
        subscription.settle(settlement).await.unwrap();
    }
    queue.clean().await.unwrap();
    queue
}

fn write(storage: &MemoryStorage, path: &Path, bytes: &[u8], capacity: usize) {
    let file = storage.open(path, OpenMode::Create).unwrap();
    let mut all = bytes.to_vec();
    all.resize(capacity.max(bytes.len()), 0);
    file.write_all_at(&all, 0).unwrap();
    file.sync_data().unwrap();
}

/// A copy of what the files give, in the order that is promised to be safe.
fn copy(files: &QueueFiles) -> MemoryStorage {
    let storage = MemoryStorage::new();
    for folder in ["log", "kept", "keys"] {
        storage.create_folder(&Path::new("/queue").join(folder)).unwrap();
    }
    let head = files.head();
    for kept in files.kept() {
        let bytes = files.read_kept(kept.name, 0, kept.end as usize).unwrap().unwrap();
        let path = Path::new("/queue/kept").join(kept.name.file_name());
        write(&storage, &path, &bytes, 0);
    }
    let mut number = files.first_segment();
    while let Some(segment) = files.segment(number).unwrap() {
        let is_last = segment.name.number == head.segment;
        let end = if is_last { head.offset } else { segment.end };
        let bytes = files.read_segment(segment.name, 0, end as usize).unwrap().unwrap();
        assert_eq!(whole_until(&bytes, segment.name), end);
        let path = Path::new("/queue/log").join(segment.name.file_name());
        assert_eq!(SegmentId::of_file(&path), Some(segment.name));
        write(&storage, &path, &bytes, segment.capacity as usize);
        if is_last {
            break;
        }
        number = segment.name.number + 1;
    }
    write(&storage, Path::new("/queue/FORMAT"), b"2\n", 0);
    for folder in ["", "log", "kept", "keys"] {
        storage.sync_folder(&Path::new("/queue").join(folder)).unwrap();
    }
    storage
}

#[tokio::test]
async fn a_copy_of_the_files_is_the_queue_as_it_stood_at_the_head() {
    let storage = MemoryStorage::new();
    let queue = used(&storage).await;
    assert!(queue.files().first_segment() > 1, "segments are gone");
    assert!(!queue.files().kept().is_empty(), "the dead letter outlives its segment");
    let copied = copy(&queue.files());
    // What comes behind the head is not in the copy.
    queue.append(new_event(99)).await.unwrap();
    let second = open(&copied);
    let query = EventQuery { limit: 100, ..EventQuery::default() };
    let ids = |events: Vec<crate::event::Event>| -> Vec<_> {
        events.into_iter().map(|event| (event.position, event.id, event.received.body)).collect()
    };
    let mut expected = ids(queue.list(query.clone()).await.unwrap());
    expected.retain(|(position, _, _)| position.0 <= 40);
    assert_eq!(ids(second.list(query).await.unwrap()), expected);
    let dead = second.dead(DeadFilter::default()).await.unwrap();
    assert_eq!(dead.iter().map(|letter| letter.position.0).collect::<Vec<_>>(), [1]);
    assert_eq!(second.stats().damage, Vec::<String>::new());
    // What was settled does not come again; the rest does, in order.
    let subscription = second.subscribe(&web(), Start::Now).await.unwrap();
    let given = subscription.next(100).await.unwrap();
    let given: Vec<u64> = given.iter().map(|delivery| delivery.event.position.0).collect();
    assert_eq!(given, (21..=40).collect::<Vec<u64>>());
}

#[tokio::test]
async fn bytes_are_of_the_segment_that_was_asked_for_or_of_none() {
    let storage = MemoryStorage::new();
    let queue = used(&storage).await;
    let files = queue.files();
    let segment = files.segment(0).unwrap().unwrap();
    assert_eq!(segment.name.number, files.first_segment());
    assert!(segment.is_sealed && segment.end <= segment.capacity);
    let other = SegmentId { salt: segment.name.salt ^ 1, ..segment.name };
    assert_eq!(files.read_segment(other, 0, 10).unwrap(), None);
    assert_eq!(files.read_kept(other, 0, 10).unwrap(), None);
    assert_eq!(files.read_keys("../FORMAT", 0, 10).unwrap(), None);
    assert_eq!(files.read_segment(segment.name, 0, 10).unwrap().unwrap().len(), 10);
}

#[tokio::test]
async fn whoever_waits_is_woken_by_the_commit_that_leads_beyond() {
    let storage = MemoryStorage::new();
    let queue = open(&storage);
    let (files, before) = (queue.files(), queue.files().head());
    queue.append(new_event(1)).await.unwrap();
    files.wait_beyond(before).await;
    assert!(files.head() > before);
    assert!(before.bytes_until(files.head()) > 900);
    assert_eq!(files.next_position().0, 2);
}
