//! Payloads of a segment's head and of the small records, version 2.
//!
//! A head: time, next position, newest id (1 byte whether there is one, 16 bytes), opening, first
//! segment and its position, kept end, the segment before (1 byte whether there is one; number, end,
//! table), count of handlers; a handler: name, LSN of its `Subscribed`, since. A table: count, then pairs of
//! differences to the pair before.

use std::ops::Range;

use uuid::Uuid;

use super::{
    HandlerHead, HandlerName, Incarnation, KeptEnd, KeptEvent, KeptFooter, Lsn, Position, Record,
    SegmentEnd, SegmentHead, SharedMark,
};
use crate::clock::Timestamp;
use crate::event::EventId;
use crate::queue::codec::{Put, Take};

impl SegmentHead {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_signed(self.at.as_millis());
        out.put_varint(self.next.0);
        match self.newest_id {
            None => out.put_u8(0),
            Some(id) => {
                out.put_u8(1);
                out.put_raw(id.0.as_bytes());
            }
        }
        out.put_varint(self.opening);
        out.put_varint(self.first.into());
        out.put_varint(self.first_position.0);
        self.kept.encode(out);
        match &self.previous {
            None => out.put_u8(0),
            Some(previous) => {
                out.put_u8(1);
                out.put_varint(previous.number.into());
                out.put_varint(previous.end.into());
                put_table(&previous.table, out);
            }
        }
        out.put_varint(self.handlers.len() as u64);
        for HandlerHead { handler, incarnation } in &self.handlers {
            out.put_bytes(handler.as_str().as_bytes());
            incarnation.encode(out);
        }
    }

    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let mut take = Take(payload);
        let at = Timestamp::from_millis(take.signed()?);
        let next = Position(take.varint()?);
        let newest_id = match take.u8()? {
            0 => None,
            1 => Some(EventId(Uuid::from_bytes(take.array()?))),
            _ => return None,
        };
        let opening = take.varint()?;
        let first = take_u32(&mut take)?;
        let first_position = Position(take.varint()?);
        let kept = KeptEnd::decode(&mut take)?;
        let previous = match take.u8()? {
            0 => None,
            1 => {
                let (number, end) = (take_u32(&mut take)?, take_u32(&mut take)?);
                Some(SegmentEnd { number, end, table: take_table(&mut take)? })
            }
            _ => return None,
        };
        let mut handlers = Vec::new();
        for _ in 0..take.varint()? {
            let handler = HandlerName::parse(take.text()?).ok()?;
            handlers.push(HandlerHead { handler, incarnation: Incarnation::decode(&mut take)? });
        }
        let head =
            Self { at, next, newest_id, opening, first, first_position, kept, previous, handlers };
        take.0.is_empty().then_some(head)
    }
}

impl Incarnation {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_varint(self.subscribed.0);
        out.put_varint(self.since.0);
    }

    pub(crate) fn decode(take: &mut Take<'_>) -> Option<Self> {
        Some(Self { subscribed: Lsn(take.varint()?), since: Position(take.varint()?) })
    }
}

impl KeptEnd {
    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        out.put_varint(self.number.into());
        out.put_varint(self.offset.into());
    }

    pub(crate) fn decode(take: &mut Take<'_>) -> Option<Self> {
        Some(Self { number: take_u32(take)?, offset: take_u32(take)? })
    }
}

impl KeptFooter {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        self.end.encode(out);
        out.put_varint(self.events.len() as u64);
        let mut before = (0_u64, 0_u32);
        for KeptEvent { position, offset, bytes } in &self.events {
            out.put_varint(position.0.wrapping_sub(before.0));
            out.put_signed(i64::from(*offset) - i64::from(before.1));
            out.put_varint((*bytes).into());
            before = (position.0, *offset);
        }
        out.put_varint(self.mentions.len() as u64);
        let mut before = 0;
        for mention in &self.mentions {
            out.put_varint(mention.0.wrapping_sub(before));
            before = mention.0;
        }
    }

    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        whole(payload, |take| {
            let end = KeptEnd::decode(take)?;
            let (mut events, mut mentions) = (Vec::new(), Vec::new());
            let mut before = (0_u64, 0_u32);
            for _ in 0..take.varint()? {
                let position = before.0.checked_add(take.varint()?)?;
                let offset =
                    u32::try_from(i64::from(before.1).checked_add(take.signed()?)?).ok()?;
                let (position_value, bytes) = (Position(position), take_u32(take)?);
                events.push(KeptEvent { position: position_value, offset, bytes });
                before = (position, offset);
            }
            let mut before = 0_u64;
            for _ in 0..take.varint()? {
                before = before.checked_add(take.varint()?)?;
                mentions.push(Position(before));
            }
            Some(Self { end, events, mentions })
        })
    }
}

impl SharedMark {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_varint(self.sequence);
        out.put_bytes(&self.note);
    }

    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        whole(payload, |take| Some(Self { sequence: take.varint()?, note: take.bytes()?.to_vec() }))
    }
}

/// Ascending pairs as differences.
fn put_table(table: &[(Position, u32)], out: &mut Vec<u8>) {
    out.put_varint(table.len() as u64);
    let mut before = (Position(0), 0_u32);
    for (position, offset) in table {
        out.put_varint(position.0.wrapping_sub(before.0.0));
        out.put_varint(offset.wrapping_sub(before.1).into());
        before = (*position, *offset);
    }
}

fn take_table(take: &mut Take<'_>) -> Option<Vec<(Position, u32)>> {
    let mut table = Vec::new();
    let mut before = (0_u64, 0_u32);
    for _ in 0..take.varint()? {
        before = (before.0.checked_add(take.varint()?)?, before.1.checked_add(take_u32(take)?)?);
        table.push((Position(before.0), before.1));
    }
    Some(table)
}

fn take_u32(take: &mut Take<'_>) -> Option<u32> {
    u32::try_from(take.varint()?).ok()
}

pub(super) fn decode_subscribed(payload: &[u8]) -> Option<Record> {
    whole(payload, |take| {
        let handler = HandlerName::parse(take.text()?).ok()?;
        let since = Position(take.varint()?);
        Some(Record::Subscribed { handler, since, epoch: take.varint()? })
    })
}

pub(super) fn decode_forgotten(payload: &[u8]) -> Option<Record> {
    whole(payload, |take| {
        let handler = HandlerName::parse(take.text()?).ok()?;
        Some(Record::Forgotten { handler, subscribed: Lsn(take.varint()?) })
    })
}

pub(super) fn decode_trim(payload: &[u8]) -> Option<Record> {
    whole(payload, |take| {
        let first = take_u32(take)?;
        let first_position = Position(take.varint()?);
        Some(Record::Trim { first, first_position, kept: KeptEnd::decode(take)? })
    })
}

pub(super) fn decode_opened(payload: &[u8]) -> Option<Record> {
    whole(payload, |take| {
        let opening = take.varint()?;
        Some(Record::Opened { opening, at: Timestamp::from_millis(take.signed()?) })
    })
}

/// The positions that a filler names: those of events of a torn unit, which were never
/// acknowledged. `None` = it names none.
pub(crate) fn torn_positions(payload: &[u8]) -> Option<Range<Position>> {
    let mut take = Take(payload);
    let first = take.varint()?;
    let count = take.varint().filter(|count| *count > 0)?;
    Some(Position(first)..Position(first.checked_add(count)?))
}

/// A value that takes up all of `payload`.
fn whole<T>(payload: &[u8], decode: impl FnOnce(&mut Take<'_>) -> Option<T>) -> Option<T> {
    let mut take = Take(payload);
    let value = decode(&mut take)?;
    take.0.is_empty().then_some(value)
}
