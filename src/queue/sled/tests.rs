use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use tempfile::TempDir;

use super::*;
use crate::clock::{ManualClock, Timestamp};
use crate::event::{
    Attempt, DataRoot, Dedupe, DedupeKey, Delivery, ErrorText, EventType, Headers, Outcome,
    Settled, SourceName,
};

fn settings(folder: &TempDir) -> Settings {
    Settings { segment_bytes: 64 << 10, disk_reserve: 0, ..Settings::new(folder.path()) }
}

fn open(folder: &TempDir) -> SledQueue {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_704_067_200_000)));
    SledQueue::open(settings(folder), clock).unwrap()
}

async fn append(queue: &SledQueue) {
    let event = NewEvent {
        source: SourceName::parse("shop").unwrap(),
        event_type: EventType::unknown(),
        received_at: queue.shared.now(),
        data_root: DataRoot::Payload,
        is_json: false,
        headers: Headers::default(),
        body: Bytes::from_static(b"{}"),
        dedupe: Dedupe::Off,
    };
    queue.append(event).await.unwrap();
}

fn take(subscription: &dyn Subscription) -> Vec<Delivery> {
    subscription.next(100).now_or_never().map_or_else(Vec::new, Result::unwrap)
}

fn positions(deliveries: &[Delivery]) -> Vec<u64> {
    deliveries.iter().map(|delivery| delivery.event.position.0).collect()
}

fn tried(queue: &SledQueue, outcome: Outcome) -> Settled {
    let attempt = Attempt {
        started_at: queue.shared.now(),
        duration: Duration::from_millis(3),
        error: ErrorText::new("no"),
        status: None,
    };
    Settled { outcome, attempt: Some(attempt) }
}

#[tokio::test]
async fn an_index_that_fails_is_made_again_while_events_go_on() {
    let folder = TempDir::new().unwrap();
    let queue = open(&folder);
    let name = HandlerName::parse("h").unwrap();
    let subscription = queue.subscribe(&name, Start::Oldest).await.unwrap();
    for _ in 1..=4 {
        append(&queue).await;
    }
    let at = queue.shared.now();
    let mut taken = take(&*subscription).into_iter();
    let retry = Outcome::Retry { at, order_key: None };
    let dead = Outcome::Dead { order_key: None };
    for outcome in [retry, dead, Outcome::Delivered] {
        let settled = tried(&queue, outcome);
        subscription.settle(taken.next().unwrap(), settled).await.unwrap();
    }
    queue.history(Position(1)).await.unwrap();
    let again = take(&*subscription).remove(0);
    assert_eq!((again.event.position, again.attempt), (Position(1), 2));

    // Somebody finds a damaged page; the indexer sees that with what comes next.
    queue.shared.index().unwrap().set_failed();
    append(&queue).await;
    while queue.shared.index().is_ok() {
        tokio::task::yield_now().await;
    }
    append(&queue).await;
    let on_the_way = take(&*subscription);
    assert_eq!(positions(&on_the_way), [5, 6], "the log goes on without the index");
    for delivery in on_the_way {
        let settled = tried(&queue, Outcome::Delivered);
        subscription.settle(delivery, settled).await.unwrap();
    }
    // What needs the index waits for it.
    let settled = tried(&queue, Outcome::Delivered);
    subscription.settle(again, settled).await.unwrap();
    assert!(queue.shared.index().is_ok());
    assert_eq!(queue.dead(DeadFilter::default()).await.unwrap().len(), 1);
    assert_eq!(queue.history(Position(1)).await.unwrap()[0].attempts.len(), 2);
    drop(subscription);
    queue.close().await.unwrap();

    let queue = open(&folder);
    assert_eq!(queue.opened().rebuilt, None);
    let subscription = queue.subscribe(&name, Start::Oldest).await.unwrap();
    assert_eq!(positions(&take(&*subscription)), [4]);
    assert_eq!(queue.dead(DeadFilter::default()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_subscription_found_before_its_handler_was_forgotten_is_refused() {
    let folder = TempDir::new().unwrap();
    let queue = open(&folder);
    let name = HandlerName::parse("h").unwrap();
    drop(queue.subscribe(&name, Start::Oldest).await.unwrap());
    let state = queue.shared.subscription(&name).unwrap();
    assert!(queue.forget(&name).await.unwrap());
    let late = SledSubscription::attach(Arc::clone(&queue.shared), &state);
    assert!(matches!(late, Err(QueueError::Busy(_))));
    queue.subscribe(&name, Start::Now).await.unwrap();
}

#[tokio::test]
async fn a_panic_in_the_committer_is_told_like_a_failed_write() {
    let folder = TempDir::new().unwrap();
    let settings = Settings {
        observer: Box::new(|_, n_events| assert_eq!(n_events, 0, "the test wants it so")),
        ..settings(&folder)
    };
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
    let queue = SledQueue::open(settings, clock).unwrap();
    let event = NewEvent {
        source: SourceName::parse("shop").unwrap(),
        event_type: EventType::unknown(),
        received_at: Timestamp::from_millis(0),
        data_root: DataRoot::Payload,
        is_json: false,
        headers: Headers::default(),
        body: Bytes::new(),
        dedupe: Dedupe::Off,
    };
    assert!(matches!(queue.append(event).await, Err(QueueError::Closed)));
    queue.poisoned().await;
}

#[tokio::test]
async fn the_index_is_told_of_events_though_nothing_else_happens() {
    let folder = TempDir::new().unwrap();
    let queue = open(&folder);
    for _ in 0..3 {
        append(&queue).await;
    }
    // Nothing that would hurry it: the figures are read from beside.
    let told = async {
        while queue.stats().lag_bytes > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), told).await.unwrap();
    queue.close().await.unwrap();
    assert_eq!(open(&folder).opened().rebuilt, None);
}

/// A queue whose commits wait behind a gate once they are written and before they are answered.
fn gated(folder: &TempDir, clock: Arc<ManualClock>) -> (SledQueue, mpsc::Sender<()>) {
    let (open, gate) = mpsc::channel();
    let gate = Mutex::new(gate);
    // A dropped sender leaves the gate open.
    let observer = Box::new(move |_, n_events| {
        if n_events > 0 {
            gate.lock().unwrap().recv().unwrap_or_default();
        }
    });
    let settings = Settings { observer, ..settings(folder) };
    (SledQueue::open(settings, clock).unwrap(), open)
}

#[tokio::test]
async fn repeat_of_an_unanswered_request_is_a_duplicate_and_of_an_answered_one_an_event() {
    let folder = TempDir::new().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_704_067_200_000)));
    let (queue, open) = gated(&folder, Arc::clone(&clock));
    let event = |n: u8| NewEvent {
        source: SourceName::parse("shop").unwrap(),
        event_type: EventType::unknown(),
        received_at: queue.shared.now(),
        data_root: DataRoot::Payload,
        is_json: false,
        headers: Headers::default(),
        body: Bytes::from_static(b"{}"),
        dedupe: Dedupe::Unanswered { key: DedupeKey([n; 16]) },
    };
    // The sender hangs up while its event is being written.
    assert!(queue.append(event(1)).now_or_never().is_none());
    assert!(queue.append(event(2)).now_or_never().is_none());
    drop(open);
    append(&queue).await;
    let stored = |appended: &Appended| matches!(appended, Appended::Stored(_));

    clock.advance(Duration::from_secs(599));
    let repeat = queue.append(event(1)).await.unwrap();
    assert!(!stored(&repeat), "its first answer cannot have arrived");
    let next = queue.append(event(1)).await.unwrap();
    assert!(stored(&next), "its sender has an answer by now: this is another event");
    assert!(stored(&queue.append(event(1)).await.unwrap()));
    clock.advance(Duration::from_secs(1));
    assert!(stored(&queue.append(event(2)).await.unwrap()), "nobody tries again after so long");
    queue.close().await.unwrap();
}
