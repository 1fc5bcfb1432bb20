//! What version 1's records say.
//!
//! An event's payload is that of version 2. A settle batch: time, count of sections; a section:
//! handler, place, count of changes; a change: position as a signed difference to the one before,
//! state tag with its fields, attempt number, and the attempt where there was one. A place: cursor,
//! and runs of positions behind it that are settled. A checkpoint: time, the next position, count
//! of places, each with its handler. Keys: count, then per key the position and the time as
//! differences to those before, window, key and id.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::event::{
    Attempt, Dedupe, DedupeKey, ErrorText, Event, EventId, HandlerName, OrderKey, Position,
};
use crate::queue::codec::Take;
use crate::queue::embedded::keys::KeyEntry;
use crate::queue::embedded::record::decode_event;
use crate::queue::names::Names;

/// What a record is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Event,
    Settled,
    Checkpoint,
    /// An event copied forward out of a segment that was to go.
    Carried,
    Keys,
    Filler,
}

impl Kind {
    pub(super) const fn of(byte: u8) -> Option<Self> {
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

#[derive(Debug)]
pub(super) enum Record {
    Event(Event, Dedupe),
    Settled(Vec<Section>),
    /// Every handler's cursor. A handler that is not in it was forgotten.
    Checkpoint {
        /// The position that the next event gets.
        next: Position,
        places: BTreeMap<HandlerName, Place>,
    },
    Carried(Event),
    Keys(Vec<KeyEntry>),
    Filler,
}

impl Record {
    /// Reads a payload; `None` = it makes no sense.
    pub(super) fn decode(kind: Kind, payload: &Bytes) -> Option<Self> {
        let event = || decode_event(payload, &mut Names::default());
        match kind {
            Kind::Event => event().map(|(event, dedupe)| Self::Event(event, dedupe)),
            Kind::Carried => event().map(|(event, _)| Self::Carried(event)),
            Kind::Settled => decode_settled(payload).map(Self::Settled),
            Kind::Checkpoint => decode_checkpoint(payload),
            Kind::Keys => decode_keys(payload).map(Self::Keys),
            Kind::Filler => Some(Self::Filler),
        }
    }

    /// The position of the next event at this point of the journal, where the record tells.
    pub(super) const fn next_position(&self) -> Option<Position> {
        match self {
            Self::Event(event, _) => Some(event.position),
            Self::Checkpoint { next, .. } => Some(*next),
            Self::Settled(_) | Self::Carried(_) | Self::Keys(_) | Self::Filler => None,
        }
    }
}

/// One handler's part of a batch.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) handler: HandlerName,
    /// The handler's place once the changes are in.
    pub(super) place: Place,
    pub(super) changes: Vec<OldChange>,
}

/// Where a handler is in the journal.
#[derive(Debug)]
pub(super) struct Place {
    /// Everything before it is settled or an entry of its own.
    pub(super) cursor: Position,
    /// Runs (first, count) of positions behind the cursor that are settled or entries already.
    pub(super) ahead: Vec<(Position, u64)>,
}

/// What became of one delivery.
#[derive(Debug)]
pub(super) struct OldChange {
    pub(super) position: Position,
    pub(super) state: OldState,
    pub(super) attempts: u32,
    pub(super) first_attempt_at: Option<Timestamp>,
    pub(super) attempt: Option<Attempt>,
}

#[derive(Debug)]
pub(super) enum OldState {
    /// Delivered, skipped or dropped.
    Settled,
    Retry {
        due: Timestamp,
        wait: Duration,
        order_key: Option<OrderKey>,
    },
    Held {
        order_key: OrderKey,
    },
    Dead {
        died_at: Timestamp,
        reason: ErrorText,
        order_key: Option<OrderKey>,
    },
}

fn decode_settled(payload: &[u8]) -> Option<Vec<Section>> {
    let mut take = Take(payload);
    let at = timestamp(&mut take)?;
    let mut sections = Vec::new();
    for _ in 0..take.varint()? {
        let handler = HandlerName::parse(take.text()?).ok()?;
        let place = Place::decode(&mut take)?;
        let mut changes = Vec::new();
        let mut before = place.cursor;
        for _ in 0..take.varint()? {
            let change = OldChange::decode(before, at, &mut take)?;
            before = change.position;
            changes.push(change);
        }
        sections.push(Section { handler, place, changes });
    }
    Some(sections)
}

fn decode_checkpoint(payload: &[u8]) -> Option<Record> {
    let mut take = Take(payload);
    timestamp(&mut take)?;
    let next = Position(take.varint()?);
    let mut places = BTreeMap::new();
    for _ in 0..take.varint()? {
        let handler = HandlerName::parse(take.text()?).ok()?;
        places.insert(handler, Place::decode(&mut take)?);
    }
    Some(Record::Checkpoint { next, places })
}

fn decode_keys(payload: &[u8]) -> Option<Vec<KeyEntry>> {
    let mut take = Take(payload);
    let n_entries = take.varint()?;
    let mut entries = Vec::new();
    let mut received = 0_i64;
    for _ in 0..n_entries {
        // The position, which is not used any more.
        take.varint()?;
        received = received.checked_add(take.signed()?)?;
        let window = Duration::from_millis(take.varint()?);
        let key = DedupeKey(take.array()?);
        let id = EventId(Uuid::from_bytes(take.array()?));
        let received_at = Timestamp::from_millis(received);
        entries.push(KeyEntry { key, id, received_at, window });
    }
    Some(entries)
}

impl Place {
    fn decode(take: &mut Take<'_>) -> Option<Self> {
        let cursor = take.varint()?;
        let mut before = cursor;
        let mut ahead = Vec::new();
        for _ in 0..take.varint()? {
            let first = before.checked_add(take.varint()?)?;
            let count = take.varint()?;
            ahead.push((Position(first), count));
            before = first.checked_add(count)?;
        }
        Some(Self { cursor: Position(cursor), ahead })
    }
}

const HAS_ATTEMPT: u8 = 1;
const HAS_FIRST_ATTEMPT: u8 = 2;
const HAS_ERROR: u8 = 4;
const HAS_STATUS: u8 = 8;

impl OldChange {
    fn decode(before: Position, at: Timestamp, take: &mut Take<'_>) -> Option<Self> {
        let position = Position(before.0.wrapping_add(take.signed()?.cast_unsigned()));
        let state = OldState::decode(take)?;
        let attempts = u32::try_from(take.varint()?).ok()?;
        let flags = take.u8()?;
        let has = |flag: u8| flags & flag != 0;
        let relative = |take: &mut Take<'_>| {
            Some(Timestamp::from_millis(at.as_millis().checked_add(take.signed()?)?))
        };
        let first_attempt_at = if has(HAS_FIRST_ATTEMPT) { Some(relative(take)?) } else { None };
        let attempt = if has(HAS_ATTEMPT) {
            let started_at = relative(take)?;
            let duration = Duration::from_micros(take.varint()?);
            let error = ErrorText::new(if has(HAS_ERROR) { take.text()? } else { "" });
            let status = if has(HAS_STATUS) { Some(take.varint()?.try_into().ok()?) } else { None };
            Some(Attempt { started_at, duration, error, status, ..Attempt::default() })
        } else {
            None
        };
        Some(Self { position, state, attempts, first_attempt_at, attempt })
    }
}

impl OldState {
    fn decode(take: &mut Take<'_>) -> Option<Self> {
        Some(match take.u8()? {
            0 | 1 | 5 => Self::Settled,
            2 => Self::Retry {
                due: timestamp(take)?,
                wait: Duration::from_millis(take.varint()?),
                order_key: order_key(take)?,
            },
            3 => Self::Held { order_key: OrderKey(take.array()?) },
            4 => Self::Dead {
                died_at: timestamp(take)?,
                reason: ErrorText::new(take.text()?),
                order_key: order_key(take)?,
            },
            _ => return None,
        })
    }

    /// Whether it stays an entry of its own, beside the cursor.
    pub(super) const fn is_entry(&self) -> bool {
        match self {
            Self::Retry { .. } | Self::Held { .. } | Self::Dead { .. } => true,
            Self::Settled => false,
        }
    }
}

/// The outer `None` = bad bytes.
#[expect(
    clippy::option_option,
    reason = "a value that may be absent, read from bytes that may be bad"
)]
fn order_key(take: &mut Take<'_>) -> Option<Option<OrderKey>> {
    match take.u8()? {
        0 => Some(None),
        1 => Some(Some(OrderKey(take.array()?))),
        _ => None,
    }
}

fn timestamp(take: &mut Take<'_>) -> Option<Timestamp> {
    take.signed().map(Timestamp::from_millis)
}
