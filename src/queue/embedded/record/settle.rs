//! Payloads of outcomes, version 2.
//!
//! A settle record: time, count of sections; a section: handler, incarnation, epoch, count of
//! changes. A change: first position as a signed difference to the change before, a tag (lower four
//! bits the new state, upper ones which optional parts follow), the optional count, the state's
//! own fields, and where there are details: tries, flags, first try, and the try that led to it.
//! Their times are differences to the record's, which makes them small.

use std::time::Duration;

use super::{
    DeliveryRecord, HandlerName, Incarnation, KeptChanges, Lsn, NewState, Position, Section,
};
use super::{SettleRecord, output};
use crate::clock::{Timestamp, whole_micros, whole_millis};
use crate::event::{Attempt, ErrorText, OrderKey, Output, Progress};
use crate::queue::codec::{Put, Take};

const DELIVERED: u8 = 0;
const SKIPPED: u8 = 1;
const DROPPED: u8 = 2;
const RETRY: u8 = 3;
const DEAD: u8 = 4;
const OPEN: u8 = 5;
const LOST: u8 = 6;
/// The bits of the tag that name the state.
const STATE: u8 = 0x0f;
/// More than one position; the count follows.
const HAS_COUNT: u8 = 0x10;
/// Tries, flags and what they name follow behind the state.
const HAS_DETAILS: u8 = 0x20;
/// The state's order key follows.
const HAS_ORDER_KEY: u8 = 0x40;
const TAG: u8 = STATE | HAS_COUNT | HAS_DETAILS | HAS_ORDER_KEY;

const HAS_ATTEMPT: u8 = 1;
const HAS_FIRST_ATTEMPT: u8 = 2;
const HAS_ERROR: u8 = 4;
const HAS_STATUS: u8 = 8;
/// What the other side said follows.
const HAS_OUTPUT: u8 = 16;
/// How far the try came follows.
const HAS_PROGRESS: u8 = 32;
const FLAGS: u8 =
    HAS_ATTEMPT | HAS_FIRST_ATTEMPT | HAS_ERROR | HAS_STATUS | HAS_OUTPUT | HAS_PROGRESS;

/// How much of a settle record is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    All,
    /// All but what was said in tries that ended at once.
    WithoutSaid,
}

impl NewState {
    /// Whether a delivery ended so with its first try, as most do.
    pub(crate) const fn is_end_at_once(&self, attempts: u32) -> bool {
        attempts <= 1 && matches!(self, Self::Delivered | Self::Skipped)
    }

    const fn tag(&self) -> u8 {
        match self {
            Self::Delivered => DELIVERED,
            Self::Skipped => SKIPPED,
            Self::Dropped => DROPPED,
            Self::Retry { .. } => RETRY,
            Self::Dead { .. } => DEAD,
            Self::Open => OPEN,
            Self::Lost => LOST,
        }
    }

    pub(crate) const fn order_key(&self) -> Option<OrderKey> {
        match self {
            Self::Retry { order_key, .. } | Self::Dead { order_key, .. } => *order_key,
            Self::Delivered | Self::Skipped | Self::Dropped | Self::Open | Self::Lost => None,
        }
    }

    /// Whether a change to it names one delivery only.
    pub(crate) const fn is_of_one(&self) -> bool {
        match self {
            Self::Retry { .. } | Self::Dead { order_key: Some(_), .. } => true,
            Self::Delivered
            | Self::Skipped
            | Self::Dropped
            | Self::Dead { order_key: None, .. }
            | Self::Open
            | Self::Lost => false,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Retry { due, wait, .. } => {
                out.put_signed(due.as_millis());
                out.put_varint(whole_millis(*wait));
            }
            Self::Dead { died_at, reason, .. } => {
                out.put_signed(died_at.as_millis());
                out.put_bytes(reason.as_str().as_bytes());
            }
            Self::Delivered | Self::Skipped | Self::Dropped | Self::Open | Self::Lost => {}
        }
        if let Some(order_key) = self.order_key() {
            out.put_raw(&order_key.0);
        }
    }

    fn decode(tag: u8, take: &mut Take<'_>) -> Option<Self> {
        let key = |take: &mut Take<'_>| match tag & HAS_ORDER_KEY {
            0 => Some(None),
            _ => take.array().map(|bytes| Some(OrderKey(bytes))),
        };
        let state = match tag & STATE {
            DELIVERED => Self::Delivered,
            SKIPPED => Self::Skipped,
            DROPPED => Self::Dropped,
            RETRY => {
                let due = timestamp(take)?;
                let wait = Duration::from_millis(take.varint()?);
                Self::Retry { due, wait, order_key: key(take)? }
            }
            DEAD => {
                let died_at = timestamp(take)?;
                let reason = ErrorText::new(take.text()?);
                Self::Dead { died_at, reason, order_key: key(take)? }
            }
            OPEN => Self::Open,
            LOST => Self::Lost,
            _ => return None,
        };
        // A state that has no key cannot have one in its bytes.
        (state.order_key().is_some() == (tag & HAS_ORDER_KEY != 0)).then_some(state)
    }
}

fn timestamp(take: &mut Take<'_>) -> Option<Timestamp> {
    take.signed().map(Timestamp::from_millis)
}

impl DeliveryRecord {
    /// Appends the change; `before` = the first position of the change before it, `at` = what its
    /// times are told from.
    pub(crate) fn encode(&self, before: Position, at: Timestamp, out: &mut Vec<u8>) {
        let has_details =
            self.attempts > 0 || self.first_attempt_at.is_some() || self.attempt.is_some();
        let mut tag = self.to.tag();
        tag |= if self.count == 1 { 0 } else { HAS_COUNT };
        tag |= if has_details { HAS_DETAILS } else { 0 };
        tag |= if self.to.order_key().is_some() { HAS_ORDER_KEY } else { 0 };
        out.put_signed(self.first.0.wrapping_sub(before.0).cast_signed());
        out.put_u8(tag);
        if self.count != 1 {
            out.put_varint(self.count);
        }
        self.to.encode(out);
        if has_details {
            self.encode_details(at, out);
        }
    }

    fn encode_details(&self, at: Timestamp, out: &mut Vec<u8>) {
        let relative = |time: Timestamp| time.as_millis().wrapping_sub(at.as_millis());
        out.put_varint(self.attempts.into());
        // Times are relative to the record's, and so mostly one to four bytes long.
        let mut flags = if self.first_attempt_at.is_some() { HAS_FIRST_ATTEMPT } else { 0 };
        if let Some(attempt) = &self.attempt {
            flags |= HAS_ATTEMPT;
            flags |= if attempt.error.as_str().is_empty() { 0 } else { HAS_ERROR };
            flags |= if attempt.status.is_some() { HAS_STATUS } else { 0 };
            flags |= if attempt.output.is_empty() { 0 } else { HAS_OUTPUT };
            flags |= if attempt.progress.is_some() { HAS_PROGRESS } else { 0 };
        }
        out.put_u8(flags);
        if let Some(first) = self.first_attempt_at {
            out.put_signed(relative(first));
        }
        let Some(attempt) = &self.attempt else { return };
        out.put_signed(relative(attempt.started_at));
        out.put_varint(whole_micros(attempt.duration));
        if !attempt.error.as_str().is_empty() {
            out.put_bytes(attempt.error.as_str().as_bytes());
        }
        if let Some(status) = attempt.status {
            out.put_varint(status.into());
        }
        if !attempt.output.is_empty() {
            output::encode(&attempt.output, out);
        }
        if let Some(progress) = &attempt.progress {
            out.put_bytes(&progress.0);
        }
    }

    /// Reads what [`DeliveryRecord::encode`] wrote.
    pub(crate) fn decode(before: Position, at: Timestamp, take: &mut Take<'_>) -> Option<Self> {
        Self::read(before, at, take, Reading::All)
    }

    fn read(
        before: Position,
        at: Timestamp,
        take: &mut Take<'_>,
        reading: Reading,
    ) -> Option<Self> {
        let first = Position(before.0.wrapping_add(take.signed()?.cast_unsigned()));
        let tag = take.u8()?;
        let count = if tag & HAS_COUNT == 0 { 1 } else { take.varint()? };
        if tag & !TAG != 0 || count == 0 || first.0.checked_add(count).is_none() {
            return None;
        }
        let change = Self::of(first, count, NewState::decode(tag, take)?);
        if change.count > 1 && change.to.is_of_one() {
            return None;
        }
        if tag & HAS_DETAILS == 0 { Some(change) } else { change.with_details(at, take, reading) }
    }

    fn with_details(self, at: Timestamp, take: &mut Take<'_>, reading: Reading) -> Option<Self> {
        let relative = |take: &mut Take<'_>| {
            Some(Timestamp::from_millis(at.as_millis().wrapping_add(take.signed()?)))
        };
        let attempts = u32::try_from(take.varint()?).ok()?;
        let flags = take.u8()?;
        if flags & !FLAGS != 0 {
            return None;
        }
        let has = |flag: u8| flags & flag != 0;
        let first_attempt_at = if has(HAS_FIRST_ATTEMPT) { Some(relative(take)?) } else { None };
        if !has(HAS_ATTEMPT) {
            return Some(Self { attempts, first_attempt_at, ..self });
        }
        let started_at = relative(take)?;
        let duration = Duration::from_micros(take.varint()?);
        let error = ErrorText::new(if has(HAS_ERROR) { take.text()? } else { "" });
        let status = if has(HAS_STATUS) { Some(u16::try_from(take.varint()?).ok()?) } else { None };
        let mut output = Output::default();
        if has(HAS_OUTPUT) {
            match reading {
                Reading::WithoutSaid if self.to.is_end_at_once(attempts) => output::pass(take)?,
                Reading::All | Reading::WithoutSaid => output = output::decode(take)?,
            }
        }
        let progress = if has(HAS_PROGRESS) { Some(Progress(take.bytes()?.into())) } else { None };
        let attempt = Some(Attempt { started_at, duration, error, status, output, progress });
        Some(Self { attempts, first_attempt_at, attempt, ..self })
    }
}

impl Section {
    /// Appends the section; `at` = what its times are told from.
    pub(crate) fn encode(&self, at: Timestamp, out: &mut Vec<u8>) {
        out.put_bytes(self.handler.as_str().as_bytes());
        self.incarnation.encode(out);
        out.put_varint(self.epoch);
        out.put_varint(self.changes.len() as u64);
        let mut before = Position(0);
        for change in &self.changes {
            change.encode(before, at, out);
            before = change.first;
        }
    }

    /// Reads what [`Section::encode`] wrote.
    fn read(at: Timestamp, take: &mut Take<'_>, reading: Reading) -> Option<Self> {
        let handler = HandlerName::parse(take.text()?).ok()?;
        let incarnation = Incarnation::decode(take)?;
        let epoch = take.varint()?;
        let n_changes = take.varint()?;
        let mut changes = Vec::new();
        let mut before = Position(0);
        for _ in 0..n_changes {
            let change = DeliveryRecord::read(before, at, take, reading)?;
            before = change.first;
            changes.push(change);
        }
        Some(Self { handler, incarnation, epoch, changes })
    }
}

impl SettleRecord {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_signed(self.at.as_millis());
        out.put_varint(self.sections.len() as u64);
        for section in &self.sections {
            section.encode(self.at, out);
        }
    }

    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        Self::read(payload, Reading::All)
    }

    /// The same without what was said in tries that ended at once: three allocations fewer for each.
    pub(crate) fn decode_without_said(payload: &[u8]) -> Option<Self> {
        Self::read(payload, Reading::WithoutSaid)
    }

    fn read(payload: &[u8], reading: Reading) -> Option<Self> {
        let mut take = Take(payload);
        let at = timestamp(&mut take)?;
        let n_sections = take.varint()?;
        let mut sections = Vec::new();
        for _ in 0..n_sections {
            sections.push(Section::read(at, &mut take, reading)?);
        }
        take.0.is_empty().then_some(Self { at, sections })
    }
}

impl KeptChanges {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_bytes(self.handler.as_str().as_bytes());
        self.incarnation.encode(out);
        let mut before = (Lsn(0), Position(0));
        for (lsn, change) in &self.changes {
            out.put_signed(lsn.0.wrapping_sub(before.0.0).cast_signed());
            change.encode(before.1, Timestamp::default(), out);
            before = (*lsn, change.first);
        }
    }

    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let mut take = Take(payload);
        let handler = HandlerName::parse(take.text()?).ok()?;
        let incarnation = Incarnation::decode(&mut take)?;
        let mut changes = Vec::new();
        let mut before = (Lsn(0), Position(0));
        while !take.0.is_empty() {
            let lsn = Lsn(before.0.0.wrapping_add(take.signed()?.cast_unsigned()));
            let change = DeliveryRecord::decode(before.1, Timestamp::default(), &mut take)?;
            before = (lsn, change.first);
            changes.push((lsn, change));
        }
        Some(Self { handler, incarnation, changes })
    }
}
