//! Outcomes and places, version 1.
//!
//! A settle batch: time, varint count of sections; a section: handler, cursor, settled runs ahead
//! of the cursor, varint count of changes; a change: position as a signed difference to the one
//! before, state tag with its fields, attempt number, and the attempt where there was one.
//!
//! A checkpoint: time, the next position, varint count of places; a place: handler, cursor, runs.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::codec::{Put, Take};
use crate::clock::Timestamp;
use crate::event::{Attempt, ErrorText, HandlerName, OrderKey, Position};

/// Outcomes that are recorded together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SettleBatch {
    /// When they were written, by the wall clock.
    pub(crate) at: Timestamp,
    pub(crate) sections: Vec<Section>,
}

/// One handler's part of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) handler: HandlerName,
    /// The handler's place once the changes are in.
    pub(crate) place: Place,
    pub(crate) changes: Vec<Change>,
}

/// Where a subscription stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Everything before it is settled or an entry of its own.
    pub(crate) cursor: Position,
    /// Runs (first, count) of positions behind the cursor that are settled or entries already:
    /// deliveries end in another order than they begin.
    pub(crate) ahead: Vec<(Position, u64)>,
}

impl Place {
    pub(crate) const fn at(cursor: Position) -> Self {
        Self { cursor, ahead: Vec::new() }
    }

    /// Whether `position` needs no more reading from the log.
    pub(crate) fn has_passed(&self, position: Position) -> bool {
        position < self.cursor
            || self
                .ahead
                .iter()
                .any(|(first, count)| position >= *first && position.0 - first.0 < *count)
    }

    /// The place alone, as sled keeps it.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.encode(&mut bytes);
        bytes
    }

    /// Reads what [`Place::to_bytes`] gave.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::decode(&mut Take(bytes))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.put_varint(self.cursor.0);
        out.put_varint(self.ahead.len() as u64);
        let mut before = self.cursor.0;
        for (first, count) in &self.ahead {
            out.put_varint(first.0.saturating_sub(before));
            out.put_varint(*count);
            before = first.0.saturating_add(*count);
        }
    }

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

/// What became of one delivery, and the try that led to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) position: Position,
    pub(crate) state: State,
    /// Tries so far.
    pub(crate) attempts: u32,
    /// When the first try began, where the delivery goes on.
    pub(crate) first_attempt_at: Option<Timestamp>,
    pub(crate) attempt: Option<Attempt>,
}

/// How a delivery stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Delivered,
    Skipped,
    /// Due at a moment of the steady clock.
    /// `wait` = how far away that was when it was settled: a clock set back must not stall it.
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
    /// A dead letter that was given up.
    Dropped,
}

impl State {
    /// Whether it stays an entry of its own, beside the cursor.
    pub(crate) const fn is_entry(&self) -> bool {
        match self {
            Self::Retry { .. } | Self::Held { .. } | Self::Dead { .. } => true,
            Self::Delivered | Self::Skipped | Self::Dropped => false,
        }
    }

    /// What it waits in line for.
    pub(crate) const fn order_key(&self) -> Option<OrderKey> {
        match self {
            Self::Retry { order_key, .. } | Self::Dead { order_key, .. } => *order_key,
            Self::Held { order_key } => Some(*order_key),
            Self::Delivered | Self::Skipped | Self::Dropped => None,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Delivered => out.put_u8(0),
            Self::Skipped => out.put_u8(1),
            Self::Retry { due, wait, order_key } => {
                out.put_u8(2);
                out.put_signed(due.as_millis());
                out.put_varint(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
                put_key(*order_key, out);
            }
            Self::Held { order_key } => {
                out.put_u8(3);
                out.put_raw(&order_key.0);
            }
            Self::Dead { died_at, reason, order_key } => {
                out.put_u8(4);
                out.put_signed(died_at.as_millis());
                out.put_bytes(reason.as_str().as_bytes());
                put_key(*order_key, out);
            }
            Self::Dropped => out.put_u8(5),
        }
    }

    fn decode(take: &mut Take<'_>) -> Option<Self> {
        Some(match take.u8()? {
            0 => Self::Delivered,
            1 => Self::Skipped,
            2 => Self::Retry {
                due: timestamp(take)?,
                wait: Duration::from_millis(take.varint()?),
                order_key: take_key(take)?,
            },
            3 => Self::Held { order_key: OrderKey(take.array()?) },
            4 => Self::Dead {
                died_at: timestamp(take)?,
                reason: ErrorText::new(take.text()?),
                order_key: take_key(take)?,
            },
            5 => Self::Dropped,
            _ => return None,
        })
    }
}

fn put_key(key: Option<OrderKey>, out: &mut Vec<u8>) {
    match key {
        None => out.put_u8(0),
        Some(key) => {
            out.put_u8(1);
            out.put_raw(&key.0);
        }
    }
}

/// The outer `None` = bad bytes.
#[expect(
    clippy::option_option,
    reason = "a value that may be absent, read from bytes that may be bad"
)]
fn take_key(take: &mut Take<'_>) -> Option<Option<OrderKey>> {
    match take.u8()? {
        0 => Some(None),
        1 => Some(Some(OrderKey(take.array()?))),
        _ => None,
    }
}

fn timestamp(take: &mut Take<'_>) -> Option<Timestamp> {
    take.signed().map(Timestamp::from_millis)
}

/// The bits of the byte in front of a change's optional parts.
const HAS_ATTEMPT: u8 = 1;
const HAS_FIRST_ATTEMPT: u8 = 2;
const HAS_ERROR: u8 = 4;
const HAS_STATUS: u8 = 8;

impl Change {
    /// Appends the change. Times are kept as differences to `at`, which makes them small.
    pub(crate) fn encode(&self, before: Position, at: Timestamp, out: &mut Vec<u8>) {
        out.put_signed(self.position.0.wrapping_sub(before.0).cast_signed());
        self.state.encode(out);
        out.put_varint(u64::from(self.attempts));
        let mut flags = 0;
        if let Some(attempt) = &self.attempt {
            flags |= HAS_ATTEMPT;
            if !attempt.error.as_str().is_empty() {
                flags |= HAS_ERROR;
            }
            if attempt.status.is_some() {
                flags |= HAS_STATUS;
            }
        }
        if self.first_attempt_at.is_some() {
            flags |= HAS_FIRST_ATTEMPT;
        }
        out.put_u8(flags);
        if let Some(first) = self.first_attempt_at {
            out.put_signed(first.as_millis().saturating_sub(at.as_millis()));
        }
        let Some(attempt) = &self.attempt else { return };
        out.put_signed(attempt.started_at.as_millis().saturating_sub(at.as_millis()));
        out.put_varint(u64::try_from(attempt.duration.as_micros()).unwrap_or(u64::MAX));
        if flags & HAS_ERROR != 0 {
            out.put_bytes(attempt.error.as_str().as_bytes());
        }
        if let Some(status) = attempt.status {
            out.put_varint(u64::from(status));
        }
    }

    pub(crate) fn decode(before: Position, at: Timestamp, take: &mut Take<'_>) -> Option<Self> {
        let position = Position(before.0.wrapping_add(take.signed()?.cast_unsigned()));
        let state = State::decode(take)?;
        let attempts = u32::try_from(take.varint()?).ok()?;
        let flags = take.u8()?;
        let relative = |take: &mut Take<'_>| -> Option<Timestamp> {
            Some(Timestamp::from_millis(at.as_millis().saturating_add(take.signed()?)))
        };
        let first_attempt_at =
            if flags & HAS_FIRST_ATTEMPT == 0 { None } else { Some(relative(take)?) };
        let attempt = if flags & HAS_ATTEMPT == 0 {
            None
        } else {
            let started_at = relative(take)?;
            let duration = Duration::from_micros(take.varint()?);
            let error = if flags & HAS_ERROR == 0 { "" } else { take.text()? };
            let status = if flags & HAS_STATUS == 0 {
                None
            } else {
                Some(u16::try_from(take.varint()?).ok()?)
            };
            Some(Attempt { started_at, duration, error: ErrorText::new(error), status })
        };
        Some(Self { position, state, attempts, first_attempt_at, attempt })
    }
}

impl SettleBatch {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_signed(self.at.as_millis());
        out.put_varint(self.sections.len() as u64);
        for section in &self.sections {
            out.put_bytes(section.handler.as_str().as_bytes());
            section.place.encode(out);
            out.put_varint(section.changes.len() as u64);
            let mut before = section.place.cursor;
            for change in &section.changes {
                change.encode(before, self.at, out);
                before = change.position;
            }
        }
    }

    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let mut take = Take(payload);
        let at = timestamp(&mut take)?;
        let mut sections = Vec::new();
        for _ in 0..take.varint()? {
            let handler = HandlerName::parse(take.text()?).ok()?;
            let place = Place::decode(&mut take)?;
            let n_changes = take.varint()?;
            let mut changes = Vec::new();
            let mut before = place.cursor;
            for _ in 0..n_changes {
                let change = Change::decode(before, at, &mut take)?;
                before = change.position;
                changes.push(change);
            }
            sections.push(Section { handler, place, changes });
        }
        Some(Self { at, sections })
    }
}

/// Every subscription's place at one point of the journal. Whoever is not in it was forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Places {
    /// When this was, by the wall clock.
    pub(crate) at: Timestamp,
    /// The position that the next event gets.
    pub(crate) next: Position,
    pub(crate) by_handler: BTreeMap<HandlerName, Place>,
}

impl Places {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_signed(self.at.as_millis());
        out.put_varint(self.next.0);
        out.put_varint(self.by_handler.len() as u64);
        for (handler, place) in &self.by_handler {
            out.put_bytes(handler.as_str().as_bytes());
            place.encode(out);
        }
    }

    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let mut take = Take(payload);
        let at = timestamp(&mut take)?;
        let next = Position(take.varint()?);
        let mut by_handler = BTreeMap::new();
        for _ in 0..take.varint()? {
            let handler = HandlerName::parse(take.text()?).ok()?;
            by_handler.insert(handler, Place::decode(&mut take)?);
        }
        Some(Self { at, next, by_handler })
    }
}
