//! Finding events by position and id; the lists by time and type are below.

use std::io;
use std::sync::Arc;

use super::dedupe::Seen;
use super::shared::Shared;
use crate::event::{Dedupe, DedupeKey, Event, EventId, Position};
use crate::queue::QueueError;
use crate::queue::ids::millis_of;
use crate::queue::journal::{Location, Reader};
use crate::queue::record::{Kind, Record};

mod list;

pub(crate) use list::list;

/// Where to begin reading to come to `position`: at it or at most some 256 events before it.
pub(crate) fn locate(shared: &Shared, position: Position) -> Location {
    let segment = shared.segments.holding(position);
    let begin = segment.map_or(Location::start_of(0), |segment| Location::start_of(segment.number));
    let block = shared.index().and_then(|index| index.block_of(position));
    match block {
        Ok(Some(block)) => block.at.max(begin),
        Ok(None) | Err(_) => begin,
    }
}

/// The event at `position` with its dedupe key, while it is there.
pub(crate) fn event_at(
    shared: &Shared,
    position: Position,
) -> Result<Option<(Event, Dedupe)>, QueueError> {
    Finder::default().event_at(shared, position)
}

/// Finds one event after another: one that stands shortly behind the last one in the log is read
/// on to, not looked for.
#[derive(Debug, Default)]
pub(crate) struct Finder(Option<Found>);

/// Where a [`Finder`] stands.
#[derive(Debug)]
struct Found {
    reader: Reader,
    /// The segment that it reads: a file is used again once its segment is gone.
    segment: u64,
    /// The position behind the last one that was found.
    next: Position,
}

/// How many events a [`Finder`] reads past before it looks for the next one anew.
const READ_ON_MAX: u64 = 64;

impl Finder {
    /// The event at `position` with its dedupe key, while it is there.
    pub(crate) fn event_at(
        &mut self,
        shared: &Shared,
        position: Position,
    ) -> Result<Option<(Event, Dedupe)>, QueueError> {
        let moved_to = || shared.index().and_then(|index| index.moved(position));
        let mut moved = moved_to();
        loop {
            let copy = match moved {
                Ok(Some(at)) => copy_at(shared, at, position)?,
                Ok(None) | Err(_) => None,
            };
            let found = match copy {
                None => self.original_at(shared, position)?,
                found => found,
            };
            // While it was looked for here it may have been copied forward, and this have gone.
            let (before, after) = (moved.ok(), moved_to());
            if found.is_some() || before == after.as_ref().ok().copied() {
                // Without the index nobody knows that an event is gone.
                return if found.is_some() {
                    Ok(found)
                } else {
                    after.map(|_| None).map_err(Into::into)
                };
            }
            moved = after;
        }
    }

    fn original_at(
        &mut self,
        shared: &Shared,
        position: Position,
    ) -> Result<Option<(Event, Dedupe)>, QueueError> {
        if position < shared.oldest() || position >= shared.durable().next {
            self.0 = None;
            return Ok(None);
        }
        let segment = shared.segments.holding(position).map_or(0, |segment| segment.number);
        let is_near = |found: &Found| {
            let ahead = position.0.checked_sub(found.next.0);
            found.segment == segment && ahead.is_some_and(|ahead| ahead <= READ_ON_MAX)
        };
        let near = self.0.take().filter(is_near).map(|found| found.reader);
        let mut reader = near
            .unwrap_or_else(|| Reader::new(Arc::clone(&shared.segments), locate(shared, position)));
        let found = read_to(shared, &mut reader, position)?;
        if found.is_some() {
            self.0 = Some(Found { reader, segment, next: position.next() });
        }
        Ok(found)
    }
}

/// Reads on to the event at `position`, which is the only one that is decoded.
fn read_to(
    shared: &Shared,
    reader: &mut Reader,
    position: Position,
) -> Result<Option<(Event, Dedupe)>, QueueError> {
    let end = shared.durable().end;
    while let Some(found) = reader.next(end).map_err(read_failed)? {
        if found.kind != Kind::Event || found.position().is_some_and(|at| at < position) {
            continue;
        }
        return Ok(match found.decode().map_err(read_failed)? {
            Record::Event(event, dedupe) if event.position == position => Some((event, dedupe)),
            _ => None,
        });
    }
    Ok(None)
}

fn copy_at(
    shared: &Shared,
    at: Location,
    position: Position,
) -> Result<Option<(Event, Dedupe)>, QueueError> {
    let mut reader = Reader::new(Arc::clone(&shared.segments), at);
    let found = reader.next(shared.durable().end).map_err(read_failed)?;
    match found.map(|found| found.decode()).transpose().map_err(read_failed)? {
        Some(Record::Carried(event, dedupe)) if event.position == position => {
            Ok(Some((event, dedupe)))
        }
        Some(_) | None => Ok(None),
    }
}

/// What is known of the key of the event at `position`, from the event or from the record that
/// outlives it; `None` where that event has another key.
pub(crate) fn seen_at(
    shared: &Shared,
    position: Position,
    key: DedupeKey,
) -> Result<Option<Seen>, QueueError> {
    if let Some((event, dedupe)) = event_at(shared, position)? {
        let seen = Seen { id: event.id, position, received_at: event.received_at };
        let is_same = matches!(dedupe, Dedupe::Within { key: found, .. } if found == key);
        return Ok(is_same.then_some(seen));
    }
    let Some(record) = shared.index()?.key_record_of(position)? else { return Ok(None) };
    let mut reader = Reader::new(Arc::clone(&shared.segments), record.at);
    let found = reader.next(shared.durable().end).map_err(read_failed)?;
    let Some(Record::Keys(keys)) =
        found.map(|found| found.decode()).transpose().map_err(read_failed)?
    else {
        return Ok(None);
    };
    let entry = keys.0.into_iter().find(|entry| entry.position == position && entry.key == key);
    Ok(entry.map(|entry| Seen { id: entry.id, position, received_at: entry.received_at }))
}

/// Reads events from `at` on until `visit` says stop (`false`) or the end is reached.
pub(crate) fn scan(
    shared: &Shared,
    at: Location,
    mut visit: impl FnMut(Event, Dedupe) -> bool,
) -> Result<(), QueueError> {
    let end = shared.durable().end;
    let mut reader = Reader::new(Arc::clone(&shared.segments), at);
    while let Some(found) = reader.next(end).map_err(read_failed)? {
        if found.kind != Kind::Event {
            continue;
        }
        if let Record::Event(event, dedupe) = found.decode().map_err(read_failed)?
            && !visit(event, dedupe)
        {
            break;
        }
    }
    Ok(())
}

/// The event of this id: ids ascend with the log, so it is a search by time.
pub(crate) fn event_of(shared: &Shared, id: EventId) -> Result<Option<Event>, QueueError> {
    let index = shared.index()?;
    let (mut low, mut high) = (shared.oldest().0, shared.durable().next.0);
    // Closes in on the last block that begins at or before the event.
    let mut begin = locate(shared, Position(low));
    while low + 1 < high {
        let middle = Position(low + (high - low) / 2);
        match index.block_of(middle)? {
            // The event may stand before `middle` in the same block.
            Some(block) if block.first_id <= id => (low, begin) = (middle.0, begin.max(block.at)),
            Some(block) if block.first.0 > low => high = block.first.0,
            Some(_) | None => break,
        }
    }
    let mut found = None;
    scan(shared, begin, |event, _| {
        let goes_on = event.id < id && millis_of(event.id) <= millis_of(id);
        if event.id == id {
            found = Some(event);
        }
        goes_on
    })?;
    match found {
        Some(event) => Ok(Some(event)),
        None => carried_event_of(shared, id),
    }
}

/// The event of this id among those that were copied forward.
fn carried_event_of(shared: &Shared, id: EventId) -> Result<Option<Event>, QueueError> {
    let index = shared.index()?;
    for segment in shared.segments.all() {
        for position in index.moved_into(segment.number)? {
            let event = event_at(shared, position)?;
            if let Some((event, _)) = event.filter(|(event, _)| event.id == id) {
                return Ok(Some(event));
            }
        }
    }
    Ok(None)
}

/// A read that failed, for the caller.
pub(crate) fn read_failed(err: io::Error) -> QueueError {
    QueueError::Io { what: "reading the journal".into(), source: err }
}
