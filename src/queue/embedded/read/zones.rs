//! Which stretches of the log a list has to read.

use std::collections::VecDeque;

use super::Reading;
use crate::event::Position;
use crate::queue::embedded::index::{Direction, Index, ZONE_BYTES, Zone};
use crate::queue::embedded::log::ReadError;

/// How many zones are fetched at once.
const FETCH: usize = 64;
/// How many events are read backwards at once where no zone tells.
const EVENTS_BACK: u64 = 256;

/// A stretch of positions that is read or passed over as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) first: Position,
    pub(super) end: Position,
    /// `None` = the index says nothing of it.
    pub(super) zone: Option<Zone>,
}

/// The zones along a list's way. Where the index fails there are none: everything is read.
#[derive(Debug)]
pub(super) struct Zones<'a> {
    index: &'a Index,
    fetched: VecDeque<Zone>,
    is_at_end: bool,
    /// Whether the index answered so far.
    pub(super) is_answering: bool,
}

impl<'a> Zones<'a> {
    pub(super) fn new(index: &'a Index) -> Self {
        Self { index, fetched: VecDeque::new(), is_at_end: false, is_answering: true }
    }

    fn fetch(&mut self, from: Position, to: Position, direction: Direction, limit: usize) {
        if let Ok(zones) = self.index.zones(from, to, direction, limit) {
            self.is_at_end = zones.len() < limit;
            // Of an event that could not be read a zone says nothing.
            self.fetched.extend(zones.into_iter().filter(Zone::is_whole));
        } else {
            self.is_at_end = true;
            self.is_answering = false;
        }
    }

    /// The stretch that begins at `from` and ends before `end` at the latest.
    pub(super) fn forward(&mut self, from: Position, end: Position) -> Stretch {
        self.fetched.retain(|zone| zone.last >= from);
        if self.fetched.is_empty() && !self.is_at_end {
            // The zone that `from` is in begins at or before it.
            self.fetch(Position(0), from, Direction::Backward, 1);
            self.fetched.retain(|zone| zone.last >= from);
            self.fetch(from, end, Direction::Forward, FETCH);
            // Also where the index gives others than those that were asked for.
            self.fetched.retain(|zone| zone.last >= from);
        }
        match self.fetched.front() {
            Some(zone) if zone.first <= from => {
                Stretch { first: from, end: zone.last.next().min(end), zone: Some(zone.clone()) }
            }
            Some(zone) => Stretch { first: from, end: zone.first.min(end), zone: None },
            None => Stretch { first: from, end, zone: None },
        }
    }

    /// The stretch that ends before `before` and begins at `oldest` at the earliest.
    pub(super) fn backward(
        &mut self,
        before: Position,
        oldest: Position,
        reading: &Reading,
    ) -> Result<Stretch, ReadError> {
        self.fetched.retain(|zone| zone.first < before);
        if self.fetched.is_empty() && !self.is_at_end {
            self.fetch(Position(0), before, Direction::Backward, FETCH);
            // Also where the index gives others than those that were asked for.
            self.fetched.retain(|zone| zone.first < before);
        }
        let gap = match self.fetched.front() {
            Some(zone) if zone.last.next() >= before => {
                let first = zone.first.max(oldest);
                return Ok(Stretch { first, end: before, zone: Some(zone.clone()) });
            }
            Some(zone) => zone.last.next().max(oldest),
            None => oldest,
        };
        let first = reading.begin_before(before, gap)?;
        Ok(Stretch { first, end: before, zone: None })
    }
}

impl Reading {
    /// Where to begin to read what is before `before` in a piece of some [`ZONE_BYTES`], at
    /// `oldest` at the earliest. All of a piece is in one segment.
    fn begin_before(&self, before: Position, oldest: Position) -> Result<Position, ReadError> {
        let last = self.log.locate(before.previous())?;
        let begin = self.log.first_position_of(last.segment())?.unwrap_or(oldest);
        let oldest = oldest.max(begin).min(before.previous());
        let mut n_events = EVENTS_BACK;
        loop {
            let first = before.before(n_events).max(oldest);
            let at = self.log.locate(first)?;
            let is_near = at.segment() == last.segment() && last.bytes_since(at) <= ZONE_BYTES;
            if is_near || n_events == 1 {
                return Ok(first);
            }
            n_events /= 2;
        }
    }
}
