//! What people ask about: which events there are, what became of each delivery, why it died.
//!
//! The index is made from the log and the kept log by the [`Follower`], at its own pace, and may be
//! lost, behind or wrong at any time. Nothing on the way in or out imports this module, and what is
//! read from it only decorates answers: which events there are is read from the log, how a delivery
//! stands from its handler's state.
//!
//! | table | key | value |
//! |---|---|---|
//! | `zones` | first position | last position and number of some 256 events, their times, id times and names |
//! | `dead` | position, handler, incarnation, LSN | when it died, attempts, reason |
//! | `attempts` | position, handler, incarnation, LSN, begin, number | what it led to, how long it took, status, error |
//! | `settled` | first position, handler, incarnation, LSN | the last position that the settle record there holds |
//! | `meta` | `layout`; `progress` | [`LAYOUT`]; what of the log is in the index |
//!
//! Each fact has the LSN of its record in its key, so the order in which they come does not matter:
//! an index that is made anew follows the log's end at once and is filled in backwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::watch;

use crate::event::{HandlerName, Position};

mod backfill;
mod clean_shutdown;
mod facts;
mod follower;
#[cfg(test)]
mod follower_tests;
mod keys;
#[cfg(feature = "test-support")]
mod memory;
mod pass;
mod progress;
#[cfg(test)]
pub(crate) mod rig;
mod sled;
mod store;
#[cfg(test)]
mod store_tests;
mod sweep;
mod zone;

pub(crate) use facts::{AttemptFact, DeadFact, LedTo, SettledFact};
pub(crate) use follower::Follower;
pub(crate) use keys::DeliveryKey;
#[cfg(feature = "test-support")]
pub(crate) use memory::MemoryStore;
pub(crate) use progress::Progress;
pub(crate) use sled::SledStore;
pub(crate) use store::{Direction, Store, StoreError, Table};
#[cfg(feature = "test-support")]
pub(crate) use store::{Pair, Write};
pub(crate) use zone::{ZONE_BYTES, Zone, id_millis};

use super::record::Incarnation;
use facts::SPAN_MAX;
use keys::{keys_with, position_key};

/// The version of the tables' layout. Another one is cleared and made anew.
pub(crate) const LAYOUT: u32 = 1;

/// How many facts of one event are looked at: thousands of attempts are a program error or a lie.
const FACTS_MAX: usize = 10_000;
/// How many settle records near a position are looked at.
const SETTLED_MAX: usize = 64 << 10;

/// The index as its readers see it.
#[derive(Debug)]
pub(crate) struct Index {
    store: Arc<dyn Store>,
    progress: watch::Sender<Progress>,
    /// As the follower found it last: a database that hangs must not keep the queue's numbers.
    bytes: AtomicU64,
    /// Set when a call failed: the follower clears the store and fills it anew.
    has_failed: AtomicBool,
    /// Set when a caller wants the facts about events that are gone to go at once.
    wants_sweep: AtomicBool,
}

impl Index {
    /// An index that nothing is known of until its follower has looked at it.
    pub(crate) fn new(store: Arc<dyn Store>) -> Arc<Self> {
        let progress = watch::Sender::new(Progress::default());
        Arc::new(Self {
            store,
            progress,
            bytes: AtomicU64::new(0),
            has_failed: AtomicBool::new(false),
            wants_sweep: AtomicBool::new(false),
        })
    }

    /// What of the log is in the index.
    pub(crate) fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    /// Changes with every step of the follower: for callers that wait until it has passed the head
    /// of their call.
    pub(crate) fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Has what it says of events that are gone taken out within seconds, not minutes.
    pub(crate) fn ask_for_sweep(&self) {
        self.wants_sweep.store(true, Ordering::Release);
    }

    /// Bytes on disk, as they were when the follower last looked; asks the database nothing.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Asks the database how large it is. For the follower only, which may hang in it.
    fn measure(&self) {
        self.bytes.store(self.store.bytes(), Ordering::Relaxed);
    }

    /// The zones that begin from `from` to before `to`, at most `limit`.
    pub(crate) fn zones(
        &self,
        from: Position,
        to: Position,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Zone>, StoreError> {
        self.check(|| {
            let (from, to) = (position_key(from), position_key(to));
            let pairs = self.store.scan(Table::Zones, &from, &to, direction, limit)?;
            pairs.iter().map(Zone::read).collect()
        })
    }

    /// How a delivery became a dead letter the last time.
    pub(crate) fn dead(
        &self,
        handler: &HandlerName,
        incarnation: Incarnation,
        position: Position,
    ) -> Result<Option<DeadFact>, StoreError> {
        self.check(|| {
            let delivery = DeliveryKey::new(position, handler, incarnation);
            let keys = keys_with(delivery.to_bytes());
            let newest = Direction::Backward;
            let pairs = self.store.scan(Table::Dead, &keys.start, &keys.end, newest, 1)?;
            pairs.first().map(DeadFact::read).transpose()
        })
    }

    /// The recorded changes of an event's deliveries that have entries of their own.
    pub(crate) fn attempts(
        &self,
        position: Position,
    ) -> Result<Vec<(DeliveryKey, AttemptFact)>, StoreError> {
        self.check(|| {
            let keys = keys_with(position_key(position));
            let (table, forward) = (Table::Attempts, Direction::Forward);
            let pairs = self.store.scan(table, &keys.start, &keys.end, forward, FACTS_MAX)?;
            pairs.iter().map(AttemptFact::read).collect()
        })
    }

    /// The settle records that may hold deliveries of an event that ended at once.
    pub(crate) fn settled(&self, position: Position) -> Result<Vec<SettledFact>, StoreError> {
        self.check(|| {
            let oldest = position.before(SPAN_MAX - 1);
            let (from, to) = (position_key(oldest), position_key(position.next()));
            let (table, backward) = (Table::Settled, Direction::Backward);
            let pairs = self.store.scan(table, &from, &to, backward, SETTLED_MAX)?;
            let facts = pairs.iter().map(SettledFact::read);
            facts.filter(|fact| !matches!(fact, Ok(fact) if fact.last < position)).collect()
        })
    }

    /// Runs `call`, and remembers where it fails.
    fn check<T>(&self, call: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        if !self.progress().is_known {
            return Err(StoreError::Closed);
        }
        let result = call();
        if result.is_err() {
            self.has_failed.store(true, Ordering::Release);
        }
        result
    }
}
