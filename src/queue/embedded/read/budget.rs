//! How much one call may read.

use std::time::Duration;

use crate::clock::{Clock, Timestamp};

/// How much one call may read before it answers with what it has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget<'a> {
    bytes: u64,
    /// Until this moment of the steady clock.
    until: Option<(&'a dyn Clock, Timestamp)>,
}

impl<'a> Budget<'a> {
    /// How many bytes of the log a list reads.
    pub(crate) const LIST_BYTES: u64 = 64 << 20;
    /// How long a list takes.
    pub(crate) const LIST_TIME: Duration = Duration::from_millis(200);

    /// What a list may use: [`Budget::LIST_BYTES`] or [`Budget::LIST_TIME`], whichever is first.
    pub(crate) fn for_list(clock: &'a dyn Clock) -> Self {
        Self::new(Self::LIST_BYTES, Self::LIST_TIME, clock)
    }

    pub(crate) fn new(bytes: u64, time: Duration, clock: &'a dyn Clock) -> Self {
        Self { bytes, until: Some((clock, clock.steady().after(time))) }
    }

    /// No bound.
    #[cfg(test)]
    pub(crate) const fn unlimited() -> Self {
        Self { bytes: u64::MAX, until: None }
    }

    /// So much was read.
    pub(super) fn spend(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Whether nothing more is to be read.
    pub(super) fn is_used_up(&self) -> bool {
        self.bytes == 0 || self.until.is_some_and(|(clock, until)| clock.steady() >= until)
    }
}
