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

impl OperationOutcome {
    /// What became of events.
    pub(super) fn stored(self) -> Result<Vec<Appended>, QueueError> {
        match self {
            Self::Stored(appended) => Ok(appended),
            Self::Counted(_) | Self::Changed(_) | Self::Replayed(_) | Self::Told(_) => {
                Err(QueueError::Corrupt("events were answered as something else".into()))
            }
        }
    }

    /// How many deliveries were changed.
    pub(super) const fn n_changed(&self) -> u64 {
        match self {
            Self::Changed(n_changed) => *n_changed,
            Self::Stored(_) | Self::Counted(_) | Self::Replayed(_) | Self::Told(_) => 0,
        }
    }

    /// What became of deliveries that were to be made again.
    pub(super) fn replayed(self) -> Vec<ReplayResult> {
        match self {
            Self::Replayed(results) => results,
            Self::Stored(_) | Self::Counted(_) | Self::Changed(_) | Self::Told(_) => Vec::new(),
        }
    }
}
