//! Room that is kept for the cleaner on a disk that other programs fill.
//!
//! What frees the log needs room itself: what is alive of a segment is copied before it goes, and a
//! snapshot may have to reach beyond it. `disk_reserve` stays free of the queue's own events only. So a
//! file of zeros is made while the disk fills, and removed when a step of the cleaner finds no room.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::queue::QueueError;
use crate::queue::embedded::log::is_full;
use crate::queue::storage::{OpenMode, Storage, if_there};

/// How much is written before each sync: small steps keep the syncs of appends short.
const STEP_BYTES: usize = 256 << 10;

/// The file `ballast`, as long as a segment: no more than that is alive in one.
#[derive(Debug)]
pub(super) struct Ballast {
    storage: Arc<dyn Storage>,
    path: PathBuf,
    wanted_bytes: u64,
    /// How long it is.
    bytes: AtomicU64,
}

impl Ballast {
    /// As it was left there.
    pub(super) fn find(storage: Arc<dyn Storage>, folder: &Path, segment_bytes: u32) -> Self {
        let path = folder.join("ballast");
        let bytes = AtomicU64::new(storage.size(&path).unwrap_or(0));
        Self { storage, path, wanted_bytes: segment_bytes.into(), bytes }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Removes it; `false` = there was none, or it cannot be removed.
    pub(super) fn give_up(&self) -> bool {
        if self.bytes() == 0 {
            return false;
        }
        match if_there(self.storage.remove(&self.path)) {
            Ok(removed) => {
                self.bytes.store(0, Ordering::Relaxed);
                removed.is_some()
            }
            Err(err) => {
                tracing::warn!(error = %err, "The room that is kept for upkeep cannot be given up");
                false
            }
        }
    }

    /// Makes it, where it leaves two segments of `free` bytes: outcomes need as many.
    pub(super) fn take_if_it_fits(&self, free: u64) {
        if self.bytes() >= self.wanted_bytes || free / 3 < self.wanted_bytes {
            return;
        }
        if let Err(err) = self.fill() {
            tracing::debug!(error = %err, "No room is kept for upkeep");
            self.bytes.store(self.storage.size(&self.path).unwrap_or(0), Ordering::Relaxed);
            self.give_up();
        }
    }

    fn fill(&self) -> io::Result<()> {
        let file = self.storage.open(&self.path, OpenMode::Create)?;
        let wanted = usize::try_from(self.wanted_bytes).unwrap_or(usize::MAX);
        let zeros = vec![0; STEP_BYTES.min(wanted)];
        let mut at = 0;
        while at < wanted {
            let step = (wanted - at).min(zeros.len());
            file.write_all_at(zeros.get(..step).unwrap_or(&zeros), at as u64)?;
            file.sync_data()?;
            at += step;
        }
        self.bytes.store(self.wanted_bytes, Ordering::Relaxed);
        Ok(())
    }
}

/// Whether more room on the disk may be the remedy.
pub(super) fn is_for_want_of_room(err: &QueueError) -> bool {
    match err {
        QueueError::Full(_) => true,
        QueueError::Io { source, .. } => is_full(source),
        _ => false,
    }
}
