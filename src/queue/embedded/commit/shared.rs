//! What is taken over from a log that several nodes share: the order is decided, the committer only
//! counts positions and finds repeats, as every other node does.

use super::room::RoomFor;
use super::{Committer, NoRoom, SharedEvent, SharedUnit, probe_of, record_bytes};
use crate::clock::Timestamp;
use crate::queue::Appended;
use crate::queue::embedded::keys::{Generation, KeyProbe, Seen};
use crate::queue::embedded::record::HEADER_BYTES;
use crate::queue::ids::time_of;

/// More than the numbers of a mark take.
const MARK_BYTES: usize = 64;

impl Committer {
    /// Stores the unit's events and its mark by one write: all of it is there after a power cut, or
    /// nothing.
    pub(super) fn take_over(&mut self, shared: &SharedUnit) -> Result<Vec<Appended>, NoRoom> {
        let needed: usize = shared.events.iter().map(|it| record_bytes(&it.event)).sum();
        let newest_before = self.newest_id;
        let mut unit = self.begin();
        let mark_bytes = HEADER_BYTES + MARK_BYTES + shared.mark.note.len();
        // Nothing of the unit can be refused: what orders it has answered for it.
        self.make_room(&mut unit, needed + mark_bytes, RoomFor::Outcomes)?;
        let mut appended = Vec::with_capacity(shared.events.len());
        for it in &shared.events {
            if let Some(seen) = self.seen_in_log(it) {
                appended.push(Appended::Duplicate(seen.id));
                continue;
            }
            self.push_event(&mut unit, &it.event, it.id);
            appended.push(Appended::Stored(it.id));
        }
        self.records(&mut unit).push_shared(&shared.mark);
        self.finish(unit).inspect_err(|_| self.newest_id = newest_before)?;
        Ok(appended)
    }

    /// The event that one repeats, by what the shared log says alone: every node decides alike, however
    /// it cuts the log into runs and whatever its clock shows. The time is that of the newest id before
    /// it. A key that had expired by then does not count, for other nodes may have dropped it.
    fn seen_in_log(&self, it: &SharedEvent) -> Option<Seen> {
        let log_time = self.newest_id.map_or(Timestamp::MIN, time_of);
        let probe = KeyProbe { log_time, ..probe_of(&it.event)? };
        let (probed, asked) = it.probed;
        let seen = probed.filter(|seen| probe.repeats(seen));
        // One that has expired since may have hidden an older one with a longer window.
        let asked = if seen == probed { asked } else { Generation::default() };
        seen.into_iter().chain(self.seen_by(&probe, asked)).max_by_key(|seen| seen.id)
    }
}
