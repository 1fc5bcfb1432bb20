//! Keeps the index up with the log.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::backfill::Backfill;
use super::pass::{Pass, Piece, Sources, StepError};
use super::progress::Saved;
use super::store::StoreError;
use super::sweep::Sweep;
use super::{Index, Progress};
use crate::clock::Timestamp;
use crate::event::Position;
use crate::queue::embedded::kept::KeptLog;
use crate::queue::embedded::log::{FileLog, LogHead, ReadError};
use crate::queue::embedded::record::Lsn;
use crate::queue::embedded::step::Step;

/// How long progress is not saved at most: so much of the log is read again at a start.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// How long to wait after a failure.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The same after a panic, which may come again at the same record.
const RETRY_AFTER_PANIC: Duration = Duration::from_mins(1);
/// How often facts about events that are gone are taken out. All facts about kept events are
/// looked at each time, so it is not done for every segment that goes.
const SWEEP_EVERY: Duration = Duration::from_mins(10);

/// Keeps the index up with the log. One per queue; a thread calls `step`.
#[derive(Debug)]
pub(crate) struct Follower {
    sources: Sources,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// The store was not opened yet.
    New,
    Following(Box<Following>),
    /// The store failed and is cleared at this moment of the steady clock.
    Failed(Timestamp),
}

#[derive(Debug)]
struct Following {
    pass: Pass,
    backfill: Backfill,
    saved: Option<Saved>,
    saved_at: Timestamp,
    sweep: Option<Sweep>,
    swept_at: Timestamp,
    swept_before: Position,
}

impl Follower {
    pub(crate) fn new(log: Arc<FileLog>, kept: Arc<KeptLog>, index: Arc<Index>) -> Self {
        Self { sources: Sources { log, kept, index }, phase: Phase::New }
    }

    /// Does a piece of work of about a millisecond. `now` is of the steady clock. What was appended
    /// is read at once: the caller lets records gather between two calls.
    pub(crate) fn step(&mut self, now: Timestamp) -> Step {
        let has_failed = self.sources.index.has_failed.swap(false, Ordering::AcqRel);
        if has_failed && matches!(self.phase, Phase::Following(_)) {
            return self.fail(now, &StoreError::Bad);
        }
        // Half a piece of work is as good as none once the store is cleared.
        let done = catch_unwind(AssertUnwindSafe(|| self.try_step(now)));
        match done.unwrap_or(Err(StepError::Store(StoreError::Panicked))) {
            Ok(step) => step,
            Err(StepError::Store(err)) => self.fail(now, &err),
            Err(err @ (StepError::Read(_) | StepError::Kept(_))) => {
                tracing::warn!(error = %err, "The index cannot follow the log; it is tried again");
                Step::At(now.after(RETRY_AFTER))
            }
        }
    }

    /// Saves what it has reached and closes the store.
    pub(crate) fn close(&mut self, now: Timestamp) {
        if let Phase::Following(following) = &mut self.phase
            && let Err(err) = following.save(now, &self.sources)
        {
            tracing::warn!(error = %err, "The index's progress was not saved; it is read again");
        }
        self.phase = Phase::New;
        self.sources.index.progress.send_replace(Progress::default());
        if let Err(err) = self.sources.index.store.close() {
            tracing::warn!(error = %err, "The index was not closed; it is made anew at the start");
        }
    }

    fn try_step(&mut self, now: Timestamp) -> Result<Step, StepError> {
        match &mut self.phase {
            Phase::New => {
                self.begin(now)?;
                Ok(Step::Again)
            }
            Phase::Failed(until) if now < *until => Ok(Step::At(*until)),
            Phase::Failed(_) => {
                self.sources.index.store.clear()?;
                self.begin(now)?;
                tracing::info!("The index is made anew from the log");
                Ok(Step::Again)
            }
            Phase::Following(following) => {
                let step = following.step(now, &self.sources);
                let progress = following.progress();
                self.sources.log.note_followed(progress.to);
                self.sources.index.progress.send_replace(progress);
                step
            }
        }
    }

    fn fail(&mut self, now: Timestamp, err: &StoreError) -> Step {
        tracing::warn!(error = %err, "The index failed and will be made anew from the log");
        let has_panicked = matches!(err, StoreError::Panicked);
        let until = now.after(if has_panicked { RETRY_AFTER_PANIC } else { RETRY_AFTER });
        self.phase = Phase::Failed(until);
        self.sources.index.progress.send_replace(Progress::default());
        Step::At(until)
    }

    /// Goes on where the store says, or begins at the log's newest segment.
    fn begin(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let Sources { log, index, .. } = &self.sources;
        let saved = Saved::read(&*index.store)?;
        let saved = saved.filter(|saved| self.sources.is_of_this_log(saved.progress, saved.salt));
        let progress = if let Some(saved) = saved {
            saved.progress
        } else {
            index.store.clear()?;
            let at = Lsn::start_of(log.head().next.segment());
            Progress { is_known: true, from: at, to: at, has_kept: false }
        };
        let following = Following {
            pass: Pass::new(log, progress.to),
            backfill: Backfill::new(progress.from, progress.has_kept),
            saved,
            saved_at: now,
            sweep: None,
            swept_at: now,
            // Nothing is before the first position there ever was.
            swept_before: Position(1),
        };
        index.progress.send_replace(following.progress());
        self.phase = Phase::Following(Box::new(following));
        index.measure();
        Ok(())
    }
}

impl Following {
    fn progress(&self) -> Progress {
        let Self { pass, backfill, .. } = self;
        let (from, has_kept) = (backfill.from(), backfill.has_kept());
        Progress { is_known: true, from, to: pass.at(), has_kept }
    }

    /// What it would go on from after a restart: an unfinished zone is read again.
    fn resumable(&self) -> Progress {
        Progress { to: self.pass.resume_at(), ..self.progress() }
    }

    fn step(&mut self, now: Timestamp, sources: &Sources) -> Result<Step, StepError> {
        let head = sources.log.head();
        // The moments at which there is something to do, if it is not done before.
        let mut due = Vec::new();
        if self.pass.at() < head.next {
            self.read_on(head, sources)?;
            return Ok(Step::Again);
        }
        if self.saved.is_none_or(|saved| saved.progress != self.resumable()) {
            let save_at = self.saved_at.after(SAVE_EVERY);
            if save_at <= now {
                self.save(now, sources)?;
                return Ok(Step::Again);
            }
            due.push(save_at);
        }
        if self.backfill.step(head, sources)? == Piece::More {
            return Ok(Step::Again);
        }
        if head.first_position != self.swept_before {
            let is_wanted = sources.index.wants_sweep.swap(false, Ordering::AcqRel);
            let is_begun = is_wanted || self.sweep.is_some();
            let sweep_at = if is_begun { now } else { self.swept_at.after(SWEEP_EVERY) };
            if sweep_at <= now {
                self.sweep(now, head, sources)?;
                return Ok(Step::Again);
            }
            due.push(sweep_at);
        }
        Ok(due.into_iter().min().map_or(Step::Idle, Step::At))
    }

    /// Takes in what was appended.
    fn read_on(&mut self, head: LogHead, sources: &Sources) -> Result<(), StepError> {
        if self.pass.at() < head.first {
            // What was to be read went meanwhile, and so did what it was about.
            self.pass = Pass::new(&sources.log, head.first);
            self.backfill.skip_to(head.first);
        }
        match self.pass.step(head.next, head, sources) {
            Ok(_) | Err(StepError::Read(ReadError::Trimmed)) => Ok(()),
            Err(err) => Err(err),
        }
    }

    fn sweep(
        &mut self,
        now: Timestamp,
        head: LogHead,
        sources: &Sources,
    ) -> Result<(), StoreError> {
        let sweep = self.sweep.get_or_insert_with(|| Sweep::new(head));
        if sweep.step(&*sources.index.store, &sources.kept)? {
            self.swept_before = sweep.first_position();
            self.swept_at = now;
            self.sweep = None;
        }
        Ok(())
    }

    fn save(&mut self, now: Timestamp, sources: &Sources) -> Result<(), StoreError> {
        let progress = self.resumable();
        // Without a salt the store is made anew at the next start.
        let saved = Saved { progress, salt: sources.salt_of(progress.to).unwrap_or(0) };
        sources.index.store.apply(saved.writes())?;
        sources.index.store.flush()?;
        sources.index.measure();
        self.saved = Some(saved);
        self.saved_at = now;
        Ok(())
    }
}
