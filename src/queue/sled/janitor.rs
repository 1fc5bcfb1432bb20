//! The thread that keeps the disk tidy: lets segments go whose events are settled and old enough,
//! copies forward what somebody still needs, watches the room on the disk, and makes sled anew
//! when most of its file is dead.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use super::index::{Counts, Index};
use super::lookup;
use super::shared::{Carry, Job, Shared, lock};
use crate::clock::Timestamp;
use crate::event::{Dedupe, Event, HandlerName, Position};
use crate::queue::QueueError;
use crate::queue::journal::{Location, Preparer, Reader, Segment};
use crate::queue::record::{Change, KeyEntry, Record, Section};

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What it keeps to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) retention: Duration,
    pub(crate) disk_max: u64,
    pub(crate) disk_reserve: u64,
    pub(crate) segment_bytes: u32,
}

/// The janitor's own state.
#[derive(Debug)]
pub(crate) struct Janitor {
    pub(crate) shared: Arc<Shared>,
    pub(crate) limits: Limits,
    /// Takes files that nobody needs.
    pub(crate) preparer: Arc<Preparer>,
    /// Held while tidying: one at a time.
    pub(crate) turn: Mutex<()>,
    /// The oldest segment, where too much of it is needed still: its number, how many segments
    /// there were, and how many entries.
    pub(crate) kept: Mutex<Option<(u64, usize, u64)>>,
    /// Where the journal ended at the last look.
    pub(crate) ended: Mutex<Option<Location>>,
}

impl Janitor {
    /// Works until `stop` is dropped.
    pub(crate) fn run(&self, stop: &mpsc::Receiver<()>) {
        while stop.recv_timeout(LOOK_EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
            if let Err(err) = self.tidy() {
                tracing::warn!(error = %err, "Tidying the queue failed; it is tried again");
            }
        }
    }

    /// Lets go of what can go and says whether more may be taken in.
    pub(crate) fn tidy(&self) -> Result<(), QueueError> {
        let _turn = lock(&self.turn);
        // What is copied forward meanwhile is for another time.
        let newest = self.shared.durable().end.segment;
        while self.let_oldest_go(newest)? {}
        self.drop_spare_where_idle();
        self.expire_keys()?;
        let blocked = self.why_blocked();
        let mut told = lock(&self.shared.blocked);
        if told.is_none()
            && let Some(why) = &blocked
        {
            tracing::error!(reason = why, "No room for more events: they are refused");
        } else if told.is_some() && blocked.is_none() {
            tracing::info!("There is room again: events are taken in");
        }
        *told = blocked;
        Ok(())
    }

    fn bytes(&self) -> u64 {
        let index = self.shared.index().map_or(0, |index| index.bytes());
        self.shared.segments.bytes().saturating_add(index)
    }

    /// Whether settled events must go before their time.
    fn is_tight(&self) -> bool {
        // The next segment stands ready, and one more may be begun before the next look.
        let ahead = 2 * u64::from(self.limits.segment_bytes);
        let over = self.bytes().saturating_add(ahead) > self.limits.disk_max;
        over || self.free_bytes().is_some_and(|free| free < self.limits.disk_reserve)
    }

    fn free_bytes(&self) -> Option<u64> {
        let segments = &self.shared.segments;
        segments
            .fs
            .free_bytes(&segments.folder)
            .inspect_err(|err| tracing::warn!(error = %err, "The disk's room is not known"))
            .ok()
    }

    fn why_blocked(&self) -> Option<String> {
        let bytes = self.bytes();
        if bytes >= self.limits.disk_max {
            return Some(format!(
                "{bytes} bytes of unsettled events reach `disk_max` ({})",
                self.limits.disk_max
            ));
        }
        let free = self.free_bytes()?;
        (free < self.limits.disk_reserve).then(|| {
            format!(
                "{free} bytes are free on the disk, under `disk_reserve` ({})",
                self.limits.disk_reserve
            )
        })
    }

    /// Lets the oldest segment before `newest` go if it can; `true` = it went.
    fn let_oldest_go(&self, newest: u64) -> Result<bool, QueueError> {
        let segments = self.shared.segments.all();
        let (Some(oldest), Some(next)) = (segments.first(), segments.get(1)) else {
            return Ok(false);
        };
        let now = self.shared.now();
        let is_old = next.began_at.after(self.limits.retention) <= now;
        let may_go = oldest.number < newest && (is_old || self.is_tight());
        if !may_go || !self.is_settled_before(next.first) {
            return Ok(false);
        }
        let seen = (oldest.number, segments.len(), self.n_entries());
        if *lock(&self.kept) == Some(seen) {
            return Ok(false);
        }
        if lock(&self.shared.indexed).at.segment <= oldest.number {
            self.shared.ask_blocking(Job::Remember)?;
        }
        if lock(&self.shared.indexed).at.segment <= oldest.number {
            return Ok(false);
        }
        self.shared.ask_blocking(Job::Watch)?;
        let carry = self.what_is_needed_of(oldest, next.first)?;
        if !self.is_worth_it(&carry, oldest)? {
            *lock(&self.kept) = Some(seen);
            return Ok(false);
        }
        self.shared.ask_blocking(|reply| Job::Carry(carry, reply))?;
        self.shared.ask_blocking(Job::Barrier)?;
        self.remove(oldest)?;
        self.forget_what_led_there(oldest, next)?;
        Ok(true)
    }

    fn forget_what_led_there(&self, gone: &Segment, next: &Segment) -> Result<(), QueueError> {
        let handlers: Vec<HandlerName> = lock(&self.shared.subscriptions).keys().cloned().collect();
        let _alone = lock(&self.shared.index_changes);
        let index = self.shared.index()?;
        for record in index.key_records()? {
            if record.at.segment == gone.number {
                index.remove_key_record(record.first)?;
            }
        }
        index.forget_moved_in(gone.number)?;
        index.forget_before(next.first, next.number, &handlers)?;
        Ok(())
    }

    /// Whether every handler's recorded cursor has passed everything before `position`.
    fn is_settled_before(&self, position: Position) -> bool {
        lock(&self.shared.recorded).values().all(|cursor| *cursor >= position)
    }

    /// What of a segment must be copied forward: the events that entries still speak of, the
    /// entries of which some record is in it, and the keys that are still remembered.
    fn what_is_needed_of(&self, segment: &Segment, end: Position) -> Result<Carry, QueueError> {
        let index = self.shared.index()?;
        let (mut events, mut own_keys, mut keys) = (Vec::new(), Vec::new(), Vec::new());
        let mut told_of: BTreeSet<_> = index.pinned_in(segment.number)?.into_iter().collect();
        let now = self.shared.now();
        let old_records = index.key_records()?;
        let mut reader =
            Reader::new(Arc::clone(&self.shared.segments), Location::start_of(segment.number));
        let stop = Location::start_of(segment.number.saturating_add(1));
        while let Some(found) = reader.next(stop).map_err(lookup::read_failed)? {
            match found.decode().map_err(lookup::read_failed)? {
                Record::Event(event, dedupe) => {
                    own_keys.extend(remembered(&event, &dedupe, now));
                    let is_moved = index.moved(event.position)?.is_some();
                    if !is_moved && self.is_needed(&index, event.position)? {
                        events.push(found.payload);
                    }
                }
                Record::Carried(event, _) => {
                    let is_newest = index.moved(event.position)? == Some(found.at);
                    if is_newest && self.is_needed(&index, event.position)? {
                        events.push(found.payload);
                    }
                }
                Record::Keys(old) => {
                    // Kept as a run of its own: one that spans others would hide them.
                    let is_known = old_records.iter().any(|record| record.at == found.at);
                    let live = old.0.into_iter().filter(|entry| entry.expires_at() > now);
                    keys.extend(is_known.then(|| live.collect::<Vec<_>>()));
                }
                Record::Settled(batch) => {
                    for Section { handler, changes, .. } in batch.sections {
                        // Most of what was tried is delivered: too many to remember for nothing.
                        if index.counts(&handler) == Counts::default() {
                            continue;
                        }
                        let tries = changes.into_iter().filter(|change| change.attempt.is_some());
                        told_of.extend(tries.map(|change| (change.position, handler.clone())));
                    }
                }
                Record::Checkpoint(_) | Record::Filler => {}
            }
        }
        own_keys.sort_unstable_by_key(|entry: &KeyEntry| entry.position);
        keys.push(own_keys);
        let states = states(&index, told_of)?;
        Ok(Carry { segment: segment.number, first: segment.first, end, events, states, keys })
    }

    /// Whether copying gains anything. Where most of a segment is needed still, it is copied only
    /// if the journal is half as large again as all that is copied, and the live segment: else the
    /// copies would be copied again and again, with too little in between that goes. The segment in
    /// which the copies end counts too, where they are few.
    fn is_worth_it(&self, carry: &Carry, segment: &Segment) -> Result<bool, QueueError> {
        let events: usize = carry.events.iter().map(bytes::Bytes::len).sum();
        let n_keys: usize = carry.keys.iter().map(Vec::len).sum();
        let changes = carry.states.iter().flat_map(|(_, changes)| changes);
        let states: usize = changes.map(change_bytes).sum();
        let bytes = (events + n_keys * KEY_BYTES + states) as u64;
        if bytes <= u64::from(segment.capacity) / 2 {
            return Ok(true);
        }
        let index = self.shared.index()?;
        let per_entry = states as u64 / (carry.states.len() as u64).max(1);
        let records = index.key_records()?.into_iter();
        let n_keys: u64 = records.map(|record| record.last.0.saturating_sub(record.first.0)).sum();
        let everywhere = index
            .moved_bytes()
            .saturating_add(per_entry.saturating_mul(self.n_entries()))
            .saturating_add(n_keys.saturating_mul(KEY_BYTES as u64))
            .max(bytes);
        let segment_bytes = u64::from(self.limits.segment_bytes);
        // Large ones leave much of each segment empty; what is larger still has one of its own.
        let largest = carry.events.iter().map(bytes::Bytes::len).max().unwrap_or(0) as u64;
        let left = segment_bytes.checked_rem(largest).filter(|left| *left < segment_bytes);
        let filled = segment_bytes - left.unwrap_or(0);
        let everywhere = everywhere.saturating_mul(segment_bytes) / filled.max(1);
        let spare = (everywhere / 2).max(segment_bytes).saturating_add(segment_bytes);
        Ok(self.shared.segments.bytes() > everywhere.saturating_add(spare))
    }

    /// How many entries there are.
    fn n_entries(&self) -> u64 {
        let Ok(index) = self.shared.index() else { return 0 };
        let subscriptions = lock(&self.shared.subscriptions);
        let counts = subscriptions.keys().map(|handler| index.counts(handler));
        counts.map(|counts| counts.waiting.saturating_add(counts.dead)).sum()
    }

    /// Whether some handler has an entry for the event.
    fn is_needed(&self, index: &Index, position: Position) -> Result<bool, QueueError> {
        let handlers: Vec<HandlerName> = lock(&self.shared.subscriptions).keys().cloned().collect();
        for handler in handlers {
            if index.counts(&handler) != Counts::default()
                && index.entry(&handler, position)?.is_some()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Gives the file to the next segment, or removes it. The segment is out of the table.
    fn remove(&self, segment: &Segment) -> Result<(), QueueError> {
        let segments = &self.shared.segments;
        segments.forget_damage(segment.number);
        let path = segments.path(segment.number);
        let fs = &segments.fs;
        // Under a name that is no segment's: after a start it would be taken for one, with a gap
        // behind it where later ones were removed.
        let is_spare = self.preparer.wants_spare(segment.capacity);
        let removed =
            if is_spare { fs.rename(&path, &segments.spare_path()) } else { fs.remove(&path) };
        removed.and_then(|()| fs.sync_folder(&segments.folder)).map_err(|source| {
            QueueError::Io { what: format!("removing `{}`", path.display()), source }
        })?;
        if is_spare {
            self.preparer.offer_spare();
        }
        Ok(())
    }

    /// A spare file saves making one. Where nothing is written it only takes room.
    fn drop_spare_where_idle(&self) {
        let end = self.shared.durable().end;
        if lock(&self.ended).replace(end) == Some(end) {
            self.preparer.drop_spare();
        }
    }

    /// Forgets runs and records of keys that make no duplicates any more.
    fn expire_keys(&self) -> Result<(), QueueError> {
        let now = self.shared.now();
        let _alone = lock(&self.shared.index_changes);
        for run in self.shared.runs.expire(now) {
            self.shared.index()?.remove_key_run(run.first)?;
        }
        Ok(())
    }
}

/// About how many bytes a remembered key takes: key, id, window, and one each for place and time,
/// where they come fast.
const KEY_BYTES: usize = 16 + 16 + 4 + 2;

/// About how many bytes a change takes in a record.
fn change_bytes(change: &Change) -> usize {
    const FIXED: usize = 64;
    FIXED + change.attempt.as_ref().map_or(0, |attempt| attempt.error.as_str().len())
}

/// The key of an event, while it makes duplicates.
fn remembered(event: &Event, dedupe: &Dedupe, now: Timestamp) -> Option<KeyEntry> {
    let Dedupe::Within { key, window } = *dedupe else { return None };
    let (position, id, received_at) = (event.position, event.id, event.received_at);
    let entry = KeyEntry { position, key, id, received_at, window };
    Some(entry).filter(|entry| entry.expires_at() > now)
}

/// The tries of entries, and how they stand last; what is no entry any more needs no copy.
fn states(
    index: &Index,
    told_of: BTreeSet<(Position, HandlerName)>,
) -> Result<Vec<(HandlerName, Vec<Change>)>, QueueError> {
    let mut states = Vec::new();
    for (position, handler) in told_of {
        if index.counts(&handler) == Counts::default() {
            continue;
        }
        if let Some(entry) = index.entry(&handler, position)? {
            let tries = index.attempts(&handler, position)?.into_iter().map(|(_, change)| change);
            let mut changes: Vec<_> = tries.filter(|change| change.attempt.is_some()).collect();
            changes.push(entry.change);
            states.push((handler, changes));
        }
    }
    Ok(states)
}
