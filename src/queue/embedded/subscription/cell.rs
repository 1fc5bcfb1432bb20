//! One handler's subscription as the queue's threads share it: its state, its session while
//! it is held, and the changes that are not recorded yet.
//!
//! Lock order: `reader`, then `live`, then the outbox. The committer takes the outbox only, so
//! nothing on the delivery path can make it wait for a disk.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use tokio::sync::Notify;

use super::event_reader::EventReader;
use super::retry_cache::RetryCache;
use super::session::Session;
use crate::clock::Timestamp;
use crate::event::{Attempt, HandlerName, Position};
use crate::queue::embedded::record::{DeliveryRecord, Incarnation, NewState};
use crate::queue::embedded::state::HandlerState;
use crate::sync::lock;

/// How many changes may wait to be recorded before settling waits too.
const OUTBOX_CHANGES_MAX: usize = 16_384;
/// The same in bytes of error texts.
const OUTBOX_BYTES_MAX: usize = 2 << 20;

/// Whether the committer must be told that an outbox is no longer empty.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    Committer,
    Nobody,
}

impl Wake {
    /// Both.
    pub(crate) fn and(self, other: Self) -> Self {
        if self == Self::Committer { self } else { other }
    }
}

/// What changes under the lock.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) state: HandlerState,
    /// `None` = it is free.
    pub(crate) session: Option<Session>,
    /// Events of deliveries that come again soon.
    pub(crate) retry_cache: RetryCache,
}

/// Holds the lock. Whatever was changed, it is counted when it is let go.
pub(crate) struct LiveGuard<'a> {
    live: MutexGuard<'a, Live>,
    n_waiting: &'a AtomicU64,
}

impl Deref for LiveGuard<'_> {
    type Target = Live;

    fn deref(&self) -> &Live {
        &self.live
    }
}

impl DerefMut for LiveGuard<'_> {
    fn deref_mut(&mut self) -> &mut Live {
        &mut self.live
    }
}

impl Drop for LiveGuard<'_> {
    fn drop(&mut self) {
        self.n_waiting.store(self.live.n_waiting(), Ordering::Relaxed);
    }
}

impl Live {
    /// Deliveries that cost memory because they wait: the state's, and the parked ones.
    pub(crate) fn n_waiting(&self) -> u64 {
        let parked = self.session.as_ref().map_or(0, Session::n_parked);
        self.state.waiting().len() as u64 + parked
    }
}

/// A handler's subscription, held or free.
#[derive(Debug)]
pub(crate) struct HandlerCell {
    pub(crate) handler: HandlerName,
    pub(crate) incarnation: Incarnation,
    /// The subscription is being forgotten: it cannot be held any more.
    is_forgotten: AtomicBool,
    live: Mutex<Live>,
    /// [`Live::n_waiting`] as it was when the lock was let go last.
    n_waiting: AtomicU64,
    outbox: Mutex<Outbox>,
    pub(super) reader: Mutex<EventReader>,
    /// When the oldest pending event came in, as it was last asked.
    oldest: Mutex<Option<(Position, Timestamp)>>,
    /// Rung when something may have become due other than by the log or the clock.
    pub(crate) bell: Notify,
    /// Rung when the outbox was recorded.
    pub(crate) recorded: Notify,
}

impl HandlerCell {
    pub(crate) fn new(handler: HandlerName, state: HandlerState) -> Self {
        let incarnation = state.incarnation();
        let live = Live { state, session: None, retry_cache: RetryCache::default() };
        Self {
            handler,
            incarnation,
            is_forgotten: AtomicBool::new(false),
            n_waiting: AtomicU64::new(live.n_waiting()),
            live: Mutex::new(live),
            outbox: Mutex::default(),
            reader: Mutex::default(),
            oldest: Mutex::default(),
            bell: Notify::new(),
            recorded: Notify::new(),
        }
    }

    pub(crate) fn lock(&self) -> LiveGuard<'_> {
        LiveGuard { live: lock(&self.live), n_waiting: &self.n_waiting }
    }

    /// How many deliveries wait, without the lock.
    pub(crate) fn n_waiting(&self) -> u64 {
        self.n_waiting.load(Ordering::Relaxed)
    }

    /// To be asked under the state's lock.
    pub(crate) fn is_forgotten(&self) -> bool {
        self.is_forgotten.load(Ordering::SeqCst)
    }

    /// Set to `true` under the state's lock; the committer, which takes no such lock, takes it
    /// back.
    pub(crate) fn set_forgotten(&self, is_forgotten: bool) {
        self.is_forgotten.store(is_forgotten, Ordering::SeqCst);
    }

    pub(crate) fn oldest_known(&self) -> MutexGuard<'_, Option<(Position, Timestamp)>> {
        lock(&self.oldest)
    }

    /// Forgets where the last subscription was reading.
    pub(super) fn reset_reader(&self) {
        *lock(&self.reader) = EventReader::default();
    }

    /// Applies a change and has it recorded with the next settle record, behind all earlier ones.
    pub(crate) fn record(&self, live: &mut Live, change: DeliveryRecord) -> Wake {
        live.state.apply(&change);
        lock(&self.outbox).push(change)
    }

    /// Whether settling must wait until the outbox was recorded.
    pub(crate) fn is_outbox_full(&self) -> bool {
        let outbox = lock(&self.outbox);
        outbox.changes.len() >= OUTBOX_CHANGES_MAX || outbox.bytes >= OUTBOX_BYTES_MAX
    }

    /// Takes what waits to be recorded.
    pub(crate) fn take_outbox(&self) -> Vec<DeliveryRecord> {
        std::mem::take(&mut *lock(&self.outbox)).changes
    }

    /// Takes back what could not be recorded, in front of what came since.
    pub(crate) fn restore_outbox(&self, changes: Vec<DeliveryRecord>) {
        let mut outbox = lock(&self.outbox);
        let since = std::mem::take(&mut *outbox);
        outbox.bytes = changes.iter().map(kept_bytes).sum::<usize>() + since.bytes;
        outbox.changes = changes;
        outbox.changes.extend(since.changes);
    }
}

/// Changes in the order in which they were made.
#[derive(Debug, Default)]
struct Outbox {
    changes: Vec<DeliveryRecord>,
    bytes: usize,
}

impl Outbox {
    fn push(&mut self, change: DeliveryRecord) -> Wake {
        self.bytes += kept_bytes(&change);
        if let Some(last) = self.changes.last_mut()
            && continues(last, &change)
        {
            last.count += change.count;
            return Wake::Nobody;
        }
        self.changes.push(change);
        if self.changes.len() == 1 { Wake::Committer } else { Wake::Nobody }
    }
}

/// Whether `next` says the same as `last` of the positions right behind it: a filter that takes
/// nothing then costs one change for a whole run of events.
fn continues(last: &DeliveryRecord, next: &DeliveryRecord) -> bool {
    let is_plain = |change: &DeliveryRecord| {
        let is_run = match change.to {
            NewState::Skipped | NewState::Open | NewState::Lost | NewState::Dropped => true,
            NewState::Delivered | NewState::Retry { .. } | NewState::Dead { .. } => false,
        };
        is_run && change.attempt.is_none() && change.attempts == 0
    };
    is_plain(last)
        && is_plain(next)
        && last.to == next.to
        && last.positions().end == next.first
        && last.first_attempt_at == next.first_attempt_at
}

fn kept_bytes(change: &DeliveryRecord) -> usize {
    change.attempt.as_ref().map_or(0, Attempt::n_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_run_is_one_change() {
        let mut outbox = Outbox::default();
        let skipped = |position| DeliveryRecord::of(Position(position), 1, NewState::Skipped);
        assert_eq!(outbox.push(skipped(5)), Wake::Committer);
        assert_eq!(outbox.push(skipped(6)), Wake::Nobody);
        assert_eq!(outbox.push(skipped(8)), Wake::Nobody);
        assert_eq!(
            outbox.push(DeliveryRecord::of(Position(9), 1, NewState::Delivered)),
            Wake::Nobody
        );
        let counts: Vec<u64> = outbox.changes.iter().map(|change| change.count).collect();
        assert_eq!(counts, [2, 1, 1]);
    }
}
