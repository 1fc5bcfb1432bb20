//! Looking after the runs of dedupe keys, a little at each look.

use super::pass::{Cleaner, Effort};
use crate::clock::Timestamp;
use crate::queue::QueueError;
use crate::queue::embedded::keys::Step;
use crate::queue::ids::time_of;

impl Cleaner {
    /// Writes, merges, expires and remakes runs; what fails does not keep the others from their turn.
    pub(super) fn look_after_keys(&self, effort: Effort) -> Result<(), QueueError> {
        let written = self.core.write_frozen_keys();
        let merged = self.core.merge_keys(self.keys_expire_at(effort));
        written.and(merged).and(self.remake_keys(effort))
    }

    /// A piece of a remake reads 32 MiB of the log; another one is for the next look.
    fn remake_keys(&self, effort: Effort) -> Result<(), QueueError> {
        while self.core.remake_keys()? == Step::Again {
            if effort == Effort::Routine && !self.limits.is_copy_of_shared {
                break;
            }
        }
        Ok(())
    }

    /// By which time dedupe keys go, where one is known.
    fn keys_expire_at(&self, effort: Effort) -> Option<Timestamp> {
        if self.limits.is_copy_of_shared {
            // By the log's own time, in which every node finds the same repeats. An earlier one drops
            // nothing that counts.
            return self.snapshots.newest().id_max.map(time_of);
        }
        let newest = self.core.log.head().next.segment();
        // A clock that is years ahead for a while must not let keys go.
        let is_trusted = effort == Effort::Full || self.is_clock_trusted(newest);
        is_trusted.then(|| self.core.clock.now())
    }
}
