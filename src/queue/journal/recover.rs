//! Opens the journal: finds its end and mends what a power cut tore.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::fs::FileSystem;
use super::segments::{Segment, Segments, Stretch, offset};
use super::{HEADER_BYTES, Location};
use crate::clock::Timestamp;
use crate::event::Position;
use crate::queue::record::{Batch, Kind, Record};

/// What was found on disk.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) segments: Arc<Segments>,
    /// Behind the last whole record; `None` = the journal is new.
    pub(crate) end: Option<Location>,
    /// Bytes of a torn last commit that were cleared.
    pub(crate) torn_bytes: u64,
}

/// What stands in a folder, before anything is changed.
pub(crate) struct Survey {
    pub(crate) segments: Arc<Segments>,
    /// Behind the last whole record; `None` = there is none.
    pub(crate) end: Option<Location>,
    /// Holes in the live segment's last commit, which was then never acknowledged.
    pub(crate) holes: Vec<Range<u32>>,
    /// Bytes of these, and of what is no whole record behind the end.
    pub(crate) torn_bytes: u64,
    /// Segments that were made ahead of need and hold nothing of their own yet.
    unused: Vec<Segment>,
}

/// Looks at every segment in `folder` and changes nothing.
pub(crate) fn survey(fs: Arc<dyn FileSystem>, folder: &Path) -> io::Result<Survey> {
    let mut numbers: Vec<u64> =
        fs.list(folder)?.iter().filter_map(|path| Segments::number_of(path)).collect();
    numbers.sort_unstable();
    let segments = Arc::new(Segments::new(fs, folder));
    let mut in_use = Vec::new();
    for number in numbers {
        let path = segments.path(number);
        let file = match segments.fs.open(&path, false) {
            // A segment goes at any time while the queue is open and somebody else looks at it.
            Err(err) if err.kind() == io::ErrorKind::NotFound => continue,
            opened => opened?,
        };
        let capacity = u32::try_from(file.size()?).unwrap_or(u32::MAX);
        let began_at = Timestamp::default();
        in_use.push(Segment { number, file, capacity, first: Position(0), began_at });
    }
    let mut unused = Vec::new();
    while let Some(last) = in_use.pop() {
        if last.next_valid(0)?.is_some() {
            in_use.push(last);
            break;
        }
        unused.push(last);
    }
    let live = in_use.last().cloned();
    find_beginnings(&mut in_use)?;
    if let [.., sealed, _] = in_use.as_slice() {
        refuse_newer(sealed)?;
    }
    for segment in in_use {
        segments.insert(segment);
    }
    let Some(live) = live else {
        return Ok(Survey { segments, end: None, holes: Vec::new(), torn_bytes: 0, unused });
    };
    let Tail { end, holes, torn_bytes, .. } = Tail::of(&live)?;
    let end = Some(Location { segment: live.number, offset: end });
    Ok(Survey { segments, end, holes, torn_bytes, unused })
}

/// Opens every segment in `folder` and mends the last one.
pub(crate) fn recover(fs: Arc<dyn FileSystem>, folder: &Path) -> io::Result<Recovered> {
    let Survey { segments, end, torn_bytes, unused, .. } = survey(fs, folder)?;
    let spare = segments.spare_path();
    if segments.fs.list(folder)?.contains(&spare) {
        segments.fs.remove(&spare)?;
    }
    for segment in unused {
        put_away(&segments, &segment)?;
    }
    if let Some(live) = end.and_then(|end| segments.get(end.segment)) {
        mend(&live)?;
    }
    Ok(Recovered { segments, end, torn_bytes })
}

/// An error where a newer version wrote into the segment, in front of which an older one may have
/// written. Reads all of it, which for each segment would take minutes: a version that comes later
/// writes on in the newest ones, and its segments tell by their heads. What it left elsewhere is an
/// error for whoever comes to read it.
fn refuse_newer(segment: &Segment) -> io::Result<()> {
    segment.next_position(segment.capacity).map(drop)
}

/// Removes a segment that was made ahead of need. Where much is in it although none of it can be
/// read, it is kept under another name, for whoever wants to look at it.
fn put_away(segments: &Segments, segment: &Segment) -> io::Result<()> {
    let path = segments.path(segment.number);
    if segment.used_behind(0)? <= HEAD_BYTES_MAX {
        return segments.fs.remove(&path);
    }
    tracing::error!(segment = segment.number, "Nothing in a segment can be read; it is put aside");
    segments.fs.rename(&path, &path.with_extension("unreadable"))
}

/// How much a checkpoint that was torn while its segment began may take.
const HEAD_BYTES_MAX: u32 = 256 << 10;

/// Finds out where each segment begins. Where its own records do not say so any more, it begins
/// behind everything that the segment before it holds: never earlier, or events of that one would
/// be looked for here.
fn find_beginnings(segments: &mut [Segment]) -> io::Result<()> {
    let mut first = Position(1);
    let mut before: Option<Segment> = None;
    for segment in &mut *segments {
        // Ages are judged by the following segment's time: unknown counts as young.
        segment.began_at = Timestamp::from_millis(i64::MAX);
        if let Some(beginning) = beginning(segment)? {
            first = beginning.0.max(first);
            segment.began_at = beginning.1;
        } else if let Some(before) = &before {
            first = before.next_position(before.capacity)?.map_or(first, |next| next.max(first));
        }
        segment.first = first;
        before = Some(segment.clone());
    }
    let mut following = Timestamp::from_millis(i64::MAX);
    for segment in segments.iter_mut().rev() {
        if segment.began_at == Timestamp::from_millis(i64::MAX) {
            segment.began_at = following;
        }
        following = segment.began_at;
    }
    // Before the oldest one there is nothing to go by: only the very first begins with the first.
    if let [oldest, next, ..] = segments
        && oldest.number > 1
        && beginning(oldest)?.is_none()
    {
        oldest.first = next.first;
    }
    Ok(())
}

/// The next position and the time when a segment began: from its checkpoint, else from its first
/// event. `None` where neither can be read.
fn beginning(segment: &Segment) -> io::Result<Option<(Position, Timestamp)>> {
    match beginning_within(segment, 64 << 10)? {
        None => beginning_within(segment, segment.capacity as usize),
        found => Ok(found),
    }
}

fn beginning_within(
    segment: &Segment,
    n_bytes: usize,
) -> io::Result<Option<(Position, Timestamp)>> {
    let head = Bytes::from(segment.read(0, n_bytes)?);
    let stretch = Stretch { segment: segment.number, begin: 0, bytes: &head };
    let mut at = 0;
    let mut beginning = None;
    while let Some((found, header)) = match beginning {
        None => stretch.find_valid(at),
        // The rest of what was read is looked at for records of a newer version only.
        Some(_) => stretch.valid_at(at).map(|header| (at, header)),
    } {
        at = found + header.record_bytes();
        let kind = stretch.known_kind(found, &header)?;
        if beginning.is_some() {
            continue;
        }
        beginning = match Record::decode(kind, &head.slice(found + HEADER_BYTES..at)) {
            Some(Record::Checkpoint(places)) => Some((places.next, places.at)),
            Some(Record::Event(event, _)) => Some((event.position, event.received_at)),
            Some(Record::Settled(_) | Record::Carried(..) | Record::Keys(_) | Record::Filler)
            | None => None,
        };
    }
    Ok(beginning)
}

/// The end of the live segment, as it is found.
struct Tail {
    bytes: Vec<u8>,
    end: u32,
    last_commit: u32,
    holes: Vec<Range<u32>>,
    /// How many bytes behind the end are not zeros.
    behind: u32,
    torn_bytes: u64,
}

impl Tail {
    fn of(live: &Segment) -> io::Result<Self> {
        let bytes = live.read(0, live.capacity as usize)?;
        let (mut end, mut last_commit) = (0, 0);
        let mut holes: Vec<Range<u32>> = Vec::new();
        let stretch = Stretch { segment: live.number, begin: 0, bytes: &bytes };
        while let Some((at, header)) = stretch.find_valid(end) {
            stretch.known_kind(at, &header)?;
            if at > end {
                holes.push(offset(end)..offset(at));
            }
            // A commit that began behind a hole proves that the hole had been synced: damage, not
            // a torn write. Damage stays as it is, for whoever wants to look at it.
            holes.retain(|hole| header.batch_start <= hole.start);
            last_commit = header.batch_start;
            end = at.saturating_add(header.record_bytes());
        }
        let rest = bytes.get(end..).unwrap_or_default();
        let behind = rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| offset(last + 1));
        let in_holes: u64 = holes.iter().map(|hole| u64::from(hole.end - hole.start)).sum();
        let torn_bytes = in_holes + u64::from(behind);
        Ok(Self { bytes, end: offset(end), last_commit, holes, behind, torn_bytes })
    }
}

/// Mends the end of the live segment. A hole in the last commit, which was then never
/// acknowledged, is filled so that nobody takes it for damage later; whole records behind the
/// hole are kept. What is behind the end is zeroed, so that nothing of it can come back between
/// records yet to be written.
fn mend(live: &Segment) -> io::Result<()> {
    let Tail { bytes, end, last_commit, holes, behind, .. } = Tail::of(live)?;
    write_again(live, &bytes, last_commit as usize..end as usize)?;
    for hole in holes {
        fill_hole(live, &hole)?;
    }
    if behind > 0 {
        live.file.write_all_at(&vec![0; behind as usize], u64::from(end))?;
        live.file.sync_data()?;
    }
    Ok(())
}

/// Writes and syncs the last commit once more. Its sync may never have been made (the process was
/// killed) or have failed (the system then may hold in memory, as clean, what the disk does not
/// have): from here on it counts, so it must be there.
fn write_again(live: &Segment, bytes: &[u8], commit: Range<usize>) -> io::Result<()> {
    let Some(commit_bytes) = bytes.get(commit.clone()).filter(|bytes| !bytes.is_empty()) else {
        return Ok(());
    };
    live.file.write_all_at(commit_bytes, commit.start as u64)?;
    live.file.sync_data()
}

/// Puts one record that says nothing over a hole. A hole is never smaller than a header: it was
/// at least one record.
fn fill_hole(live: &Segment, hole: &Range<u32>) -> io::Result<()> {
    let Some(payload_bytes) = hole.len().checked_sub(HEADER_BYTES) else { return Ok(()) };
    let mut batch = Batch::new(live.number, hole.start, Vec::new());
    batch.push(Kind::Filler, |out| out.resize(out.len() + payload_bytes, 0));
    live.file.write_all_at(batch.bytes(), u64::from(hole.start))?;
    live.file.sync_data()
}
