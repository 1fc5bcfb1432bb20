//! What is taken over from a log that several nodes share: the order is decided, the committer only
//! counts positions and finds repeats, as every other node does.

use super::room::RoomFor;
use super::{Committer, NoRoom, SharedUnit, record_bytes};
use crate::queue::Appended;
use crate::queue::embedded::record::HEADER_BYTES;

/// More than the numbers of a mark take.
const MARK_BYTES: usize = 64;

impl Committer {
    /// Stores the unit's events and its mark by one write: all of it is there after a power cut, or
    /// nothing.
    pub(super) fn take_over(&mut self, shared: &SharedUnit) -> Result<Vec<Appended>, NoRoom> {
        let needed: usize = shared.events.iter().map(|it| record_bytes(&it.event)).sum();
        let mut unit = self.begin();
        let mark_bytes = HEADER_BYTES + MARK_BYTES + shared.mark.note.len();
        // Nothing of the unit can be refused: what orders it has answered for it.
        self.make_room(&mut unit, needed + mark_bytes, RoomFor::Outcomes)?;
        let mut appended = Vec::with_capacity(shared.events.len());
        for it in &shared.events {
            if let Some(seen) = self.seen_within(&it.event, it.probed) {
                appended.push(Appended::Duplicate(seen.id));
                continue;
            }
            self.push_event(&mut unit, &it.event, it.id);
            appended.push(Appended::Stored(it.id));
        }
        self.records(&mut unit).push_shared(&shared.mark);
        self.finish(unit)?;
        Ok(appended)
    }
}
