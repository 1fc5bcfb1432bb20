//! Lists of events: by source, type, time and content, within a budget.

use std::collections::VecDeque;

use super::deliveries::Deliveries;
use super::find::Scanned;
use super::zones::Zones;
use super::{Budget, Reading, Search, kept_failed, read_failed};
use crate::event::{Event, Position};
use crate::queue::detach::{detach, detach_head};
use crate::queue::embedded::log::{LogHead, ReadError};
use crate::queue::{ListOrder, QueueError, WantedBodies};

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page<T = Event> {
    /// What was found, in the order that was asked for.
    pub(crate) events: Vec<T>,
    /// The cursor to go on with; `None` = everything was looked at.
    pub(crate) next: Option<Position>,
    /// The positions that were looked at: from here,
    pub(crate) scanned_from: Position,
    /// to before here.
    pub(crate) scanned_to: Position,
    /// `false` = the budget was used up before the page was full or the list at its end.
    pub(crate) is_complete: bool,
    /// `false` = events were read that the index, had it been there, might have passed over.
    pub(crate) is_narrowed: bool,
}

impl Reading {
    /// A page of the events that `search` asks for.
    #[cfg(test)]
    pub(crate) fn list(&self, search: &Search, budget: Budget<'_>) -> Result<Page, QueueError> {
        self.list_as(search, budget, |event, _| detach(event))
    }

    /// The same, each event with the length of its body, and without that where it is longer than is
    /// wanted.
    pub(crate) fn list_sized(
        &self,
        search: &Search,
        budget: Budget<'_>,
    ) -> Result<Page<(Event, usize)>, QueueError> {
        let is_wanted = |body_bytes| match search.query.bodies {
            WantedBodies::Whole => true,
            WantedBodies::UpTo(most) => body_bytes <= most,
        };
        self.list_as(search, budget, |event, body_bytes| {
            let own = if is_wanted(body_bytes) { detach(event) } else { detach_head(event) };
            (own, body_bytes)
        })
    }

    /// What `pick` takes of each event and the length of its body. It must not keep the event's bytes:
    /// they share a large buffer.
    pub(crate) fn list_as<T>(
        &self,
        search: &Search,
        budget: Budget<'_>,
        pick: impl Fn(&Event, usize) -> T,
    ) -> Result<Page<T>, QueueError> {
        let zones = Zones::new(&self.index);
        let lister = Lister {
            reading: self,
            search,
            budget,
            pick,
            zones,
            deliveries: Deliveries::new(self, search.query.delivery.as_ref()),
            found: VecDeque::new(),
            body_bytes: 0,
        };
        match search.query.order {
            ListOrder::Oldest => lister.forward(),
            ListOrder::Newest => lister.backward(),
        }
    }
}

/// A page that is being made.
struct Lister<'a, P, T> {
    reading: &'a Reading,
    search: &'a Search,
    budget: Budget<'a>,
    pick: P,
    zones: Zones<'a>,
    deliveries: Deliveries<'a>,
    /// What was found, with the size of its body, in the order that was asked for.
    found: VecDeque<(Position, usize, T)>,
    body_bytes: usize,
}

impl<T, P: Fn(&Event, usize) -> T> Lister<'_, P, T> {
    fn is_full(&self) -> bool {
        self.search.query.is_full(self.found.len(), self.body_bytes)
    }

    fn is_at_end(&self) -> bool {
        self.is_full() || self.budget.is_used_up()
    }

    /// Takes the event in behind the others, where it matches.
    fn offer(&mut self, event: &Event, body_bytes: usize) {
        if self.search.matches(event) && self.deliveries.has(event) {
            self.body_bytes += body_bytes;
            self.found.push_back((event.position, body_bytes, (self.pick)(event, body_bytes)));
        }
    }

    fn forward(mut self) -> Result<Page<T>, QueueError> {
        let begin = self.search.query.cursor.map_or(Position(0), Position::next);
        let end = self.reading.log.head().next_position;
        let mut from = begin;
        while from < end && !self.is_at_end() {
            let head = self.reading.log.head();
            from = if from < head.first_position {
                self.next_kept(from, head)?
            } else {
                match self.read_forward(from, end) {
                    Ok(read_to) => read_to,
                    // It went meanwhile: what is left of it is in the kept log.
                    Err(ReadError::Trimmed) => self.after_last(from),
                    Err(err @ ReadError::Io { .. }) => return Err(read_failed(err)),
                }
            };
        }
        let next = (from < end).then_some(from.previous());
        Ok(self.page(next, begin, from.max(begin)))
    }

    /// Behind the last event that was found from `from` on: nothing else is known to be looked at.
    fn after_last(&self, from: Position) -> Position {
        self.found.back().map_or(from, |(last, ..)| last.next().max(from))
    }

    /// Takes the next kept event in; gives where to go on.
    fn next_kept(&mut self, from: Position, head: LogHead) -> Result<Position, QueueError> {
        let kept = &self.reading.kept;
        let Some(position) = kept.first_from(from).filter(|at| *at < head.first_position) else {
            return Ok(head.first_position);
        };
        self.offer_kept(position)?;
        Ok(position.next())
    }

    fn offer_kept(&mut self, position: Position) -> Result<(), QueueError> {
        if let Some((event, _)) = self.reading.kept.find(position).map_err(kept_failed)? {
            self.budget.spend(event.body.len() as u64);
            self.offer(&event, event.body.len());
        }
        Ok(())
    }

    /// Reads or passes over the stretch that begins at `from`; gives where to go on.
    fn read_forward(&mut self, from: Position, end: Position) -> Result<Position, ReadError> {
        let stretch = self.zones.forward(from, end);
        if stretch.zone.is_some_and(|zone| !self.search.may_match(&zone)) {
            return Ok(stretch.end);
        }
        let mut read_to = stretch.end;
        let bodies = self.search.bodies_read();
        self.reading.scan_for(bodies, from..stretch.end, &mut |scanned| {
            let Scanned { event, body_bytes, read_bytes } = scanned;
            self.budget.spend(read_bytes);
            self.offer(&event, body_bytes);
            if self.is_at_end() {
                read_to = event.position.next();
                return false;
            }
            true
        })?;
        Ok(read_to)
    }

    fn backward(mut self) -> Result<Page<T>, QueueError> {
        let end = self.reading.log.head().next_position;
        let begin = self.search.query.cursor.map_or(end, |cursor| cursor.min(end));
        let mut before = begin;
        let mut is_all = before.0 == 0;
        while !is_all && !self.is_at_end() {
            let head = self.reading.log.head();
            if before > head.first_position {
                match self.read_backward(before, head) {
                    Ok(first) => before = first,
                    Err(ReadError::Trimmed) => {}
                    Err(err @ ReadError::Io { .. }) => return Err(read_failed(err)),
                }
            } else if let Some(position) = self.reading.kept.last_before(before) {
                self.offer_kept(position)?;
                before = position;
            } else {
                is_all = true;
            }
        }
        let scanned_from = if is_all { Position(0) } else { before };
        Ok(self.page((!is_all).then_some(before), scanned_from, begin))
    }

    /// Reads or passes over the stretch that ends before `before`; gives where it begins, or the
    /// last event that had room.
    fn read_backward(&mut self, before: Position, head: LogHead) -> Result<Position, ReadError> {
        let stretch = self.zones.backward(before, head.first_position, self.reading)?;
        let is_unwanted = stretch.zone.is_some_and(|zone| !self.search.may_match(&zone));
        if is_unwanted || !self.deliveries.may_have(stretch.first, stretch.end) {
            return Ok(stretch.first);
        }
        let (room, bytes_room) = self.room();
        // The newest that fit: an older one goes as soon as those behind it fill the page.
        let mut newest = VecDeque::new();
        let mut newest_bytes = 0_usize;
        let bodies = self.search.bodies_read();
        self.reading.scan_for(bodies, stretch.first..stretch.end, &mut |scanned| {
            let Scanned { event, body_bytes, read_bytes } = scanned;
            self.budget.spend(read_bytes);
            if !self.search.matches(&event) || !self.deliveries.has(&event) {
                return true;
            }
            newest_bytes += body_bytes;
            newest.push_back((event.position, body_bytes, (self.pick)(&event, body_bytes)));
            while let Some((_, oldest_bytes, _)) = newest.front() {
                let rest = newest_bytes - oldest_bytes;
                if newest.len() <= room && (newest.len() == 1 || rest < bytes_room) {
                    break;
                }
                newest_bytes = rest;
                newest.pop_front();
            }
            true
        })?;
        for (position, bytes, picked) in newest.into_iter().rev() {
            self.body_bytes += bytes;
            self.found.push_back((position, bytes, picked));
            if self.is_full() {
                return Ok(position);
            }
        }
        Ok(stretch.first)
    }

    /// How many events, and bodies of how many bytes, the page still lacks.
    fn room(&self) -> (usize, usize) {
        let query = &self.search.query;
        let limit = query.limit.clamp(1, crate::queue::EventQuery::LIMIT_MAX);
        let bytes_room = query.bytes_max.map_or(usize::MAX, |max| max - self.body_bytes.min(max));
        (limit.saturating_sub(self.found.len()).max(1), bytes_room)
    }

    fn page(self, next: Option<Position>, from: Position, to: Position) -> Page<T> {
        let is_full = self.is_full();
        let is_narrowed = self.zones.is_answering && self.reading.is_indexed();
        let is_complete = is_full || next.is_none();
        let events = self.found.into_iter().map(|(_, _, picked)| picked).collect();
        let (scanned_from, scanned_to) = (from, to);
        Page { events, next, scanned_from, scanned_to, is_complete, is_narrowed }
    }
}
