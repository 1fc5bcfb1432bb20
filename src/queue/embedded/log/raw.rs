//! The segments' bytes as they are, for a standby that holds a second copy of the log.

use super::file_log::{FileLog, ReadError};
use super::segment::Segment;
use crate::queue::embedded::record::SegmentId;

/// A segment of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentFile {
    pub name: SegmentId,
    /// Bytes of its file.
    pub capacity: u32,
    /// Behind the last byte that is synced.
    pub end: u32,
    /// Nothing is written to it any more.
    pub is_sealed: bool,
}

impl FileLog {
    /// The segment of this number or, where there is none, the next one that counts.
    pub(crate) fn raw_segment(&self, number: u32) -> Result<Option<SegmentFile>, ReadError> {
        // Noted first: what is sealed meanwhile has all of its bytes before it.
        let head = self.head();
        let number = number.max(head.first.segment());
        let Some(segment) = self.at_or_after(number) else { return Ok(None) };
        let (name, capacity) = (segment.id, segment.capacity);
        if name.number > head.next.segment() {
            return Ok(None);
        }
        let is_sealed = name.number < head.next.segment();
        let end = if is_sealed {
            // Where the next head cannot be read, it is unknown: all of the file then counts.
            self.end_of(&segment)?.unwrap_or(capacity)
        } else {
            head.next.offset()
        };
        Ok(Some(SegmentFile { name, capacity, end, is_sealed }))
    }

    /// Bytes of a segment, with zeros where the disk has not answered for 10 s; `None` = the
    /// segment is gone.
    pub(crate) fn read_raw(
        &self,
        id: SegmentId,
        from: u32,
        n_bytes: usize,
    ) -> Result<Option<Vec<u8>>, ReadError> {
        let is_it = |segment: &std::sync::Arc<Segment>| segment.id == id;
        let Some(segment) = self.get(id.number).filter(is_it) else { return Ok(None) };
        match self.read(&segment, from, n_bytes) {
            Ok(stretch) => Ok(Some(stretch.bytes)),
            Err(ReadError::Trimmed) => Ok(None),
            Err(err) => Err(err),
        }
    }
}
