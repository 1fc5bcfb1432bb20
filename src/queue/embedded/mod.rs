//! The embedded queue: one log, one state per handler, sled for look-ups.
//!
//! ```text
//! callers ──request──► committer ──unit──► log file          allocator: the next segment, ahead of need
//!    │  ▲ answer           │ watch: head       ▲ outboxes    cleaner: segments, kept log, snapshots, keys
//!    ▼  │                  ▼                   │             index: follows the log; look-ups only
//! subscription.next / settle ── state lock ── outbox lock
//! ```
//!
//! Four sentences to remember:
//!
//! 1. The log is the truth; each handler's state is a function of it, made by one function, `apply`.
//! 2. When in doubt, deliver again or store again: no derived file, no clock and no look-up may cause
//!    a loss, only a repeat.
//! 3. sled answers questions of people. No module on the way in or out imports it.
//! 4. A segment is freed by one rule in one place: freeze, copy what is alive, trim.
//!
//! ```text
//! data/queue/
//!   lock  FORMAT       who has the folder; which layout it has
//!   log/N-SALT.log     the truth, in segments of 16 MiB
//!   kept/N-SALT.log    what is alive of segments that are gone
//!   state/N.snap       the handlers' states, so that a start reads little; two generations
//!   keys/*.run         dedupe keys
//!   sled/              answers for people; made anew from the log where it is missing
//!   aside/             what was taken out of the way and is kept for people
//! ```
//!
//! In reading order: `record` (the bytes), `log`, `state`, `subscription`, `commit`, `cleaner`,
//! `snapshot`, `recovery`, `open`, `driver`; beside them `keys`, `kept`, `index`, `read`.
//!
//! Lock order: `handlers` (look-ups only), a subscription's `reader`, its `live`, its outbox, then
//! leaves. The committer takes `handlers`, outboxes and leaves, never `reader` or `live`.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use tokio::sync::oneshot;

use self::cleaner::{Cleaner, Effort};
use self::commit::{AppendRequest, Group, Request};
use self::core::{Core, off_thread};
use self::driver::Threads;
use self::index::Index;
use self::open::Components;
use self::read::{Budget, Reading, Search};
use self::record::Lsn;
use self::redrive::ByHand;
use self::subscription::EmbeddedSubscription;
use super::storage::{OsStorage, Storage};
use super::{
    Appended, DeadChange, DeadFilter, DeadLetter, DeadRecord, DeliveryHistory, EventQuery,
    LostDeliveries, Queue, QueueError, QueueStats, Searched, Start, Subscription,
};
use crate::clock::{Clock, Timestamp};
use crate::event::{Event, EventId, HandlerName, NewEvent, Position};
use crate::sync::lock;

mod append_all;
pub mod check;
pub(crate) mod cleaner;
pub(crate) mod commit;
pub(crate) mod core;
mod driver;
pub(crate) mod events;
pub(crate) mod index;
pub(crate) mod kept;
pub(crate) mod keys;
mod lock_file;
pub(crate) mod log;
mod open;
pub(crate) mod read;
pub(crate) mod recent_commits;
pub(crate) mod record;
mod recovery;
mod redrive;
pub(crate) mod snapshot;
pub(crate) mod snapshot_file;
pub(crate) mod state;
mod states;
mod stats;
pub(crate) mod step;
pub(crate) mod subscription;
pub(crate) mod take_over;
#[doc(hidden)]
pub mod testing;

pub use commit::CommitObserver;

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
    /// How many bytes of filters of dedupe keys stay in memory.
    pub dedupe_memory: u64,
    /// How many deliveries may wait, over all handlers, before the ones with most of them stop
    /// taking more out of the log.
    pub waiting_max: u64,
    /// Told of each commit.
    pub observer: CommitObserver,
    /// How large the log's segments are made. A record that is larger gets a larger one.
    pub segment_bytes: u32,
    /// How many dedupe keys stay in memory before they become a run file.
    pub memtable_keys: usize,
    /// The file system under the queue.
    pub storage: Arc<dyn Storage>,
    /// Where the index is.
    pub index: IndexIn,
    /// How much of the log is read when the queue is opened where no snapshot can be used. A longer
    /// one is read behind: events are taken in meanwhile, and nothing is delivered.
    pub rebuild_at_once: u64,
}

/// Where the index is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexIn {
    /// In sled, in the queue's folder.
    Folder,
    /// In memory: made anew at each start.
    Memory,
}

impl Settings {
    /// Settings with the documented defaults.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            retention: Duration::from_hours(7 * 24),
            disk_max: 10 << 30,
            disk_reserve: 256 << 20,
            dedupe_memory: 32 << 20,
            waiting_max: 1_000_000,
            observer: Box::new(|_, _| {}),
            segment_bytes: log::SEGMENT_BYTES,
            memtable_keys: 32_768,
            storage: Arc::new(OsStorage),
            index: IndexIn::Folder,
            rebuild_at_once: 64 << 20,
        }
    }

    fn limits(&self) -> cleaner::Limits {
        cleaner::Limits {
            retention: self.retention,
            disk_max: self.disk_max,
            disk_reserve: self.disk_reserve,
            segment_bytes: self.segment_bytes,
        }
    }

    fn key_options(&self) -> keys::KeyOptions {
        keys::KeyOptions {
            memtable_keys: self.memtable_keys,
            memtable_log_bytes: 2 * u64::from(self.segment_bytes),
            filter_memory: usize::try_from(self.dedupe_memory).unwrap_or(usize::MAX),
        }
    }

    fn kept_options(&self) -> kept::KeptOptions {
        let segment_bytes = self.segment_bytes;
        kept::KeptOptions { segment_bytes, compact_above: u64::from(segment_bytes / 4) }
    }

    /// How much of the live segment is kept for settlements where there is no room for another.
    fn settle_room(&self) -> usize {
        (self.segment_bytes / 4) as usize
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

/// How long answers that the index makes richer wait for it.
const INDEX_WAIT: Duration = Duration::from_secs(2);

/// What was found when the queue was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// Bytes of a torn last commit that were put aside. They were never acknowledged.
    pub torn_bytes: u64,
    /// Why something was made anew; `None` = all was as it should be.
    pub rebuilt: Option<String>,
}

/// The embedded durable queue.
#[derive(Debug)]
pub struct EmbeddedQueue {
    core: Arc<Core>,
    cleaner: Arc<Cleaner>,
    index: Arc<Index>,
    reading: Arc<Reading>,
    opened: Opened,
    driver: Mutex<Driver>,
}

/// What runs the components, until the queue is closed.
#[derive(Debug)]
enum Driver {
    Threads {
        threads: Threads,
        _lock: std::fs::File,
    },
    /// Kept alive here: what drives it holds it weakly.
    Inline {
        _inline: Arc<driver::Inline>,
    },
    /// Whoever opened it steps the components.
    Manual,
    Closed,
}

impl EmbeddedQueue {
    /// Opens the queue, mending what a power cut tore. Blocks while it reads.
    pub fn open(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, QueueError> {
        lock_file::check_owner(&settings.folder)?;
        settings.storage.create_folder(&settings.folder).map_err(|source| QueueError::Io {
            what: format!("making `{}`", settings.folder.display()),
            source,
        })?;
        let lock = lock_file::take(&settings.folder)?;
        let components = open::open(settings, clock, StdRng::from_os_rng().next_u64())?;
        Self::start(components, |components| {
            Ok(Driver::Threads { threads: Threads::start(components)?, _lock: lock })
        })
    }

    /// Opens a queue whose components run on the threads that call it: for tests.
    pub fn open_inline(
        settings: Settings,
        clock: Arc<dyn Clock>,
        seed: u64,
    ) -> Result<Self, QueueError> {
        let components = open::open(settings, clock, seed)?.with_states()?;
        Self::start(components, |components| {
            Ok(Driver::Inline { _inline: driver::Inline::start(components) })
        })
    }

    fn start(
        components: Components,
        driver: impl FnOnce(Components) -> Result<Driver, QueueError>,
    ) -> Result<Self, QueueError> {
        let (core, cleaner) = (Arc::clone(&components.core), Arc::clone(&components.cleaner));
        let (index, reading) = (Arc::clone(&components.index), Arc::clone(&components.reading));
        let opened = components.opened.clone();
        let driver = Mutex::new(driver(components)?);
        Ok(Self { core, cleaner, index, reading, opened, driver })
    }

    /// What was found when the queue was opened.
    pub const fn opened(&self) -> &Opened {
        &self.opened
    }

    /// Resolves when a write or sync has failed: nothing more is taken in until a restart.
    pub async fn poisoned(&self) {
        let mut poisoned = self.core.poisoned.subscribe();
        // An error means that the queue is gone, which cannot be while `self` is borrowed.
        if poisoned.wait_for(|is_poisoned| *is_poisoned).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until look-ups have everything that was recorded before this call, `most` at most:
    /// after a start without an index that is once the whole log was read. `false` = not yet.
    pub async fn is_indexed(&self, most: Duration) -> bool {
        let head = self.core.log.head();
        let mut progress = self.index.watch();
        let is_indexed = progress.wait_for(|progress| {
            let has_all = progress.to >= head.next && progress.from <= head.first;
            progress.is_known && has_all && progress.has_kept
        });
        matches!(tokio::time::timeout(most, is_indexed).await, Ok(Ok(_)))
    }

    /// Frees at once what may be freed, as it is done each second anyway.
    pub async fn clean(&self) -> Result<(), QueueError> {
        self.recorded_and_indexed().await?;
        self.cleaner.look(Effort::Full).await
    }

    /// Frees at once what may be freed, and has the index made small within seconds.
    pub async fn compact(&self) -> Result<(), QueueError> {
        self.clean().await?;
        self.index.ask_for_sweep();
        Ok(())
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reading) -> Result<T, QueueError> + Send + 'static,
    ) -> Result<T, QueueError> {
        self.core.check_open()?;
        let reading = Arc::clone(&self.reading);
        off_thread(move || read(&reading)).await
    }

    /// Waits until what was settled so far is recorded and, for some time, until the index has it.
    /// Gives how far that is.
    async fn recorded_and_indexed(&self) -> Result<Lsn, QueueError> {
        self.core.ask(Request::Recorded).await?;
        let through = self.core.log.head().next;
        let mut progress = self.index.watch();
        let indexed = progress.wait_for(|progress| progress.to >= through);
        // What comes too late makes the answer poorer: it says so.
        drop(tokio::time::timeout(INDEX_WAIT, indexed).await);
        Ok(through)
    }

    /// Searches piece by piece: whoever does not wait any more, or closes the queue, ends it in
    /// between. `until` is a moment of the steady clock.
    async fn search_until(
        &self,
        query: EventQuery,
        until: Option<Timestamp>,
    ) -> Result<Searched, QueueError> {
        if query.delivery.is_some() {
            self.ready().await?;
            self.recorded_and_indexed().await?;
        }
        let mut search = Search::new(query);
        let (mut events, mut looked_at) = (Vec::new(), 0);
        loop {
            let (piece, clock) = (search.clone(), Arc::clone(&self.core.clock));
            let page =
                self.read(move |reading| reading.list(&piece, Budget::for_list(&*clock))).await?;
            let body_bytes = page.events.iter().map(|event| event.body.len()).sum();
            let n_found = page.events.len();
            looked_at += page.scanned_to.0.saturating_sub(page.scanned_from.0);
            events.extend(page.events);
            let is_late = until.is_some_and(|until| self.core.clock.steady() >= until);
            if page.is_complete || is_late {
                return Ok(Searched { events, next: page.next, looked_at });
            }
            search.go_on(page.next, n_found, body_bytes);
        }
    }

    /// The dead letters that match, without their events, and the lost deliveries behind them.
    async fn find_dead(
        &self,
        filter: DeadFilter,
    ) -> Result<Vec<(HandlerName, Position)>, QueueError> {
        self.ready().await?;
        let through = if read::is_by_fact(&filter) || filter.limit.is_some() {
            self.recorded_and_indexed().await?
        } else {
            self.core.log.head().next
        };
        self.read(move |reading| {
            let letters = reading.find_dead(&filter, through).matches.into_iter();
            let mut found: Vec<_> =
                letters.map(|letter| (letter.handler, letter.position)).collect();
            let room = filter.limit.map_or(usize::MAX, |limit| limit.saturating_sub(found.len()));
            let lost = reading.lost(&filter).into_iter().flat_map(
                |LostDeliveries { handler, positions }| {
                    let positions = (positions.start.0..positions.end.0).map(Position);
                    positions.map(move |position| (handler.clone(), position))
                },
            );
            found.extend(lost.take(room));
            Ok(found)
        })
        .await
    }

    /// Waits until every handler's state is known.
    async fn ready(&self) -> Result<(), QueueError> {
        self.core.check_open()?;
        let mut ready = self.core.ready.subscribe();
        tokio::select! {
            waited = ready.wait_for(|is_ready| *is_ready) => {
                waited.map(|_| ()).map_err(|_| QueueError::Closed)
            }
            () = self.core.closed.cancelled() => Err(QueueError::Closed),
        }
    }

    fn end(&self) {
        self.core.closed.cancel();
        if let Driver::Threads { mut threads, .. } =
            std::mem::replace(&mut *lock(&self.driver), Driver::Closed)
        {
            threads.join();
        }
    }
}

impl Drop for EmbeddedQueue {
    fn drop(&mut self) {
        if matches!(*lock(&self.driver), Driver::Closed) {
            return;
        }
        // Nobody waits for the answer: the threads are joined below.
        let (reply, _) = oneshot::channel();
        // An error means that the committer is gone already.
        drop(self.core.send(Request::Close(reply)));
        self.core.drive();
        self.end();
    }
}

#[async_trait]
impl Queue for EmbeddedQueue {
    async fn append(&self, event: NewEvent) -> Result<Appended, QueueError> {
        let probed = commit::probe_of(&event)
            .map(|probe| self.core.keys.lookup(&probe, keys::Generation::default()));
        let (seen, probed) = probed.unwrap_or_default();
        if let Some(seen) = seen {
            return Ok(Appended::Duplicate(seen.id));
        }
        let (reply, answer) = oneshot::channel();
        let group = Group::default();
        self.core.send(Request::Append(AppendRequest { event, probed, reply, group }))?;
        self.core.drive();
        let (appended, _event) = answer.await.map_err(|_| QueueError::Closed)?;
        appended
    }

    async fn append_all(&self, events: Vec<NewEvent>) -> Result<Vec<Appended>, QueueError> {
        self.append_group(events).await
    }

    async fn subscribe(
        &self,
        handler: &HandlerName,
        start: Start,
    ) -> Result<Box<dyn Subscription>, QueueError> {
        self.ready().await?;
        self.core.ask(|reply| Request::Subscribe(handler.clone(), start, reply)).await?;
        let cell = self.core.handler(handler).ok_or(QueueError::Closed)?;
        let subscription = EmbeddedSubscription::attach(Arc::clone(&self.core), cell)?;
        Ok(Box::new(subscription))
    }

    async fn forget(&self, handler: &HandlerName) -> Result<bool, QueueError> {
        self.ready().await?;
        let Some(cell) = self.core.handler(handler) else { return Ok(false) };
        {
            let live = cell.lock();
            if live.session.is_some() || cell.is_forgotten() {
                return Err(QueueError::Busy(handler.clone()));
            }
            // Who found the cell before cannot take hold of it any more. Where it is not forgotten
            // after all, the committer says so: whoever waits here may be gone by then.
            cell.set_forgotten(true);
        }
        self.core.ask(|reply| Request::Forget(Arc::clone(&cell), reply)).await.map(|()| true)
    }

    async fn get(&self, id: EventId) -> Result<Option<Event>, QueueError> {
        self.read(move |reading| reading.find(id)).await
    }

    async fn list(&self, query: EventQuery) -> Result<Vec<Event>, QueueError> {
        self.search_until(query, None).await.map(|searched| searched.events)
    }

    async fn search(&self, query: EventQuery, most: Duration) -> Result<Searched, QueueError> {
        self.search_until(query, Some(self.core.clock.steady().after(most))).await
    }

    async fn history(&self, position: Position) -> Result<Vec<DeliveryHistory>, QueueError> {
        self.ready().await?;
        // What was settled just now is part of it.
        let through = self.recorded_and_indexed().await?;
        let history = self.read(move |reading| reading.history(position, through)).await?;
        Ok(history.deliveries)
    }

    async fn dead(&self, filter: DeadFilter) -> Result<Vec<DeadLetter>, QueueError> {
        self.ready().await?;
        let through = self.recorded_and_indexed().await?;
        let page = self.read(move |reading| reading.dead(&filter, through)).await?;
        Ok(page.letters)
    }

    async fn histories(
        &self,
        positions: &[Position],
    ) -> Result<Vec<Vec<DeliveryHistory>>, QueueError> {
        self.ready().await?;
        let through = self.recorded_and_indexed().await?;
        let positions = positions.to_vec();
        self.read(move |reading| {
            let histories = positions.into_iter().map(|at| reading.history(at, through));
            histories.map(|history| history.map(|history| history.deliveries)).collect()
        })
        .await
    }

    async fn dead_records(&self, filter: DeadFilter) -> Result<Vec<DeadRecord>, QueueError> {
        self.ready().await?;
        let through = self.recorded_and_indexed().await?;
        self.read(move |reading| {
            let letters = reading.find_dead(&filter, through).matches.into_iter();
            let records = letters.map(|letter| DeadRecord {
                handler: letter.handler,
                position: letter.position,
                fact: letter.fact.map(|fact| (fact.died_at, fact.reason)),
            });
            Ok(records.collect())
        })
        .await
    }

    async fn change_dead(
        &self,
        letters: Vec<(HandlerName, Position)>,
        change: DeadChange,
    ) -> Result<u64, QueueError> {
        self.ready().await?;
        let by_hand = match change {
            DeadChange::Redrive => ByHand::Redrive,
            DeadChange::Drop => ByHand::Drop,
        };
        redrive::change_dead(&self.core, letters, by_hand).await
    }

    async fn lost(&self, filter: DeadFilter) -> Result<Vec<LostDeliveries>, QueueError> {
        self.ready().await?;
        self.read(move |reading| Ok(reading.lost(&filter))).await
    }

    async fn redrive(&self, filter: DeadFilter) -> Result<u64, QueueError> {
        let found = self.find_dead(filter).await?;
        redrive::change_dead(&self.core, found, ByHand::Redrive).await
    }

    async fn drop_dead(&self, filter: DeadFilter) -> Result<u64, QueueError> {
        let found = self.find_dead(filter).await?;
        redrive::change_dead(&self.core, found, ByHand::Drop).await
    }

    async fn replay(
        &self,
        handler: &HandlerName,
        positions: &[Position],
    ) -> Result<u64, QueueError> {
        self.ready().await?;
        redrive::replay(&self.core, handler, positions).await
    }

    fn stats(&self) -> QueueStats {
        stats::stats(&self.core, self.reading.index_bytes(), self.reading.lag_bytes())
    }

    async fn probe(&self) -> Result<(), QueueError> {
        self.core.ask(Request::Probe).await
    }

    async fn close(&self) -> Result<(), QueueError> {
        self.core.check_open()?;
        if *self.core.ready.borrow() && !self.core.is_poisoned() && self.cleaner.has_news() {
            // A start then reads next to nothing. Without it the log is read instead.
            if let Err(err) = self.cleaner.snapshot().await {
                tracing::warn!(error = %err, "No snapshot at the end; the next start reads the log");
            }
        }
        let closed = self.core.ask(Request::Close).await;
        self.end();
        closed
    }
}

#[cfg(test)]
mod tests;
