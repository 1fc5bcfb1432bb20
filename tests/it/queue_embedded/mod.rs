//! The embedded queue on real files with its own threads: damage, cleaning, another version's
//! folder. Promises are in `queue`, schedules in the simulation.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gatepost::clock::{Clock, ManualClock, SystemClock};
use gatepost::event::{Delivery, EventId};
use gatepost::queue::embedded::{EmbeddedQueue, Settings};
use gatepost::queue::{Queue, Subscription};
use tempfile::TempDir;

use crate::support::clock::BEGINNING;
use crate::support::events::{new_event, settle, subscribe};

mod check;
mod clean;
mod damage;

/// A folder for a queue with small segments.
pub(crate) struct Site {
    folder: TempDir,
    clock: Arc<ManualClock>,
}

impl Site {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), clock: Arc::new(ManualClock::new(BEGINNING)) }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("queue")
    }

    fn settings(&self, retention: Duration) -> Settings {
        Settings { retention, segment_bytes: 64 << 10, ..Settings::new(self.path()) }
    }

    fn open(&self, retention: Duration) -> EmbeddedQueue {
        let clock: Arc<dyn Clock> = self.clock.clone();
        EmbeddedQueue::open(self.settings(retention), clock).unwrap()
    }

    /// The same with the system's clock, for what runs side by side.
    fn open_with_system_clock(&self, retention: Duration) -> EmbeddedQueue {
        EmbeddedQueue::open(self.settings(retention), Arc::new(SystemClock::new())).unwrap()
    }

    /// The log's segment files, oldest first.
    fn segments(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.path().join("log")).unwrap();
        let paths = files.map(|file| file.unwrap().path());
        let mut segments: Vec<PathBuf> =
            paths.filter(|path| path.extension().is_some_and(|ending| ending == "log")).collect();
        segments.sort();
        segments
    }
}

async fn append_all(queue: &EmbeddedQueue, n: u64, n_bytes: usize) -> Vec<EventId> {
    let mut ids = Vec::new();
    for number in 0..n {
        let mut event = new_event("a", &number.to_string(), BEGINNING);
        let mut body = number.to_string().into_bytes();
        body.resize(n_bytes, b'x');
        event.body = body.into();
        ids.push(queue.append(event).await.unwrap().id());
    }
    ids
}

async fn take(subscription: &dyn Subscription, n: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    while taken.len() < n {
        let next =
            tokio::time::timeout(Duration::from_secs(20), subscription.next(n - taken.len()));
        taken.extend(next.await.expect("something is due").unwrap());
    }
    taken
}
