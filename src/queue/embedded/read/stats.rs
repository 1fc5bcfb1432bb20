//! What the queue's numbers say of the index.

use super::Reading;

impl Reading {
    /// Bytes of the log that the index has not taken in yet; what is being filled in backwards
    /// does not count.
    pub(crate) fn lag_bytes(&self) -> u64 {
        let (reached, end) = (self.index.progress().to, self.log.head().next);
        if reached >= end {
            return 0;
        }
        let segments = self.log.segments().into_iter();
        let between =
            segments.filter(|info| (reached.segment()..end.segment()).contains(&info.id.number));
        let whole: u64 = between.map(|info| info.bytes).sum();
        (whole + u64::from(end.offset())).saturating_sub(u64::from(reached.offset()))
    }

    /// Bytes of the index on disk.
    pub(crate) fn index_bytes(&self) -> u64 {
        self.index.bytes()
    }
}
