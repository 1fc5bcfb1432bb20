//! Reads stretches of a segment, also from a disk that gives only part of them.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Cause;
use crate::clock::Timestamp;
use crate::queue::embedded::record::{end_of, last_used};
use crate::queue::storage::StorageFile;
use crate::sync::lock;

/// What a disk gives or fails to give as one.
const BLOCK_BYTES: u32 = 4096;
/// From here on a buffer counts as large: nearly a whole segment.
const LARGE_BYTES: usize = 1 << 20;
/// How much is asked for to hold a large buffer: from 32 MiB on glibc always maps memory of its
/// own, which goes back to the system when it is freed. Less would stay in the heap of an idle
/// process.
const MAPPED_BYTES: usize = 33 << 20;

/// How often a read of a segment may fail before it is read by blocks, and how far apart these
/// failures are: several readers that fail at the same moment are one failure.
const FAILURES_MAX: u32 = 4;
const FAILURES_APART: Duration = Duration::from_secs(3);
/// Failures that are further apart have nothing to do with each other.
const FAILURES_FORGOTTEN: Duration = Duration::from_mins(1);

/// Bytes of a segment; zeros stand for what the disk does not give.
#[derive(Debug, Default)]
pub(super) struct Stretch {
    pub(super) bytes: Vec<u8>,
    /// Ranges of file offsets that the disk does not give.
    pub(super) unreadable: Vec<Range<u32>>,
    /// What it says instead.
    pub(super) error: Option<io::ErrorKind>,
}

impl Stretch {
    /// Reads `n_bytes` from `from` on; less only at the file's end.
    pub(super) fn read(file: &dyn StorageFile, from: u32, n_bytes: usize) -> io::Result<Self> {
        let n_asked = if n_bytes > LARGE_BYTES { n_bytes.max(MAPPED_BYTES) } else { n_bytes };
        // Zeros of the allocator: of a large buffer the system makes only the pages that are used.
        let mut bytes = vec![0; n_asked];
        bytes.truncate(n_bytes);
        let n_read = file.read_at(&mut bytes, from.into())?;
        bytes.truncate(n_read);
        Ok(Self { bytes, ..Self::default() })
    }

    /// The same block by block, where the disk does not give all of it.
    pub(super) fn read_blocks(file: &dyn StorageFile, from: u32, n_bytes: usize) -> Self {
        let mut stretch = Self { bytes: vec![0; n_bytes], ..Self::default() };
        let end = end_of(from, n_bytes);
        let mut at = from;
        while at < end {
            let block_end = (at / BLOCK_BYTES + 1).saturating_mul(BLOCK_BYTES).min(end);
            let range = (at - from) as usize..(block_end - from) as usize;
            let block = stretch.bytes.get_mut(range).unwrap_or_default();
            match file.read_at(block, at.into()) {
                Ok(n_read) if n_read < block.len() => {
                    stretch.bytes.truncate((at - from) as usize + n_read);
                    break;
                }
                Ok(_) => {}
                Err(err) => {
                    block.fill(0);
                    stretch.error = Some(err.kind());
                    match stretch.unreadable.last_mut() {
                        Some(last) if last.end == at => last.end = block_end,
                        Some(_) | None => stretch.unreadable.push(at..block_end),
                    }
                }
            }
            at = block_end;
        }
        stretch
    }

    /// What a file gives that cannot be opened.
    pub(super) fn unreadable(range: Range<u32>, error: io::ErrorKind) -> Self {
        let bytes = vec![0; range.len()];
        Self { bytes, unreadable: [range].into(), error: Some(error) }
    }

    /// Whether the disk does not give all bytes of `range`.
    pub(super) fn is_unreadable_in(&self, range: &Range<u32>) -> bool {
        self.unreadable.iter().any(|bad| bad.start < range.end && range.start < bad.end)
    }

    /// Why the bytes of `range` make no record.
    pub(super) fn cause_in(&self, range: Range<u32>) -> Cause {
        let error = self.error.filter(|_| self.is_unreadable_in(&range));
        error.map_or(Cause::BadChecksum, Cause::Io)
    }

    /// Behind the last byte that is not zero or that the disk does not give; the stretch begins at
    /// `from`.
    pub(super) fn used_until(&self, from: u32) -> u32 {
        let last = last_used(&self.bytes);
        let used = last.map_or(from, |last| end_of(from, last + 1));
        used.max(self.unreadable.last().map_or(0, |range| range.end))
    }
}

/// Which segments' disk has not answered for how long.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// Until the log serves, no caller waits: what the disk does not give is damage at once. A
    /// start that waited for a bad block would never be one.
    is_serving: AtomicBool,
    failures: Mutex<BTreeMap<u32, Failures>>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last_at: Timestamp,
}

impl Patience {
    /// From here on a read that fails is tried again before it counts as damage.
    pub(super) fn begin_serving(&self) {
        self.is_serving.store(true, Ordering::Relaxed);
    }

    /// Notes that a read of segment `number` failed; `true` = it has failed for so long that it is
    /// read by blocks from here on.
    pub(super) fn is_over(&self, number: u32, now: Timestamp) -> bool {
        if !self.is_serving.load(Ordering::Relaxed) {
            return true;
        }
        let mut all = lock(&self.failures);
        let failures = all.entry(number).or_insert(Failures { count: 1, last_at: now });
        let apart = now.since(failures.last_at);
        if failures.count < FAILURES_MAX && apart >= FAILURES_APART {
            failures.count = if apart > FAILURES_FORGOTTEN { 1 } else { failures.count + 1 };
            failures.last_at = now;
        }
        failures.count >= FAILURES_MAX
    }

    pub(super) fn forget(&self, number: u32) {
        lock(&self.failures).remove(&number);
    }
}
