//! Events on their way into the log.

use super::room::RoomFor;
use super::{Answer, AppendRequest, Committer, NoRoom, UNIT_EVENTS_MAX, Unit};
use crate::clock::Timestamp;
use crate::event::{Dedupe, EventId, NewEvent};
use crate::queue::embedded::keys::{Generation, KeyEntry, KeyProbe, Seen};
use crate::queue::embedded::record::{HEADER_BYTES, event_bytes};
use crate::queue::ids::may_keep;
use crate::queue::{Appended, QueueError};
use crate::sync::lock;

impl Committer {
    /// Adds what waits to the unit, in the order in which it came.
    pub(super) fn add_appends(&mut self, unit: &mut Unit) {
        let blocked =
            if self.inbox.appends.is_empty() { None } else { lock(&self.core.blocked).clone() };
        let n_appends = self.inbox.appends.len().min(UNIT_EVENTS_MAX);
        unit.appends.reserve(n_appends);
        // A group begins only where the unit has room for all of it.
        while unit.appends.len() < n_appends
            && let Some(append) = self.inbox.appends.pop_front_if(|next| has_room_for(unit, next))
        {
            if let Some(why) = &blocked {
                refuse(append, QueueError::Full(why.clone()));
                continue;
            }
            if let Some(append) = self.add_append(unit, append) {
                self.inbox.appends.push_front(append);
                break;
            }
        }
    }

    /// Adds one event, or answers where it cannot be stored; gives it back where it must wait for
    /// the next segment.
    fn add_append(&mut self, unit: &mut Unit, append: AppendRequest) -> Option<AppendRequest> {
        if let Some(seen) = self.seen(&append.event, append.probed) {
            // The event that it repeats may be in this very unit: answer after it.
            let AppendRequest { event, reply, .. } = append;
            let appended = Appended::Duplicate(seen);
            unit.appends.push(Answer { reply, appended, event });
            return None;
        }
        // Room for those that follow as well: a group is stored by one write.
        let needed = record_bytes(&append.event) + append.group.more_bytes;
        match self.make_room(unit, needed, RoomFor::Events) {
            // A small one may find room where a larger one did not.
            Ok(()) if needed >= self.inbox.refused_bytes => self.inbox.refused_bytes = 0,
            Ok(()) => {}
            Err(NoRoom::Wait) => return Some(append),
            Err(why) => {
                self.inbox.refused_bytes = needed.min(self.segment_room());
                self.refuse_group(append, &why);
                return None;
            }
        }
        self.store(unit, append);
        None
    }

    /// What one segment can hold.
    fn segment_room(&self) -> usize {
        usize::try_from(self.segment_bytes).unwrap_or(usize::MAX) / 2
    }

    fn store(&mut self, unit: &mut Unit, append: AppendRequest) {
        let AppendRequest { event, named, reply, .. } = append;
        let now = self.core.clock.now();
        let id = match named.filter(|id| may_keep(*id, self.newest_id, now)) {
            Some(id) => {
                self.ids.follow(id);
                id
            }
            None => self.ids.next(now),
        };
        self.push_event(unit, &event, id);
        if let Some(key) = event.dedupe.unanswered_key()
            && reply.is_closed()
        {
            // The caller is gone, and a repeat of its request may be in this very unit.
            self.core.note_unanswered(key, id);
        }
        unit.appends.push(Answer { reply, appended: Appended::Stored(id), event });
    }

    /// Adds an event at the next position.
    pub(super) fn push_event(&mut self, unit: &mut Unit, event: &NewEvent, id: EventId) {
        let position = self.next_position;
        let at = self.records(unit).push_event(event, id, position);
        self.writer.note_event(position, at.offset());
        self.next_position = position.next();
        if let Dedupe::Within { key, window } = event.dedupe {
            let entry = KeyEntry { key, id, received_at: event.received_at, window };
            self.memtable.insert(entry, at);
        }
        // Ids of several nodes do not ascend with positions.
        self.newest_id = self.newest_id.max(Some(id));
        unit.n_events += 1;
    }

    /// Answers an append that is not stored, and those of its group that follow it.
    fn refuse_group(&mut self, first: AppendRequest, why: &NoRoom) {
        let n_more = first.group.n_more.min(self.inbox.appends.len());
        refuse(first, why.error());
        for append in self.inbox.appends.drain(..n_more) {
            refuse(append, why.error());
        }
    }

    /// The event that `event` repeats, where it does.
    fn seen(&self, event: &NewEvent, probed: Generation) -> Option<EventId> {
        if let Some(key) = event.dedupe.unanswered_key() {
            return lock(&self.core.unanswered).get(key, self.core.clock.steady());
        }
        Some(self.seen_by(&probe_of(event)?, probed)?.id)
    }

    /// The newest event that one with this key repeats, among the newest keys and the runs that came
    /// after `probed`.
    pub(super) fn seen_by(&self, probe: &KeyProbe, probed: Generation) -> Option<Seen> {
        let newest = [self.memtable.get(probe), self.core.keys.lookup(probe, probed).0];
        newest.into_iter().flatten().max_by_key(|seen| seen.id)
    }
}

/// Whether the unit can take `next` and all of its group that follows.
fn has_room_for(unit: &Unit, next: &AppendRequest) -> bool {
    unit.appends.len() + next.group.n_more < UNIT_EVENTS_MAX
}

/// What the record of an event takes at most.
pub(crate) fn record_bytes(event: &NewEvent) -> usize {
    HEADER_BYTES + event_bytes(event)
}

/// What is asked of the dedupe keys for an event; `None` = two equal ones are two events.
pub(crate) fn probe_of(event: &NewEvent) -> Option<KeyProbe> {
    match event.dedupe {
        // Which requests were not answered is only known where they are answered.
        Dedupe::Off | Dedupe::Unanswered { .. } => None,
        Dedupe::Within { key, window } => {
            let (received_at, log_time) = (event.received_at, Timestamp::MIN);
            Some(KeyProbe { key, received_at, window, log_time })
        }
    }
}

/// Answers an append that is not stored.
fn refuse(append: AppendRequest, err: QueueError) {
    let AppendRequest { event, reply, .. } = append;
    // The caller may be gone: nothing was stored, so there is nothing to tell.
    drop(reply.send((Err(err), event)));
}
