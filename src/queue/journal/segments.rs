//! The table of segments that writer, readers and the janitor share.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::fs::{File, FileSystem};
use super::{HEADER_BYTES, Location};
use crate::clock::Timestamp;
use crate::event::Position;
use crate::queue::record::Header;

/// One segment's file and what is known of it.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) file: Arc<dyn File>,
    /// Bytes of the file.
    pub(crate) capacity: u32,
    /// The position that the next event had when the segment began.
    pub(crate) first: Position,
    /// When it began, by the wall clock; everything in earlier segments is older.
    pub(crate) began_at: Timestamp,
}

/// A stretch of a segment that cannot be read although something valid stands behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) at: Location,
    /// How many bytes were skipped.
    pub(crate) bytes: u32,
    /// Events that are missing: the first and how many. `None` = no event was in it.
    pub(crate) lost: Option<(Position, u64)>,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} bytes cannot be read", self.at, self.bytes)?;
        match self.lost {
            None => f.write_str(", no event is missing"),
            Some((first, 1)) => write!(f, ", 1 event is missing (position {})", first.0),
            Some((first, n)) => {
                write!(f, ", {n} events are missing (positions {} on)", first.0)
            }
        }
    }
}

/// All segments, by number.
#[derive(Debug)]
pub(crate) struct Segments {
    pub(crate) fs: Arc<dyn FileSystem>,
    pub(crate) folder: PathBuf,
    table: RwLock<BTreeMap<u64, Segment>>,
    damage: Mutex<BTreeMap<Location, Damage>>,
}

impl Segments {
    pub(crate) fn new(fs: Arc<dyn FileSystem>, folder: &Path) -> Self {
        Self { fs, folder: folder.to_owned(), table: RwLock::default(), damage: Mutex::default() }
    }

    /// The path of a segment's file.
    pub(crate) fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:020}.seg"))
    }

    /// The number in a segment's file name.
    pub(crate) fn number_of(path: &Path) -> Option<u64> {
        let name = path.file_name()?.to_str()?.strip_suffix(".seg")?;
        (name.len() == 20).then(|| name.parse().ok())?
    }

    pub(crate) fn insert(&self, segment: Segment) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        table.insert(segment.number, segment);
    }

    pub(crate) fn remove(&self, number: u64) -> Option<Segment> {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        table.remove(&number)
    }

    pub(crate) fn get(&self, number: u64) -> Option<Segment> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.get(&number).cloned()
    }

    /// The segment of this number or, where it is gone, the next one that is there.
    pub(crate) fn at_or_after(&self, number: u64) -> Option<Segment> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.range(number..).next().map(|(_, segment)| segment.clone())
    }

    /// The segment in which `position` was first written, as far as it is still there.
    pub(crate) fn holding(&self, position: Position) -> Option<Segment> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.values().rev().find(|segment| segment.first <= position).cloned()
    }

    /// All segments, oldest first.
    pub(crate) fn all(&self) -> Vec<Segment> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.values().cloned().collect()
    }

    /// Bytes of all segment files.
    pub(crate) fn bytes(&self) -> u64 {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.values().map(|segment| u64::from(segment.capacity)).sum()
    }

    /// Remembers damage; `true` = it was not known before.
    pub(crate) fn note_damage(&self, damage: Damage) -> bool {
        let mut known = self.damage.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(damage.at, damage).is_none()
    }

    /// The damage found so far in segments that are still there.
    pub(crate) fn damage(&self) -> Vec<Damage> {
        let known = self.damage.lock().unwrap_or_else(PoisonError::into_inner);
        known.values().cloned().collect()
    }

    /// Forgets the damage of a segment that is gone.
    pub(crate) fn forget_damage(&self, number: u64) {
        let mut known = self.damage.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|at, _| at.segment != number);
    }
}

impl Segment {
    /// The first whole record at or behind `from`, with its offset: reads the rest of the file.
    pub(crate) fn next_valid(&self, from: u32) -> io::Result<Option<(u32, Header)>> {
        let rest = self.read(from, self.capacity.saturating_sub(from) as usize)?;
        let found = find_valid(&rest, 0, self.number);
        Ok(found.map(|(at, header)| (from.saturating_add(offset(at)), header)))
    }

    /// Reads `n_bytes` from `from` on; less only at the file's end.
    pub(crate) fn read(&self, from: u32, n_bytes: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; n_bytes];
        let n_read = self.file.read_at(&mut bytes, u64::from(from))?;
        bytes.truncate(n_read);
        Ok(bytes)
    }
}

/// The first whole record at or behind index `from` of a segment's bytes.
pub(crate) fn find_valid(bytes: &[u8], from: usize, segment: u64) -> Option<(usize, Header)> {
    let mut at = from;
    loop {
        // Nearly all of what is searched are zeros, which begin no record.
        let skip = bytes.get(at..)?.iter().position(|byte| *byte != 0)?;
        // The low bytes of a length may be zero: begin up to three bytes earlier.
        let first = at + skip.saturating_sub(3);
        for candidate in first..=at + skip {
            if let Some(header) = valid_at(bytes, candidate, segment) {
                return Some((candidate, header));
            }
        }
        at += skip + 1;
    }
}

/// The header of the whole record at `at`.
pub(crate) fn valid_at(bytes: &[u8], at: usize, segment: u64) -> Option<Header> {
    let tail = bytes.get(at..)?;
    let header = Header::parse(tail.first_chunk::<HEADER_BYTES>()?)?;
    let payload = tail.get(HEADER_BYTES..header.record_bytes())?;
    header.fits(segment, payload).then_some(header)
}

/// An index into a segment's bytes as an offset: segments are far below 4 GiB.
pub(crate) fn offset(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
