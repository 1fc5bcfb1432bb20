//! Writing what version 1 left as a log of this version.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

use super::journal::Journal;
use super::read::Old;
use super::record::{OldChange, OldState};
use crate::clock::{Clock, Timestamp};
use crate::event::{Dedupe, Event, EventId, HandlerName, NewEvent, OrderKey, Position};
use crate::queue::QueueError;
use crate::queue::embedded::Settings;
use crate::queue::embedded::kept::{EndTrust, KeptLog};
use crate::queue::embedded::keys::{KeyMemtable, KeyRuns, Step};
use crate::queue::embedded::log::{
    AllocateError, AppendError, FileLog, LogWriter, OpenOptions, Reserve, SegmentAllocator, Want,
};
use crate::queue::embedded::record::{
    DeliveryRecord, HEADER_BYTES, HandlerHead, Incarnation, KeptChanges, KeptEnd, Kind, Lsn,
    NewState, Section, SegmentHead, SegmentId, SettleRecord, UnitBuilder, encode_event,
    event_bytes,
};

/// How many bytes one write takes.
const UNIT_BYTES: usize = 1 << 20;
/// How many changes one settle record holds.
const CHANGES_MAX: usize = 4_096;
/// Everything is recorded as of the first opening.
const OPENING: u64 = 1;

/// Writes the log, the kept log and the key runs, durably.
pub(super) fn write(
    journal: &Journal,
    old: &Old,
    settings: &Settings,
    clock: &Arc<dyn Clock>,
    seed: u64,
) -> Result<(), QueueError> {
    let mut random = StdRng::seed_from_u64(seed);
    write_keys(old, settings)?;
    let options = OpenOptions {
        segment_bytes: settings.segment_bytes,
        disk_reserve: settings.reserve(),
        clock: Arc::clone(clock),
        known: Vec::new(),
        synced_until: Lsn(0),
        drops_torn_units: false,
    };
    let opened = FileLog::open(Arc::clone(&settings.storage), &settings.folder, &options)?;
    let file_log = Arc::clone(&opened.survey.log);
    let mut writer = Writer {
        log: opened.writer,
        allocator: SegmentAllocator::new(file_log),
        unit: None,
        next: old.first,
        first: old.first,
        kept: KeptEnd::default(),
        handlers: Vec::new(),
        newest_id: old.newest_id,
        now: clock.now(),
        random: StdRng::seed_from_u64(random.next_u64()),
    };
    let mut handlers = Vec::new();
    for handler in old.places.keys() {
        let since = old.oldest_of(handler);
        let subscribed = writer
            .push(HEADER_BYTES + 256, |unit| unit.push_subscribed(handler, since, OPENING))?;
        let (handler, incarnation) = (handler.clone(), Incarnation { subscribed, since });
        writer.handlers.push(HandlerHead { handler: handler.clone(), incarnation });
        handlers.push((handler, incarnation));
    }
    writer.kept = write_kept(journal, old, settings, &handlers, random.next_u64())?;
    Old::each_event(journal, |event, dedupe| writer.event(&event, dedupe))?;
    writer.next = writer.next.max(old.next);
    for (handler, incarnation) in &handlers {
        writer.settle(handler, *incarnation, &old.changes_of(handler, old.first))?;
    }
    // The end of the kept log counts once it is recorded.
    let kept = writer.kept;
    writer.push(HEADER_BYTES + 64, |unit| unit.push_trim(1, old.first, kept))?;
    writer.flush()
}

/// The dedupe keys of events that are gone. Those of the others come out of the log.
fn write_keys(old: &Old, settings: &Settings) -> Result<(), QueueError> {
    let failed = |source| QueueError::Io { what: "writing the dedupe keys".into(), source };
    let options = settings.key_options();
    let folder = settings.folder.join("keys");
    let storage = Arc::clone(&settings.storage);
    let runs = KeyRuns::open(storage, &folder, old.newest_id, options).map_err(failed)?;
    let mut memtable = KeyMemtable::new(Lsn(0), options);
    for (number, key) in (1_u64..).zip(&old.keys) {
        memtable.insert(*key, Lsn(number));
    }
    runs.add_frozen(memtable.freeze(Lsn::start_of(1)));
    while runs.write_step().map_err(failed)? == Step::Again {}
    Ok(())
}

/// Events that were copied forward, with how their deliveries stand.
fn write_kept(
    journal: &Journal,
    old: &Old,
    settings: &Settings,
    handlers: &[(HandlerName, Incarnation)],
    salt: u64,
) -> Result<KeptEnd, QueueError> {
    let failed = |source| QueueError::Io { what: "writing the kept log".into(), source };
    let folder = settings.folder.join("kept");
    let storage = Arc::clone(&settings.storage);
    let none = (KeptEnd::default(), EndTrust::Sure);
    let kept = KeptLog::open(storage, &folder, none, settings.kept_options()).map_err(failed)?;
    let mut events = Vec::new();
    old.each_carried(journal, |event| {
        let (id, position) = (event.id, event.position);
        let mut payload = Vec::new();
        encode_event(&event.received, id, position, &mut payload);
        events.push((position, payload.into()));
    })?;
    if events.is_empty() {
        return Ok(KeptEnd::default());
    }
    events.sort_unstable_by_key(|(position, _)| *position);
    let mut changes = Vec::new();
    for (handler, incarnation) in handlers {
        let its = old.entries.get(handler).into_iter().flat_map(|its| its.range(..old.first));
        let its: Vec<(Lsn, DeliveryRecord)> =
            its.map(|(_, entry)| (Lsn(0), of_entry(entry))).collect();
        if !its.is_empty() {
            let (handler, incarnation) = (handler.clone(), *incarnation);
            changes.push(KeptChanges { handler, incarnation, changes: its });
        }
    }
    let end = kept.append(salt, &events, &changes).map_err(failed)?;
    kept.record(end);
    Ok(end)
}

impl Old {
    /// Before everything that a handler still has to do.
    fn oldest_of(&self, handler: &HandlerName) -> Position {
        let entry = self.entries.get(handler).and_then(|its| its.first_key_value());
        entry.map_or(self.first, |(position, _)| self.first.min(*position))
    }

    /// How a handler's deliveries from `first` on stand, as changes.
    fn changes_of(&self, handler: &HandlerName, first: Position) -> Vec<DeliveryRecord> {
        let Some(place) = self.places.get(handler) else { return Vec::new() };
        let mut changes = Vec::new();
        let mut passed = |from: Position, end: Position, to: NewState| {
            if from < end {
                changes.push(DeliveryRecord::of_all(from..end, to));
            }
        };
        passed(first, place.cursor, NewState::Delivered);
        let mut at = first.max(place.cursor);
        for (begin, count) in &place.ahead {
            let end = begin.after(*count);
            passed(at, *begin, NewState::Open);
            passed(at.max(*begin), end, NewState::Delivered);
            at = at.max(end);
        }
        let entries = self.entries.get(handler).into_iter().flat_map(|its| its.range(first..));
        changes.extend(entries.map(|(_, entry)| of_entry(entry)));
        changes
    }
}

fn of_entry(entry: &OldChange) -> DeliveryRecord {
    let to = match &entry.state {
        OldState::Retry { due, wait, order_key } => {
            NewState::Retry { due: *due, wait: *wait, order_key: *order_key }
        }
        OldState::Held { order_key } => held(entry.attempts, *order_key),
        OldState::Dead { died_at, reason, order_key } => {
            NewState::Dead { died_at: *died_at, reason: reason.clone(), order_key: *order_key }
        }
        OldState::Settled => NewState::Delivered,
    };
    let (attempts, first_attempt_at) = (entry.attempts, entry.first_attempt_at);
    let attempt = entry.attempt.clone();
    let change = DeliveryRecord::of(entry.position, 1, to);
    match change.to {
        NewState::Open => change,
        _ => DeliveryRecord { attempts, first_attempt_at, attempt, ..change },
    }
}

/// One that was never tried comes again from the log, in its place; one that was keeps its count.
fn held(attempts: u32, order_key: OrderKey) -> NewState {
    if attempts == 0 {
        return NewState::Open;
    }
    let (due, wait) = (Timestamp::default(), Duration::ZERO);
    NewState::Retry { due, wait, order_key: Some(order_key) }
}

/// Appends record after record, going on to the next segment where one is full.
struct Writer {
    log: LogWriter,
    allocator: SegmentAllocator,
    unit: Option<UnitBuilder>,
    next: Position,
    /// The log's first position.
    first: Position,
    kept: KeptEnd,
    handlers: Vec<HandlerHead>,
    newest_id: Option<EventId>,
    now: Timestamp,
    random: StdRng,
}

impl Writer {
    fn push(
        &mut self,
        needed: usize,
        push: impl FnOnce(&mut UnitBuilder) -> Lsn,
    ) -> Result<Lsn, QueueError> {
        let written = self.unit.as_ref().map_or(0, UnitBuilder::len);
        if self.log.needs_roll() || written + needed > self.log.room() {
            self.flush()?;
            self.roll(needed)?;
        } else if written > UNIT_BYTES {
            self.flush()?;
        }
        let unit = match self.unit.take() {
            Some(unit) => unit,
            None => self.log.begin(),
        };
        Ok(push(self.unit.insert(unit)))
    }

    fn event(&mut self, event: &Event, dedupe: Dedupe) -> Result<(), QueueError> {
        let (id, position) = (event.id, event.position);
        let event = NewEvent { dedupe, ..event.received.clone() };
        let needed = HEADER_BYTES + event_bytes(&event);
        let at = self.push(needed, |unit| unit.push_event(&event, id, position))?;
        self.log.note_event(position, at.offset());
        self.next = position.next();
        Ok(())
    }

    fn settle(
        &mut self,
        handler: &HandlerName,
        incarnation: Incarnation,
        changes: &[DeliveryRecord],
    ) -> Result<(), QueueError> {
        for some in changes.chunks(CHANGES_MAX) {
            let (handler, changes) = (handler.clone(), some.to_vec());
            let section = Section { handler, incarnation, epoch: OPENING, changes };
            let record = SettleRecord { at: self.now, sections: vec![section] };
            let mut payload = Vec::new();
            record.encode(&mut payload);
            self.push(HEADER_BYTES + payload.len(), |unit| {
                unit.push(Kind::Settle, |out| out.extend_from_slice(&payload))
            })?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), QueueError> {
        let Some(unit) = self.unit.take() else { return Ok(()) };
        self.log.append(&unit).map_err(not_written)?;
        self.log.reuse(unit.into_bytes());
        self.log.publish(self.next);
        Ok(())
    }

    fn roll(&mut self, needed: usize) -> Result<(), QueueError> {
        let id = SegmentId { number: self.log.next_number(), salt: self.random.next_u64() };
        let want = Want { id, reserve: Reserve::Used };
        let segment = loop {
            if let Some(segment) = self.allocator.step(want).map_err(not_made)? {
                break segment;
            }
        };
        let head = SegmentHead {
            at: self.now,
            next: self.next,
            newest_id: self.newest_id,
            opening: OPENING,
            first: 1,
            first_position: self.first,
            kept: self.kept,
            previous: None,
            handlers: self.handlers.clone(),
        };
        self.log.roll(segment, head, needed).map_err(not_written)
    }
}

fn not_written(err: AppendError) -> QueueError {
    match err {
        AppendError::Full(why) | AppendError::Unavailable(why) => QueueError::Full(why),
        AppendError::TooLarge { max } => {
            QueueError::Corrupt(format!("a record is larger than the {max} bytes of a segment"))
        }
        AppendError::Poisoned(source) => QueueError::Io { what: "writing the log".into(), source },
    }
}

fn not_made(err: AllocateError) -> QueueError {
    match err {
        AllocateError::Full(why) | AllocateError::Unavailable(why) => QueueError::Full(why),
        AllocateError::Failed(source) => QueueError::Io { what: "making a segment".into(), source },
    }
}
