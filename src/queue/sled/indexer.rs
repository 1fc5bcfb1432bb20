//! The thread that takes what was committed into the index, behind the acknowledgement.
//!
//! What it applies can be applied again: reopening begins at the last remembered progress, and the
//! journal's order makes the end the same. When the index fails in any way, it is moved aside and
//! made again from the journal, here, while events go on being taken in.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::index::{Index, IndexError, Progress};
use super::rebuild;
use super::shared::{Reply, Shared, lock};
use crate::clock::Stopwatch;
use crate::pace;
use crate::queue::QueueError;
use crate::queue::journal::Location;

mod applier;

pub(crate) use applier::{Applied, Applier};

/// How long progress is not remembered at most: so much of the journal is read again at a start.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// How often it looks whether the index should be compacted.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How long to wait before a failed index is made again.
const REBUILD_AFTER: Duration = Duration::from_secs(1);

/// The indexer's own state.
#[derive(Debug)]
pub(crate) struct Indexer {
    shared: Arc<Shared>,
    folder: PathBuf,
    applier: Applier,
    since_progress: Stopwatch,
    /// What is told to `shared.indexed` once the block is stored.
    reached: Option<Progress>,
    failed: Option<Stopwatch>,
    /// What stands before it was taken in by a rebuild.
    rebuilt_to: Location,
    since_looked: Stopwatch,
    /// What waits to be told until the index is there again.
    missed: Vec<Applied>,
}

impl Indexer {
    pub(crate) fn new(shared: Arc<Shared>, folder: PathBuf) -> Self {
        Self {
            shared,
            folder,
            applier: Applier::default(),
            since_progress: Stopwatch::start(),
            reached: None,
            failed: None,
            rebuilt_to: Location::start_of(0),
            since_looked: Stopwatch::start(),
            missed: Vec::new(),
        }
    }

    /// Works until the committer is gone.
    pub(crate) fn run(mut self, batches: &mpsc::Receiver<Vec<Applied>>) {
        loop {
            let wait = if self.reached.is_none() && self.failed.is_none() {
                PROGRESS_EVERY
            } else {
                PROGRESS_EVERY.saturating_sub(self.since_progress.elapsed())
            };
            match batches.recv_timeout(wait) {
                Ok(batch) => self.take_in(batch),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
            self.look_after();
            self.heal();
            if self.since_progress.elapsed() >= PROGRESS_EVERY {
                self.remember_progress();
            }
        }
        self.remember_progress();
        if let Ok(index) = self.shared.index()
            && let Err(err) = index.flush()
        {
            tracing::warn!(error = %err, "The index could not be written; it will be mended");
        }
    }

    fn take_in(&mut self, batch: Vec<Applied>) {
        for applied in pace::in_steps(batch) {
            let index = self.shared.index();
            let is_new = applied.at().is_none_or(|at| at >= self.rebuilt_to);
            if let Ok(index) = &index
                && is_new
                && self.failed.is_none()
                && let Err(err) = self.applier.apply(index, &applied)
            {
                self.give_up(&err);
            }
            self.tell(applied);
        }
    }

    /// Tells whoever waits for what was taken in. Without an index nobody is told, except those
    /// who would hang: the rebuild reads the journal and misses nothing.
    fn tell(&mut self, applied: Applied) {
        match applied {
            Applied::Keys(_) | Applied::Flushed { .. } if self.failed.is_some() => {
                self.missed.push(applied);
            }
            Applied::Keys(generation) => {
                self.shared.runs.add(generation.run, &generation.page_keys());
                generation.set_written();
            }
            Applied::Flushed { state, flush } => {
                state.indexed(flush);
                // What was in the overlay may be due, and is in the index by now.
                state.bell.notify_waiters();
            }
            Applied::Progress { durable, n_bytes } => {
                self.shared.lag_bytes.fetch_sub(n_bytes, Ordering::AcqRel);
                if self.reached.is_none() {
                    self.since_progress = Stopwatch::start();
                }
                self.reached = Some(Progress { at: durable.end, next: durable.next });
            }
            Applied::Gone { segment } => drop(self.shared.segments.remove(segment)),
            Applied::Barrier(reply) => self.answer(reply),
            Applied::Remember(reply) => {
                self.remember_progress();
                self.answer(reply);
            }
            Applied::Compact(reply) => {
                let result = self.compact();
                drop(reply.send(result));
            }
            Applied::Event(..)
            | Applied::Settled { .. }
            | Applied::Checkpoint { .. }
            | Applied::Carried { .. }
            | Applied::KeyRecord { .. } => {}
        }
    }

    fn answer(&self, reply: Reply<()>) {
        let result = match self.failed {
            None => Ok(()),
            Some(_) => Err(QueueError::Behind("the index is being rebuilt")),
        };
        // Who asked may be gone.
        drop(reply.send(result));
    }

    fn remember_progress(&mut self) {
        let (Ok(index), Some(reached)) = (self.shared.index(), self.reached) else { return };
        if self.failed.is_some() {
            return;
        }
        let stored = self.applier.end_block(&index).and_then(|()| index.set_progress(reached));
        match stored {
            Ok(()) => {
                *lock(&self.shared.indexed) = reached;
                self.reached = None;
            }
            Err(err) => self.give_up(&err),
        }
        self.since_progress = Stopwatch::start();
    }

    fn give_up(&mut self, err: &IndexError) {
        tracing::warn!(error = %err, "The index failed and will be rebuilt from the journal");
        self.failed = Some(Stopwatch::start());
        self.shared.index.store(None);
    }

    /// Looks now and then whether somebody found the index damaged, and whether most of it is dead.
    fn look_after(&mut self) {
        let Ok(index) = self.shared.index() else { return };
        if self.failed.is_none() && index.has_failed() {
            self.give_up(&IndexError::Bad);
        }
        if self.failed.is_some() || self.since_looked.elapsed() < LOOK_EVERY {
            return;
        }
        self.since_looked = Stopwatch::start();
        // An error has been remembered by the index itself.
        if index.is_mostly_dead().unwrap_or(false)
            && let Err(err) = self.compact()
        {
            tracing::warn!(error = %err, "The index could not be compacted; it is tried again");
        }
    }

    /// Puts a copy of what is alive in the index in its place. A crash at any point leaves one of
    /// the two whole, or neither, and then the journal has it all.
    fn compact(&mut self) -> Result<(), QueueError> {
        let shared = Arc::clone(&self.shared);
        let _alone = lock(&shared.index_changes);
        self.remember_progress();
        let index = self.shared.index()?;
        let (new, old) = rebuild::compaction_folders(&self.folder);
        let moving = |source| QueueError::Io { what: "compacting the index".into(), source };
        rebuild::remove_all(&new).and_then(|()| rebuild::remove_all(&old)).map_err(moving)?;
        let before = index.bytes();
        if let Err(err) = index.copy_into(&new) {
            rebuild::remove_all(&new).map_err(moving)?;
            return Err(err.into());
        }
        // Readers go on with the open file of the old one until they let go of it.
        std::fs::rename(&self.folder, &old).map_err(moving)?;
        let opened = std::fs::rename(&new, &self.folder)
            .map_err(|err| IndexError::Sled(err.into()))
            .and_then(|()| Index::open(&self.folder));
        match opened {
            Ok(compacted) => {
                let after = compacted.bytes();
                self.shared.index.store(Some(Arc::new(compacted)));
                tracing::info!(
                    bytes.before = before,
                    bytes.after = after,
                    "The index was compacted"
                );
            }
            Err(err) => self.give_up(&err),
        }
        rebuild::remove_all(&old).map_err(moving)
    }

    /// Makes a failed index again. Retries and dead letters wait until then; events are taken in
    /// and delivered all the while.
    fn heal(&mut self) {
        if self.failed.is_none_or(|since| since.elapsed() < REBUILD_AFTER) {
            return;
        }
        let durable = self.shared.durable();
        match rebuild::from_journal(&self.shared.segments, &self.folder, durable.end, durable.next)
        {
            Ok(rebuilt) => {
                self.rebuilt_to = durable.end;
                self.shared.runs.replace(rebuilt.runs);
                self.shared.index.store(Some(Arc::new(rebuilt.index)));
                self.applier = Applier::default();
                self.failed = None;
                self.reached = None;
                for missed in std::mem::take(&mut self.missed) {
                    self.tell_rebuilt(missed);
                }
                *lock(&self.shared.indexed) = Progress { at: durable.end, next: durable.next };
                tracing::info!("The index was rebuilt from the journal");
            }
            Err(err) => {
                tracing::warn!(error = %err, "The index cannot be rebuilt yet");
                self.failed = Some(Stopwatch::start());
            }
        }
    }

    /// Tells what a rebuild has taken in from the journal.
    fn tell_rebuilt(&mut self, missed: Applied) {
        match missed {
            Applied::Keys(generation) => generation.set_written(),
            other => self.tell(other),
        }
    }
}
