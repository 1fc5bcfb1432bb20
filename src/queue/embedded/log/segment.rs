//! One segment's file, and what is known of it.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use crate::clock::Timestamp;
use crate::event::Position;
use crate::queue::embedded::record::SegmentId;
use crate::queue::storage::{OpenMode, Storage, StorageFile};
use crate::sync::lock;

/// What is known of a segment without opening its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentInfo {
    pub(crate) id: SegmentId,
    /// The position that the next event had when the segment began; `None` = not read yet.
    pub(crate) first: Option<Position>,
    /// When it began, by the wall clock; everything in earlier segments is older.
    pub(crate) began_at: Option<Timestamp>,
    /// Bytes of its file.
    pub(crate) bytes: u64,
}

/// A segment in the table.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) id: SegmentId,
    /// Bytes of the file.
    pub(super) capacity: u32,
    file: Mutex<FileSlot>,
    facts: Mutex<Facts>,
}

/// The one handle of a segment's file that all share.
#[derive(Debug, Default)]
struct FileSlot {
    handle: Option<Weak<dyn StorageFile>>,
    is_removed: bool,
}

/// What was read of a segment so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    pub(super) first: Option<Position>,
    pub(super) began_at: Option<Timestamp>,
    /// Behind its last record, as the head of the next segment says.
    pub(super) end: Option<u32>,
    /// The number of the segment before, as its own head says.
    pub(super) previous: Option<u32>,
    /// Its head was looked at: what it did not say need not be looked for again.
    pub(super) is_head_read: bool,
    /// Its head could not be read.
    pub(super) is_head_bad: bool,
}

/// Whether a reader still holds a removed segment's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holders {
    None,
    Some,
}

impl Segment {
    pub(super) fn new(id: SegmentId, capacity: u32, facts: Facts) -> Self {
        Self { id, capacity, file: Mutex::default(), facts: Mutex::new(facts) }
    }

    fn slot(&self) -> MutexGuard<'_, FileSlot> {
        lock(&self.file)
    }

    /// The file, opened if no reader has it open.
    pub(super) fn open(
        &self,
        storage: &dyn Storage,
        folder: &Path,
    ) -> io::Result<Arc<dyn StorageFile>> {
        let mut slot = self.slot();
        if slot.is_removed {
            return Err(io::ErrorKind::NotFound.into());
        }
        if let Some(file) = slot.handle.as_ref().and_then(Weak::upgrade) {
            return Ok(file);
        }
        let file = storage.open(&folder.join(self.id.file_name()), OpenMode::Read)?;
        slot.handle = Some(Arc::downgrade(&file));
        Ok(file)
    }

    /// Readers share the writer's handle.
    pub(super) fn share(&self, file: &Arc<dyn StorageFile>) {
        self.slot().handle = Some(Arc::downgrade(file));
    }

    /// The file is not opened from here on.
    pub(super) fn close(&self) -> Holders {
        let mut slot = self.slot();
        slot.is_removed = true;
        match slot.handle.as_ref().map_or(0, Weak::strong_count) {
            0 => Holders::None,
            _ => Holders::Some,
        }
    }

    pub(super) fn facts(&self) -> Facts {
        *lock(&self.facts)
    }

    pub(super) fn update_facts(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut lock(&self.facts));
    }

    pub(super) fn info(&self) -> SegmentInfo {
        let Facts { first, began_at, .. } = self.facts();
        SegmentInfo { id: self.id, first, began_at, bytes: self.capacity.into() }
    }
}
