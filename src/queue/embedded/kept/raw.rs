//! The kept log's bytes as they are, for a standby that holds a second copy of it.

use std::io;

use super::super::record::SegmentId;
use super::KeptLog;
use crate::queue::storage::read_part;
use crate::sync::lock;

/// A file of the kept log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptFile {
    pub name: SegmentId,
    /// Behind the last byte that is synced.
    pub end: u32,
    /// Bytes before it are recorded and never change; those behind it may be written anew.
    pub settled: u32,
}

impl KeptLog {
    /// The files that count, and what was appended to one of them and is not recorded yet: a record
    /// of the log that stands already may rely on it.
    pub(crate) fn raw_files(&self) -> Vec<KeptFile> {
        let contents = lock(&self.contents);
        let segments = contents.segments.values();
        let mut files: Vec<KeptFile> = segments
            .map(|segment| KeptFile { name: segment.id, end: segment.end, settled: segment.end })
            .collect();
        if let Some(pending) = &contents.pending {
            match files.iter_mut().find(|file| file.name == pending.id) {
                Some(file) => file.end = file.end.max(pending.end),
                None => files.push(KeptFile { name: pending.id, end: pending.end, settled: 0 }),
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
