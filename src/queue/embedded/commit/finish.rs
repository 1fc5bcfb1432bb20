//! Writes a unit and answers the requests in it.

use super::{Answer, Collected, Committer, NoRoom, Unit};
use crate::clock::Stopwatch;
use crate::event::HandlerName;
use crate::queue::embedded::recent_commits::CachedCommit;
use crate::queue::embedded::record::{DeliveryRecord, Lsn};
use crate::queue::{Appended, QueueError};
use crate::sync::lock;

impl Committer {
    /// Writes the unit and answers the requests in it.
    pub(super) fn finish(&mut self, unit: Unit) -> Result<(), NoRoom> {
        let Unit { builder, begin, appends, n_events, sections, has_opening } = unit;
        let stopwatch = Stopwatch::start();
        if !builder.is_empty() {
            if let Err(err) = self.writer.append(&builder) {
                self.writer.reuse(builder.into_bytes());
                // Nothing of the unit counts: its positions and ids go to the next one.
                self.undo(n_events, begin, sections);
                let why = self.no_room(err);
                for answer in appends {
                    self.refuse(answer, why.error());
                }
                return Err(why);
            }
            self.opening.is_recorded |= has_opening;
            self.is_full = false;
            (self.observer)(stopwatch.elapsed(), n_events);
        }
        // In memory before it is published: who is woken by the head looks there first.
        if n_events > 0 {
            let first = self.next_position.before(n_events as u64);
            let commit = CachedCommit::new(builder.bytes(), begin, first, self.next_position);
            self.core.recent.extend(commit);
        }
        let n_bytes = builder.len() as u64;
        self.writer.reuse(builder.into_bytes());
        if n_bytes > 0 {
            self.writer.publish(self.next_position);
        }
        // Answered behind the publication: who has a 200 can look its event up.
        for answer in appends {
            self.answer(answer);
        }
        for Collected { cell, changes } in sections {
            self.note_recorded(&cell.handler, &changes);
            cell.recorded.notify_waiters();
        }
        if self.memtable.is_full(self.writer.end(), self.segment_bytes) {
            self.freeze_keys();
        }
        Ok(())
    }

    /// Answers an append, and remembers where the answer cannot arrive: an equal request is then a
    /// repeat of this one.
    fn answer(&mut self, answer: Answer) {
        let Answer { reply, appended, event } = answer;
        let unanswered = event.dedupe.unanswered_key();
        if let Some(key) = unanswered {
            // Before it is told: who finds that the answer cannot be written notes the key again.
            lock(&self.core.unanswered).remove(key);
        }
        let is_taken = reply.send((Ok(appended), event)).is_ok();
        match unanswered {
            None => {}
            Some(_) if is_taken => self.core.newest_answer.set(self.core.clock.now()),
            Some(key) => self.core.note_unanswered(key, appended.id()),
        }
    }

    fn refuse(&self, answer: Answer, err: QueueError) {
        let Answer { reply, appended, event } = answer;
        if let (Appended::Stored(_), Some(key)) = (appended, event.dedupe.unanswered_key()) {
            // Nothing is there that a later request could repeat.
            lock(&self.core.unanswered).remove(key);
        }
        // The caller may be gone: nothing was stored, so there is nothing to tell.
        drop(reply.send((Err(err), event)));
    }

    /// Takes back what a failed commit had promised to itself.
    fn undo(&mut self, n_events: usize, begin: Lsn, sections: Vec<Collected>) {
        self.memtable.remove_from(begin);
        debug_assert!(
            self.next_position.0 > n_events as u64,
            "only given positions are taken back"
        );
        self.next_position = self.next_position.before(n_events as u64);
        for Collected { cell, changes } in sections {
            cell.restore_outbox(changes);
        }
        // They are tried again with the next settle record.
        self.inbox.settles_since.get_or_insert(self.now);
    }

    /// Remembers how far a handler's recorded settlements reach: the cleaner goes by it.
    fn note_recorded(&self, handler: &HandlerName, changes: &[DeliveryRecord]) {
        let end = changes.iter().map(|change| change.positions().end);
        if let (Some(end), Some(high)) = (end.max(), lock(&self.core.recorded).get_mut(handler)) {
            *high = end.max(*high);
        }
    }

    /// Hands the newest keys over, to be written as a run.
    pub(super) fn freeze_keys(&mut self) {
        let frozen = self.memtable.freeze(self.writer.end());
        self.core.keys.add_frozen(frozen);
    }
}
