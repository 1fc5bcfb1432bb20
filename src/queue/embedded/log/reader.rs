//! Follows the log record by record, as far as it is synced.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::file_log::{FileLog, ReadError};
use super::found::Found;
use super::segment::Segment;
use super::{Cause, Damage};
use crate::queue::embedded::record::{
    HEADER_BYTES, Header, Kind, Lsn, Scan, SegmentId, Validity, end_of,
};

/// How much is read at once: large enough that a read call costs little per event, small enough
/// that a reader per handler is cheap.
const CHUNK_BYTES: usize = 256 << 10;

/// How much is read at once where the ends of long records are left out, and of each of those: what
/// stands in front of an event's body is mostly below 2 KiB.
const HEAD_CHUNK_BYTES: usize = 32 << 10;
const RECORD_HEAD_BYTES: usize = 8 << 10;

/// A place in the log that moves forward.
#[derive(Debug)]
pub(crate) struct LogReader {
    log: Arc<FileLog>,
    at: Lsn,
    /// Of events with a longer payload only the beginning is read; `None` = all is read.
    whole_max: Option<usize>,
    /// The first of the records whose ends were left out since the last one that was checked.
    unchecked_from: Option<Lsn>,
    /// The segment that `at` is in, once it was looked for.
    segment: Option<Arc<Segment>>,
    chunk: Bytes,
    chunk_start: u32,
}

impl LogReader {
    /// Begins at `from`; `Lsn(0)` = at the oldest segment that counts.
    pub(crate) fn new(log: Arc<FileLog>, from: Lsn) -> Self {
        let (whole_max, unchecked_from) = (None, None);
        let (segment, chunk, chunk_start) = (None, Bytes::new(), 0);
        Self { log, at: from, whole_max, unchecked_from, segment, chunk, chunk_start }
    }

    /// Reads only the beginning of events whose bodies may be longer than `body_max`. The CRC of such a
    /// record is not checked: where what follows makes no sense, it is read again as a whole, so a record
    /// may come twice.
    pub(crate) fn skip_rest_of_records(&mut self, body_max: usize) {
        self.whole_max = Some(RECORD_HEAD_BYTES.saturating_add(body_max));
    }

    /// Goes back to the first record that was not checked, and reads all of each from there on.
    pub(crate) fn read_whole_again(&mut self) {
        self.whole_max = None;
        if let Some(from) = self.unchecked_from.take() {
            self.seek(from);
        }
    }

    /// Goes on elsewhere.
    pub(crate) fn seek(&mut self, at: Lsn) {
        if self.at.segment() != at.segment() {
            self.leave_segment();
        }
        self.at = at;
    }

    /// Where it goes on.
    pub(crate) const fn at(&self) -> Lsn {
        self.at
    }

    /// The next whole record before `end`; `None` = there is none yet. What cannot be read is
    /// skipped and named as damage; who follows events sees it by the gap between positions.
    pub(crate) fn next(&mut self, end: Lsn) -> Result<Option<Found>, ReadError> {
        while self.at < end {
            let Some((id, capacity)) = self.enter_segment()? else { return Ok(None) };
            // It is another segment than that of `at` where that one is gone.
            if self.at >= end {
                break;
            }
            let limit = if id.number == end.segment() { end.offset() } else { capacity };
            if let Some(found) = self.take_head(limit)? {
                return Ok(Some(found));
            }
            match self.examine_next(id, limit)? {
                Validity::Whole(header, kind) => return Ok(Some(self.take(header, kind))),
                _ if self.is_in_doubt()? => self.read_whole_again(),
                Validity::Unsupported(header) => self.skip_unsupported(id, header),
                Validity::Bad => self.skip_unreadable(limit, end)?,
            }
        }
        Ok(None)
    }

    /// The segment that `at` is in and its size; moves `at` to the next one where that is gone.
    fn enter_segment(&mut self) -> Result<Option<(SegmentId, u32)>, ReadError> {
        if let Some(segment) = &self.segment {
            return Ok(Some((segment.id, segment.capacity)));
        }
        let segment = self.log.at_or_after(self.at.segment());
        // Looked at behind the table: a segment that is missing there was trimmed before.
        let first = self.log.head().first;
        if self.at == Lsn(0) {
            self.at = first;
            if segment.as_ref().is_some_and(|segment| segment.id.number < first.segment()) {
                return self.enter_segment();
            }
        }
        if self.at < first {
            return Err(ReadError::Trimmed);
        }
        let Some(segment) = segment else { return Ok(None) };
        if segment.id.number != self.at.segment() {
            self.at = Lsn::start_of(segment.id.number);
        }
        let entered = (segment.id, segment.capacity);
        self.segment = Some(segment);
        Ok(Some(entered))
    }

    fn leave_segment(&mut self) {
        self.segment = None;
        self.chunk = Bytes::new();
    }

    /// Whether what was left out may have led astray. The end of a segment is none of that.
    fn is_in_doubt(&self) -> Result<bool, ReadError> {
        let Some(segment) = self.segment.as_ref().filter(|_| self.unchecked_from.is_some()) else {
            return Ok(false);
        };
        Ok(self.log.end_of(segment)? != Some(self.at.offset()))
    }

    /// The beginning of the event at `at`, where it is one whose end is left out.
    fn take_head(&mut self, limit: u32) -> Result<Option<Found>, ReadError> {
        let available = (self.at.offset()..limit).len();
        let Some(whole_max) = self.whole_max.filter(|_| available >= HEADER_BYTES) else {
            return Ok(None);
        };
        self.fill(HEADER_BYTES, available)?;
        let head = self.chunk.get(self.index()..).and_then(|tail| tail.first_chunk());
        let is_long_event = |header: &Header| {
            header.is_event()
                && header.payload_bytes as usize > whole_max
                && header.record_bytes() <= available
        };
        let Some(header) = head.and_then(Header::parse).filter(is_long_event) else {
            return Ok(None);
        };
        self.fill(HEADER_BYTES + RECORD_HEAD_BYTES, available)?;
        let begin = self.index() + HEADER_BYTES;
        let payload = self.chunk.slice(begin..begin + RECORD_HEAD_BYTES);
        let lsn = self.at;
        self.unchecked_from.get_or_insert(lsn);
        self.at = lsn.behind(header.record_bytes());
        Ok(Some(Found { lsn, end: self.at, kind: Kind::Event, payload }))
    }

    /// The record at `at`, which [`LogReader::examine_next`] found to be whole.
    fn take(&mut self, header: Header, kind: Kind) -> Found {
        self.unchecked_from = None;
        let begin = self.index();
        let payload = self.chunk.slice(begin + HEADER_BYTES..begin + header.record_bytes());
        let lsn = self.at;
        self.at = lsn.behind(header.record_bytes());
        Found { lsn, end: self.at, kind, payload }
    }

    /// Looks at the record at `at`, all of which must stand before `limit`.
    fn examine_next(&mut self, id: SegmentId, limit: u32) -> Result<Validity, ReadError> {
        let available = (self.at.offset()..limit).len();
        if available < HEADER_BYTES {
            return Ok(Validity::Bad);
        }
        self.fill(HEADER_BYTES, available)?;
        let head = self.chunk.get(self.index()..).and_then(|tail| tail.first_chunk());
        let header = head.and_then(Header::parse);
        let Some(header) = header.filter(|header| header.record_bytes() <= available) else {
            return Ok(Validity::Bad);
        };
        self.fill(header.record_bytes(), available)?;
        let begin = self.index();
        let payload = self.chunk.get(begin + HEADER_BYTES..begin + header.record_bytes());
        Ok(payload.map_or(Validity::Bad, |payload| header.check(payload, id)))
    }

    /// The index of `at` in the chunk.
    const fn index(&self) -> usize {
        (self.at.offset() - self.chunk_start) as usize
    }

    /// Makes sure that the chunk holds `wanted` bytes from `at` on; reads up to `available`.
    fn fill(&mut self, wanted: usize, available: usize) -> Result<(), ReadError> {
        let chunk_end = self.chunk_start as usize + self.chunk.len();
        let at = self.at.offset();
        if at >= self.chunk_start && at as usize + wanted <= chunk_end {
            return Ok(());
        }
        let chunk_bytes = if self.whole_max.is_some() { HEAD_CHUNK_BYTES } else { CHUNK_BYTES };
        let n_bytes = available.min(chunk_bytes.max(wanted));
        let Some(segment) = &self.segment else { return Ok(()) };
        let read = self.log.read(segment, at, n_bytes);
        // Also where it fails: the chunk begins at or before `at`.
        self.chunk_start = at;
        self.chunk = Bytes::new();
        self.chunk = read?.bytes.into();
        Ok(())
    }

    fn skip_unsupported(&mut self, id: SegmentId, header: Header) {
        let (kind, version) = header.kind_and_version();
        let end = self.at.behind(header.record_bytes());
        self.note(id, self.at.offset()..end.offset(), Cause::Unsupported { kind, version });
        self.at = end;
    }

    /// Moves past what cannot be read: to the next whole record of the segment, else to the next
    /// segment. What follows the last record of a sealed segment is no damage.
    fn skip_unreadable(&mut self, limit: u32, end: Lsn) -> Result<(), ReadError> {
        let Some(segment) = self.segment.clone() else { return Ok(()) };
        let from = self.at.offset();
        let is_live = segment.id.number == end.segment();
        let sealed_end = if is_live { Some(limit) } else { self.log.end_of(&segment)? };
        let limit = sealed_end.unwrap_or(limit).max(from);
        // What was read before may be older than what is there.
        self.chunk = Bytes::new();
        if let Some(next) = self.find_next(&segment, limit)? {
            self.at = Lsn::new(segment.id.number, next);
            return Ok(());
        }
        let rest = self.log.read(&segment, from, (limit - from) as usize)?;
        // Zeros are unused room, unless the next head says that records stood there.
        let skipped = sealed_end.unwrap_or_else(|| rest.used_until(from));
        self.note(segment.id, from..skipped, rest.cause_in(from..skipped));
        if is_live {
            // Synced, and gone from the disk: nothing whole is left before the end.
            self.at = end;
        } else {
            self.leave_segment();
            // It is before that of `end`, so there is one behind it.
            self.at = Lsn::start_of(segment.id.number + 1);
        }
        Ok(())
    }

    /// The next whole record behind `at`: looks near it first, because a disk may give one block
    /// and not the next all over a segment.
    fn find_next(&mut self, segment: &Segment, limit: u32) -> Result<Option<u32>, ReadError> {
        let from = self.at.offset();
        let all = (limit - from) as usize;
        for n_bytes in [CHUNK_BYTES.min(all), all] {
            let stretch = self.log.read(segment, from, n_bytes)?;
            let next = Scan::new(&stretch.bytes, from, segment.id).next(0);
            if let Some(next) = next {
                let next = end_of(from, next.place().0);
                self.note(segment.id, from..next, stretch.cause_in(from..next));
                return Ok(Some(next));
            }
            if n_bytes == all {
                break;
            }
        }
        Ok(None)
    }

    fn note(&self, segment: SegmentId, range: Range<u32>, cause: Cause) {
        if !range.is_empty() {
            self.log.note_damage(Damage::of(segment, range, cause));
        }
    }
}

impl FileLog {
    /// The whole record that begins exactly at `lsn`; `None` = there is none, which is no damage:
    /// the LSN is from an index, and that may be wrong.
    pub(crate) fn record_at(self: &Arc<Self>, lsn: Lsn) -> Result<Option<Found>, ReadError> {
        let end = self.head().next;
        if lsn == Lsn(0) || lsn >= end {
            return Ok(None);
        }
        let mut reader = LogReader::new(Arc::clone(self), lsn);
        let entered = reader.enter_segment()?;
        let Some((id, capacity)) = entered.filter(|_| reader.at == lsn) else { return Ok(None) };
        let limit = if id.number == end.segment() { end.offset() } else { capacity };
        Ok(match reader.examine_next(id, limit)? {
            Validity::Whole(header, kind) => Some(reader.take(header, kind)),
            Validity::Unsupported(_) | Validity::Bad => None,
        })
    }
}
