//! The journal's records: what they say, and their bytes on disk.
//!
//! | bytes | field |
//! |---|---|
//! | 4 | length of the payload, little endian |
//! | 4 | CRC-32C over segment number, batch start, kind, version and payload |
//! | 4 | batch start: where in the segment the commit that wrote this record began |
//! | 1 | kind: 1 event, 2 settled, 3 checkpoint, 4 carried, 5 keys, 6 filler |
//! | 1 | version of the payload's layout |
//! | n | payload |
//!
//! The segment's number is under the CRC but not in the bytes: what an older life left in a
//! recycled file is never taken for new. The batch start tells a torn write from damage: a bad
//! record was never acknowledged when all valid records behind it belong to the commit that it
//! was part of, and was synced before them when one of them belongs to a later commit.
//!
//! A change of a payload's layout is a new version beside the old one, with a fixture of the old.
//! A record of another kind or version under a right CRC is whole, and of a newer gatepost: nobody
//! may pass over it or take it for torn. Kind and version are never 0, which unused room is.

use bytes::Bytes;

use super::codec::Take;
use super::names::Names;
use crate::event::{Dedupe, Event, EventId, NewEvent, Position};

mod event;
mod keys;
mod settled;

pub(crate) use event::{decode_event, encode_event, event_bytes};
pub(crate) use keys::{KeyEntry, Keys};
pub(crate) use settled::{Change, Place, Places, Section, SettleBatch, State};

/// Bytes in front of each payload.
pub(crate) const HEADER_BYTES: usize = 14;

/// The layout that is written.
const VERSION: u8 = 1;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A stored event.
    Event,
    /// A batch of outcomes.
    Settled,
    /// Every subscription's place, at the start of each segment and when one comes or goes.
    Checkpoint,
    /// An event copied forward out of a segment that is to go.
    Carried,
    /// The dedupe keys of events whose segment went before their window was over.
    Keys,
    /// Nothing: stands where a torn commit left a hole.
    Filler,
}

impl Kind {
    const fn byte(self) -> u8 {
        match self {
            Self::Event => 1,
            Self::Settled => 2,
            Self::Checkpoint => 3,
            Self::Carried => 4,
            Self::Keys => 5,
            Self::Filler => 6,
        }
    }

    const fn of(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Event),
            2 => Some(Self::Settled),
            3 => Some(Self::Checkpoint),
            4 => Some(Self::Carried),
            5 => Some(Self::Keys),
            6 => Some(Self::Filler),
            _ => None,
        }
    }
}

/// The fixed part in front of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) payload_bytes: u32,
    crc: u32,
    pub(crate) batch_start: u32,
    /// `None` = a kind or version that only a newer gatepost knows.
    pub(crate) kind: Option<Kind>,
    kind_byte: u8,
    version: u8,
}

impl Header {
    /// Reads a header; `None` where these bytes cannot be one (zeros are none).
    pub(crate) fn parse(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let mut take = Take(bytes);
        let payload_bytes = u32::from_le_bytes(take.array()?);
        let crc = u32::from_le_bytes(take.array()?);
        let batch_start = u32::from_le_bytes(take.array()?);
        let (kind_byte, version) = (take.u8()?, take.u8()?);
        let kind = Kind::of(kind_byte).filter(|_| version == VERSION);
        let is_header = kind_byte != 0 && version != 0;
        is_header.then_some(Self { payload_bytes, crc, batch_start, kind, kind_byte, version })
    }

    /// Whether `payload` is what this header was written with, in this segment.
    pub(crate) fn fits(&self, segment: u64, payload: &[u8]) -> bool {
        payload.len() == self.payload_bytes as usize
            && crc(segment, self.batch_start, [self.kind_byte, self.version], payload) == self.crc
    }

    /// Bytes of the whole record.
    pub(crate) const fn record_bytes(&self) -> usize {
        HEADER_BYTES + self.payload_bytes as usize
    }
}

fn crc(segment: u64, batch_start: u32, kind_and_version: [u8; 2], payload: &[u8]) -> u32 {
    let mut prefix = [0_u8; 14];
    let (number, rest) = prefix.split_at_mut(8);
    number.copy_from_slice(&segment.to_le_bytes());
    let (start, tail) = rest.split_at_mut(4);
    start.copy_from_slice(&batch_start.to_le_bytes());
    tail.copy_from_slice(&kind_and_version);
    crc32c::crc32c_append(crc32c::crc32c(&prefix), payload)
}

/// A record whose bytes were found to be whole.
#[derive(Debug)]
pub(crate) enum Record {
    /// A stored event, with its dedupe key and window.
    Event(Event, Dedupe),
    /// A batch of outcomes.
    Settled(SettleBatch),
    /// Every subscription's place.
    Checkpoint(Places),
    /// An event copied forward.
    Carried(Event, Dedupe),
    /// Dedupe keys copied forward.
    Keys(Keys),
    /// Nothing.
    Filler,
}

impl Record {
    /// Reads a payload; `None` = whole bytes that make no sense, which only a program error or a
    /// newer version can have written. Never panics. Event bodies share `payload`'s memory.
    pub(crate) fn decode(kind: Kind, payload: &Bytes) -> Option<Self> {
        let decoded = || decode_event(payload, &mut Names::default());
        match kind {
            Kind::Event => decoded().map(|(event, dedupe)| Self::Event(event, dedupe)),
            Kind::Carried => decoded().map(|(event, dedupe)| Self::Carried(event, dedupe)),
            Kind::Settled => SettleBatch::decode(payload).map(Self::Settled),
            Kind::Checkpoint => Places::decode(payload).map(Self::Checkpoint),
            Kind::Keys => Keys::decode(payload).map(Self::Keys),
            Kind::Filler => Some(Self::Filler),
        }
    }
}

/// A buffer of whole records that one write takes to the disk.
#[derive(Debug)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    segment: u64,
    start: u32,
}

impl Batch {
    /// An empty batch, to be written into `segment` from offset `start` on.
    pub(crate) fn new(segment: u64, start: u32, mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        Self { bytes: buffer, segment, start }
    }

    /// Adds a record; `payload` writes its payload.
    pub(crate) fn push(&mut self, kind: Kind, payload: impl FnOnce(&mut Vec<u8>)) {
        let head = self.bytes.len();
        self.bytes.resize(head + HEADER_BYTES, 0);
        payload(&mut self.bytes);
        let Some((_, record)) = self.bytes.split_at_mut_checked(head) else { return };
        let Some((header, payload)) = record.split_at_mut_checked(HEADER_BYTES) else { return };
        let payload_bytes = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let crc = crc(self.segment, self.start, [kind.byte(), VERSION], payload);
        let [p0, p1, p2, p3] = payload_bytes.to_le_bytes();
        let [c0, c1, c2, c3] = crc.to_le_bytes();
        let [s0, s1, s2, s3] = self.start.to_le_bytes();
        let fields: [u8; HEADER_BYTES] =
            [p0, p1, p2, p3, c0, c1, c2, c3, s0, s1, s2, s3, kind.byte(), VERSION];
        header.copy_from_slice(&fields);
    }

    /// Adds a stored event.
    pub(crate) fn push_event(&mut self, event: &NewEvent, id: EventId, position: Position) {
        self.push(Kind::Event, |out| encode_event(event, id, position, out));
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What was to be written.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests;
