//! Room in the journal: going on to the next segment, and saying so where there is none.

use std::time::Duration;

use super::{Commit, Committer};
use crate::clock::Stopwatch;
use crate::queue::QueueError;
use crate::queue::journal::{Reserve, WriteError};

/// After the disk was found full: how long appends are refused without looking again.
const FULL_FOR: Duration = Duration::from_millis(250);

impl Committer {
    /// Makes sure that a record of `needed` bytes fits in the live segment behind `commit`,
    /// writing it and going on to the next segment where it does not. Where there is no next one,
    /// `spare` bytes of this one are left alone.
    pub(super) fn make_room(
        &mut self,
        commit: &mut Commit,
        needed: usize,
        spare: usize,
    ) -> Result<(), QueueError> {
        let left = self.writer.room().saturating_sub(commit.batch.len());
        if needed.saturating_add(spare) <= left {
            return Ok(());
        }
        // What leaves nothing spare is what makes room in the end: outcomes and copies.
        let reserve = if spare == 0 { Reserve::Used } else { Reserve::Kept };
        if reserve == Reserve::Kept
            && let Some((since, why)) = &self.full
            && since.elapsed() < FULL_FOR
        {
            return Err(QueueError::Full(why.clone()));
        }
        if let Err(err) = self.writer.wait_for_next(reserve) {
            return Err(self.no_room(err));
        }
        if needed <= left {
            return Ok(());
        }
        let full = std::mem::replace(commit, self.begin(0));
        let finished = self.finish(full);
        let rolled = finished.and_then(|()| self.roll(needed).map_err(|err| self.no_room(err)));
        // It begins behind what was written just now, or in the next segment.
        commit.batch = self.writer.begin();
        rolled
    }

    /// Goes on to the next segment.
    fn roll(&mut self, needed: usize) -> Result<(), WriteError> {
        self.places.at = self.shared.now();
        self.writer.roll(&self.places, needed)?;
        self.publish();
        Ok(())
    }

    /// Remembers that there is no room, and says so.
    pub(super) fn no_room(&mut self, err: WriteError) -> QueueError {
        match err {
            WriteError::Full(err) => {
                let why = err.to_string();
                if self.full.is_none() {
                    tracing::error!(error = %err, "No room for more events: they are refused");
                }
                self.full = Some((Stopwatch::start(), why.clone()));
                QueueError::Full(why)
            }
            WriteError::Poisoned(err) => self.poison(&err),
        }
    }

    pub(super) fn poison(&mut self, err: &std::io::Error) -> QueueError {
        self.writer.poison();
        if !self.shared.poisoned.send_replace(true) {
            tracing::error!(error = %err, "Writing the journal failed: the queue stops until restart");
        }
        QueueError::Poisoned
    }
}
