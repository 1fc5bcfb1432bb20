//! Recording what was settled: all outboxes become one record.

use super::room::RoomFor;
use super::{Collected, Committer, NoRoom, SETTLE_EVERY, Unit};
use crate::queue::embedded::record::{HEADER_BYTES, Kind, Section, SettleRecord};

impl Committer {
    /// Adds all outboxes to the unit where it is time, or where a caller waits for it.
    pub(super) fn add_settles_if_due(&mut self, unit: &mut Unit) -> Result<(), NoRoom> {
        let Some(since) = self.inbox.settles_since else { return Ok(()) };
        let is_due = since + SETTLE_EVERY <= self.now;
        if !is_due && self.inbox.others.is_empty() {
            return Ok(());
        }
        let added = self.add_settles(unit);
        // Where there is no room it is tried again after a while.
        self.inbox.settles_since = added.is_err().then_some(self.now);
        added
    }

    /// Adds all outboxes as one record, in the order of the handlers' names.
    fn add_settles(&mut self, unit: &mut Unit) -> Result<(), NoRoom> {
        let mut record = SettleRecord { at: self.core.clock.now(), sections: Vec::new() };
        let mut cells = Vec::new();
        for cell in self.core.handlers() {
            let changes = cell.take_outbox();
            if changes.is_empty() {
                continue;
            }
            let (handler, incarnation) = (cell.handler.clone(), cell.incarnation);
            let epoch = self.opening.number;
            record.sections.push(Section { handler, incarnation, epoch, changes });
            cells.push(cell);
        }
        if cells.is_empty() {
            return Ok(());
        }
        let mut payload = Vec::new();
        record.encode(&mut payload);
        let room = self.make_room(unit, HEADER_BYTES + payload.len(), RoomFor::Outcomes);
        let sections = record.sections.into_iter().zip(cells);
        let collected =
            sections.map(|(section, cell)| Collected { cell, changes: section.changes });
        if let Err(why) = room {
            collected.for_each(|Collected { cell, changes }| cell.restore_outbox(changes));
            return Err(why);
        }
        unit.sections = collected.collect();
        self.records(unit).push(Kind::Settle, |out| out.extend_from_slice(&payload));
        Ok(())
    }
}
