//! Which events were seen before: exact within each source's window, bounded in memory.
//!
//! The newest keys are in the committer's [`KeyMemtable`]. A full one is frozen, written as an
//! immutable run file, and runs are merged, 16 to 1, twice. A lookup asks each run's Bloom filter;
//! the newest filters are in memory, as far as `dedupe_memory` goes, the others are read by
//! `pread`. So memory is bounded and only time is traded for it, not exactness.
//!
//! Nothing here may swallow an event: a key counts only if all of its bytes are equal on a page
//! whose checksum is right, and what cannot be read counts as not seen.
//!
//! Reading order: `memtable`, `run_file` (on `page` and `filter`), `runs` (on `slot`:
//! the list, the lookup), `upkeep` (writing, loading, merging, expiring, remaking).

use std::time::Duration;

use crate::clock::Timestamp;
use crate::event::{DedupeKey, EventId};

mod examine;
mod filter;
mod memtable;
mod merge;
mod page;
mod raw;
mod run_file;
mod run_writer;
mod runs;
mod slot;
#[cfg(test)]
mod tests;
mod unanswered;
mod upkeep;

pub(crate) use examine::examine;
#[cfg(test)]
pub(crate) use memtable::FrozenKeys;
pub(crate) use memtable::KeyMemtable;
pub use raw::KeyFile;
pub(crate) use runs::KeyRuns;
pub(crate) use unanswered::{UnansweredFile, UnansweredKeys};

/// How much later than the new event the seen one may have been received: a small step of the
/// clock. One further in the future is from before the clock was set back and repeats nothing.
const CLOCK_STEP_MAX: Duration = Duration::from_mins(5);

/// A seen event's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyEntry {
    pub(crate) key: DedupeKey,
    pub(crate) id: EventId,
    pub(crate) received_at: Timestamp,
    pub(crate) window: Duration,
}

impl KeyEntry {
    fn seen(&self) -> Seen {
        Seen { id: self.id, received_at: self.received_at, expires_at: self.expires_at() }
    }

    /// From then on nothing repeats it.
    fn expires_at(&self) -> Timestamp {
        self.received_at.after(self.window)
    }
}

/// The event that a new one repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) id: EventId,
    pub(crate) received_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

/// What is asked about a new event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyProbe {
    pub(crate) key: DedupeKey,
    pub(crate) received_at: Timestamp,
    pub(crate) window: Duration,
    /// Keys that had expired then do not count, whether or not they are still there;
    /// [`Timestamp::MIN`] = whatever is still there counts.
    pub(crate) log_time: Timestamp,
}

/// What a look-up found in the runs, and which of them it has asked.
pub(crate) type Probed = (Option<Seen>, Generation);

impl KeyProbe {
    /// Whether the new event repeats one of the same key.
    pub(crate) fn repeats(&self, seen: &Seen) -> bool {
        self.log_time < seen.expires_at
            && self.received_at < seen.received_at.after(self.window)
            && seen.received_at < self.received_at.after(CLOCK_STEP_MAX)
    }

    /// The newest of these events, which all have its key, that it repeats.
    fn newest(&self, events: impl Iterator<Item = Seen>) -> Option<Seen> {
        events.filter(|seen| self.repeats(seen)).max_by_key(|seen| seen.id)
    }
}

/// Which runs a lookup has asked: all up to this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Generation(u64);

/// Sizes of the key store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyOptions {
    /// Keys of a full memtable.
    pub(crate) memtable_keys: usize,
    /// Bytes of the log after which a memtable is full: so much is read again at a start.
    pub(crate) memtable_log_bytes: u64,
    /// The most bytes of filters in memory.
    pub(crate) filter_memory: usize,
}

impl Default for KeyOptions {
    fn default() -> Self {
        Self { memtable_keys: 32_768, memtable_log_bytes: 32 << 20, filter_memory: 32 << 20 }
    }
}

/// Whether there is more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Idle,
    Again,
}
