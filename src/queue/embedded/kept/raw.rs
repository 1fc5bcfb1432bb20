//! The kept log's bytes as they are, for a standby that holds a second copy of it.

use std::io;

use super::super::record::SegmentId;
use super::KeptLog;
use crate::queue::storage::read_part;
use crate::sync::lock;

/// A file of the kept log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawKept {
    pub(crate) id: SegmentId,
    /// Behind the last byte that is synced.
    pub(crate) end: u32,
    /// Behind the last one that is recorded: what is between may be written anew.
    pub(crate) recorded: u32,
}

impl KeptLog {
    /// The files that count, and what was appended to one of them and is not recorded yet: a record
    /// of the log that stands already may rely on it.
    pub(crate) fn raw_files(&self) -> Vec<RawKept> {
        let contents = lock(&self.contents);
        let segments = contents.segments.values();
        let mut files: Vec<RawKept> = segments
            .map(|segment| RawKept { id: segment.id, end: segment.end, recorded: segment.end })
            .collect();
        if let Some(pending) = &contents.pending {
            match files.iter_mut().find(|file| file.id == pending.id) {
                Some(file) => file.end = file.end.max(pending.end),
                None => files.push(RawKept { id: pending.id, end: pending.end, recorded: 0 }),
            }
        }
        files
    }

    /// Bytes of a file; `None` = it is gone.
    pub(crate) fn read_raw(
        &self,
        id: SegmentId,
        from: u32,
        n_bytes: usize,
    ) -> io::Result<Option<Vec<u8>>> {
        read_part(&*self.storage, &self.path(id), from.into(), n_bytes)
    }
}
