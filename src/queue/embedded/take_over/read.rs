//! Reading version 1's journal with version 1's meaning: of each handler the last place counts, of
//! each delivery the last change.

use std::collections::BTreeMap;
use std::io;

use super::journal::{Journal, Location};
use super::record::{OldChange, Place, Record, Section};
use crate::event::{Dedupe, Event, EventId, HandlerName, Position};
use crate::queue::QueueError;
use crate::queue::embedded::keys::KeyEntry;

/// What version 1 left, apart from the events in its segments.
#[derive(Debug)]
pub(super) struct Old {
    /// The oldest position of the segments.
    pub(super) first: Position,
    /// The position that the next event gets.
    pub(super) next: Position,
    pub(super) newest_id: Option<EventId>,
    pub(super) n_events: u64,
    pub(super) places: BTreeMap<HandlerName, Place>,
    /// The deliveries that wait, are held or dead.
    pub(super) entries: BTreeMap<HandlerName, BTreeMap<Position, OldChange>>,
    /// Where the newest copy stands of each event that was copied forward.
    carried: BTreeMap<Position, Location>,
    /// Keys of events that are gone.
    pub(super) keys: Vec<KeyEntry>,
}

/// An error in the middle of the journal.
pub(super) enum Failed {
    Reading(io::Error),
    Queue(QueueError),
}

impl From<io::Error> for Failed {
    fn from(source: io::Error) -> Self {
        Self::Reading(source)
    }
}

impl From<QueueError> for Failed {
    fn from(source: QueueError) -> Self {
        Self::Queue(source)
    }
}

impl From<Failed> for QueueError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Reading(source) => Self::Io { what: "reading the old journal".into(), source },
            Failed::Queue(err) => err,
        }
    }
}

impl Old {
    /// Reads all of the journal, and changes nothing.
    pub(super) fn read(journal: &Journal) -> Result<Self, Failed> {
        let mut first = journal.has_first_segment().then_some(Position(1));
        let mut old = Self {
            first: Position(1),
            next: Position(1),
            newest_id: None,
            n_events: 0,
            places: BTreeMap::new(),
            entries: BTreeMap::new(),
            carried: BTreeMap::new(),
            keys: Vec::new(),
        };
        journal.each(|at, record| {
            first = first.or(record.next_position());
            old.take_in(record, at);
            Ok::<(), Failed>(())
        })?;
        old.first = first.unwrap_or(old.next);
        old.next = old.next.max(old.first);
        // What was copied forward and no handler needs any more does not count.
        let carried = std::mem::take(&mut old.carried).into_iter();
        let is_needed =
            |position: &Position| old.entries.values().any(|its| its.contains_key(position));
        old.carried = carried.filter(|(at, _)| *at < old.first && is_needed(at)).collect();
        Ok(old)
    }

    fn take_in(&mut self, record: Record, at: Location) {
        match record {
            Record::Event(event, _) => {
                self.n_events += 1;
                self.next = self.next.max(event.position.next());
                self.newest_id = self.newest_id.max(Some(event.id));
            }
            Record::Carried(event) => {
                self.carried.insert(event.position, at);
                self.newest_id = self.newest_id.max(Some(event.id));
            }
            Record::Settled(sections) => sections.into_iter().for_each(|one| self.settle(one)),
            Record::Checkpoint { next, places } => {
                self.next = self.next.max(next);
                self.entries.retain(|handler, _| places.contains_key(handler));
                self.places = places;
            }
            Record::Keys(keys) => self.keys.extend(keys),
            Record::Filler => {}
        }
    }

    fn settle(&mut self, section: Section) {
        let entries = self.entries.entry(section.handler.clone()).or_default();
        for change in section.changes {
            if change.state.is_entry() {
                entries.insert(change.position, change);
            } else {
                entries.remove(&change.position);
            }
        }
        self.places.insert(section.handler, section.place);
    }

    /// Events in the order of the log; `visit` stops at an error.
    pub(super) fn each_event(
        journal: &Journal,
        mut visit: impl FnMut(Event, Dedupe) -> Result<(), QueueError>,
    ) -> Result<(), Failed> {
        journal.each(|_, record| match record {
            Record::Event(event, dedupe) => Ok(visit(event, dedupe)?),
            Record::Carried(_)
            | Record::Settled(_)
            | Record::Checkpoint { .. }
            | Record::Keys(_)
            | Record::Filler => Ok(()),
        })
    }

    /// The events that were copied forward and are still needed, in no particular order.
    pub(super) fn each_carried(
        &self,
        journal: &Journal,
        mut visit: impl FnMut(Event),
    ) -> Result<(), Failed> {
        if self.carried.is_empty() {
            return Ok(());
        }
        journal.each(|at, record| {
            if let Record::Carried(event) = record
                && self.carried.get(&event.position) == Some(&at)
            {
                visit(event);
            }
            Ok(())
        })
    }
}
