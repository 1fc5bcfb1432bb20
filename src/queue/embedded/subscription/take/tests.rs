use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{ManualClock, Timestamp};
use crate::event::{HandlerName, NewEvent, Position, SourceName};
use crate::queue::embedded::testing::MemoryStorage;
use crate::queue::embedded::testing::manual_queue::{Call, Component, ManualQueue, Standing};
use crate::queue::embedded::{IndexIn, Settings};
use crate::queue::{Queue, Start};

fn open(storage: &MemoryStorage) -> ManualQueue {
    let settings = Settings {
        storage: Arc::new(storage.clone()),
        index: IndexIn::Memory,
        segment_bytes: 64 << 10,
        disk_reserve: 0,
        ..Settings::new("/q")
    };
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_000)));
    ManualQueue::open(settings, clock, 1).unwrap()
}

/// Steps the queue until the call is answered.
fn answer<T>(queue: &ManualQueue, mut call: Call<T>) -> T {
    for step in 0..1_000 {
        if let Some(answer) = call.poll() {
            return answer;
        }
        queue.step(Component::Allocator, Duration::from_millis(step));
        queue.step(Component::Committer, Duration::from_millis(step));
    }
    panic!("no answer")
}

fn event(body: &'static str) -> NewEvent {
    let source = SourceName::parse("shop").unwrap();
    NewEvent::new(source, "unknown", Timestamp::from_millis(5), body)
}

/// Appends events in one unit.
fn append_together(queue: &ManualQueue, bodies: &[&'static str]) {
    let mut calls: Vec<_> = bodies
        .iter()
        .map(|&body| queue.call(move |queue| async move { queue.append(event(body)).await }))
        .collect();
    for call in &mut calls {
        assert!(call.poll().is_none());
    }
    for call in calls {
        answer(queue, call).unwrap();
    }
}

/// Where a text is in the log.
fn find(storage: &MemoryStorage, text: &str) -> (PathBuf, u64) {
    let in_log = |path: &PathBuf| path.parent() == Some(Path::new("/q/log"));
    for path in storage.paths().into_iter().filter(in_log) {
        let bytes = storage.bytes(&path).unwrap();
        let at = bytes.windows(text.len()).position(|window| window == text.as_bytes());
        if let Some(at) = at {
            return (path, at as u64);
        }
    }
    panic!("`{text}` is not in the log")
}

/// A queue that is opened again after an event of a unit was spoiled, and what `mail` has of it;
/// `before` is what happens before that.
fn after_spoiling(
    spoiled: &str,
    last_unit: &[&'static str],
    before: impl FnOnce(&ManualQueue),
) -> (Vec<String>, Vec<Standing>) {
    let storage = MemoryStorage::new();
    let queue = open(&storage);
    let mail = HandlerName::parse("mail").unwrap();
    drop(answer(&queue, queue.subscribe(&mail, Start::Now)).unwrap());
    append_together(&queue, &["first-one", "first-two", "first-three"]);
    append_together(&queue, last_unit);
    before(&queue);
    let left = storage.kill();
    let (path, offset) = find(&left, spoiled);
    left.flip_bit(&path, offset, 0);
    let queue = open(&left);
    let subscription = answer(&queue, queue.subscribe(&mail, Start::Now)).unwrap();
    let mut bodies = Vec::new();
    loop {
        let taken = subscription.take(10).unwrap();
        if taken.is_empty() {
            break;
        }
        let body = |body: &bytes::Bytes| String::from_utf8(body.to_vec()).unwrap();
        bodies.extend(taken.iter().map(|delivery| body(&delivery.event.body)));
    }
    let (_, next) = queue.positions();
    let standings = (1..next.0).map(|at| queue.standing(&mail, Position(at)).unwrap()).collect();
    (bodies, standings)
}

#[test]
fn events_of_a_torn_unit_are_no_loss() {
    let (bodies, standings) = after_spoiling("last-one", &["last-one", "last-two"], |_| {});
    assert_eq!(bodies, ["first-one", "first-two", "first-three", "last-two"]);
    let (open, settled) = (Standing::Open, Standing::Settled);
    assert_eq!(standings, [open, open, open, settled, open]);
}

#[test]
fn rotten_events_are_lost_and_shown_as_such() {
    let (bodies, standings) = after_spoiling("first-two", &["last-one", "last-two"], |_| {});
    assert_eq!(bodies, ["first-one", "first-three", "last-one", "last-two"]);
    let (open, lost) = (Standing::Open, Standing::Lost);
    assert_eq!(standings, [open, lost, open, open, open]);
}

#[test]
fn events_of_a_last_unit_that_a_snapshot_knows_of_are_lost_and_not_torn() {
    let snapshot = |queue: &ManualQueue| answer(queue, queue.snapshot()).unwrap();
    let (bodies, standings) = after_spoiling("last-one", &["last-one", "last-two"], snapshot);
    assert_eq!(bodies, ["first-one", "first-two", "first-three", "last-two"]);
    let (open, lost) = (Standing::Open, Standing::Lost);
    assert_eq!(standings, [open, open, open, lost, open]);
}
