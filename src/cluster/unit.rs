//! A unit of the shared log: what one node appends at once, and its bytes.
//!
//! | bytes | field |
//! |---|---|
//! | 4 | CRC-32C of all that follows: an engine gives back what its disk gives it |
//! | 1 | layout, 1 |
//! | varint + n | the node's name |
//! | varint | its session: ms since the epoch at its start, later than any before |
//! | varint | the unit's number in that session, ascending: one that comes again is void |
//! | varint, varint | which part of a larger unit this is, and of how many |
//! | rest | time, count of operations and these; or that part of them |
//!
//! What is unknown is not skipped: a node that does not know an operation cannot decide as the others do,
//! and says that it must be upgraded.

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::queue::codec::{Put, Take};
use crate::queue::names::Names;

use super::node::NodeName;

mod operation;

pub(super) use operation::{HandChange, ProposedEvent, SpoolPlaces, UnitOperation};

const LAYOUT: u8 = 1;
/// More than what stands in front of an operation's own bytes takes.
const HEAD_BYTES: usize = 128;

/// What one node appends at once.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) author: Author,
    /// When it was made, by its node's wall clock.
    pub(super) at: Timestamp,
    pub(super) operations: Vec<UnitOperation>,
}

/// Who made a unit, and the how-manieth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Author {
    pub(super) node: NodeName,
    /// One run of the node's process.
    pub(super) session: u64,
    pub(super) number: u64,
}

/// Why a unit cannot be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UnitFault {
    #[error("it was written by a newer gatepost: upgrade this node")]
    Unknown,
    #[error("its checksum is wrong: the engine has damaged it")]
    Damaged,
}

/// A unit as it stands in the log: whole, or one part of a large one.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) author: Author,
    /// Counted from 0.
    pub(super) index: u64,
    pub(super) n_parts: u64,
    pub(super) bytes: Bytes,
}

impl Unit {
    /// The unit's bytes, in parts of at most `part_max` bytes that are numbered from the author's
    /// number on; almost always one.
    pub(super) fn encode(&self, part_max: usize) -> Vec<Bytes> {
        let mut body = Vec::new();
        body.put_signed(self.at.as_millis());
        body.put_varint(self.operations.len() as u64);
        for operation in &self.operations {
            operation.encode(self.at, &mut body);
        }
        let room = part_max.saturating_sub(HEAD_BYTES).max(1);
        let n_parts = body.len().div_ceil(room) as u64;
        let parts = (0..n_parts).zip(body.chunks(room));
        let bytes_of = |(index, chunk): (u64, &[u8])| {
            let mut bytes = vec![0, 0, 0, 0, LAYOUT];
            bytes.put_bytes(self.author.node.as_str().as_bytes());
            bytes.put_varint(self.author.session);
            bytes.put_varint(self.author.number + index);
            bytes.put_varint(index);
            bytes.put_varint(n_parts);
            bytes.put_raw(chunk);
            seal(&mut bytes);
            Bytes::from(bytes)
        };
        parts.map(bytes_of).collect()
    }

    /// Reads the operations of a unit whose parts were put together.
    pub(super) fn decode(author: Author, body: &Bytes) -> Result<Self, UnitFault> {
        let mut take = Take(body);
        let mut names = Names::default();
        let read = |take: &mut Take<'_>| {
            let at = Timestamp::from_millis(take.signed()?);
            let n_operations = take.varint()?;
            let mut operations = Vec::new();
            for _ in 0..n_operations {
                operations.push(UnitOperation::decode(at, body, take, &mut names)?);
            }
            take.0.is_empty().then_some(Self { author, at, operations })
        };
        read(&mut take).ok_or(UnitFault::Unknown)
    }
}

impl Part {
    /// Whether the unit is whole with it.
    pub(super) const fn is_last(&self) -> bool {
        self.index + 1 == self.n_parts
    }

    /// Reads a unit of the log as far as its author and which part it is.
    pub(super) fn decode(bytes: &Bytes) -> Result<Self, UnitFault> {
        let mut take = Take(bytes);
        let crc = take.array().map(u32::from_le_bytes);
        if crc != Some(crc32c::crc32c(take.0)) {
            return Err(UnitFault::Damaged);
        }
        let read = |take: &mut Take<'_>| {
            if take.u8()? != LAYOUT {
                return None;
            }
            let node = NodeName::parse(take.text()?).ok()?;
            let (session, number) = (take.varint()?, take.varint()?);
            let (index, n_parts) = (take.varint()?, take.varint()?);
            let author = Author { node, session, number };
            (index < n_parts).then(|| Self {
                author,
                index,
                n_parts,
                bytes: bytes.slice_ref(take.0),
            })
        };
        read(&mut take).ok_or(UnitFault::Unknown)
    }
}

/// Writes the checksum in front of what it covers.
fn seal(bytes: &mut [u8]) {
    if let Some((crc, rest)) = bytes.split_first_chunk_mut::<4>() {
        *crc = crc32c::crc32c(rest).to_le_bytes();
    }
}
