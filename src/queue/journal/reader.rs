//! Follows the journal record by record, as far as it is synced.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::segments::{Damage, Lost, Segment, Segments, Stretch, offset};
use super::{HEADER_BYTES, Location};
use crate::event::Position;
use crate::queue::record::{Header, Kind, Record};

/// How much is read at once: large enough that a read call costs little per event, small enough
/// that a reader per handler is cheap.
const CHUNK_BYTES: usize = 256 << 10;

/// A whole record and where it stands.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) at: Location,
    /// Where the next record begins.
    pub(crate) end: Location,
    pub(crate) kind: Kind,
    pub(crate) payload: Bytes,
}

impl Found {
    /// The position of an event, without decoding the rest.
    pub(crate) fn position(&self) -> Option<Position> {
        match self.kind {
            Kind::Event | Kind::Carried => first_u64(&self.payload),
            Kind::Settled | Kind::Checkpoint | Kind::Keys | Kind::Filler => None,
        }
    }

    /// Reads the payload; an error where whole bytes make no sense.
    pub(crate) fn decode(&self) -> io::Result<Record> {
        Record::decode(self.kind, &self.payload).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{}: unknown layout", self.at))
        })
    }
}

/// A place in the journal that moves forward.
#[derive(Debug)]
pub(crate) struct Reader {
    segments: Arc<Segments>,
    at: Location,
    segment: Option<Segment>,
    chunk: Bytes,
    chunk_start: u32,
    /// The position that the next event should have, once one was seen: tells how many events
    /// are missing where something cannot be read.
    expected: Option<Position>,
    /// What comes is behind a torn commit: some positions before it may never have been used.
    is_behind_torn: bool,
    /// What could not be read since the last record that tells a position.
    uncounted: Vec<Damage>,
}

impl Reader {
    pub(crate) fn new(segments: Arc<Segments>, at: Location) -> Self {
        let (segment, chunk, chunk_start) = (None, Bytes::new(), 0);
        let (expected, is_behind_torn, uncounted) = (None, false, Vec::new());
        Self { segments, at, segment, chunk, chunk_start, expected, is_behind_torn, uncounted }
    }

    /// Goes on elsewhere, where the next event is the one at `expected`.
    pub(crate) fn seek(&mut self, at: Location, expected: Position) {
        if self.at.segment != at.segment {
            self.segment = None;
            self.chunk = Bytes::new();
        }
        self.at = at;
        self.expected = Some(expected);
        self.uncounted.clear();
    }

    /// The next whole record before `end`; `None` = there is none yet. What cannot be read is
    /// skipped and remembered as damage. What a newer version wrote is an error: it is no damage,
    /// and whoever passed over it would lose it.
    pub(crate) fn next(&mut self, end: Location) -> io::Result<Option<Found>> {
        while self.at < end {
            let Some(segment) = self.segment() else { return Ok(None) };
            let limit = if segment.number == end.segment { end.offset } else { segment.capacity };
            if let Some(found) = self.whole_record(&segment, limit)? {
                self.at = found.end;
                self.check_position(&found);
                return Ok(Some(found));
            }
            self.skip_unreadable(&segment, limit, end)?;
        }
        Ok(None)
    }

    /// The segment that `at` is in; moves `at` to the next one where that is gone.
    fn segment(&mut self) -> Option<Segment> {
        if let Some(segment) = &self.segment {
            return Some(segment.clone());
        }
        let segment = self.segments.at_or_after(self.at.segment)?;
        if segment.number != self.at.segment {
            self.at = Location::start_of(segment.number);
        }
        if self.at.offset == 0 && self.expected.is_none() && !self.is_behind_torn {
            self.expected = Some(segment.first);
        }
        self.chunk = Bytes::new();
        self.segment = Some(segment.clone());
        Some(segment)
    }

    /// The record at `at`, if all of it is there and whole.
    fn whole_record(&mut self, segment: &Segment, limit: u32) -> io::Result<Option<Found>> {
        let at = self.at.offset;
        let available = limit.saturating_sub(at) as usize;
        if available < HEADER_BYTES {
            return Ok(None);
        }
        self.fill(segment, HEADER_BYTES, available)?;
        let Some(header) = self.header() else { return Ok(None) };
        if header.record_bytes() > available {
            return Ok(None);
        }
        self.fill(segment, header.record_bytes(), available)?;
        let begin = (at - self.chunk_start) as usize;
        let (segment, chunk_start) = (segment.number, self.chunk_start);
        let stretch = Stretch { segment, begin: chunk_start, bytes: &self.chunk };
        let Some(header) = stretch.valid_at(begin) else { return Ok(None) };
        let kind = stretch.known_kind(begin, &header)?;
        let payload = self.chunk.slice(begin + HEADER_BYTES..begin + header.record_bytes());
        let end = Location { offset: at + offset(header.record_bytes()), ..self.at };
        Ok(Some(Found { at: self.at, end, kind, payload }))
    }

    fn header(&self) -> Option<Header> {
        let begin = (self.at.offset - self.chunk_start) as usize;
        Header::parse(self.chunk.get(begin..)?.first_chunk::<HEADER_BYTES>()?)
    }

    /// Makes sure that the chunk holds `wanted` bytes from `at` on; reads up to `available`.
    fn fill(&mut self, segment: &Segment, wanted: usize, available: usize) -> io::Result<()> {
        let chunk_end = self.chunk_start as usize + self.chunk.len();
        let at = self.at.offset as usize;
        if self.at.offset >= self.chunk_start && at + wanted <= chunk_end {
            return Ok(());
        }
        let n_bytes = available.min(CHUNK_BYTES.max(wanted));
        self.chunk = segment.read(self.at.offset, n_bytes)?.into();
        self.chunk_start = self.at.offset;
        Ok(())
    }

    /// Moves past what cannot be read: to the next whole record of the segment, else to the next
    /// segment. The zeros of a sealed segment behind its last record are no damage.
    fn skip_unreadable(&mut self, segment: &Segment, limit: u32, end: Location) -> io::Result<()> {
        let from = self.at;
        // What was read before may be older than what is there.
        self.chunk = Bytes::new();
        let next = segment.next_valid(from.offset)?;
        let fits = |(at, header): &(u32, Header)| {
            at.saturating_add(offset(header.record_bytes())) <= limit
        };
        if let Some((found, _)) = next.filter(fits) {
            self.at.offset = found;
            return self.skipped(segment, from, found - from.offset);
        }
        if segment.number == end.segment {
            // Synced, and gone from the disk: nothing valid is left before the live end.
            self.at = end;
            return self.skipped(segment, from, limit.saturating_sub(from.offset));
        }
        let n_bytes = segment.used_behind(from.offset)?;
        self.find_expected(segment, from)?;
        let following = self.segments.at_or_after(segment.number.saturating_add(1));
        self.at = following.map_or(end, |next| Location::start_of(next.number));
        self.segment = None;
        if n_bytes > 0 { self.skipped(segment, from, n_bytes) } else { Ok(()) }
    }

    /// Names damage at once; how many events it took shows at the next record with a position.
    fn skipped(&mut self, segment: &Segment, at: Location, bytes: u32) -> io::Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        self.find_expected(segment, at)?;
        let damage = Damage { at, bytes, lost: Lost::Unknown };
        self.note(damage.clone());
        self.uncounted.push(damage);
        Ok(())
    }

    /// Finds out which event should come, where none was read yet.
    fn find_expected(&mut self, segment: &Segment, at: Location) -> io::Result<()> {
        if self.expected.is_none() && !self.is_behind_torn {
            self.expected = segment.next_position(at.offset)?.or(Some(segment.first));
        }
        Ok(())
    }

    /// Compares an event's position with the one that should come, and a checkpoint's likewise:
    /// a gap is damage even where the bytes in between look like a segment's unused end.
    fn check_position(&mut self, found: &Found) {
        let position = match found.kind {
            Kind::Event => first_u64(&found.payload),
            Kind::Checkpoint => match found.decode() {
                Ok(Record::Checkpoint(places)) => Some(places.next),
                Ok(_) | Err(_) => None,
            },
            Kind::Filler if !found.payload.is_empty() => {
                // Stands over a torn commit: what it held was never acknowledged.
                self.expected = None;
                self.is_behind_torn = true;
                None
            }
            Kind::Settled | Kind::Carried | Kind::Keys | Kind::Filler => None,
        };
        let Some(position) = position else { return };
        let lost = match self.expected {
            None => Lost::Unknown,
            Some(first) if position > first => Lost::Events { first, count: position.0 - first.0 },
            Some(_) => Lost::Nothing,
        };
        self.is_behind_torn = false;
        self.expected = Some(if found.kind == Kind::Event { position.next() } else { position });
        let mut uncounted = std::mem::take(&mut self.uncounted).into_iter();
        match (uncounted.next(), lost) {
            (Some(first), lost) => {
                self.note(Damage { lost, ..first });
                // The missing events are counted with the first stretch.
                uncounted.for_each(|damage| self.note(Damage { lost: Lost::Nothing, ..damage }));
            }
            (None, Lost::Events { .. }) => self.note(Damage { at: found.at, bytes: 0, lost }),
            (None, Lost::Unknown | Lost::Nothing) => {}
        }
    }

    fn note(&self, damage: Damage) {
        // A segment that went meanwhile may hold another one's records by now.
        if self.segments.get(damage.at.segment).is_none() {
            return;
        }
        let text = damage.to_string();
        if self.segments.note_damage(damage) {
            tracing::error!(damage = text, "The journal is damaged; the rest of it is served");
        }
    }
}

/// The position in front of an event's payload, without decoding the rest.
fn first_u64(payload: &[u8]) -> Option<Position> {
    payload.first_chunk::<8>().map(|bytes| Position(u64::from_le_bytes(*bytes)))
}
