//! What the queue is set to.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::commit::CommitObserver;
use super::{cleaner, kept, keys, log};
use crate::queue::storage::{OsStorage, Storage};

/// The least that stays free on the disk, in segments: two for outcomes, and one for copies and
/// snapshots, without which nothing of the log can go.
const RESERVE_SEGMENTS: u64 = 3;
/// The same in bytes, for segments as they are made by default.
pub const DISK_RESERVE_MIN: u64 = RESERVE_SEGMENTS * log::SEGMENT_BYTES as u64;

/// What the queue keeps to.
pub struct Settings {
    /// The queue's folder; made where it is missing.
    pub folder: PathBuf,
    /// How long settled events stay.
    pub retention: Duration,
    /// How many bytes the queue may take.
    pub disk_max: u64,
    /// How many bytes stay free on the disk; at least three segments do.
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
    /// The queue is this node's copy of a log that several nodes share.
    pub is_copy_of_shared: bool,
}

/// Where the index is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexIn {
    /// In sled, in the queue's folder.
    Folder,
    /// In memory: made anew at each start.
    #[cfg(feature = "test-support")]
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
            is_copy_of_shared: false,
        }
    }

    /// How many bytes stay free for outcomes, copies and snapshots: events never take them.
    pub(super) fn reserve(&self) -> u64 {
        self.disk_reserve.max(RESERVE_SEGMENTS * u64::from(self.segment_bytes))
    }

    pub(super) fn limits(&self) -> cleaner::Limits {
        cleaner::Limits {
            retention: self.retention,
            disk_max: self.disk_max,
            disk_reserve: self.reserve(),
            segment_bytes: self.segment_bytes,
            is_copy_of_shared: self.is_copy_of_shared,
        }
    }

    pub(super) fn key_options(&self) -> keys::KeyOptions {
        keys::KeyOptions {
            memtable_keys: self.memtable_keys,
            memtable_log_bytes: 2 * u64::from(self.segment_bytes),
            filter_memory: usize::try_from(self.dedupe_memory).unwrap_or(usize::MAX),
        }
    }

    pub(super) fn unanswered_file(&self) -> keys::UnansweredFile {
        keys::UnansweredFile::new(Arc::clone(&self.storage), &self.folder)
    }

    pub(super) fn kept_options(&self) -> kept::KeptOptions {
        let segment_bytes = self.segment_bytes;
        kept::KeptOptions { segment_bytes, compact_above: u64::from(segment_bytes / 4) }
    }

    /// How much of the live segment is kept for settlements where there is no room for another.
    pub(super) fn settle_room(&self) -> usize {
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
