//! Finds single events by position and by id.

use std::ops::Range;
use std::sync::Arc;

use super::{Reading, kept_failed, read_failed};
use crate::event::{Event, EventId, Position};
use crate::queue::detach::detach_head;
use crate::queue::embedded::index::{Direction, id_millis};
use crate::queue::embedded::log::{Finder, LogHead, LogReader, ReadError};
use crate::queue::embedded::record::Lsn;
use crate::queue::names::Names;
use crate::queue::{QueueError, WantedBodies};

/// How many zones on either side of its place an id is looked for in: the ids of several nodes
/// interleave by as much as their clocks differ.
const ZONES_NEAR: usize = 16;

/// How many events on either side of its place an id is looked for among: what several nodes take in
/// within a moment.
const EVENTS_BESIDE: u64 = 1_024;

/// An event that was come to.
#[derive(Debug)]
pub(super) struct Scanned {
    /// Without its body where that is longer than was wanted.
    pub(super) event: Event,
    /// How long its body is.
    pub(super) body_bytes: usize,
    /// How much was read since the event before.
    pub(super) read_bytes: u64,
}

/// An event and where it is.
#[derive(Debug)]
pub(super) struct FoundEvent {
    pub(super) event: Event,
    /// `None` = it is in the kept log.
    pub(super) lsn: Option<Lsn>,
}

impl Reading {
    /// The event at `position`, while it is retained.
    #[cfg(test)]
    pub(crate) fn event_at(&self, position: Position) -> Result<Option<Event>, QueueError> {
        let found = self.look_for(&mut Finder::default(), position)?;
        Ok(found.map(|found| found.event))
    }

    /// The same, with a finder that is quick where the positions that are asked for ascend.
    pub(super) fn look_for(
        &self,
        finder: &mut Finder,
        position: Position,
    ) -> Result<Option<FoundEvent>, QueueError> {
        match finder.event_at(&self.log, position) {
            Ok(Some((event, _, lsn))) => Ok(Some(FoundEvent { event, lsn: Some(lsn) })),
            // Damage in the log: its event may have been kept all the same.
            Ok(None) | Err(ReadError::Trimmed) => {
                let found = self.kept.find(position).map_err(kept_failed)?;
                Ok(found.map(|(event, _)| FoundEvent { event, lsn: None }))
            }
            Err(err @ ReadError::Io { .. }) => Err(read_failed(err)),
        }
    }

    /// The event of this id, while it is retained. Ids ascend with positions, so it is a search by
    /// halves that reads some 30 events and needs no index.
    pub(crate) fn find(&self, id: EventId) -> Result<Option<Event>, QueueError> {
        let head = self.log.head();
        let (mut low, mut high) = (head.first_position, head.next_position);
        while low < high {
            let middle = low.after(high.events_since(low) / 2);
            match self.first_between(middle, high) {
                Ok(Some(event)) if event.id == id => return Ok(Some(event)),
                Ok(Some(event)) if event.id < id => low = event.position.next(),
                Ok(Some(_) | None) => high = middle,
                // What it looks for may have gone into the kept log.
                Err(ReadError::Trimmed) => low = middle.next(),
                Err(err @ ReadError::Io { .. }) => return Err(read_failed(err)),
            }
        }
        if let Some(event) = self.find_near(id, low)? {
            return Ok(Some(event));
        }
        match self.find_beside(id, low)? {
            None => self.find_kept(id),
            found => Ok(found),
        }
    }

    /// Looks at the events beside `position`, where ids of several nodes interleave: the newest ones are
    /// in no zone yet.
    fn find_beside(&self, id: EventId, position: Position) -> Result<Option<Event>, QueueError> {
        if !self.is_copy_of_shared {
            return Ok(None);
        }
        let mut found = None;
        let (from, end) = (position.before(EVENTS_BESIDE), position.after(EVENTS_BESIDE));
        let scanned = self.scan(from.max(self.log.head().first_position), end, &mut |event| {
            let is_other = event.id != id;
            if !is_other {
                found = Some(event);
            }
            is_other
        });
        match scanned {
            Ok(()) | Err(ReadError::Trimmed) => Ok(found),
            Err(err @ ReadError::Io { .. }) => Err(read_failed(err)),
        }
    }

    /// The first event that can be read from `from` to before `end`.
    fn first_between(&self, from: Position, end: Position) -> Result<Option<Event>, ReadError> {
        let mut first = None;
        self.scan(from, end, &mut |event| {
            first = Some(event);
            false
        })?;
        Ok(first)
    }

    /// Looks in the zones near `position` that hold the time of `id`.
    fn find_near(&self, id: EventId, position: Position) -> Result<Option<Event>, QueueError> {
        let millis = id_millis(id);
        let near = |from, to, direction| {
            // Without an index there is nothing near.
            self.index.zones(from, to, direction, ZONES_NEAR).unwrap_or_default()
        };
        let before = near(Position(0), position, Direction::Backward);
        let behind = near(position, Position(u64::MAX), Direction::Forward);
        for zone in before.into_iter().chain(behind) {
            if !zone.holds_id_millis(millis) {
                continue;
            }
            let mut found = None;
            let scanned = self.scan(zone.first, zone.last.next(), &mut |event| {
                let is_other = event.id != id;
                if !is_other {
                    found = Some(event);
                }
                is_other
            });
            match scanned {
                Ok(()) | Err(ReadError::Trimmed) => {}
                Err(err @ ReadError::Io { .. }) => return Err(read_failed(err)),
            }
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The same search by halves over what is kept.
    fn find_kept(&self, id: EventId) -> Result<Option<Event>, QueueError> {
        let (mut low, mut high) = (Position(0), self.log.head().first_position);
        while low < high {
            let middle = low.after(high.events_since(low) / 2);
            let Some(position) = self.kept.first_from(middle).filter(|at| *at < high) else {
                high = middle;
                continue;
            };
            match self.kept.find(position).map_err(kept_failed)? {
                Some((event, _)) if event.id == id => return Ok(Some(event)),
                Some((event, _)) if event.id > id => high = middle,
                Some(_) => low = position.next(),
                // One that cannot be read tells nothing: the others are looked at one by one.
                None => return self.find_kept_slowly(id),
            }
        }
        Ok(None)
    }

    fn find_kept_slowly(&self, id: EventId) -> Result<Option<Event>, QueueError> {
        let mut next = Position(0);
        while let Some(position) = self.kept.first_from(next) {
            let found = self.kept.find(position).map_err(kept_failed)?;
            if let Some((event, _)) = found.filter(|(event, _)| event.id == id) {
                return Ok(Some(event));
            }
            next = position.next();
        }
        Ok(None)
    }

    /// Reads the events of the log from `from` to before `end`, in order, until `visit` says stop
    /// (`false`).
    pub(super) fn scan(
        &self,
        from: Position,
        end: Position,
        visit: &mut dyn FnMut(Event) -> bool,
    ) -> Result<(), ReadError> {
        self.scan_for(WantedBodies::Whole, from..end, &mut |scanned| visit(scanned.event))
    }

    /// The same, reading no more of each event than is wanted.
    pub(super) fn scan_for(
        &self,
        bodies: WantedBodies,
        range: Range<Position>,
        visit: &mut dyn FnMut(Scanned) -> bool,
    ) -> Result<(), ReadError> {
        let LogHead { next: log_end, next_position: end_of_all, .. } = self.log.head();
        let mut reader = LogReader::new(Arc::clone(&self.log), self.log.locate(range.start)?);
        if let WantedBodies::UpTo(most) = bodies {
            reader.skip_rest_of_records(most);
        }
        let mut names = Names::default();
        let (mut from, mut read_bytes) = (range.start, 0_u64);
        while let Some(found) = reader.next(log_end)? {
            read_bytes += found.read_bytes();
            let Some(position) = found.position() else { continue };
            let decoded = if position < from { None } else { found.decode_event(&mut names) };
            // What is not all there is not checked either.
            let is_sound = position < end_of_all && (position < from || decoded.is_some());
            if !found.is_whole() && !is_sound {
                reader.read_whole_again();
                continue;
            }
            if position >= range.end {
                break;
            }
            if position < from {
                continue;
            }
            let Some((event, _)) = decoded else {
                self.log.note_undecodable(&found);
                continue;
            };
            from = position.next();
            let body_bytes = event.body.len() + found.unread_bytes();
            let event = if found.is_whole() { event } else { detach_head(&event) };
            let read_bytes = std::mem::take(&mut read_bytes);
            if !visit(Scanned { event, body_bytes, read_bytes }) {
                break;
            }
        }
        Ok(())
    }
}
