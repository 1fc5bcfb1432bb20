//! A unit: the records of one group commit, which one write takes to the disk.

use std::ops::Range;

#[cfg(test)]
use super::SettleRecord;
use super::event::encode_event;
use super::frame::{HEADER_BYTES, Kind, SegmentId, header_bytes};
use super::{
    HandlerName, KeptChanges, KeptEnd, KeptFooter, Lsn, Position, SegmentHead, SharedMark,
};
use crate::clock::Timestamp;
use crate::event::{EventId, NewEvent};
use crate::queue::codec::Put;

/// A buffer of whole records. Each `push` says where its record will stand.
#[derive(Debug)]
pub(crate) struct UnitBuilder {
    bytes: Vec<u8>,
    segment: SegmentId,
    start: u32,
}

impl UnitBuilder {
    /// An empty unit, to be written into `segment` from offset `start` on. Uses the memory of
    /// `buffer`.
    pub(crate) fn new(segment: SegmentId, start: u32, mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        Self { bytes: buffer, segment, start }
    }

    /// Adds a record; `payload` writes its payload.
    pub(crate) fn push(&mut self, kind: Kind, payload: impl FnOnce(&mut Vec<u8>)) -> Lsn {
        let lsn = self.next_lsn();
        let head = self.bytes.len();
        self.bytes.resize(head + HEADER_BYTES, 0);
        payload(&mut self.bytes);
        if let Some((_, record)) = self.bytes.split_at_mut_checked(head)
            && let Some((header, payload)) = record.split_at_mut_checked(HEADER_BYTES)
        {
            header.copy_from_slice(&header_bytes(self.segment, self.start, kind, payload));
        }
        lsn
    }

    pub(crate) fn push_event(&mut self, event: &NewEvent, id: EventId, position: Position) -> Lsn {
        self.push(Kind::Event, |out| encode_event(event, id, position, out))
    }

    pub(crate) fn push_head(&mut self, head: &SegmentHead) -> Lsn {
        self.push(Kind::Head, |out| head.encode(out))
    }

    #[cfg(test)]
    pub(crate) fn push_settle(&mut self, record: &SettleRecord) -> Lsn {
        self.push(Kind::Settle, |out| record.encode(out))
    }

    pub(crate) fn push_subscribed(
        &mut self,
        handler: &HandlerName,
        since: Position,
        epoch: u64,
    ) -> Lsn {
        self.push(Kind::Subscribed, |out| {
            out.put_bytes(handler.as_str().as_bytes());
            out.put_varint(since.0);
            out.put_varint(epoch);
        })
    }

    pub(crate) fn push_forgotten(&mut self, handler: &HandlerName, subscribed: Lsn) -> Lsn {
        self.push(Kind::Forgotten, |out| {
            out.put_bytes(handler.as_str().as_bytes());
            out.put_varint(subscribed.0);
        })
    }

    pub(crate) fn push_trim(&mut self, first: u32, first_position: Position, kept: KeptEnd) -> Lsn {
        self.push(Kind::Trim, |out| {
            out.put_varint(first.into());
            out.put_varint(first_position.0);
            kept.encode(out);
        })
    }

    pub(crate) fn push_opened(&mut self, opening: u64, at: Timestamp) -> Lsn {
        self.push(Kind::Opened, |out| {
            out.put_varint(opening);
            out.put_signed(at.as_millis());
        })
    }

    pub(crate) fn push_closed(&mut self) -> Lsn {
        self.push(Kind::Closed, |_| {})
    }

    /// A record of `payload_bytes` that stands where a torn unit left a hole, in which events had
    /// been given `positions`.
    pub(crate) fn push_filler(&mut self, positions: &Range<Position>, payload_bytes: usize) -> Lsn {
        self.push(Kind::Filler, |out| {
            let begin = out.len();
            out.put_varint(positions.start.0);
            out.put_varint(positions.start.events_until(positions.end));
            // An event takes more bytes than what names it: a smaller hole held none.
            if out.len() > begin + payload_bytes {
                out.truncate(begin);
            }
            out.resize(begin + payload_bytes, 0);
        })
    }

    pub(crate) fn push_kept_changes(&mut self, changes: &KeptChanges) -> Lsn {
        self.push(Kind::KeptChanges, |out| changes.encode(out))
    }

    pub(crate) fn push_shared(&mut self, mark: &SharedMark) -> Lsn {
        self.push(Kind::Shared, |out| mark.encode(out))
    }

    pub(crate) fn push_kept_footer(&mut self, footer: &KeptFooter) -> Lsn {
        self.push(Kind::KeptFooter, |out| footer.encode(out))
    }

    /// Where the next record will stand.
    pub(crate) fn next_lsn(&self) -> Lsn {
        Lsn::new(self.segment.number, self.start).behind(self.bytes.len())
    }

    pub(crate) const fn segment(&self) -> SegmentId {
        self.segment
    }

    /// Where in the segment it begins.
    pub(crate) const fn start(&self) -> u32 {
        self.start
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes the records from `lsn` on out again: they are not to be written after all.
    #[cfg(test)]
    pub(crate) fn cut_from(&mut self, lsn: Lsn) {
        let begin = Lsn::new(self.segment.number, self.start);
        self.bytes.truncate(lsn.bytes_since(begin) as usize);
    }

    /// What was to be written.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}
