//! The one writer: appends commits to the live segment and goes on to the next one.

use std::io;
use std::sync::Arc;

use rustix::io::Errno;

use super::Location;
use super::fs::File;
use super::preparer::{Preparer, Reserve, fill};
use super::segments::{Segment, Segments};
use crate::queue::record::{Batch, Kind, Places};

/// Why a commit was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// No room, or no file can be opened just now. Nothing of the commit counts; try again later.
    #[error("no room in the journal")]
    Full(#[source] io::Error),
    /// The write or sync failed: what the disk holds is unknown, only reopening can tell.
    #[error("the journal's write failed")]
    Poisoned(#[source] io::Error),
}

impl WriteError {
    fn of(err: io::Error) -> Self {
        match err.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(err),
            _ if is_scarcity(&err) => Self::Full(err),
            _ => Self::Poisoned(err),
        }
    }
}

/// The process or the system has too many open files, or no memory: the call did nothing, and the disk
/// is as it was. Only a failed sync says nothing of what the disk holds, and never comes here.
fn is_scarcity(err: &io::Error) -> bool {
    let scarce = [Errno::MFILE, Errno::NFILE, Errno::NOMEM].map(Errno::raw_os_error);
    err.raw_os_error().is_some_and(|code| scarce.contains(&code))
}

/// Appends to the journal. One per folder.
#[derive(Debug)]
pub(crate) struct Writer {
    segments: Arc<Segments>,
    preparer: Arc<Preparer>,
    number: u64,
    file: Option<Arc<dyn File>>,
    capacity: u32,
    end: u32,
    /// Bytes behind `end` that a failed commit may have left; zeroed before the next one.
    soiled: u32,
    buffer: Vec<u8>,
    is_poisoned: bool,
}

impl Writer {
    /// Goes on at `end`; `None` = the journal is new. `reserve` = bytes that must stay free on the
    /// disk, `segment_bytes` = how large segments are made.
    pub(crate) fn open(
        segments: Arc<Segments>,
        end: Option<Location>,
        segment_bytes: u32,
        reserve: u64,
    ) -> io::Result<Self> {
        let preparer = Preparer::start(Arc::clone(&segments), segment_bytes, reserve)?;
        let preparer = Arc::new(preparer);
        let live = end.and_then(|end| segments.get(end.segment));
        let number = live.as_ref().map_or(0, |segment| segment.number);
        let capacity = live.as_ref().map_or(0, |segment| segment.capacity);
        preparer.want(number + 1);
        Ok(Self {
            segments,
            preparer,
            number,
            file: live.map(|segment| segment.file),
            capacity,
            end: end.map_or(0, |end| end.offset),
            soiled: 0,
            buffer: Vec::new(),
            is_poisoned: false,
        })
    }

    /// Behind the last commit.
    pub(crate) const fn end(&self) -> Location {
        Location { segment: self.number, offset: self.end }
    }

    /// Bytes left in the live segment.
    pub(crate) const fn room(&self) -> usize {
        (self.capacity - self.end) as usize
    }

    /// Waits until the next segment stands ready.
    pub(crate) fn wait_for_next(&self, reserve: Reserve) -> Result<(), WriteError> {
        self.preparer.wait(self.number + 1, reserve).map_err(WriteError::of)
    }

    /// Writes nothing more: something failed of which nobody knows what it left.
    pub(crate) fn poison(&mut self) {
        self.is_poisoned = true;
    }

    /// Takes memory for the next batch.
    pub(crate) fn reuse(&mut self, buffer: Vec<u8>) {
        self.buffer = buffer;
    }

    /// The thread that makes segments, to offer it files that nobody needs.
    pub(crate) fn preparer(&self) -> Arc<Preparer> {
        Arc::clone(&self.preparer)
    }

    /// The table of segments.
    pub(crate) fn segments(&self) -> Arc<Segments> {
        Arc::clone(&self.segments)
    }

    /// An empty batch for the live segment.
    pub(crate) fn begin(&mut self) -> Batch {
        Batch::new(self.number, self.end, std::mem::take(&mut self.buffer))
    }

    /// Writes and syncs `batch`, which must have been begun since the last commit or roll and fit
    /// in the room. After `Ok` it survives a power cut.
    pub(crate) fn commit(&mut self, batch: &Batch) -> Result<Location, WriteError> {
        let written = self.write(batch);
        let n_bytes = super::segments::offset(batch.len());
        match written {
            Ok(()) => {
                self.end = self.end.saturating_add(n_bytes);
                Ok(self.end())
            }
            Err(err) => {
                self.is_poisoned |= matches!(err, WriteError::Poisoned(_));
                self.soiled = self.soiled.max(n_bytes).min(self.capacity - self.end);
                Err(err)
            }
        }
    }

    fn write(&mut self, batch: &Batch) -> Result<(), WriteError> {
        let file = self.file.clone().filter(|_| !self.is_poisoned);
        let Some(file) = file else {
            return Err(WriteError::Poisoned(io::Error::other("an earlier write failed")));
        };
        self.clean(&*file)?;
        file.write_all_at(batch.bytes(), u64::from(self.end)).map_err(WriteError::of)?;
        file.sync_data().map_err(WriteError::Poisoned)
    }

    /// Zeroes what a failed commit left: its records must not come to stand behind others, nor at
    /// the end of a sealed segment. Synced, or a power cut could bring back some of them beside
    /// what is written next.
    fn clean(&mut self, file: &dyn File) -> Result<(), WriteError> {
        if self.soiled > 0 {
            let zeros = vec![0; self.soiled as usize];
            file.write_all_at(&zeros, u64::from(self.end)).map_err(WriteError::of)?;
            file.sync_data().map_err(WriteError::Poisoned)?;
            self.soiled = 0;
        }
        Ok(())
    }

    /// Goes on to the next segment, which begins with `checkpoint` and has room for a record of
    /// `needed` bytes behind it.
    pub(crate) fn roll(&mut self, checkpoint: &Places, needed: usize) -> Result<(), WriteError> {
        let rolled = self.roll_to_next(checkpoint, needed);
        self.is_poisoned |= matches!(rolled, Err(WriteError::Poisoned(_)));
        rolled
    }

    fn roll_to_next(&mut self, checkpoint: &Places, needed: usize) -> Result<(), WriteError> {
        if let Some(file) = self.file.clone() {
            self.clean(&*file)?;
        }
        let prepared = self.preparer.take(self.number + 1).map_err(WriteError::of)?;
        let mut capacity = prepared.capacity;
        let mut head = Batch::new(prepared.number, 0, Vec::new());
        head.push(Kind::Checkpoint, |out| checkpoint.encode(out));
        let wanted = head.len().saturating_add(needed);
        if wanted > capacity as usize {
            capacity = u32::try_from(wanted.next_multiple_of(4096)).unwrap_or(u32::MAX);
            let from = u64::from(prepared.capacity);
            fill(&*prepared.file, from, capacity).map_err(WriteError::of)?;
        }
        prepared.file.write_all_at(head.bytes(), 0).map_err(WriteError::of)?;
        prepared.file.sync_data().map_err(WriteError::Poisoned)?;
        self.segments.insert(Segment {
            number: prepared.number,
            file: Arc::clone(&prepared.file),
            capacity,
            first: checkpoint.next,
            began_at: checkpoint.at,
        });
        self.number = prepared.number;
        self.file = Some(prepared.file);
        self.capacity = capacity;
        self.end = super::segments::offset(head.len());
        self.soiled = 0;
        self.preparer.want(self.number + 1);
        Ok(())
    }
}
