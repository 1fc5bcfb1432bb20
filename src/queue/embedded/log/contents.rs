//! What the newest segment holds: its records, where they end, and what is torn or rotten.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use bytes::Bytes;

use super::blocks::Stretch;
use super::offsets::{OffsetTable, push_entry};
use super::options::OpenError;
use super::{Cause, Damage};
use crate::event::{EventId, HandlerName, Position};
use crate::queue::embedded::record::{
    HEADER_BYTES, Header, Incarnation, KeptEnd, Kind, Lsn, Next, Record, Scan, SegmentHead,
    SegmentId, SharedMark, id_of, offset_of, position_of, torn_positions,
};
use crate::queue::storage::StorageFile;

/// No event takes fewer bytes: header, position, id, time, flags and three lengths.
const EVENT_BYTES_MIN: u64 = HEADER_BYTES as u64 + 8 + 16 + 8 + 1 + 3;

/// No record that says a new opening's number takes fewer bytes: header, number and time.
const OPENED_BYTES_MIN: u64 = HEADER_BYTES as u64 + 2;

/// What the whole records of a segment say.
#[derive(Clone, Debug, Default)]
pub(super) struct Recorded {
    pub(super) head: Option<SegmentHead>,
    /// 1 + the largest position that is named.
    pub(super) next_position: Position,
    pub(super) newest_id: Option<EventId>,
    /// The newest that is named.
    opening: u64,
    pub(super) kept: KeptEnd,
    /// Every handler that is told of; `None` = it was forgotten.
    pub(super) handlers: BTreeMap<HandlerName, Option<Incarnation>>,
    /// The oldest segment that counts, with the position that the next event had there; segment 0 =
    /// nothing tells.
    pub(super) first: (u32, Position),
    pub(super) is_closed: bool,
    /// The newest mark of a shared log.
    pub(super) shared: Option<SharedMark>,
    pub(super) table: OffsetTable,
    /// Where the last event begins, and the position behind it.
    last_event: u32,
    next_event: Position,
}

/// A hole between whole records.
#[derive(Clone, Debug)]
pub(super) struct Hole {
    pub(super) range: Range<u32>,
    /// The positions of the events that stood in it.
    pub(super) positions: Range<Position>,
}

/// How many events so many bytes can hold.
pub(super) fn events_within(n_bytes: u64) -> u64 {
    n_bytes.div_ceil(EVENT_BYTES_MIN)
}

/// How many openings so many bytes can tell of.
pub(super) fn openings_within(n_bytes: u64) -> u64 {
    n_bytes.div_ceil(OPENED_BYTES_MIN)
}

/// A segment as it was found.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) stretch: Stretch,
    /// Behind the last whole record; 0 = there is none.
    pub(super) end: u32,
    /// Where the last unit begins.
    pub(super) last_unit: u32,
    /// Holes in the last unit, which was then never acknowledged.
    pub(super) torn: Vec<Hole>,
    /// Holes before what a later unit proves to have been synced.
    rotten: Vec<Range<u32>>,
    /// Behind the last unit's events no mark of a shared log was found.
    is_unmarked: bool,
    /// Whole records that make no sense.
    undecodable: Vec<Range<u32>>,
    /// How many bytes the file lacks of what it was made.
    bytes_cut: u32,
    pub(super) recorded: Recorded,
}

impl Contents {
    /// Reads a segment, by blocks where the disk does not give all of it. What stood before
    /// `synced_until` is not torn.
    pub(super) fn read(
        file: &dyn StorageFile,
        id: SegmentId,
        capacity: u32,
        (drops_torn_units, synced_until): (bool, Lsn),
    ) -> Result<Self, OpenError> {
        let stretch = Stretch::read(file, 0, capacity as usize)
            .unwrap_or_else(|_| Stretch::read_blocks(file, 0, capacity as usize));
        let mut contents = Self::default();
        let bytes = Bytes::from(stretch.bytes);
        contents.find_records(&bytes, id, synced_until)?;
        if drops_torn_units && contents.is_last_unit_torn() {
            let whole = bytes.slice(..contents.last_unit as usize);
            // It was begun once everything before it had been synced.
            let synced_until = synced_until.max(Lsn::new(id.number, contents.last_unit));
            contents = Self::default();
            contents.find_records(&whole, id, synced_until)?;
        }
        contents.stretch = Stretch { bytes: bytes.into(), ..stretch };
        let unreadable = |hole: &mut Hole| contents.stretch.is_unreadable_in(&hole.range);
        let doubtful = contents.torn.extract_if(.., unreadable).map(|hole| hole.range);
        contents.rotten.extend(doubtful);
        Ok(contents)
    }

    /// All of a segment is written with zeros before it is used: what one that is smaller than
    /// `full_bytes` lacks was cut off, and may have had events.
    pub(super) fn cut_short_of(mut self, full_bytes: u32) -> Self {
        self.bytes_cut = full_bytes.saturating_sub(offset_of(self.stretch.bytes.len()));
        self
    }

    /// About how many events were in what was cut off: as many a byte as in what is left. It does not
    /// come back, so that a position more or less does no harm, and the smallest event there can be
    /// would make 300,000 lost ones of a file of 16 MiB.
    fn events_cut(&self) -> u64 {
        let head = self.recorded.head.as_ref();
        let n_left = head.map_or(0, |head| head.next.events_until(self.recorded.next_event));
        match n_left {
            0 => events_within(self.bytes_cut.into()),
            n_left => (u64::from(self.bytes_cut) * n_left).div_ceil(u64::from(self.end.max(1))),
        }
    }

    /// A segment that cannot be opened.
    pub(super) fn unreadable(capacity: u32, error: io::ErrorKind) -> Self {
        Self { stretch: Stretch::unreadable(0..capacity, error), ..Self::default() }
    }

    fn find_records(
        &mut self,
        bytes: &Bytes,
        id: SegmentId,
        synced_until: Lsn,
    ) -> Result<(), OpenError> {
        let mut scan = Scan::new(bytes, 0, id);
        while let Some(next) = scan.next(self.end as usize) {
            let (at, header) = next.place();
            let kind = match next {
                Next::Whole { kind, .. } => kind,
                Next::Unsupported { .. } => return Err(unsupported(id, at, header)),
            };
            let (at, end) = (offset_of(at), offset_of(at + header.record_bytes()));
            if at > self.end {
                let next = self.recorded.next_event;
                self.torn.push(Hole { range: self.end..at, positions: next..next });
            }
            // A unit that begins behind a hole proves that the hole had been synced: rot, not a
            // torn write. It stays as it is, for diagnosis.
            let is_rotten = |hole: &mut Hole| {
                let begin = hole.range.start;
                header.batch_start > begin || Lsn::new(id.number, begin) < synced_until
            };
            self.rotten.extend(self.torn.extract_if(.., is_rotten).map(|hole| hole.range));
            let is_same_unit = self.last_unit == header.batch_start;
            self.is_unmarked =
                kind == Kind::Event || self.is_unmarked && is_same_unit && kind != Kind::Shared;
            self.last_unit = header.batch_start;
            self.end = end;
            let payload = bytes.slice(at as usize + HEADER_BYTES..end as usize);
            let next_event = self.recorded.next_event;
            if self.recorded.note(kind, &payload, Lsn::new(id.number, at)).is_none() {
                self.undecodable.push(at..end);
            }
            // Events in a hole show by the position of the first one behind it.
            if kind == Kind::Event
                && let Some(position) = position_of(&payload)
                && let Some(hole) = self.torn.last_mut()
                && hole.positions.start == next_event
            {
                hole.positions.end = position;
            }
        }
        Ok(())
    }

    /// Whether anything of the last unit is missing.
    fn is_last_unit_torn(&self) -> bool {
        !self.torn.is_empty() || self.is_unmarked
    }

    /// Behind the last byte that was written.
    pub(super) fn used(&self) -> u32 {
        self.stretch.used_until(0)
    }

    /// What was written behind the end and is not whole.
    pub(super) fn torn_tail(&self) -> Range<u32> {
        self.end..self.used().max(self.end)
    }

    /// Whether anything in it is rotten or cannot be read: nothing is appended to it.
    pub(super) fn is_damaged(&self) -> bool {
        self.bytes_cut > 0 || !self.rotten.is_empty() || !self.stretch.unreadable.is_empty()
    }

    pub(super) fn torn_bytes(&self) -> u64 {
        let in_holes: u64 = self.torn.iter().map(|hole| hole.range.len() as u64).sum();
        in_holes + self.torn_tail().len() as u64
    }

    /// 1 + the largest position that is named, and as many more as what cannot be read behind the
    /// last event can have held: a position is never given twice.
    pub(super) fn next_position(&self) -> Position {
        let is_behind = |range: &&Range<u32>| range.start >= self.recorded.last_event;
        let unreadable_tail = self.stretch.unreadable.iter().filter(|range| range.end > self.end);
        let doubtful = self.rotten.iter().filter(is_behind).chain(unreadable_tail);
        let n_bytes: u64 = doubtful.map(|range| range.len() as u64).sum();
        let n_events = events_within(n_bytes) + self.events_cut();
        self.recorded.next_position.max(Position(1)).after(n_events)
    }

    /// The newest opening that is named, and as many more as what cannot be read can have held: once it
    /// can be read again, what an opening before it recorded must not make void what is recorded now.
    pub(super) fn opening(&self) -> u64 {
        let doubtful = self.rotten.iter().chain(&self.undecodable).chain(&self.stretch.unreadable);
        let n_bytes: u64 = doubtful.map(|range| range.len() as u64).sum();
        self.recorded.opening + openings_within(n_bytes)
    }

    pub(super) fn damage(&self, segment: SegmentId) -> Vec<Damage> {
        let damage = |range: &Range<u32>, cause| Damage::of(segment, range.clone(), cause);
        let rotten =
            self.rotten.iter().map(|range| damage(range, self.stretch.cause_in(range.clone())));
        let undecodable = self.undecodable.iter().map(|range| damage(range, Cause::Undecodable));
        let tail = self.stretch.unreadable.iter().filter(|range| range.end > self.end);
        let tail = tail.map(|range| damage(range, self.stretch.cause_in(range.clone())));
        rotten.chain(undecodable).chain(tail).collect()
    }

    /// The damage of a segment in which nothing whole was found, where not all of it can be read.
    pub(super) fn unreadable_damage(&self, segment: SegmentId) -> Option<Damage> {
        let unreadable = &self.stretch.unreadable;
        let (first, last) = (unreadable.first()?, unreadable.last()?);
        let cause = self.stretch.cause_in(first.clone());
        Some(Damage::of(segment, first.start..last.end, cause))
    }
}

impl Recorded {
    /// Takes up what a record says; `None` = it makes no sense.
    fn note(&mut self, kind: Kind, payload: &Bytes, lsn: Lsn) -> Option<()> {
        self.is_closed = false;
        if kind == Kind::Event {
            // Not decoded: its reader checks whether the rest makes sense.
            let (position, id) = (position_of(payload)?, id_of(payload)?);
            self.name(position.next());
            self.newest_id = self.newest_id.max(Some(id));
            (self.last_event, self.next_event) = (lsn.offset(), position.next());
            push_entry(&mut self.table, position, lsn.offset());
            return Some(());
        }
        // These stay passed over, also where what stood behind them is gone.
        if kind == Kind::Filler
            && let Some(torn) = torn_positions(payload)
        {
            self.name(torn.end);
            self.next_event = self.next_event.max(torn.end);
            return Some(());
        }
        match Record::decode(kind, payload)? {
            Record::Head(head) => {
                self.name(head.next);
                self.next_event = self.next_event.max(head.next);
                self.newest_id = self.newest_id.max(head.newest_id);
                self.opening = self.opening.max(head.opening);
                self.first = self.first.max((head.first, head.first_position));
                self.kept = self.kept.max(head.kept);
                let handlers = head.handlers.iter();
                handlers.for_each(|its| self.note_handler(&its.handler, its.incarnation));
                self.head.get_or_insert(head);
            }
            Record::Settle(record) => {
                for section in &record.sections {
                    self.opening = self.opening.max(section.epoch);
                    self.note_handler(&section.handler, section.incarnation);
                    section.changes.iter().for_each(|change| self.name(change.positions().end));
                }
            }
            Record::Subscribed { handler, since, epoch } => {
                self.name(since);
                self.opening = self.opening.max(epoch);
                self.handlers.insert(handler, Some(Incarnation { subscribed: lsn, since }));
            }
            Record::Forgotten { handler, subscribed } => {
                let its = self.handlers.entry(handler).or_default();
                *its = its.filter(|its| its.subscribed > subscribed);
            }
            Record::Trim { first, first_position, kept } => {
                self.first = self.first.max((first, first_position));
                self.kept = self.kept.max(kept);
            }
            Record::Opened { opening, .. } => self.opening = self.opening.max(opening),
            Record::Closed => self.is_closed = true,
            Record::Shared(mark) => self.shared = Some(mark),
            Record::Event(..) | Record::Filler | Record::KeptChanges(_) | Record::KeptFooter(_) => {
            }
        }
        Some(())
    }

    /// Takes up what an earlier segment says, where this one's head cannot be read.
    pub(super) fn merge_earlier(&mut self, earlier: &Contents) {
        self.name(earlier.next_position());
        self.newest_id = self.newest_id.max(earlier.recorded.newest_id);
        self.opening = self.opening.max(earlier.opening());
        self.first = self.first.max(earlier.recorded.first);
        self.kept = self.kept.max(earlier.recorded.kept);
        let shared = self.shared.take();
        self.shared = shared.or_else(|| earlier.recorded.shared.clone());
        for (handler, incarnation) in &earlier.recorded.handlers {
            self.handlers.entry(handler.clone()).or_insert(*incarnation);
        }
    }

    /// A head or an outcome tells of a handler; one that was forgotten before stays so.
    fn note_handler(&mut self, handler: &HandlerName, incarnation: Incarnation) {
        let its = self.handlers.entry(handler.clone()).or_insert(Some(incarnation));
        *its = its.map(|its| its.max(incarnation));
    }

    fn name(&mut self, next: Position) {
        self.next_position = self.next_position.max(next);
    }
}

fn unsupported(id: SegmentId, at: usize, header: Header) -> OpenError {
    let (kind, version) = header.kind_and_version();
    let file = format!("log/{}", id.file_name());
    OpenError::Unsupported { file, offset: offset_of(at), kind, version }
}
