//! Room on the disk: how much the queue takes, how much there is, and what of it is the cleaner's own.

use std::sync::atomic::Ordering;

use super::pass::Cleaner;
use crate::queue::QueueError;

impl Cleaner {
    /// Says whether more may be taken in.
    pub(crate) fn note_blocked(&self) {
        if self.core.log.aside_bytes() > 0 {
            // People remove it while the queue runs.
            self.core.log.measure_aside();
        }
        self.core.set_blocked(self.why_blocked());
    }

    pub(super) fn drop_spare_if_tight(&self) -> Result<(), QueueError> {
        if !self.is_tight() {
            return Ok(());
        }
        let what = || "removing a spare segment".into();
        self.core.log.drop_spare().map_err(|source| QueueError::Io { what: what(), source })
    }

    /// Takes the ballast while there is room for it on a disk that fills, and gives it back where there is
    /// enough room again.
    pub(super) fn keep_ballast(&self) {
        let Some(free) = self.free_bytes() else { return };
        let low = self.limits.disk_reserve.saturating_mul(2);
        if free >= low.saturating_add(self.limits.disk_reserve / 4) {
            self.ballast.give_up();
        } else if free < low {
            self.ballast.take_if_it_fits(free);
        }
        self.core.log.ballast_bytes.store(self.ballast.bytes(), Ordering::Relaxed);
    }

    /// Bytes of everything that the queue has on the disk and may let go by itself: without `aside/`.
    fn bytes(&self) -> u64 {
        self.core.bytes() + self.snapshots.bytes()
    }

    /// Whether settled events must go before their time.
    pub(super) fn is_tight(&self) -> bool {
        // The next segment is ready, and one more may be begun before the next look.
        let ahead = 2 * u64::from(self.limits.segment_bytes);
        let is_over = self.bytes() + ahead > self.limits.disk_max;
        is_over || self.free_bytes().is_some_and(|free| free < self.limits.disk_reserve)
    }

    /// What is free on the disk, with what is kept for upkeep: that is part of `disk_reserve`, also for the next
    /// segment.
    fn free_bytes(&self) -> Option<u64> {
        let free = self.storage.free_bytes(&self.folder);
        let free =
            free.inspect_err(|err| tracing::warn!(error = %err, "The disk's room is not known"));
        free.ok().map(|free| free.saturating_add(self.ballast.bytes()))
    }

    /// Why nothing more may be taken in, with the handlers whose deliveries take the room.
    fn why_blocked(&self) -> Option<String> {
        let (bytes, disk_max) = (self.bytes(), self.limits.disk_max);
        if bytes >= disk_max {
            let pinned_by = self.core.who_pins().join(", ");
            return Some(format!(
                "{bytes} bytes of unsettled events reach `disk_max` ({disk_max}); they wait for {pinned_by}"
            ));
        }
        let (free, reserve) = (self.free_bytes()?, self.limits.disk_reserve);
        let aside = match self.core.log.aside_bytes() {
            0 => String::new(),
            bytes => format!(
                "; {bytes} bytes in `aside/` could not be read, and may be removed when nobody looks for them"
            ),
        };
        (free < reserve).then(|| {
            format!("{free} bytes are free on the disk, under `disk_reserve` ({reserve}){aside}")
        })
    }
}
