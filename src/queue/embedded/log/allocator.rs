//! Makes the next segment ahead of need: zero-filling and syncing one takes tens of milliseconds,
//! which no append should wait for.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::spare::Spare;
use super::{FileLog, is_full, is_scarce};
use crate::queue::embedded::record::SegmentId;
use crate::queue::storage::{OpenMode, StorageFile};

/// How much is written before each sync: small steps keep the appends' own syncs short, smaller
/// ones cost more than they save.
const SYNC_BYTES: u32 = 256 << 10;
/// How much is written in one go, so that the thread does not hold a processor for long.
const STEP_BYTES: u32 = 128 << 10;

/// A segment file of zeros, synced under its name.
#[derive(Debug)]
pub(crate) struct AllocatedSegment {
    pub(crate) id: SegmentId,
    pub(crate) file: Arc<dyn StorageFile>,
    pub(crate) capacity: u32,
}

/// Whether the bytes that stay free on the disk may be used: for what lets others go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reserve {
    #[default]
    Kept,
    /// But for what copies and snapshots need, which free the log.
    ForOutcomes,
    Used,
}

/// Which segment is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Want {
    /// The number is [`super::LogWriter::next_number`]; the salt is random.
    pub(crate) id: SegmentId,
    pub(crate) reserve: Reserve,
}

/// Why a segment was not made. What was made of it is removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AllocateError {
    #[error("no room for another segment: {0}")]
    Full(String),
    #[error("no segment can be made just now: {0}")]
    Unavailable(String),
    #[error("making a segment failed")]
    Failed(#[source] io::Error),
}

impl AllocateError {
    fn of(err: io::Error) -> Self {
        if is_full(&err) {
            Self::Full(err.to_string())
        } else if is_scarce(&err) {
            Self::Unavailable(err.to_string())
        } else {
            Self::Failed(err)
        }
    }
}

/// Makes one segment at a time, in steps of 128 KiB.
#[derive(Debug)]
pub(crate) struct SegmentAllocator {
    log: Arc<FileLog>,
    begun: Option<Begun>,
}

/// A segment that is being made.
#[derive(Debug)]
struct Begun {
    id: SegmentId,
    source: Source,
    file: Arc<dyn StorageFile>,
    /// So many bytes are zeros, the last `unsynced` of which are not synced.
    filled: u32,
    unsynced: u32,
}

/// What a segment is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Fresh,
    Spare,
}

impl SegmentAllocator {
    pub(crate) const fn new(log: Arc<FileLog>) -> Self {
        Self { log, begun: None }
    }

    /// One step towards `want`; `None` = there is more to do. Another id than before gives up what
    /// was begun.
    pub(crate) fn step(&mut self, want: Want) -> Result<Option<AllocatedSegment>, AllocateError> {
        let begun = match self.begun.take() {
            Some(begun) if begun.id == want.id => begun,
            other => {
                if let Some(other) = other {
                    self.give_up(other);
                }
                self.begin(want)?
            }
        };
        match self.go_on(begun) {
            Ok(made) => Ok(made),
            Err((begun, err)) => {
                self.give_up(begun);
                Err(AllocateError::of(err))
            }
        }
    }

    /// Removes a segment that was made and is not needed.
    #[cfg(test)]
    pub(crate) fn discard(&self, segment: AllocatedSegment) {
        let AllocatedSegment { id, file, .. } = segment;
        drop(file);
        self.remove(id, Source::Fresh);
    }

    fn begin(&self, want: Want) -> Result<Begun, AllocateError> {
        let storage = &self.log.storage;
        let begun = |source, file| Begun { id: want.id, source, file, filled: 0, unsynced: 0 };
        if self.log.spare.change(Spare::Ready, Spare::InUse) {
            match storage.open(&self.log.spare_path(), OpenMode::Write) {
                Ok(file) => return Ok(begun(Source::Spare, file)),
                Err(err) if is_scarce(&err) => {
                    self.log.spare.set(Spare::Ready);
                    return Err(AllocateError::of(err));
                }
                // It was removed from outside: a fresh one serves as well.
                Err(_) => self.log.spare.set(Spare::None),
            }
        }
        let reserve = match want.reserve {
            Reserve::Kept => self.log.disk_reserve,
            // A copy of all that is alive in a segment, at most.
            Reserve::ForOutcomes => u64::from(self.log.segment_bytes).min(self.log.disk_reserve),
            Reserve::Used => 0,
        };
        let mut free = storage.free_bytes(&self.log.folder).map_err(AllocateError::of)?;
        if matches!(want.reserve, Reserve::Kept) {
            free = free.saturating_add(self.log.ballast_bytes.load(Ordering::Relaxed));
        }
        if free < u64::from(self.log.segment_bytes).saturating_add(reserve) {
            let why = format!("{free} bytes are free, and {reserve} must stay so");
            return Err(AllocateError::Full(why));
        }
        let file = storage.open(&self.log.path(want.id), OpenMode::Create);
        Ok(begun(Source::Fresh, file.map_err(AllocateError::of)?))
    }

    fn go_on(&mut self, mut begun: Begun) -> Result<Option<AllocatedSegment>, (Begun, io::Error)> {
        let capacity = self.log.segment_bytes;
        match begun.fill_step(capacity) {
            Ok(()) if begun.filled < capacity => {
                self.begun = Some(begun);
                return Ok(None);
            }
            Ok(()) => {}
            Err(err) => return Err((begun, err)),
        }
        match self.finish(&mut begun) {
            Ok(()) => Ok(Some(AllocatedSegment { id: begun.id, file: begun.file, capacity })),
            Err(err) => Err((begun, err)),
        }
    }

    /// Gives a zeroed spare file its name, and makes the name durable. Zeroed before: what an older
    /// life left would make the end of a segment look torn or damaged.
    fn finish(&self, begun: &mut Begun) -> io::Result<()> {
        if begun.source == Source::Spare {
            self.log.storage.rename(&self.log.spare_path(), &self.log.path(begun.id))?;
            begun.source = Source::Fresh;
            self.log.spare.set(Spare::None);
        }
        self.log.storage.sync_folder(&self.log.folder)
    }

    fn give_up(&self, begun: Begun) {
        let Begun { id, source, file, .. } = begun;
        drop(file);
        self.remove(id, source);
    }

    /// A half-made file would take disk space that the log needs.
    fn remove(&self, id: SegmentId, source: Source) {
        let path = match source {
            Source::Fresh => self.log.path(id),
            Source::Spare => self.log.spare_path(),
        };
        let removed = self.log.storage.remove(&path);
        if source == Source::Spare {
            self.log.spare.set(Spare::None);
        }
        if let Err(err) = removed {
            tracing::warn!(error = %err, "A file that is no segment cannot be removed");
        }
    }
}

impl Begun {
    fn fill_step(&mut self, capacity: u32) -> io::Result<()> {
        let step = (capacity - self.filled).min(STEP_BYTES);
        self.file.write_all_at(&vec![0; step as usize], self.filled.into())?;
        self.filled += step;
        self.unsynced += step;
        if self.unsynced >= SYNC_BYTES || self.filled >= capacity {
            self.file.sync_data()?;
            self.unsynced = 0;
        }
        Ok(())
    }
}

/// Fills a file with zeros from `from` on, up to `capacity`. Not synced.
pub(super) fn fill(file: &dyn StorageFile, from: u32, capacity: u32) -> io::Result<()> {
    let zeros = vec![0; STEP_BYTES as usize];
    let mut at = from;
    while at < capacity {
        let step = (capacity - at).min(STEP_BYTES);
        file.write_all_at(zeros.get(..step as usize).unwrap_or(&zeros), at.into())?;
        at += step;
    }
    Ok(())
}
