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
use crate::event::{Dedupe, Event, EventId, HandlerName, NewEvent, Position};
use crate::queue::codec::{Put, Take};
use crate::queue::embedded::SharedChange;
use crate::queue::embedded::record::{decode_event, encode_event};
use crate::queue::names::Names;

use super::engine::Sequence;
use super::node::NodeName;

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

/// What is asked of every node's state. Whether it counts is decided where it is applied.
#[derive(Debug)]
pub(super) enum UnitOperation {
    /// Stores events. With `spool`, each place is a position of that spool, and none of them is applied
    /// twice.
    Events { spool: Option<u64>, events: Vec<ProposedEvent> },
    /// Settles deliveries; void where the lease of this epoch is over.
    Settle { handler: HandlerName, epoch: u64, changes: Vec<SharedChange> },
    /// Changes deliveries by hand.
    ByHand { handler: HandlerName, change: HandChange, positions: Vec<Position> },
    /// Gives a handler a subscription; `None` = behind the newest event.
    Subscribe { handler: HandlerName, since: Option<Position> },
    /// Removes a handler's subscription; void while a node holds its lease.
    Forget { handler: HandlerName },
    /// Takes a handler's lease, if its epoch still is `before`; 0 = it never had one.
    Claim { handler: HandlerName, before: u64 },
    /// Gives a lease back.
    Release { handler: HandlerName, epoch: u64 },
    /// A sign of life: how far the node has applied the log, and which handlers it is configured for.
    Beat { applied: Sequence, handlers: Vec<HandlerName> },
    /// The node was stopped in order: its leases are free, and nothing waits for it.
    Leave,
}

/// An event that a node has taken in.
#[derive(Debug)]
pub(super) struct ProposedEvent {
    /// Its place in the node's spool.
    pub(super) place: Position,
    pub(super) id: EventId,
    pub(super) event: NewEvent,
}

/// What is made of deliveries by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandChange {
    Redrive,
    Drop,
    Replay,
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

const EVENTS: u8 = 1;
const SETTLE: u8 = 2;
const BY_HAND: u8 = 3;
const SUBSCRIBE: u8 = 4;
const FORGET: u8 = 5;
const CLAIM: u8 = 6;
const RELEASE: u8 = 7;
const BEAT: u8 = 8;
const LEAVE: u8 = 9;

impl UnitOperation {
    /// About how many bytes it takes: enough to bound a unit.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Events { events, .. } => events.iter().map(ProposedEvent::bytes).sum(),
            Self::Settle { changes, .. } => changes.iter().map(SharedChange::bytes).sum(),
            Self::ByHand { positions, .. } => 64 + 10 * positions.len(),
            Self::Beat { handlers, .. } => 64 * handlers.len(),
            Self::Subscribe { .. }
            | Self::Forget { .. }
            | Self::Claim { .. }
            | Self::Release { .. }
            | Self::Leave => 64,
        }
    }

    /// Whether leases or signs of life change by it.
    pub(super) const fn changes_members(&self) -> bool {
        match self {
            Self::Beat { .. } | Self::Claim { .. } | Self::Release { .. } | Self::Leave => true,
            Self::Events { .. }
            | Self::Settle { .. }
            | Self::ByHand { .. }
            | Self::Subscribe { .. }
            | Self::Forget { .. } => false,
        }
    }

    fn encode(&self, at: Timestamp, out: &mut Vec<u8>) {
        match self {
            Self::Events { spool, events } => {
                out.put_u8(EVENTS);
                out.put_varint(spool.unwrap_or_default());
                out.put_varint(events.len() as u64);
                for ProposedEvent { place, id, event } in events {
                    let mut bytes = Vec::new();
                    encode_event(event, *id, *place, &mut bytes);
                    out.put_bytes(&bytes);
                }
            }
            Self::Settle { handler, epoch, changes } => {
                put_name(SETTLE, handler, out);
                out.put_varint(*epoch);
                SharedChange::encode_all(changes, at, out);
            }
            Self::ByHand { handler, change, positions } => {
                put_name(BY_HAND, handler, out);
                out.put_u8(*change as u8);
                out.put_varint(positions.len() as u64);
                for position in positions {
                    out.put_varint(position.0);
                }
            }
            Self::Subscribe { handler, since } => {
                put_name(SUBSCRIBE, handler, out);
                // Position 0 is before every event: it stands for none.
                out.put_varint(since.map_or(0, |since| since.0));
            }
            Self::Forget { handler } => put_name(FORGET, handler, out),
            Self::Claim { handler, before } => {
                put_name(CLAIM, handler, out);
                out.put_varint(*before);
            }
            Self::Release { handler, epoch } => {
                put_name(RELEASE, handler, out);
                out.put_varint(*epoch);
            }
            Self::Beat { applied, handlers } => {
                out.put_u8(BEAT);
                out.put_varint(applied.0);
                out.put_varint(handlers.len() as u64);
                for handler in handlers {
                    out.put_bytes(handler.as_str().as_bytes());
                }
            }
            Self::Leave => out.put_u8(LEAVE),
        }
    }

    fn decode(at: Timestamp, body: &Bytes, take: &mut Take<'_>, names: &mut Names) -> Option<Self> {
        Some(match take.u8()? {
            EVENTS => {
                let spool = Some(take.varint()?).filter(|spool| *spool > 0);
                let mut events = Vec::new();
                for _ in 0..take.varint()? {
                    let bytes = body.slice_ref(take.bytes()?);
                    events.push(ProposedEvent::of(decode_event(&bytes, names)?));
                }
                Self::Events { spool, events }
            }
            SETTLE => {
                let (handler, epoch) = (take_name(take)?, take.varint()?);
                Self::Settle { handler, epoch, changes: SharedChange::decode_all(take, at)? }
            }
            BY_HAND => {
                let handler = take_name(take)?;
                let change = HandChange::of(take.u8()?)?;
                let mut positions = Vec::new();
                for _ in 0..take.varint()? {
                    positions.push(Position(take.varint()?));
                }
                Self::ByHand { handler, change, positions }
            }
            SUBSCRIBE => {
                let handler = take_name(take)?;
                let since = Some(Position(take.varint()?)).filter(|since| since.0 > 0);
                Self::Subscribe { handler, since }
            }
            FORGET => Self::Forget { handler: take_name(take)? },
            CLAIM => Self::Claim { handler: take_name(take)?, before: take.varint()? },
            RELEASE => Self::Release { handler: take_name(take)?, epoch: take.varint()? },
            BEAT => {
                let applied = Sequence(take.varint()?);
                let mut handlers = Vec::new();
                for _ in 0..take.varint()? {
                    handlers.push(take_name(take)?);
                }
                Self::Beat { applied, handlers }
            }
            LEAVE => Self::Leave,
            _ => return None,
        })
    }
}

fn put_name(kind: u8, handler: &HandlerName, out: &mut Vec<u8>) {
    out.put_u8(kind);
    out.put_bytes(handler.as_str().as_bytes());
}

fn take_name(take: &mut Take<'_>) -> Option<HandlerName> {
    HandlerName::parse(take.text()?).ok()
}

impl HandChange {
    const fn of(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Redrive),
            1 => Some(Self::Drop),
            2 => Some(Self::Replay),
            _ => None,
        }
    }
}

impl ProposedEvent {
    /// An event as a spool or the shared log has it.
    pub(super) fn of((event, dedupe): (Event, Dedupe)) -> Self {
        let (place, id) = (event.position, event.id);
        let Event { source, event_type, received_at, data_root, is_json, headers, body, .. } =
            event;
        let event =
            NewEvent { source, event_type, received_at, data_root, is_json, headers, body, dedupe };
        Self { place, id, event }
    }

    /// The same once more: headers and body share their memory.
    pub(super) fn copy(&self) -> Self {
        Self { place: self.place, id: self.id, event: self.event.clone() }
    }

    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        HEAD_BYTES + self.event.headers.encoded().len() + self.event.body.len()
    }
}
