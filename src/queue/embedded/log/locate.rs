//! The way from a position to an LSN: heads of segments, and the tables of offsets.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::file_log::{FileLog, ReadError};
use super::offsets::{OffsetTable, last_before, push_entry};
use super::segment::Segment;
use super::{Cause, Damage};
use crate::clock::Timestamp;
use crate::event::Position;
use crate::queue::embedded::record::{
    HEADER_BYTES, Header, Kind, Lsn, Next, Scan, SegmentEnd, SegmentHead, Validity, examine,
    next_number, offset_of, position_of,
};

/// A head with its table of the segment before is some 2 KiB, and 60 B more per handler.
const HEAD_BYTES: usize = 16 << 10;

impl FileLog {
    /// The position that the next event had when segment `number` began; `None` = nothing in it
    /// tells, or it is gone.
    pub(crate) fn first_position_of(&self, number: u32) -> Result<Option<Position>, ReadError> {
        let Some(segment) = self.get(number) else { return Ok(None) };
        self.first_position(&segment)
    }

    /// When segment `number` began; `None` likewise.
    pub(crate) fn began_at(&self, number: u32) -> Result<Option<Timestamp>, ReadError> {
        let Some(segment) = self.get(number) else { return Ok(None) };
        match segment.facts().began_at {
            Some(began_at) => Ok(Some(began_at)),
            None => Ok(self.facts_of(&segment)?.began_at),
        }
    }

    fn first_position(&self, segment: &Segment) -> Result<Option<Position>, ReadError> {
        match segment.facts().first {
            Some(first) => Ok(Some(first)),
            None => Ok(self.facts_of(segment)?.first),
        }
    }

    /// Where a segment's records end; `None` = unknown.
    pub(super) fn end_of(&self, segment: &Segment) -> Result<Option<u32>, ReadError> {
        if let Some(end) = segment.facts().end {
            return Ok(Some(end));
        }
        if let Some(next) = self.behind(segment.id.number) {
            self.read_head(&next)?;
        }
        Ok(segment.facts().end)
    }

    /// Where to begin reading to come to the event at `position`: at it or some 64 KiB before it.
    pub(crate) fn locate(&self, position: Position) -> Result<Lsn, ReadError> {
        let head = self.head();
        if position >= head.next_position {
            return Ok(head.next);
        }
        if position < head.first_position {
            return Err(ReadError::Trimmed);
        }
        let Some(segment) = self.segment_of(position)? else { return Ok(head.first) };
        let offset = self.offset_before(&segment, position)?;
        Ok(Lsn::new(segment.id.number, offset).max(head.first))
    }

    /// The segment to begin in: that of the event, or an earlier one where heads cannot be read.
    fn segment_of(&self, position: Position) -> Result<Option<Arc<Segment>>, ReadError> {
        let head = self.head();
        let (mut low, mut high) = (head.first.segment(), next_number(head.next.segment()));
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            let candidate = self.at_or_after(middle).filter(|segment| segment.id.number < high);
            let first = match &candidate {
                Some(segment) => self.first_position(segment)?,
                None => None,
            };
            match (candidate, first) {
                (Some(segment), Some(first)) if first <= position => low = segment.id.number,
                (Some(_) | None, _) => high = middle,
            }
        }
        Ok(self.at_or_after(low))
    }

    fn offset_before(&self, segment: &Segment, position: Position) -> Result<u32, ReadError> {
        let number = segment.id.number;
        if let Some(offset) = self.offsets.offset_before(number, position) {
            return Ok(offset);
        }
        if let Some(next) = self.behind(number) {
            // It may have been read before, and its table been forgotten since.
            next.update_facts(|facts| facts.is_head_read = false);
            self.read_head(&next)?;
            if let Some(offset) = self.offsets.offset_before(number, position) {
                return Ok(offset);
            }
        }
        let table = self.scan_table(segment)?;
        let offset = last_before(&table, position);
        self.offsets.insert(number, table);
        Ok(offset)
    }

    /// Reads a segment's head, unless that was done: what it says of its own segment and of the one
    /// before. Where there is no head, the first event says where the segment begins.
    pub(super) fn read_head(&self, segment: &Segment) -> Result<(), ReadError> {
        if segment.facts().is_head_read {
            return Ok(());
        }
        let Head::Whole(head) = self.head_of(segment)? else {
            let first = self.first_event_of(segment)?;
            segment.update_facts(|facts| {
                facts.first = facts.first.or(first);
                (facts.is_head_read, facts.is_head_bad) = (true, true);
            });
            return Ok(());
        };
        segment.update_facts(|facts| {
            facts.first = Some(head.next);
            facts.began_at = Some(head.at);
            facts.previous = head.previous.as_ref().map(|previous| previous.number);
            (facts.is_head_read, facts.is_head_bad) = (true, false);
        });
        if let Some(SegmentEnd { number, end, table }) = head.previous
            && let Some(previous) = self.get(number).filter(|_| number < segment.id.number)
        {
            previous.update_facts(|facts| facts.end = Some(end));
            self.offsets.insert(number, table);
        }
        Ok(())
    }

    /// Looks at the heads of the next `n_heads` segments that were not looked at: damage in one is
    /// named whether or not a reader ever comes to it.
    pub(crate) fn look_at_heads(&self, n_heads: usize) -> Result<(), ReadError> {
        for _ in 0..n_heads {
            let from = self.heads_from.load(Ordering::Relaxed).max(self.head().first.segment());
            let Some(segment) = self.at_or_after(from) else { return Ok(()) };
            match self.look_at_head(&segment) {
                Ok(()) | Err(ReadError::Trimmed) => {}
                Err(err @ ReadError::Io { .. }) => return Err(err),
            }
            self.heads_from.store(next_number(segment.id.number), Ordering::Relaxed);
        }
        Ok(())
    }

    fn look_at_head(&self, segment: &Segment) -> Result<(), ReadError> {
        if !matches!(self.head_of(segment)?, Head::Bad) {
            return Ok(());
        }
        let stretch = self.read(segment, 0, segment.capacity as usize)?;
        let next = Scan::new(&stretch.bytes, 0, segment.id).next(0);
        let (range, cause) = match next.map(|next| (next.place().0, next)) {
            // What a newer version wrote is told by who reads it.
            Some((0, Next::Unsupported { .. })) => return Ok(()),
            Some((0, Next::Whole { header, .. })) => {
                (0..offset_of(header.record_bytes()), Cause::Undecodable)
            }
            Some((at, _)) => (0..offset_of(at), stretch.cause_in(0..offset_of(at))),
            None => {
                let used = stretch.used_until(0);
                (0..used, stretch.cause_in(0..used))
            }
        };
        if !range.is_empty() {
            self.note_damage(Damage::of(segment.id, range, cause));
        }
        Ok(())
    }

    fn head_of(&self, segment: &Segment) -> Result<Head, ReadError> {
        match self.head_within(segment, HEAD_BYTES)? {
            Head::Longer(n_bytes) => self.head_within(segment, n_bytes),
            head => Ok(head),
        }
    }

    fn head_within(&self, segment: &Segment, n_bytes: usize) -> Result<Head, ReadError> {
        let bytes = self.read(segment, 0, n_bytes.min(segment.capacity as usize))?.bytes;
        if let Validity::Whole(header, Kind::Head) = examine(&bytes, 0, segment.id)
            && let Some(payload) = bytes.get(HEADER_BYTES..header.record_bytes())
        {
            return Ok(
                SegmentHead::decode(payload).map_or(Head::Bad, |head| Head::Whole(head.into()))
            );
        }
        let needed = bytes.first_chunk().and_then(Header::parse).map(|head| head.record_bytes());
        let is_longer = |needed: &usize| *needed > n_bytes && *needed <= segment.capacity as usize;
        Ok(needed.filter(is_longer).map_or(Head::Bad, Head::Longer))
    }

    fn first_event_of(&self, segment: &Segment) -> Result<Option<Position>, ReadError> {
        Ok(self.scan_table(segment)?.first().map(|(position, _)| *position))
    }

    /// Makes a segment's table out of its records.
    fn scan_table(&self, segment: &Segment) -> Result<OffsetTable, ReadError> {
        let bytes = self.read(segment, 0, segment.capacity as usize)?.bytes;
        let (mut scan, mut at, mut table) =
            (Scan::new(&bytes, 0, segment.id), 0, OffsetTable::new());
        while let Some(next) = scan.next(at) {
            let (found, header) = next.place();
            at = found + header.record_bytes();
            if let Next::Whole { kind: Kind::Event, .. } = next
                && let Some(payload) = bytes.get(found + HEADER_BYTES..at)
                && let Some(position) = position_of(payload)
            {
                push_entry(&mut table, position, offset_of(found));
            }
        }
        Ok(table)
    }
}

/// What the beginning of a segment is.
enum Head {
    Whole(Box<SegmentHead>),
    /// So many bytes must be read to know.
    Longer(usize),
    Bad,
}
