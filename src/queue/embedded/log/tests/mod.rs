//! The file log over storage in memory, with small segments.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::*;
use crate::clock::{ManualClock, Timestamp};
use crate::event::{EventId, NewEvent, Position, SourceName};
use crate::queue::embedded::record::{
    KeptEnd, Kind, Lsn, Record, SegmentHead, SegmentId, UnitBuilder,
};
use crate::queue::embedded::testing::{Call, MemoryStorage, Verdict};

mod damage;
mod faults;
mod power;
mod reading;
mod writing;

const SEGMENT: u32 = 16 << 10;

/// A log, its writer and its allocator.
struct Fixture {
    storage: MemoryStorage,
    clock: Arc<ManualClock>,
    log: Arc<FileLog>,
    writer: LogWriter,
    allocator: SegmentAllocator,
    next: Position,
}

fn folder() -> &'static Path {
    Path::new("/q")
}

fn options(clock: &Arc<ManualClock>) -> OpenOptions {
    OpenOptions {
        segment_bytes: SEGMENT,
        disk_reserve: 0,
        clock: Arc::clone(clock) as _,
        known: Vec::new(),
        synced_until: Lsn(0),
        drops_torn_units: false,
    }
}

fn salt(number: u32) -> u64 {
    u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn id(number: u32) -> SegmentId {
    SegmentId { number, salt: salt(number) }
}

fn path(number: u32) -> PathBuf {
    folder().join("log").join(id(number).file_name())
}

fn head(next: Position) -> SegmentHead {
    SegmentHead {
        at: Timestamp::from_millis(1_000 + i64::try_from(next.0).unwrap()),
        next,
        newest_id: None,
        opening: 1,
        first: 1,
        first_position: Position(1),
        kept: KeptEnd::default(),
        previous: None,
        handlers: Vec::new(),
    }
}

fn new_event(body: &[u8]) -> NewEvent {
    let source = SourceName::parse("shop").unwrap();
    NewEvent::new(source, "x.y", Timestamp::from_millis(5), body.to_vec())
}

fn event_id(position: Position) -> EventId {
    EventId(Uuid::from_u128(u128::from(position.0)))
}

/// A body that tells its event.
fn body(position: Position, n_bytes: usize) -> Vec<u8> {
    let mut body = position.0.to_le_bytes().to_vec();
    body.resize(n_bytes.max(8), u8::try_from(position.0 % 251).unwrap());
    body
}

fn allocate(
    allocator: &mut SegmentAllocator,
    number: u32,
) -> Result<AllocatedSegment, AllocateError> {
    loop {
        let want = Want { id: id(number), reserve: Reserve::Kept };
        if let Some(segment) = allocator.step(want)? {
            return Ok(segment);
        }
    }
}

impl Fixture {
    fn open(storage: &MemoryStorage) -> Self {
        Self::try_open(storage).expect("to open")
    }

    fn try_open(storage: &MemoryStorage) -> Result<Self, OpenError> {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
        let options = options(&clock);
        let opened = FileLog::open(Arc::new(storage.clone()), folder(), &options)?;
        let log = Arc::clone(&opened.survey.log);
        log.begin_serving();
        let allocator = SegmentAllocator::new(Arc::clone(&log));
        let (writer, next) = (opened.writer, opened.survey.next_position.max(Position(1)));
        Ok(Self { storage: storage.clone(), clock, log, writer, allocator, next })
    }

    fn try_roll(&mut self, needed: usize) -> Result<(), AppendError> {
        let allocated = allocate(&mut self.allocator, self.writer.next_number());
        let segment = allocated.map_err(|err| AppendError::Full(err.to_string()))?;
        let LogHead { first, first_position, .. } = self.log.head();
        let (first, first_position) = (first.segment().max(1), first_position.max(Position(1)));
        self.writer.roll(
            segment,
            SegmentHead { first, first_position, ..head(self.next) },
            needed,
        )?;
        self.writer.publish(self.next);
        Ok(())
    }

    fn roll(&mut self) {
        self.try_roll(0).expect("to roll");
    }

    /// Appends one unit of events; they are published.
    fn try_append(&mut self, n_events: u64, body_bytes: usize) -> Result<Lsn, AppendError> {
        let wanted = usize::try_from(n_events).unwrap() * (body_bytes + 100);
        if self.writer.needs_roll() || self.writer.room() < wanted {
            self.try_roll(wanted)?;
        }
        let mut unit = self.writer.begin();
        let mut position = self.next;
        for _ in 0..n_events {
            let event = new_event(&body(position, body_bytes));
            let lsn = unit.push_event(&event, event_id(position), position);
            self.writer.note_event(position, lsn.offset());
            position = position.next();
        }
        let appended = self.writer.append(&unit);
        self.writer.reuse(unit.into_bytes());
        let lsn = appended?;
        self.next = position;
        self.writer.publish(position);
        Ok(lsn)
    }

    fn append(&mut self, n_events: u64, body_bytes: usize) -> Lsn {
        self.try_append(n_events, body_bytes).expect("to append")
    }

    fn append_record(&mut self, push: impl FnOnce(&mut UnitBuilder) -> Lsn) -> Lsn {
        let mut unit = self.writer.begin();
        let lsn = push(&mut unit);
        self.writer.append(&unit).expect("to append");
        self.writer.publish(self.next);
        lsn
    }

    fn reader(&self) -> LogReader {
        LogReader::new(Arc::clone(&self.log), Lsn(0))
    }

    /// The positions of all events that can be read; each is what was written.
    fn positions(&self) -> Vec<u64> {
        self.try_positions().expect("to read")
    }

    fn try_positions(&self) -> Result<Vec<u64>, ReadError> {
        let (mut reader, mut positions) = (self.reader(), Vec::new());
        while let Some(found) = reader.next(self.log.head().next)? {
            if let Some(Record::Event(event, _)) = found.decode() {
                assert_eq!(event.id, event_id(event.position));
                assert_eq!(event.body, body(event.position, event.body.len()));
                positions.push(event.position.0);
            }
        }
        Ok(positions)
    }

    fn damage(&self) -> Vec<String> {
        self.log.damage().iter().map(ToString::to_string).collect()
    }
}

fn up_to(n: u64) -> Vec<u64> {
    (1..=n).collect()
}

const EIO: Verdict = Verdict::Errno(5);
const EMFILE: Verdict = Verdict::Errno(24);

/// Reads of a block of 4 KiB of a segment fail.
fn fail_block(storage: &MemoryStorage, number: u32, block: u64) {
    let (from, to) = (block * 4096, (block + 1) * 4096);
    storage.fail(move |call, failing, offset, len| {
        let overlaps = offset < to && from < offset + len as u64;
        if call == Call::Read && failing == path(number) && overlaps { EIO } else { Verdict::Ok }
    });
}

/// The whole folder, to see whether anything changed.
fn contents_of(storage: &MemoryStorage) -> Vec<(PathBuf, Vec<u8>)> {
    let with_bytes = |path: PathBuf| storage.bytes(&path).map(|bytes| (path, bytes));
    storage.paths().into_iter().filter_map(with_bytes).collect()
}
