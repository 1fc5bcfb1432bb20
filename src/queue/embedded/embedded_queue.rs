//! The queue as its callers hold it: opening, closing, and waiting for what answers need.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use tokio::sync::oneshot;

use super::cleaner::{Cleaner, Effort};
use super::commit::Request;
use super::core::{Core, off_thread};
use super::driver::Threads;
use super::files::QueueFiles;
use super::index::Index;
use super::lock_file;
use super::open::{self, Components, Opened};
use super::read::{self, Budget, History, Reading, Search};
use super::record::{Lsn, SharedMark};
use super::settings::Settings;
use crate::clock::{Clock, Timestamp};
use crate::event::{HandlerName, Position};
use crate::queue::{
    DeadFilter, DeliveryHistory, EventQuery, LostDeliveries, Queue, QueueError, Searched,
};
use crate::sync::lock;

/// How many failed tries of an event are told with what was planned behind them: the newest ones.
const PLANS_MAX: usize = 64;
/// How long answers that the index makes richer wait for it.
const INDEX_WAIT: Duration = Duration::from_secs(2);
/// How long after the start a delivery's past may be put off until the index is made, which takes seconds for
/// a few GiB. Then it is read off the log, for each delivery anew.
pub(super) const INDEXED_WITHIN: Duration = Duration::from_mins(1);

/// The embedded durable queue.
#[derive(Debug)]
pub struct EmbeddedQueue {
    pub(super) core: Arc<Core>,
    pub(super) cleaner: Arc<Cleaner>,
    pub(super) index: Arc<Index>,
    pub(super) reading: Arc<Reading>,
    pub(super) opened: Opened,
    /// How far a shared log was taken over when it was opened.
    pub(super) shared: Option<SharedMark>,
    /// By the steady clock.
    pub(super) opened_at: Timestamp,
    pub(super) driver: Mutex<Driver>,
}

/// What runs the components, until the queue is closed.
#[derive(Debug)]
pub(super) enum Driver {
    Threads {
        threads: Threads,
        _lock: std::fs::File,
    },
    /// Kept alive here: what drives it holds it weakly.
    #[cfg(feature = "test-support")]
    Inline {
        _inline: Arc<super::inline::Inline>,
    },
    /// Its opener steps the components (simulation).
    #[cfg(feature = "test-support")]
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
    #[cfg(feature = "test-support")]
    pub fn open_inline(
        settings: Settings,
        clock: Arc<dyn Clock>,
        seed: u64,
    ) -> Result<Self, QueueError> {
        let components = open::open(settings, clock, seed)?.with_states()?;
        Self::start(components, |components| {
            Ok(Driver::Inline { _inline: super::inline::Inline::start(components) })
        })
    }

    pub(super) fn start(
        components: Components,
        driver: impl FnOnce(Components) -> Result<Driver, QueueError>,
    ) -> Result<Self, QueueError> {
        let (core, cleaner) = (Arc::clone(&components.core), Arc::clone(&components.cleaner));
        let (index, reading) = (Arc::clone(&components.index), Arc::clone(&components.reading));
        let (opened, opened_at) = (components.opened.clone(), core.clock.steady());
        let shared = components.shared.clone();
        let driver = Mutex::new(driver(components)?);
        Ok(Self { core, cleaner, index, reading, opened, shared, opened_at, driver })
    }

    /// The queue's files, for a second copy of them.
    pub fn files(&self) -> QueueFiles {
        QueueFiles::new(&self.core)
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

    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reading) -> Result<T, QueueError> + Send + 'static,
    ) -> Result<T, QueueError> {
        self.core.check_open()?;
        let reading = Arc::clone(&self.reading);
        off_thread(move || read(&reading)).await
    }

    /// What is recorded of an event's deliveries, for people.
    pub(super) async fn history_of(&self, position: Position) -> Result<History, QueueError> {
        self.ready().await?;
        // What was settled just now is part of it.
        let through = self.recorded_and_indexed().await?;
        self.read(move |reading| reading.history(position, through, PLANS_MAX)).await
    }

    /// What was recorded of an event's deliveries so far; `None` = the index is being made for that.
    pub(super) async fn past_of(
        &self,
        position: Position,
        is_being_made: bool,
    ) -> Result<Option<Vec<DeliveryHistory>>, QueueError> {
        let through = self.core.log.head().next;
        let read = move |reading: &Reading| reading.whole_history(position, through, is_being_made);
        Ok(self.read(read).await?.map(|history| history.deliveries))
    }

    /// Waits until what was settled so far is recorded and, for some time, until the index has it.
    /// Gives how far that is.
    pub(super) async fn recorded_and_indexed(&self) -> Result<Lsn, QueueError> {
        self.core.ask(Request::Recorded).await?;
        let through = self.core.log.head().next;
        let mut progress = self.index.watch();
        let indexed = progress.wait_for(|progress| progress.to >= through);
        // What comes too late makes the answer poorer: it says so.
        drop(tokio::time::timeout(INDEX_WAIT, indexed).await);
        Ok(through)
    }

    /// Searches piece by piece: a caller that gives up waiting, or closes the queue, ends it in
    /// between. `until` is a moment of the steady clock.
    pub(super) async fn search_until(
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
            let page = self
                .read(move |reading| reading.list_sized(&piece, Budget::for_list(&*clock)))
                .await?;
            let n_bytes = page.events.iter().map(|(_, bytes)| bytes).sum();
            let n_found = page.events.len();
            looked_at += page.scanned_to.events_since(page.scanned_from);
            events.extend(page.events);
            let is_late = until.is_some_and(|until| self.core.clock.steady() >= until);
            if page.is_complete || is_late {
                return Ok(Searched { events, next: page.next, looked_at });
            }
            search.go_on(page.next, n_found, n_bytes);
        }
    }

    /// The dead letters that match, without their events, and the lost deliveries behind them.
    pub(crate) async fn find_dead(
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

    /// The same to let them go. Where the filter asks for a reason or a time, only those of which the log's
    /// own records say that.
    pub(crate) async fn find_dead_to_drop(
        &self,
        filter: DeadFilter,
    ) -> Result<Vec<(HandlerName, Position)>, QueueError> {
        if !read::is_by_fact(&filter) {
            return self.find_dead(filter).await;
        }
        let letters = self.dead_records(filter).await?;
        let confirmed = self.confirmed(letters).await?.into_iter();
        Ok(confirmed.map(|letter| (letter.handler, letter.position)).collect())
    }

    /// Waits until every handler's state is known.
    pub(crate) async fn ready(&self) -> Result<(), QueueError> {
        self.core.check_open()?;
        let mut ready = self.core.ready.subscribe();
        tokio::select! {
            waited = ready.wait_for(|is_ready| *is_ready) => {
                waited.map(|_| ()).map_err(|_| QueueError::Closed)
            }
            () = self.core.closed.cancelled() => Err(QueueError::Closed),
        }
    }

    pub(super) fn end(&self) {
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
        // The answer is not awaited: the threads are joined below.
        let (reply, _) = oneshot::channel();
        // An error means that the committer is gone already.
        drop(self.core.send(Request::Close(reply)));
        self.core.drive();
        self.end();
    }
}
