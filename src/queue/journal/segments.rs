//! The table of segments that writer, readers and the janitor share.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;

use super::fs::{File, FileSystem};
use super::{HEADER_BYTES, Location};
use crate::clock::Timestamp;
use crate::event::Position;
use crate::queue::record::{Header, Kind, Record};

/// From here on a buffer counts as large: nearly a whole segment.
const LARGE_BYTES: usize = 1 << 20;
/// How much is asked for to hold a large buffer: from 32 MiB on glibc always maps memory of its own,
/// which goes back to the system when it is freed. Less would stay in the heap of an idle process.
const MAPPED_BYTES: usize = 33 << 20;

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
    pub(crate) lost: Lost,
}

/// The events that stood in a damaged stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// Nothing that was read so far tells.
    Unknown,
    /// No event stood there.
    Nothing,
    Events {
        first: Position,
        count: u64,
    },
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} bytes cannot be read", self.at, self.bytes)?;
        match self.lost {
            Lost::Unknown => f.write_str(", which may have held events"),
            Lost::Nothing => f.write_str(", no event is missing"),
            Lost::Events { first, count: 1 } => {
                write!(f, ", 1 event is missing (position {})", first.0)
            }
            Lost::Events { first, count } => {
                write!(f, ", {count} events are missing (positions {} on)", first.0)
            }
        }
    }
}

impl Damage {
    fn end(&self) -> u32 {
        self.at.offset.saturating_add(self.bytes)
    }

    /// Whether all of `other` is part of this: its bytes or, where only a gap between positions
    /// told of it, its events.
    fn covers(&self, other: &Self) -> bool {
        let is_same_gap =
            other.bytes == 0 && self.lost == other.lost && matches!(self.lost, Lost::Events { .. });
        is_same_gap
            || self.at.segment == other.at.segment
                && self.at.offset <= other.at.offset
                && other.end() <= self.end()
                && (other.bytes > 0 || other.at == self.at)
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

    /// The path of the file that waits to become a segment again.
    pub(crate) fn spare_path(&self) -> PathBuf {
        self.folder.join("spare")
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

    /// Remembers damage; `true` = it was not known before. Readers begin at different places: of
    /// two overlapping stretches the wider one stays, and of one stretch what is known best.
    pub(crate) fn note_damage(&self, damage: Damage) -> bool {
        let mut known = self.damage.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wider) = known.values_mut().find(|known| known.covers(&damage)) {
            if wider.lost == Lost::Unknown && wider.at == damage.at {
                wider.lost = damage.lost;
            }
            return false;
        }
        let before = known.len();
        known.retain(|_, narrower| !damage.covers(narrower));
        let is_new = known.len() == before;
        known.insert(damage.at, damage);
        is_new
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
        let found = Stretch { segment: self.number, begin: from, bytes: &rest }.find_valid(0);
        Ok(found.map(|(at, header)| (from.saturating_add(offset(at)), header)))
    }

    /// The position that the next event has behind everything before `until` that can be read;
    /// `None` = nothing there tells.
    pub(crate) fn next_position(&self, until: u32) -> io::Result<Option<Position>> {
        let bytes = Bytes::from(self.read(0, until as usize)?);
        let stretch = Stretch { segment: self.number, begin: 0, bytes: &bytes };
        let (mut at, mut next) = (0, None);
        while let Some((found, header)) = stretch.find_valid(at) {
            at = found.saturating_add(header.record_bytes());
            let payload = bytes.slice(found.saturating_add(HEADER_BYTES).min(at)..at);
            match Record::decode(stretch.known_kind(found, &header)?, &payload) {
                Some(Record::Event(event, _)) => next = next.max(Some(event.position.next())),
                Some(Record::Checkpoint(places)) => next = next.max(Some(places.next)),
                Some(
                    Record::Settled(_) | Record::Carried(..) | Record::Keys(_) | Record::Filler,
                )
                | None => {}
            }
        }
        Ok(next)
    }

    /// How many bytes from `from` on are not the zeros of unused room.
    pub(crate) fn used_behind(&self, from: u32) -> io::Result<u32> {
        let rest = self.read(from, self.capacity.saturating_sub(from) as usize)?;
        let last = rest.iter().rposition(|byte| *byte != 0);
        Ok(last.map_or(0, |last| offset(last.saturating_add(1))))
    }

    /// Reads `n_bytes` from `from` on; less only at the file's end.
    pub(crate) fn read(&self, from: u32, n_bytes: usize) -> io::Result<Vec<u8>> {
        let mut bytes =
            if n_bytes > LARGE_BYTES { Vec::with_capacity(MAPPED_BYTES) } else { Vec::new() };
        bytes.resize(n_bytes, 0);
        let n_read = self.file.read_at(&mut bytes, u64::from(from))?;
        bytes.truncate(n_read);
        Ok(bytes)
    }
}

/// A part of a segment's bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch<'a> {
    pub(crate) segment: u64,
    /// Where in the segment it begins.
    pub(crate) begin: u32,
    pub(crate) bytes: &'a [u8],
}

impl Stretch<'_> {
    /// The first whole record at or behind index `from`.
    pub(crate) fn find_valid(&self, from: usize) -> Option<(usize, Header)> {
        if let Some(header) = self.valid_at(from) {
            return Some((from, header));
        }
        let mut at = from;
        loop {
            // Nearly all of what is searched are zeros, which begin no record.
            let skip = self.bytes.get(at..)?.iter().position(|byte| *byte != 0)?;
            // The bytes of a length may be zero, all four of them in an empty record, and so may
            // the first ones of a checksum: begin some bytes earlier.
            let first = at + skip.saturating_sub(7);
            for candidate in first..=at + skip {
                if let Some(header) = self.valid_at(candidate) {
                    return Some((candidate, header));
                }
            }
            at += skip + 1;
        }
    }

    /// The header of the whole record at index `at`, whatever version wrote it.
    pub(crate) fn valid_at(&self, at: usize) -> Option<Header> {
        let tail = self.bytes.get(at..)?;
        let header = Header::parse(tail.first_chunk::<HEADER_BYTES>()?)?;
        // Told first, because it is told for less than the checksum of what may be megabytes.
        if header.batch_start > self.begin.saturating_add(offset(at)) {
            return None;
        }
        let payload = tail.get(HEADER_BYTES..header.record_bytes())?;
        header.fits(self.segment, payload).then_some(header)
    }

    /// What the whole record at index `at` is; an error where only a newer version knows.
    pub(crate) fn known_kind(&self, at: usize, header: &Header) -> io::Result<Kind> {
        header.kind.ok_or_else(|| {
            let offset = self.begin.saturating_add(offset(at));
            let at = Location { segment: self.segment, offset };
            let what = format!("{at}: a record was written by a newer version of gatepost");
            io::Error::new(io::ErrorKind::Unsupported, what)
        })
    }
}

/// An index into a segment's bytes as an offset: segments are far below 4 GiB.
pub(crate) fn offset(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
