//! One pass of the cleaner: what may go, in which order, and what it cannot free.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;

use super::ballast::{Ballast, is_for_want_of_room};
use crate::clock::{Timestamp, whole_millis};
use crate::event::{HandlerName, Position};
use crate::queue::QueueError;
use crate::queue::embedded::commit::Request;
use crate::queue::embedded::core::Core;
use crate::queue::embedded::events::ReadFailure;
use crate::queue::embedded::lived::LivedFile;
use crate::queue::embedded::log::{ReadError, Removal};
use crate::queue::embedded::record::{KeptEnd, Lsn};
use crate::queue::embedded::redrive::{ByHand, change_dead};
use crate::queue::embedded::snapshot::{KeysOf, Snapshots};
use crate::queue::embedded::subscription::HandlerCell;
use crate::queue::storage::Storage;
use crate::sync::lock;

/// How long what is given out may take before its event is copied: most of it is settled by then.
const IN_FLIGHT: Duration = Duration::from_secs(10);
/// How often a snapshot is written only to free a segment.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(5);
/// How long the wall clock must have kept pace before segments of an earlier start go by age.
const CLOCK_TRUSTED_AFTER: Duration = Duration::from_mins(10);
/// How much the wall clock may be slewed in that time.
const CLOCK_SLEW: Duration = Duration::from_secs(1);
/// Written behind the newest snapshot before the next one, at least.
const SNAPSHOT_AFTER_BYTES: u64 = 64 << 20;
/// The same, as a multiple of the snapshot's own size.
const SNAPSHOT_AFTER_TIMES: u64 = 8;

/// What the cleaner keeps to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) retention: Duration,
    pub(crate) disk_max: u64,
    pub(crate) disk_reserve: u64,
    pub(crate) segment_bytes: u32,
    pub(crate) is_copy_of_shared: bool,
}

/// How hard the cleaner tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// What is due, without writing more than that is worth.
    Routine,
    /// Everything that may go, at once: the owner asked for it.
    Full,
}

/// The cleaner's own state.
#[derive(Debug)]
pub(crate) struct Cleaner {
    pub(crate) core: Arc<Core>,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) limits: Limits,
    pub(super) storage: Arc<dyn Storage>,
    pub(super) folder: PathBuf,
    pub(super) ballast: Ballast,
    lived: LivedFile,
    /// One look at a time.
    turn: tokio::sync::Mutex<()>,
    pub(super) random: Mutex<StdRng>,
    clock: Mutex<ClockTrust>,
    snapshot_at: Mutex<Option<Timestamp>>,
}

/// What is known of the wall clock: whether it can be trusted to say how old a segment is.
#[derive(Clone, Copy, Debug)]
struct ClockTrust {
    /// Wall clock minus steady clock, in milliseconds.
    offset: i64,
    /// When it was last found to have jumped, by the steady clock.
    since: Timestamp,
    /// The segment that was the newest when the queue was opened: later ones began by this clock.
    opened_with: u32,
}

impl Cleaner {
    pub(crate) fn new(
        core: Arc<Core>,
        snapshots: Arc<Snapshots>,
        limits: Limits,
        (storage, folder): (Arc<dyn Storage>, PathBuf),
        random: StdRng,
    ) -> Self {
        let steady = core.clock.steady();
        let offset = core.clock.now().as_millis() - steady.as_millis();
        let opened_with = core.log.head().next.segment();
        let clock = ClockTrust { offset, since: steady, opened_with };
        Self {
            core,
            snapshots,
            limits,
            lived: LivedFile::new(Arc::clone(&storage), &folder),
            ballast: Ballast::find(Arc::clone(&storage), &folder, limits.segment_bytes),
            storage,
            folder,
            turn: tokio::sync::Mutex::default(),
            random: Mutex::new(random),
            clock: Mutex::new(clock),
            snapshot_at: Mutex::default(),
        }
    }

    /// Frees what can be freed, and says whether more may be taken in.
    pub(crate) async fn look(&self, effort: Effort) -> Result<(), QueueError> {
        let _turn = self.turn.lock().await;
        let mut looked = Ok(());
        // Where one step fails the others free what they can, and `disk_max` is kept to in any case.
        if *self.core.ready.borrow() {
            also(&mut looked, self.free(effort).await);
            let compacted = match self.compact_kept().await {
                Err(err) if is_for_want_of_room(&err) && self.ballast.give_up() => {
                    self.compact_kept().await
                }
                compacted => compacted,
            };
            also(&mut looked, compacted);
            also(&mut looked, self.write_snapshot_if_due().await);
        }
        also(&mut looked, self.look_after_keys(effort));
        self.keep_ballast();
        self.note_lived();
        self.note_blocked();
        looked
    }

    async fn free(&self, effort: Effort) -> Result<(), QueueError> {
        if effort == Effort::Full {
            self.core.ask(Request::Recorded).await?;
        }
        // What frees more needs room itself.
        let mut freed = self.drop_spare_if_tight();
        loop {
            match self.free_oldest(effort).await {
                Ok(true) => also(&mut freed, self.drop_spare_if_tight()),
                Ok(false) => return freed,
                Err(err) if is_for_want_of_room(&err) && self.ballast.give_up() => {}
                Err(err) => {
                    also(&mut freed, Err(err));
                    return freed;
                }
            }
        }
    }

    /// Without it the next start takes more answers for lost, and their repeats for repeats.
    fn note_lived(&self) {
        let (newest, now) = (self.core.newest_answer.get(), self.core.clock.now());
        if let Err(err) = self.lived.note(newest, now) {
            tracing::debug!(error = %err, "That the answers had time to arrive was not noted");
        }
    }

    /// Frees the oldest segment if it can go; `true` = it went.
    async fn free_oldest(&self, effort: Effort) -> Result<bool, QueueError> {
        let segments = self.core.log.segments();
        let [oldest, next, ..] = segments.as_slice() else { return Ok(false) };
        let (oldest, next) = (oldest.id.number, next.id.number);
        let Some(end) = self.core.log.first_position_of(next).map_err(failed)? else {
            return Ok(false);
        };
        if !self.may_go(next, effort)? || !self.is_settled_before(end) || !self.is_followed(next)? {
            return Ok(false);
        }
        if !self.is_covered(next, effort).await? {
            return Ok(false);
        }
        self.freeze(end).await?;
        if !self.is_settled_before(end) {
            return Ok(false);
        }
        // With it go the positions of files that are missing before it.
        let first = self.core.log.head().trimmed_before.min(end);
        let mut needed = self.needed_in(first, end);
        if effort == Effort::Routine && self.is_in_flight(next, &needed.alive)? {
            return Ok(false);
        }
        let mut copied = self.copy(oldest, next, first, &needed)?;
        if !copied.found_again.is_empty() {
            self.redrive_found(oldest, copied.found_again).await?;
            needed = self.needed_in(first, end);
            copied = self.copy(oldest, next, first, &needed)?;
        }
        let kept = self.write_copied(&copied)?;
        self.trim((next, end), kept).await?;
        self.remove(oldest, copied.has_gaps)?;
        Ok(true)
    }

    /// Before their segment goes, so that their events are copied as those of open deliveries.
    async fn redrive_found(
        &self,
        segment: u32,
        found: Vec<(HandlerName, Position)>,
    ) -> Result<(), QueueError> {
        let deliveries = change_dead(&self.core, found, ByHand::Redrive).await?;
        if deliveries > 0 {
            tracing::warn!(
                segment,
                deliveries,
                "Events that could not be read can be read again, and are delivered"
            );
        }
        Ok(())
    }

    /// Whether the segment before `next` is old enough, or the disk presses.
    fn may_go(&self, next: u32, effort: Effort) -> Result<bool, QueueError> {
        let Some(began_at) = self.core.log.began_at(next).map_err(failed)? else {
            return Ok(self.is_tight());
        };
        let is_old = began_at.after(self.limits.retention) <= self.core.clock.now();
        // What is kept for no time is old by any clock.
        let is_at_once = effort == Effort::Full || self.limits.retention.is_zero();
        let is_trusted = is_at_once || self.is_clock_trusted(next);
        Ok(is_old && is_trusted || self.is_tight())
    }

    /// Whether the tries in the segment before `next` were noted for people, who see no others once
    /// it is gone. A follower that is late is waited for as long as for deliveries, no longer.
    fn is_followed(&self, next: u32) -> Result<bool, QueueError> {
        let is_followed = self.core.log.is_followed_to(Lsn::start_of(next)) || self.is_tight();
        Ok(is_followed || self.age_before(next)? >= IN_FLIGHT)
    }

    /// How long ago the segment before `next` was sealed.
    fn age_before(&self, next: u32) -> Result<Duration, QueueError> {
        let began_at = self.core.log.began_at(next).map_err(failed)?;
        Ok(began_at.map_or(Duration::MAX, |at| self.core.clock.now().since(at)))
    }

    /// A clock that is years ahead for some minutes after a start must not age what was stored
    /// before it.
    pub(super) fn is_clock_trusted(&self, next: u32) -> bool {
        let steady = self.core.clock.steady();
        let offset = self.core.clock.now().as_millis() - steady.as_millis();
        let mut clock = lock(&self.clock);
        if offset.abs_diff(clock.offset) > whole_millis(CLOCK_SLEW) {
            let opened_with = self.core.log.head().next.segment();
            *clock = ClockTrust { offset, since: steady, opened_with };
        }
        next > clock.opened_with || steady.since(clock.since) >= CLOCK_TRUSTED_AFTER
    }

    /// Whether every handler's recorded settlements have passed everything before `end`.
    fn is_settled_before(&self, end: Position) -> bool {
        lock(&self.core.recorded).values().all(|high| *high >= end)
    }

    /// Whether snapshot and key runs reach beyond the segment before `next`; has them written where
    /// they do not.
    async fn is_covered(&self, next: u32, effort: Effort) -> Result<bool, QueueError> {
        let begin = Lsn::start_of(next);
        if self.core.keys.remakes_from().is_some_and(|from| from < begin) && !self.is_tight() {
            return Ok(false);
        }
        if self.snapshots.newest().needs_from() >= begin {
            return Ok(true);
        }
        let now = self.core.clock.steady();
        let before = *lock(&self.snapshot_at);
        let is_time = before.is_none_or(|before| now.since(before) >= SNAPSHOT_EVERY);
        if !is_time && effort == Effort::Routine && !self.is_tight() {
            return Ok(false);
        }
        *lock(&self.snapshot_at) = Some(now);
        self.snapshots.write(&self.core, KeysOf::Everything).await?;
        Ok(self.snapshots.newest().needs_from() >= begin)
    }

    async fn freeze(&self, end: Position) -> Result<(), QueueError> {
        self.core.freeze_before(end);
        // A thread that looked before the freeze has changed the state by the time this has the
        // lock.
        for cell in self.core.handlers() {
            drop(cell.lock());
        }
        self.core.ask(Request::Recorded).await
    }

    /// Whether something of a young segment is given out just now: it is settled soon.
    fn is_in_flight(
        &self,
        next: u32,
        alive: &BTreeMap<Position, Vec<Arc<HandlerCell>>>,
    ) -> Result<bool, QueueError> {
        let is_given_out = |position: Position, cell: &HandlerCell| {
            let live = cell.lock();
            live.session.as_ref().is_some_and(|session| session.is_leased(position))
        };
        Ok(self.age_before(next)? < IN_FLIGHT
            && alive
                .iter()
                .any(|(position, cells)| cells.iter().any(|cell| is_given_out(*position, cell))))
    }

    async fn trim(&self, first: (u32, Position), kept: KeptEnd) -> Result<(), QueueError> {
        // In this order: who does not find an event in the log any more finds it here.
        self.record_kept(Some(first), kept).await?;
        self.core.log.trim(first.0).map_err(failed)
    }

    /// Has the committer record the kept log's end, from where it counts.
    pub(super) async fn record_kept(
        &self,
        first: Option<(u32, Position)>,
        kept: KeptEnd,
    ) -> Result<(), QueueError> {
        let recorded = self.core.ask(|reply| Request::Trim { first, kept, reply }).await;
        match recorded {
            Ok(()) => self.core.kept.record(kept),
            Err(QueueError::Full(_)) => self.core.kept.discard_unrecorded(),
            // It may be recorded: by a sync that failed, or by a committer that ended before it answered.
            Err(_) => {}
        }
        recorded
    }

    fn remove(&self, number: u32, has_gaps: bool) -> Result<(), QueueError> {
        let removal = if has_gaps {
            tracing::warn!(
                segment = number,
                "A segment has events that cannot be read: its file is put aside, not removed"
            );
            Removal::Aside
        } else {
            Removal::Spare
        };
        self.core.log.forget_damage(number);
        self.core.log.remove(number, removal).map_err(|source| QueueError::Io {
            what: format!("removing segment {number} of the log"),
            source,
        })
    }

    /// Whether anything was written behind the newest snapshot.
    pub(crate) fn has_news(&self) -> bool {
        self.snapshots.newest().replay_from < self.core.log.head().next
    }

    /// Writes a snapshot: what a start needs beside it is next to nothing then.
    pub(crate) async fn snapshot(&self) -> Result<(), QueueError> {
        let _turn = self.turn.lock().await;
        self.snapshots.write(&self.core, KeysOf::WhatIsWritten).await
    }

    async fn write_snapshot_if_due(&self) -> Result<(), QueueError> {
        let newest = self.snapshots.newest();
        let segment_bytes = u64::from(self.limits.segment_bytes);
        let end = self.core.log.head().next;
        let written = newest.replay_from.bytes_until(end, segment_bytes);
        let due_after = SNAPSHOT_AFTER_BYTES.max(newest.bytes * SNAPSHOT_AFTER_TIMES);
        if written < due_after {
            return Ok(());
        }
        self.snapshots.write(&self.core, KeysOf::WhatIsWritten).await
    }
}

/// Keeps the first failure for the caller; those behind it are logged here, for they may have another
/// cause.
fn also(looked: &mut Result<(), QueueError>, step: Result<(), QueueError>) {
    match step {
        Err(err) if looked.is_err() => {
            let err: &dyn std::error::Error = &err;
            tracing::warn!(error = err, "Freeing the log failed in another way as well");
        }
        Err(err) => *looked = Err(err),
        Ok(()) => {}
    }
}

pub(super) fn failed(err: ReadError) -> QueueError {
    ReadFailure::from(err).into()
}
