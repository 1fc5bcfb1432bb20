//! The log: the truth behind the queue, as a folder of segment files.
//!
//! `log/NUMBER-SALT.log`, each a run of records (see `record`) that begins with a head. One writer
//! appends; any number of readers follow it as far as it has synced. `log/spare` is a file that was
//! a segment and waits to become one again; `aside/` holds what was taken out of the log's way and
//! is kept for people.
//!
//! Invariants:
//!
//! * A record counts once the fdatasync behind it has returned. Readers never see further.
//! * A segment is zero-filled and synced, and its name with it, before its first record is
//!   written: an append then changes no metadata, so fdatasync is one write and one flush.
//! * Bytes behind the end of the live segment are zeros, or a torn unit that was never
//!   acknowledged: it is copied to `aside/` and zeroed before the log goes on.
//! * Each head says where the segment before it ends: what is missing before that is damage, what
//!   is behind it is none.
//! * What recovery finds counts from then on, so the last unit is written and synced once more.
//! * After a failed sync nothing is known about what was written: the writer is poisoned and only
//!   opening again, which looks at what is on disk, goes on.
//! * Nothing is appended to a file of which anything could not be read.
//! * Nothing that can be read is ever cleared; what cannot be is named as [`Damage`], and the rest
//!   is served.

use std::io;

mod allocator;
mod blocks;
mod contents;
mod damage;
mod file_log;
mod find;
mod found;
mod locate;
mod offsets;
mod open;
mod options;
mod raw;
mod reader;
mod recover;
mod segment;
mod spare;
mod writer;

pub(crate) use allocator::{AllocateError, AllocatedSegment, Reserve, SegmentAllocator, Want};
pub(crate) use damage::{Cause, Damage};
pub(crate) use file_log::{FileLog, LogHead, ReadError, Removal};
pub(crate) use find::Finder;
pub(crate) use found::Found;
pub(crate) use open::{Opened, Survey};
pub(crate) use options::{OpenError, OpenOptions};
pub use raw::SegmentFile;
pub(crate) use reader::LogReader;
pub(crate) use segment::SegmentInfo;
pub(crate) use writer::{AppendError, LogWriter};

/// How large a segment is made. Small, because two of them stand ready even when nothing waits,
/// and because deleting a large file stalls ext4.
pub(crate) const SEGMENT_BYTES: u32 = 16 << 20;

/// Whether an error says that there is no room.
pub(crate) fn is_full(err: &io::Error) -> bool {
    matches!(err.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether an error says that the system has too few handles or too little memory just now.
pub(crate) fn is_scarce(err: &io::Error) -> bool {
    let errno = rustix::io::Errno::from_io_error(err);
    err.kind() == io::ErrorKind::OutOfMemory
        || errno == Some(rustix::io::Errno::MFILE)
        || errno == Some(rustix::io::Errno::NFILE)
}

#[cfg(test)]
mod tests;
