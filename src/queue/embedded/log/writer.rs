//! The one writer: appends units to the live segment and goes on to the next one.

use std::io;
use std::sync::Arc;

use super::allocator::{AllocatedSegment, fill};
use super::segment::{Facts, Segment};
use super::{FileLog, is_full, is_scarce};
use crate::event::Position;
use crate::queue::embedded::record::{
    Lsn, SegmentEnd, SegmentHead, SegmentId, UnitBuilder, end_of, next_number, offset_of,
};
use crate::queue::invariant::invariant;
use crate::queue::storage::StorageFile;

/// Why a unit was not appended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    /// No room. Nothing of the unit counts; try again when there is room.
    #[error("no room in the log: {0}")]
    Full(String),
    /// The unit does not fit in what is left of the segment: roll first.
    #[error("{max} bytes are left in the segment")]
    TooLarge { max: usize },
    /// The system lacks something just now; try again.
    #[error("the log cannot be written just now: {0}")]
    Unavailable(String),
    /// The write or sync failed: what the disk holds is unknown, only opening again can tell.
    #[error("the log's write failed")]
    Poisoned(#[source] io::Error),
}

impl AppendError {
    fn of_write(err: io::Error) -> Self {
        if is_full(&err) {
            Self::Full(err.to_string())
        } else if is_scarce(&err) {
            Self::Unavailable(err.to_string())
        } else {
            Self::Poisoned(err)
        }
    }
}

/// The segment that is written.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) segment: Arc<Segment>,
    pub(super) file: Arc<dyn StorageFile>,
}

/// Whether the live segment takes more units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    Writable,
    /// Something of it could not be read, or LSNs behind its end are in use elsewhere.
    Sealed,
}

/// Appends to the log. One per folder.
#[derive(Debug)]
pub(crate) struct LogWriter {
    log: Arc<FileLog>,
    live: Option<Live>,
    tail: Tail,
    end: u32,
    /// Bytes behind `end` that a failed append may have left; zeroed before the next one.
    dirty_tail: u32,
    /// Events of the unit that is appended next.
    events: Vec<(Position, u32)>,
    next_number: u32,
    buffer: Vec<u8>,
    is_poisoned: bool,
}

impl LogWriter {
    /// Goes on at offset `end` of `live`; `None` = the log is new.
    pub(super) fn new(
        log: Arc<FileLog>,
        live: Option<Live>,
        end: u32,
        tail: Tail,
        next_number: u32,
    ) -> Self {
        Self {
            log,
            live,
            tail,
            end,
            dirty_tail: 0,
            events: Vec::new(),
            next_number,
            buffer: Vec::new(),
            is_poisoned: false,
        }
    }

    /// Behind the last unit; `Lsn(0)` = the log is new.
    pub(crate) fn end(&self) -> Lsn {
        self.live.as_ref().map_or(Lsn(0), |live| Lsn::new(live.segment.id.number, self.end))
    }

    /// Bytes left in the live segment.
    pub(crate) fn room(&self) -> usize {
        match (&self.live, self.tail) {
            (Some(live), Tail::Writable) => (self.end..live.segment.capacity).len(),
            (None, _) | (_, Tail::Sealed) => 0,
        }
    }

    /// There is no live segment, or nothing may be appended to it.
    pub(crate) fn needs_roll(&self) -> bool {
        self.live.is_none() || self.tail == Tail::Sealed
    }

    /// Appends nothing more to the live segment: a snapshot or a key run knows of records behind
    /// its end, which are lost, and their LSNs are not used again.
    pub(crate) fn require_roll(&mut self) {
        self.tail = Tail::Sealed;
    }

    /// The least number that the next segment may have.
    pub(crate) const fn next_number(&self) -> u32 {
        self.next_number
    }

    /// The next segment's number is above `number`, which a snapshot or a key run names.
    pub(crate) fn skip_numbers(&mut self, number: u32) {
        self.next_number = self.next_number.max(next_number(number));
    }

    /// An empty unit for the live segment; it must be appended before the next roll.
    pub(crate) fn begin(&mut self) -> UnitBuilder {
        let none = SegmentId { number: 0, salt: 0 };
        let id = self.live.as_ref().map_or(none, |live| live.segment.id);
        UnitBuilder::new(id, self.end, std::mem::take(&mut self.buffer))
    }

    /// Takes memory for the next unit.
    pub(crate) fn reuse(&mut self, buffer: Vec<u8>) {
        self.buffer = buffer;
    }

    /// Says where an event of the unit that is appended next is.
    pub(crate) fn note_event(&mut self, position: Position, offset: u32) {
        self.events.push((position, offset));
    }

    /// Writes and syncs `unit`. After `Ok` it survives a power cut; says where it begins. Readers
    /// see it once it is published.
    pub(crate) fn append(&mut self, unit: &UnitBuilder) -> Result<Lsn, AppendError> {
        let lsn = self.end();
        let written = self.write(unit);
        match &written {
            Ok(()) => {
                self.end = end_of(self.end, unit.len());
                for (position, offset) in self.events.drain(..) {
                    self.log.offsets.note(position, offset);
                }
            }
            Err(AppendError::TooLarge { .. }) => self.events.clear(),
            Err(err) => {
                self.is_poisoned |= matches!(err, AppendError::Poisoned(_));
                let n_bytes = unit.len().min(self.room());
                self.dirty_tail = self.dirty_tail.max(offset_of(n_bytes));
                self.events.clear();
            }
        }
        written.map(|()| lsn)
    }

    fn write(&mut self, unit: &UnitBuilder) -> Result<(), AppendError> {
        self.refuse_poisoned()?;
        let max = self.room();
        let Some(live) = self.live.as_ref().filter(|_| unit.len() <= max) else {
            return Err(AppendError::TooLarge { max });
        };
        let is_here = unit.segment() == live.segment.id && unit.start() == self.end;
        if !invariant!(is_here, "a unit for {} is appended at {}", unit.next_lsn(), self.end()) {
            return Err(AppendError::TooLarge { max: 0 });
        }
        let file = Arc::clone(&live.file);
        self.clean(&*file)?;
        file.write_all_at(unit.bytes(), self.end.into()).map_err(AppendError::of_write)?;
        file.sync_data().map_err(AppendError::Poisoned)
    }

    fn refuse_poisoned(&self) -> Result<(), AppendError> {
        if self.is_poisoned {
            return Err(AppendError::Poisoned(io::Error::other("an earlier write failed")));
        }
        Ok(())
    }

    /// Zeroes what a failed append left: its records must not come to stand behind others, nor at
    /// the end of a sealed segment. Synced, or a power cut could bring back some of them beside
    /// what is written next.
    fn clean(&mut self, file: &dyn StorageFile) -> Result<(), AppendError> {
        if self.dirty_tail > 0 {
            let zeros = vec![0; self.dirty_tail as usize];
            file.write_all_at(&zeros, self.end.into()).map_err(AppendError::of_write)?;
            file.sync_data().map_err(AppendError::Poisoned)?;
            self.dirty_tail = 0;
        }
        Ok(())
    }

    /// Goes on to `segment`, which begins with `head` and has room for a unit of `needed` bytes
    /// behind it. `head.previous` is filled in. An error uses the segment's number up: the next try
    /// is another segment.
    pub(crate) fn roll(
        &mut self,
        segment: AllocatedSegment,
        head: SegmentHead,
        needed: usize,
    ) -> Result<(), AppendError> {
        self.skip_numbers(segment.id.number);
        let path = self.log.path(segment.id);
        let rolled = self.roll_to(segment, head, needed);
        if let Err(err) = &rolled {
            self.is_poisoned |= matches!(err, AppendError::Poisoned(_));
            if let Err(err) = self.log.storage.remove(&path) {
                tracing::warn!(error = %err, "A segment that was not begun cannot be removed");
            }
        }
        rolled
    }

    fn roll_to(
        &mut self,
        segment: AllocatedSegment,
        head: SegmentHead,
        needed: usize,
    ) -> Result<(), AppendError> {
        self.refuse_poisoned()?;
        let AllocatedSegment { id, file, mut capacity } = segment;
        if let Some(file) = self.live.as_ref().map(|live| Arc::clone(&live.file)) {
            self.clean(&*file)?;
        }
        let (at, next) = (head.at, head.next);
        let table = self.log.offsets.live();
        let previous = self.live.as_ref().map(|live| SegmentEnd {
            number: live.segment.id.number,
            end: self.end,
            table: table.clone(),
        });
        let mut unit = UnitBuilder::new(id, 0, Vec::new());
        unit.push_head(&SegmentHead { previous, ..head });
        let wanted = unit.len() + needed;
        if wanted > capacity as usize {
            let larger = offset_of(wanted.next_multiple_of(4096));
            fill(&*file, capacity, larger).map_err(AppendError::of_write)?;
            capacity = larger;
        }
        file.write_all_at(unit.bytes(), 0).map_err(AppendError::of_write)?;
        file.sync_data().map_err(AppendError::Poisoned)?;
        if let Some(sealed) = &self.live {
            sealed.segment.update_facts(|facts| facts.end = Some(self.end));
            self.log.offsets.insert(sealed.segment.id.number, table);
        }
        self.log.offsets.begin_live(id.number, Vec::new());
        let previous = self.live.as_ref().map(|live| live.segment.id.number);
        let facts = Facts {
            first: Some(next),
            began_at: Some(at),
            end: None,
            previous,
            is_head_read: true,
            is_head_bad: false,
        };
        let segment = self.log.insert(Segment::new(id, capacity, facts));
        segment.share(&file);
        if self.log.head().first == Lsn(0) {
            self.log.begin_at(id.number, next);
        }
        self.live = Some(Live { segment, file });
        self.end = offset_of(unit.len());
        self.dirty_tail = 0;
        self.tail = Tail::Writable;
        Ok(())
    }

    /// Lets readers see what was appended; `next_position` = the position that the next event gets.
    pub(crate) fn publish(&self, next_position: Position) {
        let end = self.end();
        self.log.head.send_if_modified(|head| {
            let is_new = head.next != end || head.next_position != next_position;
            head.next = end;
            head.next_position = next_position;
            is_new
        });
    }

    /// Writes nothing more: a failed write left an unknown state.
    pub(crate) fn poison(&mut self) {
        self.is_poisoned = true;
    }

    #[cfg(test)]
    pub(crate) const fn is_poisoned(&self) -> bool {
        self.is_poisoned
    }

    /// The segments that it writes to.
    #[cfg(test)]
    pub(crate) fn log(&self) -> Arc<FileLog> {
        Arc::clone(&self.log)
    }
}
