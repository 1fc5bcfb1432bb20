//! The write-ahead journal: the truth behind the queue.
//!
//! A folder of segments, `00000000000000000001.seg` and on, each a run of records (see
//! `queue::record`) that begins with a checkpoint: every subscription's place when the segment
//! began. One writer appends; any number of readers follow it as far as it has synced.
//!
//! Invariants:
//!
//! * A record counts once the fdatasync behind it has returned. Readers never see further.
//! * A segment is zero-filled and synced, and its name with it, before its first record is
//!   written: an append then changes no metadata, so fdatasync is one write and one flush.
//! * Bytes behind the end of the live segment are zeros, or garbage that was never acknowledged
//!   and is zeroed before the journal goes on.
//! * Behind the last record of a sealed segment are zeros: anything else is damage. A file that
//!   serves a second time is therefore zeroed first, under the name `spare`.
//! * What recovery finds counts from then on, so the last commit is written and synced once more.
//! * After a failed sync nothing is known about what was written: the writer is poisoned and only
//!   reopening, which looks at what is on disk, goes on.
//! * Nothing that can be read is ever cut off; what cannot is named as `Damage`.

use std::fmt;

use crate::queue::record::HEADER_BYTES;

mod fs;
mod preparer;
mod reader;
mod recover;
mod segments;
mod writer;

pub use fs::{File, FileSystem, OsFileSystem};
pub(crate) use preparer::{Preparer, Reserve};
pub(crate) use reader::{Found, Reader};
pub(crate) use recover::{Recovered, Survey, recover, survey};
pub(crate) use segments::{Damage, Lost, Segment, Segments};
pub(crate) use writer::{WriteError, Writer};

/// How large a segment is made. Small, because two of them stand ready even when nothing waits,
/// and because deleting a large file stalls ext4.
pub(crate) const SEGMENT_BYTES: u32 = 16 << 20;

/// Where a record begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Location {
    pub(crate) segment: u64,
    pub(crate) offset: u32,
}

impl Location {
    pub(crate) const fn start_of(segment: u64) -> Self {
        Self { segment, offset: 0 }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {} at byte {}", self.segment, self.offset)
    }
}
