//! What of a segment is alive, and its copy in the kept log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use rand::RngCore;

use super::pass::{Cleaner, failed};
use super::told::Told;
use crate::event::{HandlerName, Position};
use crate::queue::QueueError;
use crate::queue::embedded::log::LogReader;
use crate::queue::embedded::record::{
    DeliveryRecord, KeptChanges, KeptEnd, Kind, Lsn, Record, SettleRecord,
};
use crate::queue::embedded::subscription::HandlerCell;
use crate::sync::lock;

/// What of a segment is copied before it goes.
#[derive(Debug, Default)]
pub(super) struct Copied {
    pub(super) events: Vec<(Position, Bytes)>,
    pub(super) changes: Vec<KeptChanges>,
    /// Deliveries whose events could not be read before, and are among those that are copied.
    pub(super) found_again: Vec<(HandlerName, Position)>,
    /// Whether an event that is needed cannot be read.
    pub(super) has_gaps: bool,
}

/// What handlers need of a range of events.
#[derive(Debug, Default)]
pub(super) struct Needed {
    /// Which handlers still have which event to deliver.
    pub(super) alive: BTreeMap<Position, Vec<Arc<HandlerCell>>>,
    /// Deliveries whose events could not be read.
    lost: Vec<(Arc<HandlerCell>, Position)>,
}

impl Cleaner {
    pub(super) fn needed_in(&self, first: Position, end: Position) -> Needed {
        let mut needed = Needed::default();
        for cell in self.core.handlers() {
            // Under one lock: what is redriven in between is in one of them.
            let (alive, lost) = {
                let live = cell.lock();
                (live.state.alive_in(first..end), live.state.lost_in(first..end))
            };
            for position in alive {
                needed.alive.entry(position).or_default().push(Arc::clone(&cell));
            }
            needed.lost.extend(lost.into_iter().map(|position| (Arc::clone(&cell), position)));
        }
        needed
    }

    /// Reads the segment and gives what of it must be kept: events that are needed, the changes of
    /// their deliveries, and changes of deliveries whose events the kept log has.
    pub(super) fn copy(
        &self,
        oldest: u32,
        next: u32,
        first: Position,
        needed: &Needed,
    ) -> Result<Copied, QueueError> {
        // What is recorded from here on counts more than the states as they are found below.
        let label = self.core.log.head().next.previous();
        let mut copied = Copied::default();
        let mut told = Told::default();
        let mut unread: BTreeSet<Position> = needed.alive.keys().copied().collect();
        // First the states as they are: every one of them is copied, whatever the log says below.
        for (position, cells) in &needed.alive {
            for cell in cells {
                told.must_tell(cell, *position);
            }
        }
        // What is lost must stay counted when its segment is gone. A disk may give today what it did not
        // give when it was to be delivered.
        for (cell, position) in &needed.lost {
            told.must_tell(cell, *position);
            unread.insert(*position);
        }
        let mut reader = LogReader::new(Arc::clone(&self.core.log), Lsn::start_of(oldest));
        while let Some(found) = reader.next(Lsn::start_of(next)).map_err(failed)? {
            match found.kind {
                Kind::Event => {
                    let is_sound = || matches!(found.decode(), Some(Record::Event(..)));
                    let position = found.position().filter(|position| unread.contains(position));
                    if let Some(position) = position.filter(|_| is_sound()) {
                        unread.remove(&position);
                        copied.events.push((position, found.payload));
                    }
                }
                Kind::Settle => {
                    if let Some(Record::Settle(record)) = found.decode() {
                        self.note_record(&mut told, first, found.lsn, record);
                    } else {
                        self.core.log.note_undecodable(&found);
                    }
                }
                Kind::Head
                | Kind::Subscribed
                | Kind::Forgotten
                | Kind::Trim
                | Kind::Opened
                | Kind::Closed
                | Kind::Filler
                | Kind::KeptChanges
                | Kind::KeptFooter
                | Kind::Shared => {}
            }
        }
        // An outcome may be in the bytes that cannot be read: every state of the segment is copied.
        if self.core.log.damage().iter().any(|damage| damage.segment.number == oldest) {
            self.tell_of_all_kept(&mut told)?;
        }
        // One of a missing file may have been copied before.
        unread.retain(|position| !self.core.kept.holds(*position));
        copied.has_gaps = !unread.is_empty();
        let found_again = needed.lost.iter().filter(|(_, position)| !unread.contains(position));
        copied.found_again =
            found_again.map(|(cell, position)| (cell.handler.clone(), *position)).collect();
        copied.changes = told.into_changes(label);
        Ok(copied)
    }

    fn note_record(&self, told: &mut Told, first: Position, lsn: Lsn, record: SettleRecord) {
        for section in record.sections {
            let Some(cell) = self.core.handler(&section.handler) else { continue };
            // Of a subscription that was forgotten and begun again since.
            if cell.incarnation != section.incarnation {
                continue;
            }
            for change in section.changes {
                self.note_change(told, &cell, first, lsn, &change);
            }
        }
    }

    /// Notes a change in the segment that would be missed where it went with it.
    pub(super) fn note_change(
        &self,
        told: &mut Told,
        cell: &Arc<HandlerCell>,
        first: Position,
        lsn: Lsn,
        change: &DeliveryRecord,
    ) {
        let positions = change.positions();
        for position in (positions.start.0..positions.end.0).map(Position) {
            let is_kept = position < first && self.core.kept.mentions(position);
            if is_kept || told.tells_of(cell, position) {
                let single = DeliveryRecord { first: position, count: 1, ..change.clone() };
                told.change(cell, position, lsn, single);
            }
        }
    }

    /// A change that cannot be read may have been of any delivery whose event is kept: all of them
    /// are told as they stand.
    pub(super) fn tell_of_all_kept(&self, told: &mut Told) -> Result<(), QueueError> {
        let visited =
            self.core.kept.visit_changes(None, &mut |(handler, incarnation, _, change)| {
                let cell =
                    self.core.handler(&handler).filter(|cell| cell.incarnation == incarnation);
                if let Some(cell) = cell {
                    told.must_tell(&cell, change.first);
                }
            });
        visited.map_err(|source| QueueError::Io { what: "reading the kept log".into(), source })
    }

    pub(super) fn write_copied(&self, copied: &Copied) -> Result<KeptEnd, QueueError> {
        if copied.events.is_empty() && copied.changes.is_empty() {
            return Ok(self.core.kept.end());
        }
        let salt = lock(&self.random).next_u64();
        let appended = self.core.kept.append(salt, &copied.events, &copied.changes);
        appended.map_err(|source| QueueError::Io { what: "writing the kept log".into(), source })
    }
}
