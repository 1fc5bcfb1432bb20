//! What the queue's threads and its callers share.

use std::collections::BTreeMap;
#[cfg(feature = "test-support")]
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::commit::{Reply, Request};
use super::kept::KeptLog;
use super::keys::{self, KeyRuns, UnansweredFile, UnansweredKeys};
use super::lived::NewestAnswer;
use super::log::FileLog;
use super::recent_commits::RecentCommits;
use super::remake::{keys_failed, remake_step};
use super::subscription::{HandlerCell, Wake};
use crate::clock::{Clock, Timestamp};
use crate::event::{DedupeKey, EventId, HandlerName, Position};
use crate::queue::QueueError;
use crate::sync::lock;

/// How many steps of merging dedupe keys are made at one look.
const MERGE_STEPS: usize = 16;

/// What a component has to do next. Its moments are counted from the driver's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing, until it is asked.
    Idle,
    /// Nothing, until it is asked or this moment has come.
    At(Duration),
    /// More, at once.
    Again,
    /// Nothing, ever.
    Ended,
}

/// Every handler that has a subscription, by name.
pub(crate) type Handlers = BTreeMap<HandlerName, Arc<HandlerCell>>;

/// What all parts of one queue share.
///
/// Lock order: `handlers` is held for look-ups only, never while another lock is taken.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) log: Arc<FileLog>,
    pub(crate) kept: Arc<KeptLog>,
    pub(crate) keys: Arc<KeyRuns>,
    /// A leaf: taken by the committer, and by the connection that finds out that an answer was not
    /// written.
    pub(crate) unanswered: Mutex<UnansweredKeys>,
    unanswered_file: UnansweredFile,
    pub(crate) newest_answer: NewestAnswer,
    pub(crate) recent: RecentCommits,
    /// Only the committer puts handlers in and takes them out, in the step that commits it.
    handlers: Mutex<Handlers>,
    /// How far each handler's recorded settlements reach: everything before it is settled or in
    /// one of the state's sets, in the log.
    pub(crate) recorded: Mutex<BTreeMap<HandlerName, Position>>,
    /// Positions before it are being let go: what is not alive there in some handler is gone.
    frozen: AtomicU64,
    /// The bound on waiting and parked deliveries of all handlers, at which greedy handlers stop reading the log.
    pub(crate) waiting_max: u64,
    /// Why nothing more is taken in just now.
    pub(crate) blocked: Mutex<Option<String>>,
    /// Set once a write or sync failed.
    pub(crate) poisoned: watch::Sender<bool>,
    /// Set once every handler's state is known.
    pub(crate) ready: watch::Sender<bool>,
    /// Set when the queue is closed.
    pub(crate) closed: CancellationToken,
    requests: mpsc::Sender<Request>,
    /// Runs the components on the caller's thread; set under the inline driver only.
    #[cfg(feature = "test-support")]
    pub(crate) inline: OnceLock<Drive>,
}

/// Runs the components until none has anything to do.
#[cfg(feature = "test-support")]
pub(crate) struct Drive(pub(crate) Box<dyn Fn() + Send + Sync>);

#[cfg(feature = "test-support")]
impl std::fmt::Debug for Drive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Drive")
    }
}

/// What a [`Core`] is made of.
pub(crate) struct Parts {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) log: Arc<FileLog>,
    pub(crate) kept: Arc<KeptLog>,
    pub(crate) keys: Arc<KeyRuns>,
    pub(crate) unanswered: (UnansweredKeys, UnansweredFile),
    pub(crate) waiting_max: u64,
    pub(crate) requests: mpsc::Sender<Request>,
}

impl Core {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { clock, log, kept, keys, unanswered, waiting_max, requests } = parts;
        let (unanswered, unanswered_file) = unanswered;
        Self {
            clock,
            log,
            kept,
            keys,
            unanswered: Mutex::new(unanswered),
            unanswered_file,
            newest_answer: NewestAnswer::default(),
            recent: RecentCommits::default(),
            handlers: Mutex::default(),
            recorded: Mutex::default(),
            frozen: AtomicU64::new(0),
            waiting_max,
            blocked: Mutex::default(),
            poisoned: watch::Sender::new(false),
            ready: watch::Sender::new(false),
            closed: CancellationToken::new(),
            requests,
            #[cfg(feature = "test-support")]
            inline: OnceLock::new(),
        }
    }

    /// Notes that the answer to the request of `id` cannot have arrived.
    pub(crate) fn note_unanswered(&self, key: DedupeKey, id: EventId) {
        lock(&self.unanswered).insert(key, id, self.clock.steady());
    }

    /// Leaves the keys whose answers cannot have arrived to the next start.
    pub(crate) fn leave_unanswered(&self) {
        if let Err(err) = self.unanswered_file.leave(&lock(&self.unanswered), self.clock.as_ref()) {
            tracing::warn!(
                error = %err,
                "Repeats of requests that were not answered come in as events after the start"
            );
        }
    }

    /// The subscription of a handler that has one.
    pub(crate) fn handler(&self, handler: &HandlerName) -> Option<Arc<HandlerCell>> {
        lock(&self.handlers).get(handler).map(Arc::clone)
    }

    /// All subscriptions, by name.
    pub(crate) fn handlers(&self) -> Vec<Arc<HandlerCell>> {
        lock(&self.handlers).values().map(Arc::clone).collect()
    }

    /// For the committer and for recovery.
    pub(crate) fn change_handlers<T>(&self, change: impl FnOnce(&mut Handlers) -> T) -> T {
        change(&mut lock(&self.handlers))
    }

    /// The oldest position that a new subscription or a replay may name.
    pub(crate) fn oldest(&self) -> Position {
        // A log that nothing was written to begins with position 1.
        let first = self.log.head().first_position.max(Position(1));
        first.max(Position(self.frozen.load(Ordering::SeqCst)))
    }

    /// From here on positions before `end` count as gone, unless they are alive in a handler.
    pub(crate) fn freeze_before(&self, end: Position) {
        self.frozen.fetch_max(end.0, Ordering::SeqCst);
    }

    /// Whether several handlers may have an event at the same time.
    pub(crate) fn is_shared(&self) -> bool {
        lock(&self.handlers).len() > 1
    }

    /// Whether a handler that has `own` deliveries waiting may take more out of the log: at the
    /// bound, the ones that hold more than their share leave what comes in the log, where it costs
    /// no memory.
    pub(crate) fn may_take_more(&self, own: u64) -> bool {
        let handlers = lock(&self.handlers);
        let all: u64 = handlers.values().map(|cell| cell.n_waiting()).sum();
        let share = self.waiting_max / handlers.len().max(1) as u64;
        all < self.waiting_max || own < share.max(1)
    }

    /// Tells the committer where an outbox is no longer empty.
    pub(crate) fn wake(&self, wake: Wake) -> Result<(), QueueError> {
        match wake {
            Wake::Committer => self.send(Request::Settle),
            Wake::Nobody => Ok(()),
        }
    }

    /// Has the components run on this thread, where no thread of their own does: in tests.
    #[cfg_attr(
        not(feature = "test-support"),
        expect(clippy::unused_self, reason = "for tests only")
    )]
    pub(crate) fn drive(&self) {
        #[cfg(feature = "test-support")]
        if let Some(drive) = self.inline.get() {
            drive.0();
        }
    }

    /// An error once the queue is closed.
    pub(crate) fn check_open(&self) -> Result<(), QueueError> {
        if self.closed.is_cancelled() { Err(QueueError::Closed) } else { Ok(()) }
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        *self.poisoned.borrow()
    }

    /// The same for a component, whose requests count until the committer has ended.
    pub(crate) fn send_last(&self, request: Request) -> Result<(), QueueError> {
        self.requests.send(request).map_err(|_| QueueError::Closed)
    }

    /// Hands a request to the committer.
    pub(crate) fn send(&self, request: Request) -> Result<(), QueueError> {
        self.check_open()?;
        self.requests.send(request).map_err(|_| QueueError::Closed)
    }

    /// Hands a request to the committer and waits for its answer.
    pub(crate) async fn ask<T>(
        &self,
        request: impl FnOnce(Reply<T>) -> Request,
    ) -> Result<T, QueueError> {
        let answer = self.request(request)?;
        self.drive();
        answer.await.unwrap_or(Err(QueueError::Closed))
    }

    /// Writes the dedupe keys that were handed over as runs.
    pub(crate) fn write_frozen_keys(&self) -> Result<(), QueueError> {
        while self.keys.write_step().map_err(keys_failed)? == keys::Step::Again {}
        Ok(())
    }

    /// Merges runs of dedupe keys, and removes those whose windows are over.
    ///
    /// `now` = the wall clock, where it can be trusted. A merge of large runs goes on with the next
    /// call: its worst step took 0.25 s for 8 million keys.
    pub(crate) fn merge_keys(&self, now: Option<Timestamp>) -> Result<(), QueueError> {
        // Each step loads one filter; those of runs that come meanwhile wait for the next call.
        for _ in 0..self.keys.n_runs() {
            if self.keys.load_step() == keys::Step::Idle {
                break;
            }
        }
        let expired_before = now.unwrap_or(Timestamp::MIN);
        for _ in 0..MERGE_STEPS {
            if self.keys.merge_step(expired_before).map_err(keys_failed)? == keys::Step::Idle {
                break;
            }
        }
        now.map_or(Ok(()), |now| self.keys.expire(now).map_err(keys_failed))
    }

    /// Makes some of the keys of a run that is damaged or missing anew.
    pub(crate) fn remake_keys(&self) -> Result<keys::Step, QueueError> {
        remake_step(&self.log, &self.keys)
    }

    /// Says why nothing more is taken in, or that it is again.
    pub(crate) fn set_blocked(&self, why: Option<String>) {
        let mut blocked = lock(&self.blocked);
        match (&*blocked, &why) {
            (None, Some(why)) => {
                tracing::error!(reason = why, "No room for more events: they are refused");
            }
            (Some(_), None) => tracing::info!("There is room again: events are taken in"),
            (None, None) | (Some(_), Some(_)) => {}
        }
        *blocked = why;
    }

    /// Why no event is taken in just now.
    pub(crate) fn refuses(&self) -> Option<String> {
        let why = if self.is_poisoned() {
            QueueError::Poisoned
        } else {
            QueueError::Full(lock(&self.blocked).clone()?)
        };
        Some(why.to_string())
    }

    /// Bytes of the log, the kept log and the key runs.
    pub(crate) fn bytes(&self) -> u64 {
        self.log.bytes() + self.kept.bytes() + self.keys.bytes()
    }

    /// What cannot be read, for people.
    pub(crate) fn damage(&self) -> Vec<String> {
        let mut damage = self.damaged_records();
        damage.extend(self.keys.damage());
        damage
    }

    /// The same of the log and the kept log alone.
    pub(crate) fn damaged_records(&self) -> Vec<String> {
        let log = self.log.damage().into_iter().map(|damage| damage.to_string());
        log.chain(self.kept.damage()).collect()
    }

    /// The handlers whose deliveries keep the oldest segment, with what they have to do.
    pub(crate) fn who_pins(&self) -> Vec<String> {
        let handlers = lock(&self.recorded).clone();
        let next = self.log.head().next_position;
        let Some(least) = handlers.values().min().copied() else { return Vec::new() };
        let behind = handlers.into_iter().filter(|(_, high)| *high == least);
        behind
            .map(|(handler, high)| {
                let n_events = high.events_until(next);
                format!("handler `{handler}` ({n_events} events)")
            })
            .collect()
    }

    /// Hands a request to the committer and gives what its answer comes by.
    pub(crate) fn request<T>(
        &self,
        request: impl FnOnce(Reply<T>) -> Request,
    ) -> Result<oneshot::Receiver<Result<T, QueueError>>, QueueError> {
        let (reply, answer) = oneshot::channel();
        self.send(request(reply))?;
        Ok(answer)
    }
}

/// Runs what reads files where it may block: on a thread for that, where there is a runtime.
pub(crate) async fn off_thread<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, QueueError> + Send + 'static,
) -> Result<T, QueueError> {
    if tokio::runtime::Handle::try_current().is_err() {
        return read();
    }
    let done = tokio::task::spawn_blocking(read).await;
    done.unwrap_or_else(|err| Err(QueueError::Corrupt(format!("reading panicked: {err}"))))
}
