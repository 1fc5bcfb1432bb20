//! The bytes of a snapshot.
//!
//! Magic and version, then sections: length of the payload (4 bytes, little endian), CRC-32C (4
//! bytes) over the section's number, kind and payload, kind (1 byte), payload. The first is the
//! header; a handler is one section with its name, incarnation and `high`, followed by sections of
//! changes; the last one says how many sections there are. A file of which any byte is not as it
//! was written is no snapshot at all: the one before it, or the log, says the same.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::record::{DeliveryRecord, Incarnation, KeptEnd, Lsn};
use super::state::HandlerState;
use crate::clock::Timestamp;
use crate::event::{EventId, HandlerName, Position};
use crate::queue::codec::{Put, Take};

/// The last byte is the version of the layout.
const MAGIC: &[u8; 8] = b"GATSNAP\x01";

const HEADER: u8 = 1;
const HANDLER: u8 = 2;
const CHANGES: u8 = 3;
const END: u8 = 4;

/// Bytes in front of a section's payload.
const SECTION_HEADER_BYTES: usize = 9;

/// What a snapshot says of the queue as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotHeader {
    /// Noted before the first state was looked at: every record from here on is applied again.
    pub(crate) replay_from: Lsn,
    /// When the snapshot was begun, by the wall clock.
    pub(crate) at: Timestamp,
    /// The position that the next event gets.
    pub(crate) next_position: Position,
    pub(crate) newest_id: Option<EventId>,
    /// The number of this opening of the queue.
    pub(crate) opening: u64,
    pub(crate) kept: KeptEnd,
    /// The keys of records before it are in run files.
    pub(crate) keys_from: Lsn,
    /// The log's segments, oldest first.
    pub(crate) segments: Vec<SnapshotSegment>,
}

/// A segment of the log, as a snapshot names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotSegment {
    pub(crate) number: u32,
    pub(crate) salt: u64,
    /// The position that its first event has or would have.
    pub(crate) first: Position,
    /// When it began, by the wall clock.
    pub(crate) began_at: Timestamp,
}

/// Makes a snapshot's bytes, piece by piece, so that no more than a piece is in memory.
#[derive(Debug)]
pub(crate) struct SnapshotWriter {
    buffer: Vec<u8>,
    n_sections: u32,
    /// What the times of changes are told from.
    at: Timestamp,
}

impl SnapshotWriter {
    pub(crate) fn new(header: &SnapshotHeader) -> Self {
        let mut writer = Self { buffer: MAGIC.to_vec(), n_sections: 0, at: header.at };
        writer.push(HEADER, |out| header.encode(out));
        writer
    }

    /// Begins a handler. Its changes follow, all below `high`.
    pub(crate) fn begin_handler(
        &mut self,
        handler: &HandlerName,
        incarnation: Incarnation,
        high: Position,
    ) {
        self.push(HANDLER, |out| {
            out.put_bytes(handler.as_str().as_bytes());
            incarnation.encode(out);
            out.put_varint(high.0);
        });
    }

    /// Changes of the handler that was begun last.
    pub(crate) fn changes(&mut self, changes: &[DeliveryRecord]) {
        let at = self.at;
        self.push(CHANGES, |out| {
            let mut before = Position(0);
            for change in changes {
                change.encode(before, at, out);
                before = change.first;
            }
        });
    }

    /// The bytes made since the last call: they follow the earlier ones.
    pub(crate) fn take_bytes(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    /// Ends the snapshot, and gives the bytes that were not taken.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        let n_sections = self.n_sections;
        self.push(END, |out| out.put_varint(n_sections.into()));
        self.buffer
    }

    fn push(&mut self, kind: u8, payload: impl FnOnce(&mut Vec<u8>)) {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&[0; SECTION_HEADER_BYTES]);
        payload(&mut self.buffer);
        let number = self.n_sections;
        self.n_sections += 1;
        let section = self.buffer.get_mut(start..).unwrap_or_default();
        let Some((header, payload)) = section.split_first_chunk_mut::<SECTION_HEADER_BYTES>()
        else {
            return;
        };
        // A piece is a chunk of a walk, some 100 KB: its length fits by far.
        let [l0, l1, l2, l3] = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes();
        let [c0, c1, c2, c3] = checksum(number, kind, payload).to_le_bytes();
        *header = [l0, l1, l2, l3, c0, c1, c2, c3, kind];
    }
}

/// A snapshot that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) header: SnapshotHeader,
    pub(crate) handlers: BTreeMap<HandlerName, HandlerState>,
}

impl Snapshot {
    /// All of it, or nothing where a single byte is not as it was written.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut sections = Sections { take: Take(bytes.strip_prefix(MAGIC)?), number: 0 };
        let (kind, payload) = sections.next()?;
        if kind != HEADER {
            return None;
        }
        let header = whole(payload, SnapshotHeader::decode)?;
        let mut handlers = BTreeMap::new();
        let mut current: Option<(HandlerName, HandlerState, Position)> = None;
        loop {
            let number = sections.number;
            match sections.next()? {
                (HANDLER, payload) => {
                    end_handler(&mut handlers, current.take())?;
                    let (handler, incarnation, high) = whole(payload, decode_handler)?;
                    let state = HandlerState::restored(incarnation, high);
                    current = Some((handler, state, high));
                }
                (CHANGES, payload) => {
                    let (_, state, _) = current.as_mut()?;
                    apply_changes(state, header.at, payload)?;
                }
                (END, payload) => {
                    end_handler(&mut handlers, current.take())?;
                    let n_sections = whole(payload, Take::varint)?;
                    let is_end = sections.take.0.is_empty() && n_sections == u64::from(number);
                    return is_end.then_some(Self { header, handlers });
                }
                _ => return None,
            }
        }
    }
}

fn decode_handler(take: &mut Take<'_>) -> Option<(HandlerName, Incarnation, Position)> {
    let handler = HandlerName::parse(take.text()?).ok()?;
    Some((handler, Incarnation::decode(take)?, Position(take.varint()?)))
}

fn apply_changes(state: &mut HandlerState, at: Timestamp, payload: &[u8]) -> Option<()> {
    let mut take = Take(payload);
    let mut before = Position(0);
    while !take.0.is_empty() {
        let change = DeliveryRecord::decode(before, at, &mut take)?;
        before = change.first;
        state.apply(&change);
    }
    Some(())
}

/// `None` = a handler comes twice, or has changes that are not below its `high`.
fn end_handler(
    handlers: &mut BTreeMap<HandlerName, HandlerState>,
    ended: Option<(HandlerName, HandlerState, Position)>,
) -> Option<()> {
    let Some((handler, state, high)) = ended else { return Some(()) };
    let is_sound = state.high() == high && handlers.insert(handler, state).is_none();
    is_sound.then_some(())
}

/// Sections whose checksums are right.
struct Sections<'a> {
    take: Take<'a>,
    number: u32,
}

impl<'a> Sections<'a> {
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let n_bytes = usize::try_from(u32::from_le_bytes(self.take.array()?)).ok()?;
        let expected = u32::from_le_bytes(self.take.array()?);
        let kind = self.take.u8()?;
        let payload = self.take.raw(n_bytes)?;
        let number = self.number;
        self.number = number.checked_add(1)?;
        (checksum(number, kind, payload) == expected).then_some((kind, payload))
    }
}

fn checksum(number: u32, kind: u8, payload: &[u8]) -> u32 {
    let [n0, n1, n2, n3] = number.to_le_bytes();
    crc32c::crc32c_append(crc32c::crc32c(&[n0, n1, n2, n3, kind]), payload)
}

/// What `decode` reads, if that is all there is.
fn whole<'a, T>(payload: &'a [u8], decode: fn(&mut Take<'a>) -> Option<T>) -> Option<T> {
    let mut take = Take(payload);
    let decoded = decode(&mut take)?;
    take.0.is_empty().then_some(decoded)
}

impl SnapshotHeader {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_varint(self.replay_from.0);
        out.put_signed(self.at.as_millis());
        out.put_varint(self.next_position.0);
        out.put_bytes(self.newest_id.as_ref().map_or(&[][..], |id| id.0.as_bytes()));
        out.put_varint(self.opening);
        self.kept.encode(out);
        out.put_varint(self.keys_from.0);
        out.put_varint(self.segments.len() as u64);
        for segment in &self.segments {
            out.put_varint(segment.number.into());
            out.put_u64(segment.salt);
            out.put_varint(segment.first.0);
            out.put_signed(segment.began_at.as_millis());
        }
    }

    fn decode(take: &mut Take<'_>) -> Option<Self> {
        let replay_from = Lsn(take.varint()?);
        let at = Timestamp::from_millis(take.signed()?);
        let next_position = Position(take.varint()?);
        let newest_id = match take.bytes()? {
            [] => None,
            id => Some(EventId(Uuid::from_slice(id).ok()?)),
        };
        let opening = take.varint()?;
        let kept = KeptEnd::decode(take)?;
        let keys_from = Lsn(take.varint()?);
        let mut segments = Vec::new();
        for _ in 0..take.varint()? {
            segments.push(SnapshotSegment {
                number: u32::try_from(take.varint()?).ok()?,
                salt: take.u64()?,
                first: Position(take.varint()?),
                began_at: Timestamp::from_millis(take.signed()?),
            });
        }
        Some(Self { replay_from, at, next_position, newest_id, opening, kept, keys_from, segments })
    }
}

#[cfg(test)]
mod tests;
