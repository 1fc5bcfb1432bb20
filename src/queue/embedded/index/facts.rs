//! What the index keeps of deliveries: why they died, their attempts, and which settle record
//! holds those that ended at once.
//!
//! Each fact has the LSN of its record in its key, so that the order in which facts are taken in
//! does not matter and the same one may come twice.

use std::time::Duration;

use super::keys::{DeliveryKey, sortable, take_u64, unsortable};
use super::store::{Pair, StoreError, Table, Write};
use crate::clock::{Timestamp, whole_micros};
use crate::event::{Attempt, ErrorText, HandlerName, Output, Position, Progress};
use crate::queue::codec::{Put, Take};
use crate::queue::embedded::record::{DeliveryRecord, Incarnation, Lsn, NewState, Section, output};

/// How many positions one entry of the settled table spans at most: so far back a look-up goes.
pub(super) const SPAN_MAX: u64 = 4_096;

/// What a recorded change led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LedTo {
    Delivered,
    Skipped,
    Dropped,
    Retry,
    Dead,
}

impl LedTo {
    const fn tag(self) -> u8 {
        match self {
            Self::Delivered => 0,
            Self::Skipped => 1,
            Self::Dropped => 2,
            Self::Retry => 3,
            Self::Dead => 4,
        }
    }

    const fn of_tag(tag: u8) -> Option<Self> {
        match tag {
            0 => Some(Self::Delivered),
            1 => Some(Self::Skipped),
            2 => Some(Self::Dropped),
            3 => Some(Self::Retry),
            4 => Some(Self::Dead),
            _ => None,
        }
    }

    /// `None` for what is neither an attempt nor an end.
    pub(crate) const fn of(state: &NewState) -> Option<Self> {
        match state {
            NewState::Delivered => Some(Self::Delivered),
            NewState::Skipped => Some(Self::Skipped),
            NewState::Dropped => Some(Self::Dropped),
            NewState::Retry { .. } => Some(Self::Retry),
            NewState::Dead { .. } => Some(Self::Dead),
            NewState::Open | NewState::Lost => None,
        }
    }
}

/// How a delivery became a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeadFact {
    /// Where that is recorded.
    pub(crate) lsn: Lsn,
    pub(crate) died_at: Timestamp,
    pub(crate) attempts: u32,
    pub(crate) reason: ErrorText,
}

/// A recorded change of a delivery, with the attempt that led to it where there was one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AttemptFact {
    pub(crate) lsn: Lsn,
    pub(crate) led_to: LedTo,
    pub(crate) number: u32,
    pub(crate) attempt: Option<Attempt>,
}

impl AttemptFact {
    /// What the record at `lsn` says; `None` where that is neither an attempt nor an end.
    pub(crate) fn of(change: &DeliveryRecord, lsn: Lsn) -> Option<Self> {
        let led_to = LedTo::of(&change.to)?;
        let attempt = change.attempt.clone();
        Some(Self { lsn, led_to, number: change.attempts, attempt })
    }

    /// Sorts the facts of one delivery by the time they were recorded; equal for two readings of
    /// the same change. Within one record the attempts' own times and numbers decide.
    pub(crate) fn order(&self) -> (Lsn, Timestamp, u32) {
        let last = Timestamp::from_millis(i64::MAX);
        let started_at = self.attempt.as_ref().map_or(last, |attempt| attempt.started_at);
        (self.lsn, started_at, self.number)
    }

    fn write(&self, delivery: &DeliveryKey) -> Write {
        let (lsn, started_at, number) = self.order();
        let mut key = delivery.to_bytes();
        key.put_raw(&lsn.0.to_be_bytes());
        key.put_raw(&sortable(started_at.as_millis()).to_be_bytes());
        key.put_raw(&number.to_be_bytes());
        let mut value = vec![self.led_to.tag()];
        if let Some(attempt) = &self.attempt {
            value.put_varint(whole_micros(attempt.duration));
            value.put_varint(attempt.status.map_or(0, |status| u64::from(status) + 1));
            value.put_bytes(attempt.error.as_str().as_bytes());
            if !attempt.output.is_empty() || attempt.progress.is_some() {
                output::encode(&attempt.output, &mut value);
                value.put_bytes(attempt.progress.as_ref().map_or(&[], |progress| &progress.0));
            }
        }
        Write::Put { table: Table::Attempts, key, value }
    }

    pub(super) fn read((key, value): &Pair) -> Result<(DeliveryKey, Self), StoreError> {
        let (delivery, mut rest) = DeliveryKey::split(key)?;
        let mut read = || {
            let lsn = Lsn(take_u64(&mut rest)?);
            let started_at = Timestamp::from_millis(unsortable(take_u64(&mut rest)?));
            let number = u32::from_be_bytes(rest.array()?);
            let mut take = Take(value);
            let led_to = LedTo::of_tag(take.u8()?)?;
            let attempt = if take.0.is_empty() {
                None
            } else {
                let duration = Duration::from_micros(take.varint()?);
                let status = match take.varint()? {
                    0 => None,
                    status => Some(u16::try_from(status - 1).ok()?),
                };
                let error = ErrorText::new(take.text()?);
                let (mut output, mut progress) = (Output::default(), None);
                if !take.0.is_empty() {
                    output = output::decode(&mut take)?;
                    let bytes = Some(take.bytes()?).filter(|bytes| !bytes.is_empty());
                    progress = bytes.map(|bytes| Progress(bytes.into()));
                }
                Some(Attempt { started_at, duration, error, status, output, progress })
            };
            Some(Self { lsn, led_to, number, attempt })
        };
        read().map(|fact| (delivery, fact)).ok_or(StoreError::Bad)
    }
}

impl DeadFact {
    fn write(&self, delivery: &DeliveryKey) -> Write {
        let mut key = delivery.to_bytes();
        key.put_raw(&self.lsn.0.to_be_bytes());
        let mut value = Vec::new();
        value.put_signed(self.died_at.as_millis());
        value.put_varint(u64::from(self.attempts));
        value.put_bytes(self.reason.as_str().as_bytes());
        Write::Put { table: Table::Dead, key, value }
    }

    pub(super) fn read((key, value): &Pair) -> Result<Self, StoreError> {
        let (_, mut rest) = DeliveryKey::split(key)?;
        let mut read = || {
            let mut take = Take(value);
            Some(Self {
                lsn: Lsn(take_u64(&mut rest)?),
                died_at: Timestamp::from_millis(take.signed()?),
                attempts: u32::try_from(take.varint()?).ok()?,
                reason: ErrorText::new(take.text()?),
            })
        };
        read().ok_or(StoreError::Bad)
    }
}

/// A settle record that may hold a delivery which ended at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SettledFact {
    pub(crate) delivery: DeliveryKey,
    /// The last position between which and the key's one the record has deliveries.
    pub(crate) last: Position,
    pub(crate) lsn: Lsn,
}

impl SettledFact {
    fn write(&self) -> Write {
        let mut key = self.delivery.to_bytes();
        key.put_raw(&self.lsn.0.to_be_bytes());
        let mut value = Vec::new();
        value.put_varint(self.last.0);
        Write::Put { table: Table::Settled, key, value }
    }

    pub(super) fn read((key, value): &Pair) -> Result<Self, StoreError> {
        let (delivery, mut rest) = DeliveryKey::split(key)?;
        let lsn = take_u64(&mut rest).map(Lsn).ok_or(StoreError::Bad)?;
        let last = Take(value).varint().map(Position).ok_or(StoreError::Bad)?;
        Ok(Self { delivery, last, lsn })
    }
}

/// How a change is found again in a delivery's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HistoryEntry {
    /// By an entry of its own.
    Own,
    /// By its settle record: the many deliveries that end at once share one entry for it.
    Shared,
    /// Not at all: it was neither an attempt nor an end.
    None,
}

fn history_entry(change: &DeliveryRecord) -> HistoryEntry {
    match change.to {
        NewState::Delivered | NewState::Skipped if change.to.is_end_at_once(change.attempts) => {
            HistoryEntry::Shared
        }
        NewState::Dropped if change.count > 1 => HistoryEntry::Shared,
        NewState::Delivered | NewState::Skipped | NewState::Dropped | NewState::Dead { .. } => {
            HistoryEntry::Own
        }
        NewState::Retry { .. } if change.attempt.is_some() => HistoryEntry::Own,
        NewState::Retry { .. } | NewState::Open | NewState::Lost => HistoryEntry::None,
    }
}

/// The entries of one change that has its own ones.
pub(super) fn facts_of_change(
    handler: &HandlerName,
    incarnation: Incarnation,
    change: &DeliveryRecord,
    lsn: Lsn,
    writes: &mut Vec<Write>,
) {
    if history_entry(change) != HistoryEntry::Own {
        return;
    }
    let delivery = DeliveryKey::new(change.first, handler, incarnation);
    writes.extend(AttemptFact::of(change, lsn).map(|fact| fact.write(&delivery)));
    if let NewState::Dead { died_at, reason, order_key: _ } = &change.to
        && !change.is_bare()
    {
        let (died_at, reason) = (*died_at, reason.clone());
        let fact = DeadFact { lsn, died_at, attempts: change.attempts, reason };
        writes.push(fact.write(&delivery));
    }
}

/// The entries of one section of the settle record at `lsn`. `next` is the position that the next
/// event gets: what a section says of later ones is void.
pub(super) fn facts_of_section(
    section: &Section,
    lsn: Lsn,
    next: Position,
    writes: &mut Vec<Write>,
) {
    let mut spans = Spans { section, lsn, open: None };
    for change in &section.changes {
        facts_of_change(&section.handler, section.incarnation, change, lsn, writes);
        if history_entry(change) == HistoryEntry::Shared {
            let positions = change.positions();
            spans.add(positions.start, positions.end.min(next), writes);
        }
    }
    spans.end(writes);
}

/// Gathers the deliveries of a section that ended at once into few entries of bounded width.
struct Spans<'a> {
    section: &'a Section,
    lsn: Lsn,
    /// First and last position.
    open: Option<(Position, Position)>,
}

impl Spans<'_> {
    fn add(&mut self, mut first: Position, end: Position, writes: &mut Vec<Write>) {
        while first < end {
            let last = end.previous().min(first.after(SPAN_MAX - 1));
            let joined = self.open.map(|(begin, end)| (begin.min(first), end.max(last)));
            let joined = joined.filter(|(begin, end)| end.events_since(*begin) < SPAN_MAX);
            if joined.is_none() {
                self.end(writes);
            }
            self.open = joined.or(Some((first, last)));
            first = last.next();
        }
    }

    fn end(&mut self, writes: &mut Vec<Write>) {
        let Some((first, last)) = self.open.take() else { return };
        let delivery = DeliveryKey::new(first, &self.section.handler, self.section.incarnation);
        writes.push(SettledFact { delivery, last, lsn: self.lsn }.write());
    }
}
