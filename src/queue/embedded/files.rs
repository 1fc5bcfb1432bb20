//! The queue's files, read-only: what a second copy on another machine is made of.
//!
//! What it promises:
//!
//! * What stands before [`QueueFiles::head`] is synced and never changes; a segment keeps its number,
//!   its salt and its bytes until it is gone. Its file may then be recycled: bytes are given of the
//!   segment that was asked for, by number and salt, or not at all.
//! * The head only moves forward while the queue is open, and over restarts, too.
//! * All that the log's records before a head rely on stands in the kept log of any later moment. So:
//!   note the head, then list the kept log; copy that first, then the log up to that head.
//! * A file of the kept log, of the keys or of the log that is missing in a list is needed no more by
//!   a standby that has the log up to the head of any later moment.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::core::Core;
use super::events::ReadFailure;
use super::kept::KeptFile;
use super::keys::KeyFile;
use super::log::{ReadError, SegmentFile};
use super::record::{Lsn, SegmentId};
use crate::event::Position;
use crate::queue::QueueError;

/// A place in the log: it ascends with the log and is never reused.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct LogPlace {
    /// The segment's number.
    pub segment: u32,
    /// Bytes from the segment's beginning.
    pub offset: u32,
}

impl LogPlace {
    /// About how many bytes of the log lie between this and `end`.
    pub fn bytes_until(self, end: Self) -> u64 {
        Lsn::from(self).bytes_until(end.into(), super::log::SEGMENT_BYTES.into())
    }
}

impl From<Lsn> for LogPlace {
    fn from(lsn: Lsn) -> Self {
        Self { segment: lsn.segment(), offset: lsn.offset() }
    }
}

impl From<LogPlace> for Lsn {
    fn from(place: LogPlace) -> Self {
        Self::new(place.segment, place.offset)
    }
}

/// The files of an open queue. Reading blocks.
#[derive(Clone, Debug)]
pub struct QueueFiles(Arc<Core>);

impl QueueFiles {
    pub(super) fn new(core: &Arc<Core>) -> Self {
        Self(Arc::clone(core))
    }

    /// How far the log is synced; no I/O.
    pub fn head(&self) -> LogPlace {
        self.0.log.head().next.into()
    }

    /// The position that the next event gets; no I/O.
    pub fn next_position(&self) -> Position {
        self.0.log.head().next_position
    }

    /// The oldest segment of the log that counts; no I/O.
    pub fn first_segment(&self) -> u32 {
        self.0.log.head().first.segment()
    }

    /// Whether nothing of the log is known to be damaged: bytes that cannot be read are given as zeros.
    pub fn is_whole(&self) -> bool {
        self.0.log.damage().is_empty()
    }

    /// Waits until the log is synced beyond `place`; for ever, where the queue is closed.
    pub async fn wait_beyond(&self, place: LogPlace) {
        let mut head = self.0.log.watch();
        if head.wait_for(|head| LogPlace::from(head.next) > place).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The segment of this number or, where there is none, the next one.
    pub fn segment(&self, number: u32) -> Result<Option<SegmentFile>, QueueError> {
        Ok(self.0.log.raw_segment(number).map_err(ReadFailure::from)?)
    }

    /// Bytes of a segment; `None` = it is gone.
    pub fn read_segment(
        &self,
        name: SegmentId,
        from: u32,
        n_bytes: usize,
    ) -> Result<Option<Vec<u8>>, QueueError> {
        match self.0.log.read_raw(name, from, n_bytes) {
            Ok(bytes) => Ok(bytes),
            Err(ReadError::Trimmed) => Ok(None),
            Err(err) => Err(ReadFailure::from(err).into()),
        }
    }

    /// The files of the kept log.
    pub fn kept(&self) -> Vec<KeptFile> {
        self.0.kept.raw_files()
    }

    /// Bytes of a file of the kept log; `None` = it is gone.
    pub fn read_kept(
        &self,
        name: SegmentId,
        from: u32,
        n_bytes: usize,
    ) -> Result<Option<Vec<u8>>, QueueError> {
        let read = self.0.kept.read_raw(name, from, n_bytes);
        read.map_err(|source| QueueError::Io { what: "reading the kept log".into(), source })
    }

    /// The files of dedupe keys.
    pub fn keys(&self) -> Vec<KeyFile> {
        self.0.keys.raw_files()
    }

    /// Bytes of a file of dedupe keys; `None` = it is gone.
    pub fn read_keys(
        &self,
        name: &str,
        from: u64,
        n_bytes: usize,
    ) -> Result<Option<Vec<u8>>, QueueError> {
        let read = self.0.keys.read_raw(name, from, n_bytes);
        read.map_err(|source| QueueError::Io { what: "reading the dedupe keys".into(), source })
    }
}

#[cfg(test)]
mod tests;
