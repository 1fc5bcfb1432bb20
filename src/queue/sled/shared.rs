//! What the queue's threads and its callers share.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use arc_swap::ArcSwapOption;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::dedupe::Runs;
use super::index::{Index, IndexError, Progress};
use super::state::SubscriptionState;
use super::tail::Tail;
use crate::clock::{Clock, Timestamp};
use crate::event::{HandlerName, NewEvent, Position};
use crate::queue::journal::{Location, Segments};
use crate::queue::record::{Change, KeyEntry};
use crate::queue::{Appended, QueueError, Start};

/// How far the journal is synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Durable {
    pub(crate) end: Location,
    /// The position that the next event gets.
    pub(crate) next: Position,
}

/// An answer on its way back to a caller, who may be gone.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, QueueError>>;

/// The answer to an append, and the event itself: memory is given back for less by the thread that
/// took it, and that is not the committer's.
pub(crate) type AppendReply = oneshot::Sender<(Result<Appended, QueueError>, NewEvent)>;

/// What the committer is asked for.
#[derive(Debug)]
pub(crate) enum Job {
    Append(NewEvent, AppendReply),
    /// Some outbox is no longer empty.
    Settle,
    Subscribe(HandlerName, Start, Reply<()>),
    Forget(HandlerName, Reply<bool>),
    /// Write something, to see whether that works.
    Probe(Reply<()>),
    /// From here on remember whose deliveries change; answered when the index is up to date.
    Watch(Reply<()>),
    /// Copy forward what a segment that is to go holds and somebody still needs.
    Carry(Carry, Reply<()>),
    /// Answered when the index has taken in all that was written before.
    Barrier(Reply<()>),
    /// The same, and an error where what was settled before could not be recorded.
    Recorded(Reply<()>),
    /// The same, and the index remembers durably how far it came.
    Remember(Reply<()>),
    /// Make the index smaller.
    Compact(Reply<()>),
    Close(Reply<()>),
}

/// What is copied forward out of a segment that is to go.
#[derive(Debug)]
pub(crate) struct Carry {
    /// The segment.
    pub(crate) segment: u64,
    /// The positions that were first written in it: from here,
    pub(crate) first: Position,
    /// to before here.
    pub(crate) end: Position,
    /// Payloads of event records.
    pub(crate) events: Vec<bytes::Bytes>,
    /// Entries of which some record would go: their tries, and how they stand last.
    pub(crate) states: Vec<(HandlerName, Vec<Change>)>,
    /// Keys that outlive their events: runs of them, each by position, none within another.
    pub(crate) keys: Vec<Vec<KeyEntry>>,
}

/// What all parts of one queue share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) segments: Arc<Segments>,
    /// The derived state; empty while it is rebuilt.
    pub(crate) index: ArcSwapOption<Index>,
    pub(crate) runs: Runs,
    pub(crate) tail: Tail,
    pub(crate) durable: watch::Sender<Durable>,
    /// How far the index came.
    pub(crate) indexed: Mutex<Progress>,
    /// Bytes that are synced and not in the index yet.
    pub(crate) lag_bytes: AtomicU64,
    /// Held by whoever changes the index other than by the journal: while it is copied, nobody
    /// does.
    pub(crate) index_changes: Mutex<()>,
    /// Each handler's cursor as the journal has it.
    pub(crate) recorded: Mutex<BTreeMap<HandlerName, Position>>,
    /// Every handler that has a place.
    pub(crate) subscriptions: Mutex<BTreeMap<HandlerName, Arc<SubscriptionState>>>,
    /// Why nothing more is taken in just now.
    pub(crate) blocked: Mutex<Option<String>>,
    /// Set once a write or sync failed.
    pub(crate) poisoned: watch::Sender<bool>,
    /// Set when the queue is closed.
    pub(crate) closed: CancellationToken,
    pub(crate) jobs: mpsc::Sender<Job>,
}

impl Shared {
    /// The derived state, unless it is being rebuilt.
    pub(crate) fn index(&self) -> Result<Arc<Index>, IndexError> {
        self.index.load_full().ok_or(IndexError::Rebuilding)
    }

    /// How far the journal is synced.
    pub(crate) fn durable(&self) -> Durable {
        *self.durable.borrow()
    }

    /// The state of a handler that has a place.
    pub(crate) fn subscription(&self, handler: &HandlerName) -> Option<Arc<SubscriptionState>> {
        lock(&self.subscriptions).get(handler).map(Arc::clone)
    }

    /// An error once the queue is closed.
    pub(crate) fn check_open(&self) -> Result<(), QueueError> {
        if self.closed.is_cancelled() { Err(QueueError::Closed) } else { Ok(()) }
    }

    /// Hands a job to the committer.
    pub(crate) fn send(&self, job: Job) -> Result<(), QueueError> {
        self.check_open()?;
        self.jobs.send(job).map_err(|_| QueueError::Closed)
    }

    /// Hands a job to the committer and waits for its answer.
    pub(crate) async fn ask<T>(&self, job: impl FnOnce(Reply<T>) -> Job) -> Result<T, QueueError> {
        let (reply, answer) = oneshot::channel();
        self.send(job(reply))?;
        answer.await.unwrap_or(Err(QueueError::Closed))
    }

    /// The same from a thread of ours.
    pub(crate) fn ask_blocking<T>(
        &self,
        job: impl FnOnce(Reply<T>) -> Job,
    ) -> Result<T, QueueError> {
        let (reply, answer) = oneshot::channel();
        self.send(job(reply))?;
        answer.blocking_recv().unwrap_or(Err(QueueError::Closed))
    }

    /// The oldest position that is still there.
    pub(crate) fn oldest(&self) -> Position {
        self.segments.at_or_after(0).map_or(Position(1), |segment| segment.first)
    }

    /// The wall clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

impl From<IndexError> for QueueError {
    fn from(err: IndexError) -> Self {
        match err {
            IndexError::Rebuilding => Self::Behind("the index is being rebuilt"),
            IndexError::Sled(_) | IndexError::Mark(_) | IndexError::Panicked | IndexError::Bad => {
                tracing::warn!(error = %err, "The index could not answer");
                Self::Behind("the index cannot answer and will be rebuilt")
            }
        }
    }
}

/// A lock that goes on after a panic: what it guards is changed in single steps.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
