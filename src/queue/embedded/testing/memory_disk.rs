//! The embedded queue over files in memory, its components on the threads that call it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::MemoryStorage;
use crate::clock::Clock;
use crate::queue::embedded::{EmbeddedQueue, IndexIn, Settings};

/// What outlives a queue in memory, as a folder outlives one in files.
#[derive(Debug, Default)]
pub struct MemoryDisk {
    storage: MemoryStorage,
    opening: AtomicU64,
}

impl MemoryDisk {
    /// A disk with nothing on it.
    pub fn new() -> Self {
        Self::default()
    }

    /// What a killed process leaves. Every call of a queue that is open on this disk fails from
    /// here on.
    #[must_use]
    pub fn kill(&self) -> Self {
        let opening = AtomicU64::new(self.opening.load(Ordering::Relaxed));
        Self { storage: self.storage.kill(), opening }
    }

    /// Opens the queue on this disk; one at a time.
    ///
    /// # Panics
    ///
    /// Where the disk holds what no queue has written.
    #[expect(
        clippy::expect_used,
        reason = "a disk in memory without faults holds what was written"
    )]
    pub fn open(&self, clock: Arc<dyn Clock>) -> EmbeddedQueue {
        let settings = Settings {
            storage: Arc::new(self.storage.clone()),
            index: IndexIn::Memory,
            segment_bytes: 1 << 20,
            ..Settings::new("/queue")
        };
        let opening = self.opening.fetch_add(1, Ordering::Relaxed);
        EmbeddedQueue::open_inline(settings, clock, opening).expect("the queue in memory opens")
    }
}
