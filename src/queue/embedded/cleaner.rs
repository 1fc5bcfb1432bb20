//! The cleaner: frees the oldest segment of the log by one rule, in one place.
//!
//! The oldest sealed segment goes when every handler's recorded settlements have passed it, when it
//! is older than `retention` (or the disk presses), and when the newest snapshot and the key runs
//! reach beyond it. What of it is alive in some handler is copied into the kept log first. The
//! cleaner reads the handlers' states and writes files; it never changes a state.
//!
//! Its steps, each of which may be the last before a crash:
//!
//! 1. *Freeze*: no handler may make a settled position of the segment alive any more, and what was
//!    settled is recorded. From here on the set of what is alive in it can only shrink.
//! 2. *Copy* what is alive, and sync it.
//! 3. *Trim*: what was settled meanwhile is recorded, with it that the log begins behind the segment.
//! 4. *Remove* the file.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use rand::RngCore;
use rand::rngs::StdRng;

use super::commit::Request;
use super::core::Core;
use super::events::ReadFailure;
use super::log::{LogReader, ReadError, Removal};
use super::record::{Change, KeptChanges, KeptEnd, Kind, Lsn, Record};
use super::snapshot::{KeysOf, Snapshots};
use super::subscription::HandlerCell;
use crate::clock::Timestamp;
use crate::event::{HandlerName, Position};
use crate::queue::QueueError;
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
}

/// How hard the cleaner tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// What is due, without writing more than that is worth.
    Routine,
    /// Everything that may go, at once: somebody asked for it.
    Full,
}

/// The cleaner's own state.
#[derive(Debug)]
pub(crate) struct Cleaner {
    pub(crate) core: Arc<Core>,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) limits: Limits,
    storage: Arc<dyn Storage>,
    folder: PathBuf,
    /// One look at a time.
    turn: tokio::sync::Mutex<()>,
    random: Mutex<StdRng>,
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

/// What of a segment is copied before it goes.
#[derive(Debug, Default)]
struct Copied {
    events: Vec<(Position, Bytes)>,
    changes: Vec<KeptChanges>,
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
        if *self.core.ready.borrow() {
            if effort == Effort::Full {
                self.core.ask(Request::Recorded).await?;
            }
            while self.free_oldest(effort).await? {}
            if self.is_tight() {
                self.core.log.drop_spare().map_err(|source| QueueError::Io {
                    what: "removing a spare segment".into(),
                    source,
                })?;
            }
            self.compact_kept().await?;
            self.write_snapshot_if_due().await?;
        }
        self.look_after_keys(effort)?;
        self.core.set_blocked(self.why_blocked());
        Ok(())
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
        let alive = self.alive_in(first, end);
        if effort == Effort::Routine && self.is_in_flight(next, &alive)? {
            return Ok(false);
        }
        let copied = self.copy(oldest, next, first..end, &alive)?;
        let kept = self.write_copied(&copied)?;
        self.trim((next, end), kept).await?;
        self.remove(oldest, first, end)?;
        Ok(true)
    }

    /// Whether the segment before `next` is old enough, or the disk presses.
    fn may_go(&self, next: u32, effort: Effort) -> Result<bool, QueueError> {
        let Some(began_at) = self.core.log.began_at(next).map_err(failed)? else {
            return Ok(self.is_tight());
        };
        let is_old = began_at.after(self.limits.retention) <= self.core.clock.now();
        let is_trusted = effort == Effort::Full || self.is_clock_trusted(next);
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
    fn is_clock_trusted(&self, next: u32) -> bool {
        let steady = self.core.clock.steady();
        let offset = self.core.clock.now().as_millis() - steady.as_millis();
        let mut clock = lock(&self.clock);
        let slew = i64::try_from(CLOCK_SLEW.as_millis()).unwrap_or(i64::MAX);
        if offset.abs_diff(clock.offset) > slew.unsigned_abs() {
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
        // Whoever looked before the freeze has changed the state by the time this has the lock.
        for cell in self.core.handlers() {
            drop(cell.lock());
        }
        self.core.ask(Request::Recorded).await
    }

    /// Which handlers still need which event of the range.
    fn alive_in(
        &self,
        first: Position,
        end: Position,
    ) -> BTreeMap<Position, Vec<Arc<HandlerCell>>> {
        let mut alive: BTreeMap<Position, Vec<Arc<HandlerCell>>> = BTreeMap::new();
        for cell in self.core.handlers() {
            let positions = cell.lock().state.alive_in(first..end);
            for position in positions {
                alive.entry(position).or_default().push(Arc::clone(&cell));
            }
        }
        alive
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

    /// Reads the segment and gives what of it must be kept: events that are alive, the changes of
    /// their deliveries, and changes of deliveries whose events the kept log has.
    fn copy(
        &self,
        oldest: u32,
        next: u32,
        Range { start: first, end }: Range<Position>,
        alive: &BTreeMap<Position, Vec<Arc<HandlerCell>>>,
    ) -> Result<Copied, QueueError> {
        // What is recorded from here on counts more than the states as they are found below.
        let label = Lsn(self.core.log.head().next.0.saturating_sub(1));
        let mut copied = Copied::default();
        let mut told = Told::default();
        for (position, cells) in alive {
            for cell in cells {
                told.must_tell(cell, *position);
            }
        }
        for cell in self.core.handlers() {
            let lost = cell.lock().state.lost_in(first..end);
            for position in lost {
                told.must_tell(&cell, position);
            }
        }
        let mut reader = LogReader::new(Arc::clone(&self.core.log), Lsn::start_of(oldest));
        while let Some(found) = reader.next(Lsn::start_of(next)).map_err(failed)? {
            match found.kind {
                Kind::Event => {
                    let position = found.position().filter(|p| alive.contains_key(p));
                    copied.events.extend(position.map(|position| (position, found.payload)));
                }
                Kind::Settle => {
                    let Some(Record::Settle(record)) = found.decode() else {
                        self.core.log.note_undecodable(&found);
                        continue;
                    };
                    for section in record.sections {
                        let Some(cell) = self.core.handler(&section.handler) else { continue };
                        if cell.incarnation != section.incarnation {
                            continue;
                        }
                        for change in section.changes {
                            self.note_change(&mut told, &cell, first, found.lsn, &change);
                        }
                    }
                }
                Kind::Head
                | Kind::Subscribed
                | Kind::Forgotten
                | Kind::Trim
                | Kind::Opened
                | Kind::Closed
                | Kind::Filler
                | Kind::KeptChanges
                | Kind::KeptFooter => {}
            }
        }
        if self.core.log.damage().iter().any(|damage| damage.segment.number == oldest) {
            self.tell_of_all_kept(&mut told)?;
        }
        copied.changes = told.into_changes(label);
        Ok(copied)
    }

    /// Notes a change in the segment that would be missed where it went with it.
    fn note_change(
        &self,
        told: &mut Told,
        cell: &Arc<HandlerCell>,
        first: Position,
        lsn: Lsn,
        change: &Change,
    ) {
        let positions = change.positions();
        for position in (positions.start.0..positions.end.0).map(Position) {
            let is_kept = position < first && self.core.kept.mentions(position);
            if is_kept || told.tells_of(cell, position) {
                let single = Change { first: position, count: 1, ..change.clone() };
                told.change(cell, position, lsn, single);
            }
        }
    }

    /// A change that cannot be read may have been of any delivery whose event is kept: all of them
    /// are told as they stand.
    fn tell_of_all_kept(&self, told: &mut Told) -> Result<(), QueueError> {
        let changes = self
            .core
            .kept
            .changes()
            .map_err(|source| QueueError::Io { what: "reading the kept log".into(), source })?;
        for (handler, incarnation, _, change) in changes {
            let cell = self.core.handler(&handler).filter(|cell| cell.incarnation == incarnation);
            if let Some(cell) = cell {
                told.must_tell(&cell, change.first);
            }
        }
        Ok(())
    }

    fn write_copied(&self, copied: &Copied) -> Result<KeptEnd, QueueError> {
        if copied.events.is_empty() && copied.changes.is_empty() {
            return Ok(self.core.kept.end());
        }
        let salt = lock(&self.random).next_u64();
        let appended = self.core.kept.append(salt, &copied.events, &copied.changes);
        appended.map_err(|source| QueueError::Io { what: "writing the kept log".into(), source })
    }

    async fn trim(&self, first: (u32, Position), kept: KeptEnd) -> Result<(), QueueError> {
        // In this order: who does not find an event in the log any more finds it here.
        self.record_kept(Some(first), kept).await?;
        self.core.log.trim(first.0).map_err(failed)
    }

    /// Has the committer record the kept log's end, from where it counts.
    async fn record_kept(
        &self,
        first: Option<(u32, Position)>,
        kept: KeptEnd,
    ) -> Result<(), QueueError> {
        let recorded = self.core.ask(|reply| Request::Trim { first, kept, reply }).await;
        match recorded {
            Ok(()) => self.core.kept.record(kept),
            // After a failed sync nobody knows whether it is.
            Err(_) if self.core.is_poisoned() => {}
            Err(_) => self.core.kept.discard_unrecorded(),
        }
        recorded
    }

    fn remove(&self, number: u32, first: Position, end: Position) -> Result<(), QueueError> {
        let has_lost = |cell: &Arc<HandlerCell>| cell.lock().state.has_lost_in(first..end);
        let removal = if self.core.handlers().iter().any(has_lost) {
            tracing::warn!(
                segment = number,
                "A segment has events that could not be read: its file is put aside, not removed"
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

    /// Makes the kept log smaller where most of it is dead.
    async fn compact_kept(&self) -> Result<(), QueueError> {
        let handlers = self.core.handlers();
        let is_alive_in = |cell: &Arc<HandlerCell>, position: Position| {
            cell.lock().state.is_alive_in(position..position.next())
        };
        let is_alive = |position| handlers.iter().any(|cell| is_alive_in(cell, position));
        if !self.core.kept.needs_compaction(&is_alive) {
            return Ok(());
        }
        // What was settled is recorded before its event goes.
        self.core.ask(Request::Recorded).await?;
        let is_known_in = |cell: &HandlerCell, position: Position| {
            let range = position..position.next();
            let live = cell.lock();
            live.state.is_alive_in(range.clone()) || live.state.has_lost_in(range)
        };
        let is_alive_for = |handler: &HandlerName, position| {
            self.core.handler(handler).is_some_and(|cell| is_known_in(&cell, position))
        };
        let salt = lock(&self.random).next_u64();
        let failed = |source| QueueError::Io { what: "compacting the kept log".into(), source };
        let Some(kept) = self.core.kept.compact(salt, &is_alive_for).map_err(failed)? else {
            return Ok(());
        };
        self.record_kept(None, kept).await?;
        self.core.kept.remove_compacted().map_err(failed)
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

    /// Writes, merges, expires and remakes the runs of dedupe keys, a little at each look.
    fn look_after_keys(&self, effort: Effort) -> Result<(), QueueError> {
        self.core.write_frozen_keys()?;
        let newest = self.core.log.head().next.segment();
        // A clock that is years ahead for a while must not let keys go.
        let is_trusted = effort == Effort::Full || self.is_clock_trusted(newest);
        self.core.merge_keys(is_trusted.then(|| self.core.clock.now()))?;
        self.core.remake_keys()
    }

    /// Bytes of everything that the queue has on the disk.
    fn bytes(&self) -> u64 {
        self.core.bytes() + self.snapshots.bytes()
    }

    /// Whether settled events must go before their time.
    fn is_tight(&self) -> bool {
        // The next segment stands ready, and one more may be begun before the next look.
        let ahead = 2 * u64::from(self.limits.segment_bytes);
        let is_over = self.bytes() + ahead > self.limits.disk_max;
        is_over || self.free_bytes().is_some_and(|free| free < self.limits.disk_reserve)
    }

    fn free_bytes(&self) -> Option<u64> {
        let free = self.storage.free_bytes(&self.folder);
        free.inspect_err(|err| tracing::warn!(error = %err, "The disk's room is not known")).ok()
    }

    /// Why nothing more may be taken in, with the handlers whose deliveries take the room.
    fn why_blocked(&self) -> Option<String> {
        let (bytes, disk_max) = (self.bytes(), self.limits.disk_max);
        if bytes >= disk_max {
            let pinned_by = self.core.who_pins().join(", ");
            return Some(format!(
                "{bytes} bytes of unsettled events reach `disk_max` ({disk_max}); they wait for {pinned_by}"
            ));
        }
        let (free, reserve) = (self.free_bytes()?, self.limits.disk_reserve);
        (free < reserve)
            .then(|| format!("{free} bytes are free on the disk, under `disk_reserve` ({reserve})"))
    }
}

/// The changes that a segment's copy tells: of each delivery what the segment says, and how it
/// stands where that is not the last word.
#[derive(Debug, Default)]
struct Told(BTreeMap<HandlerName, (Arc<HandlerCell>, Words)>);

/// What was recorded of each delivery, in the order of the log.
type Words = BTreeMap<Position, Vec<(Lsn, Change)>>;

impl Told {
    fn must_tell(&mut self, cell: &Arc<HandlerCell>, position: Position) {
        let (_, positions) = self
            .0
            .entry(cell.handler.clone())
            .or_insert_with(|| (Arc::clone(cell), BTreeMap::new()));
        positions.entry(position).or_default();
    }

    fn tells_of(&self, cell: &HandlerCell, position: Position) -> bool {
        self.0.get(&cell.handler).is_some_and(|(_, positions)| positions.contains_key(&position))
    }

    fn change(&mut self, cell: &Arc<HandlerCell>, position: Position, lsn: Lsn, change: Change) {
        self.must_tell(cell, position);
        let positions = self.0.get_mut(&cell.handler).map(|(_, positions)| positions);
        if let Some(changes) = positions.and_then(|positions| positions.get_mut(&position)) {
            changes.push((lsn, change));
        }
    }

    /// `label` = before everything that the states below may lack.
    fn into_changes(self, label: Lsn) -> Vec<KeptChanges> {
        let mut all = Vec::new();
        for (handler, (cell, positions)) in self.0 {
            let mut changes = Vec::new();
            let live = cell.lock();
            for (position, told) in positions {
                let stands = live.state.change_of(position);
                let last = told.last().map(|(_, change)| change);
                let is_told = stands.as_ref().zip(last).is_some_and(|(s, l)| s.says_the_same(l));
                changes.extend(told);
                if !is_told && let Some(stands) = stands {
                    changes.push((label, stands));
                }
            }
            drop(live);
            let incarnation = cell.incarnation;
            all.push(KeptChanges { handler, incarnation, changes });
        }
        all
    }
}

impl Change {
    /// Whether both make the same of a delivery, apart from what is kept for people only.
    fn says_the_same(&self, other: &Self) -> bool {
        use super::record::NewState::{Dead, Delivered, Dropped, Lost, Open, Retry, Skipped};
        let is_same = match (&self.to, &other.to) {
            (Delivered | Skipped | Dropped, Delivered | Skipped | Dropped)
            | (Open, Open)
            | (Lost, Lost) => true,
            (Dead { order_key: one, .. }, Dead { order_key: other, .. }) => one == other,
            (Retry { due, order_key, .. }, Retry { due: other_due, order_key: other_key, .. }) => {
                due == other_due && order_key == other_key && self.attempts == other.attempts
            }
            _ => false,
        };
        is_same && self.first == other.first
    }
}

fn failed(err: ReadError) -> QueueError {
    ReadFailure::from(err).into()
}
