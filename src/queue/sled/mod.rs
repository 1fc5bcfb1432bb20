//! The embedded backend: a write-ahead journal of our own with sled as derived state behind it.
//!
//! ```text
//! data/queue/
//!   lock               held while the queue is open; says by whom
//!   journal/…​.seg      the truth: an event is acknowledged when its record is synced here
//!   sled/              everything that is asked for often; can be found out again from the journal;
//!                      its file `state` says whether it can be believed (see `trust`)
//!   sled.damaged/      what sled was before it was last made anew, to look into
//! ```
//!
//! Four threads: the committer writes the journal and answers, the indexer follows it with sled,
//! one makes the next segment ahead of need, and the janitor lets old segments go. Callers only
//! send to the committer and read.
//!
//! Invariants:
//!
//! * An append is answered after the fdatasync that covers its record.
//! * Settlements are recorded in the order of the calls, at most 100 ms after them.
//! * A position behind a recorded cursor is settled or an entry, in the journal, at all times.
//! * sled holds nothing that the journal does not: it may be deleted while the queue is closed.
//! * sled is used only if everything that was written to it is there; whoever finds it damaged has
//!   it made anew, and meanwhile the log is delivered on.
//! * A segment goes only when every handler's recorded cursor has passed it, and after what
//!   entries and dedupe keys still need of it was copied forward, durably.

use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;

use self::janitor::Janitor;
use self::shared::{Job, Shared, lock};
use self::subscription::SledSubscription;
use super::journal::{FileSystem, OsFileSystem, SEGMENT_BYTES};
use super::{
    Appended, DeadFilter, DeadLetter, DeliveryHistory, EventQuery, Queue, QueueError, QueueStats,
    Start, Subscription,
};
use crate::clock::Clock;
use crate::event::{Event, EventId, HandlerName, NewEvent, Position};

mod committer;
mod dead;
mod dedupe;
mod figures;
mod history;
mod index;
mod indexer;
mod janitor;
mod kept;
mod lookup;
mod open;
mod overlay;
mod owner;
mod rebuild;
mod shared;
mod state;
mod subscription;
mod tail;
mod trust;

pub use committer::CommitObserver;

/// What the queue keeps to.
pub struct Settings {
    /// The queue's folder; made where it is missing.
    pub folder: PathBuf,
    /// How long settled events stay.
    pub retention: Duration,
    /// How many bytes the queue may take.
    pub disk_max: u64,
    /// How many bytes stay free on the disk.
    pub disk_reserve: u64,
    /// Told of each commit.
    pub observer: CommitObserver,
    /// How large the journal's segments are made. A record that is larger gets a larger one.
    pub segment_bytes: u32,
    /// The file system under the journal.
    pub file_system: Arc<dyn FileSystem>,
}

impl Settings {
    /// Settings with the documented defaults.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            retention: Duration::from_hours(7 * 24),
            disk_max: 10 << 30,
            disk_reserve: 256 << 20,
            observer: Box::new(|_, _| {}),
            segment_bytes: SEGMENT_BYTES,
            file_system: Arc::new(OsFileSystem),
        }
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("folder", &self.folder)
            .field("retention", &self.retention)
            .finish_non_exhaustive()
    }
}

/// What was found when the queue was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// Bytes of a torn last commit that were cleared. They were never acknowledged.
    pub torn_bytes: u64,
    /// Why the index was made anew; `None` = it was as it should be.
    pub rebuilt: Option<String>,
}

/// The embedded durable queue.
#[derive(Debug)]
pub struct SledQueue {
    shared: Arc<Shared>,
    opened: Opened,
    janitor: Arc<Janitor>,
    index_folder: PathBuf,
    threads: Mutex<Option<Threads>>,
}

/// What ends when the queue is closed.
#[derive(Debug)]
struct Threads {
    committer: JoinHandle<()>,
    indexer: JoinHandle<()>,
    janitor: JoinHandle<()>,
    stop_janitor: mpsc::Sender<()>,
    lock: std::fs::File,
}

impl SledQueue {
    /// Opens the queue, mending what a power cut tore and making the index anew where it is
    /// damaged. Blocks while it reads.
    pub fn open(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, QueueError> {
        open::open(settings, clock)
    }

    /// What was found when the queue was opened.
    pub const fn opened(&self) -> &Opened {
        &self.opened
    }

    /// Resolves when a write or sync has failed: nothing more is taken in until a restart.
    pub async fn poisoned(&self) {
        let mut poisoned = self.shared.poisoned.subscribe();
        // An error means that the queue is gone, which cannot be while `self` is borrowed.
        if poisoned.wait_for(|is_poisoned| *is_poisoned).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Lets go at once of what may go, as it is done each second anyway.
    pub async fn tidy(&self) -> Result<(), QueueError> {
        let janitor = Arc::clone(&self.janitor);
        self.read(move |_| janitor.tidy()).await
    }

    /// Makes the derived state as small as what is alive in it, as it is done anyway where most of
    /// it is dead.
    pub async fn compact(&self) -> Result<(), QueueError> {
        self.shared.ask(Job::Compact).await
    }

    /// Runs what reads files where it may block.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Arc<Shared>) -> Result<T, QueueError> + Send + 'static,
    ) -> Result<T, QueueError> {
        self.shared.check_open()?;
        let shared = Arc::clone(&self.shared);
        let done = tokio::task::spawn_blocking(move || read(&shared)).await;
        done.unwrap_or_else(|err| Err(QueueError::Corrupt(format!("reading panicked: {err}"))))
    }

    fn end_threads(&self) {
        let Some(threads) = lock(&self.threads).take() else { return };
        let Threads { committer, indexer, janitor, stop_janitor, lock } = threads;
        drop(stop_janitor);
        for (name, thread) in [("janitor", janitor), ("committer", committer), ("indexer", indexer)]
        {
            if thread.join().is_err() {
                tracing::error!(thread = name, "A thread of the queue panicked");
            }
        }
        self.close_index();
        drop(lock);
    }

    /// Closes sled, which has a lock of its own, and notes that it is whole.
    fn close_index(&self) {
        let Some(mut index) = self.shared.index.swap(None) else { return };
        let has_failed = index.has_failed();
        for _ in 0..CLOSE_TRIES {
            match Arc::try_unwrap(index) {
                Ok(alone) => {
                    drop(alone);
                    if !has_failed && let Err(err) = trust::set_clean(&self.index_folder) {
                        tracing::warn!(error = %err, "The index could not be synced");
                    }
                    return;
                }
                // Somebody still reads.
                Err(shared) => index = shared,
            }
            std::thread::sleep(CLOSE_WAIT);
        }
    }
}

/// How long is waited for readers of the index when the queue closes: a second.
const CLOSE_TRIES: u32 = 100;
const CLOSE_WAIT: Duration = Duration::from_millis(10);

impl Drop for SledQueue {
    fn drop(&mut self) {
        if lock(&self.threads).is_some() {
            // Nobody waits for the answer: the threads are joined below.
            let (reply, _) = oneshot::channel();
            // An error means that the committer is gone already.
            drop(self.shared.send(Job::Close(reply)));
            self.shared.closed.cancel();
            self.end_threads();
        }
    }
}

#[async_trait]
impl Queue for SledQueue {
    async fn append(&self, event: NewEvent) -> Result<Appended, QueueError> {
        let (reply, answer) = oneshot::channel();
        self.shared.send(Job::Append(event, reply))?;
        let (appended, _event) = answer.await.map_err(|_| QueueError::Closed)?;
        appended
    }

    async fn subscribe(
        &self,
        handler: &HandlerName,
        start: Start,
    ) -> Result<Box<dyn Subscription>, QueueError> {
        self.shared.ask(|reply| Job::Subscribe(handler.clone(), start, reply)).await?;
        self.shared.ask(Job::Barrier).await?;
        let state = self.shared.subscription(handler).ok_or(QueueError::Closed)?;
        let subscription = SledSubscription::attach(Arc::clone(&self.shared), &state)?;
        Ok(Box::new(subscription))
    }

    async fn forget(&self, handler: &HandlerName) -> Result<bool, QueueError> {
        self.shared.ask(|reply| Job::Forget(handler.clone(), reply)).await
    }

    async fn get(&self, id: EventId) -> Result<Option<Event>, QueueError> {
        self.read(move |shared| lookup::event_of(shared, id)).await
    }

    async fn list(&self, query: EventQuery) -> Result<Vec<Event>, QueueError> {
        self.read(move |shared| lookup::list(shared, &query)).await
    }

    async fn history(&self, position: Position) -> Result<Vec<DeliveryHistory>, QueueError> {
        // What was settled just now is part of it.
        self.shared.ask(Job::Barrier).await?;
        self.read(move |shared| history::of(shared, position)).await
    }

    async fn dead(&self, filter: DeadFilter) -> Result<Vec<DeadLetter>, QueueError> {
        self.read(move |shared| dead::list(shared, &filter)).await
    }

    async fn redrive(&self, filter: DeadFilter) -> Result<u64, QueueError> {
        self.read(move |shared| dead::redrive(shared, &filter)).await
    }

    async fn drop_dead(&self, filter: DeadFilter) -> Result<u64, QueueError> {
        self.read(move |shared| dead::give_up(shared, &filter)).await
    }

    async fn replay(
        &self,
        handler: &HandlerName,
        positions: &[Position],
    ) -> Result<u64, QueueError> {
        let (handler, positions) = (handler.clone(), positions.to_vec());
        self.read(move |shared| dead::replay(shared, &handler, &positions)).await
    }

    fn stats(&self) -> QueueStats {
        figures::stats(&self.shared)
    }

    async fn probe(&self) -> Result<(), QueueError> {
        self.shared.ask(Job::Probe).await
    }

    async fn close(&self) -> Result<(), QueueError> {
        let closed = self.shared.ask(Job::Close).await;
        self.shared.closed.cancel();
        self.end_threads();
        closed
    }
}

/// Takes hold of the folder; the lock ends with the process, whatever becomes of it.
fn take_lock(folder: &Path) -> Result<std::fs::File, QueueError> {
    let path = folder.join("lock");
    let failed = |source| QueueError::Io { what: format!("locking `{}`", path.display()), source };
    let mut file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Who it is helps, but is not needed to refuse.
            if file.read_to_string(&mut holder).is_err() || holder.trim().is_empty() {
                "another process".clone_into(&mut holder);
            }
            let (folder, holder) = (folder.display().to_string(), holder.trim().to_owned());
            return Err(QueueError::Held { folder, holder });
        }
        Err(std::fs::TryLockError::Error(err)) => return Err(failed(err)),
    }
    let text = format!("gatepost, process {}\n", std::process::id());
    file.set_len(0).map_err(failed)?;
    file.rewind().map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    Ok(file)
}

#[cfg(test)]
mod tests;
