//! What the embedded queue keeps when the ground gives way under it: power cuts, failing and full
//! disks, damaged files, a lost index. And what it forgets when it may.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gatepost::clock::ManualClock;
use gatepost::event::{Dedupe, DedupeKey, Delivery, Event, EventId, NewEvent, Outcome, Position};
use gatepost::queue::embedded::{EmbeddedQueue, IndexIn, Settings};
use gatepost::queue::{Appended, EventQuery, ListOrder, Queue, QueueError, Subscription};
use tempfile::TempDir;

use crate::support::clock::BEGINNING;
use crate::support::events::{new_event, settlement, subscribe, take_due, tried, untried};

mod concurrent;
mod crash;
mod derived;
mod disk;
mod errors;
mod full;
mod open_matrix;
mod owner;
mod retention;
mod told;

use disk::Disk;

/// Small, so that a few events fill one.
const SEGMENT_BYTES: u32 = 64 << 10;

/// A queue whose log is on a [`Disk`], and whose index is in a folder.
struct Site {
    disk: Disk,
    folder: TempDir,
    clock: Arc<ManualClock>,
}

impl Site {
    fn new() -> Self {
        let (clock, folder) = (Arc::new(ManualClock::new(BEGINNING)), TempDir::new().unwrap());
        // Where the lock and the index are: not on the disk.
        std::fs::create_dir(folder.path().join("queue")).unwrap();
        Self { disk: Disk::default(), folder, clock }
    }

    fn settings(&self) -> Settings {
        let mut settings = Settings::new(self.folder.path().join("queue"));
        settings.segment_bytes = SEGMENT_BYTES;
        settings.disk_reserve = 0;
        settings.storage = Arc::new(self.disk.storage.clone());
        settings
    }

    fn open(&self) -> EmbeddedQueue {
        self.try_open(self.settings()).unwrap()
    }

    fn try_open(&self, settings: Settings) -> Result<EmbeddedQueue, QueueError> {
        EmbeddedQueue::open(settings, self.clock.clone())
    }

    /// A queue that does everything on the thread that calls it, its index in memory.
    fn open_inline(&self) -> EmbeddedQueue {
        self.try_open_inline(self.settings()).unwrap()
    }

    fn try_open_inline(&self, settings: Settings) -> Result<EmbeddedQueue, QueueError> {
        let settings = Settings { index: IndexIn::Memory, ..settings };
        EmbeddedQueue::open_inline(settings, self.clock.clone(), self.disk.n_changes())
    }

    fn remove_snapshots(&self) {
        for path in self.disk.storage.paths() {
            if path.extension().is_some_and(|ending| ending == "snap") {
                self.disk.storage.remove_now(&path);
            }
        }
    }

    fn remove_index(&self) {
        let sled = self.folder.path().join("queue/sled");
        if sled.exists() {
            std::fs::remove_dir_all(sled).unwrap();
        }
    }

    fn clock_steady(&self) -> gatepost::clock::Timestamp {
        use gatepost::clock::Clock;
        self.clock.steady()
    }

    fn advance_secs(&self, secs: u64) {
        self.clock.advance(Duration::from_secs(secs));
    }
}

/// A body of `n_bytes` that is like no other.
fn body(n: u64, n_bytes: usize) -> Bytes {
    let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..n_bytes).map(next).collect()
}

fn event(n: u64, n_bytes: usize) -> NewEvent {
    NewEvent { body: body(n, n_bytes), ..new_event("test", "", BEGINNING) }
}

fn keyed(n: u64, n_bytes: usize, window: Duration) -> NewEvent {
    let key = DedupeKey(u128::from(n).wrapping_mul(0x1234_5678_9abc_def1).to_be_bytes());
    NewEvent { dedupe: Dedupe::Within { key, window }, ..event(n, n_bytes) }
}

async fn append(queue: &EmbeddedQueue, event: NewEvent) -> EventId {
    match queue.append(event).await.unwrap() {
        Appended::Stored(id) => id,
        Appended::Duplicate(id) => panic!("{id} was stored before"),
    }
}

/// Appends events 1 to `n` of `n_bytes`.
async fn append_all(queue: &EmbeddedQueue, n: u64, n_bytes: usize) -> Vec<EventId> {
    let mut ids = Vec::new();
    for i in 1..=n {
        ids.push(append(queue, event(i, n_bytes)).await);
    }
    ids
}

fn positions(deliveries: &[Delivery]) -> Vec<u64> {
    deliveries.iter().map(|delivery| delivery.event.position.0).collect()
}

async fn settle(subscription: &dyn Subscription, delivery: Delivery, outcome: Outcome) {
    let error = match outcome {
        Outcome::Delivered | Outcome::Skipped | Outcome::Held { .. } => "",
        Outcome::Retry { .. } => "refused",
        Outcome::Dead { .. } => "gone for good",
    };
    let end = match outcome {
        Outcome::Skipped | Outcome::Held { .. } => untried(outcome),
        _ => tried(outcome, BEGINNING, error),
    };
    subscription.settle(settlement(delivery, end)).await.unwrap();
}

async fn deliver_all(subscription: &dyn Subscription) -> usize {
    let taken = take_due(subscription);
    let n = taken.len();
    for delivery in taken {
        settle(subscription, delivery, Outcome::Delivered).await;
    }
    n
}

const DEAD: Outcome = Outcome::Dead { order_key: None };

/// Every event that is retained, oldest first.
async fn all_events(queue: &EmbeddedQueue) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    loop {
        let cursor = events.last().map(|event| event.position);
        let query =
            EventQuery { order: ListOrder::Oldest, limit: 1_000, cursor, ..EventQuery::default() };
        let more = queue.list(query).await.unwrap();
        if more.is_empty() {
            return events;
        }
        events.extend(more);
    }
}

async fn all_positions(queue: &EmbeddedQueue) -> Vec<u64> {
    all_events(queue).await.iter().map(|event| event.position.0).collect()
}

/// What was settled before is recorded when this returns.
async fn record(queue: &EmbeddedQueue) -> Result<(), QueueError> {
    queue.history(Position(u64::MAX)).await.map(drop)?;
    queue.probe().await
}
