//! What became of an operation where it was applied.

use super::reports::SharedReport;
use crate::queue::{Appended, QueueError, ReplayResult};

#[derive(Debug)]
pub(super) enum OperationOutcome {
    /// Of each event, in their order.
    Stored(Vec<Appended>),
    /// It counted; `false` = it is void.
    Counted(bool),
    /// So many deliveries were changed.
    Changed(u64),
    /// Of each delivery that was to be made again, in their order.
    Replayed(Vec<ReplayResult>),
    /// Of a report of this node: what the others had told before it in the log.
    Told(Vec<SharedReport>),
}

/// An error where it is of another operation than was asked for: nothing is told of what was.
impl OperationOutcome {
    /// What became of events.
    pub(super) fn stored(self) -> Result<Vec<Appended>, QueueError> {
        if let Self::Stored(appended) = self { Ok(appended) } else { another("events") }
    }

    /// How many deliveries were changed.
    pub(super) fn changed(self) -> Result<u64, QueueError> {
        if let Self::Changed(n_changed) = self { Ok(n_changed) } else { another("a change") }
    }

    /// What became of deliveries that were to be made again.
    pub(super) fn replayed(self) -> Result<Vec<ReplayResult>, QueueError> {
        if let Self::Replayed(results) = self { Ok(results) } else { another("a replay") }
    }

    /// What the others had told before a report.
    pub(super) fn told(self) -> Result<Vec<SharedReport>, QueueError> {
        if let Self::Told(before) = self { Ok(before) } else { another("a report") }
    }
}

fn another<T>(what: &str) -> Result<T, QueueError> {
    Err(QueueError::Corrupt(format!("{what} was answered as something else")))
}
