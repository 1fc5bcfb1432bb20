//! Which handlers and sources need their owner: one answer for pages and the command line.

use std::time::Duration;

use super::{HandlerView, SourceView};
use crate::api::HandlerStatus;
use crate::clock::Timestamp;
use crate::text::{count, span};

/// Why nothing comes in from a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceTrouble {
    /// So many requests were rejected since the last good one.
    Rejected(u64),
    /// No event came for longer than its owner expects.
    Silent,
}

impl HandlerView {
    /// Whether it needs the owner's attention: its newest calls failed, it gives up one delivery
    /// after the other, it could not be started, or its deliveries ended. The breaker opens later than that.
    pub fn is_in_trouble(&self) -> bool {
        match self.state {
            HandlerStatus::Down | HandlerStatus::Failed => true,
            HandlerStatus::Running => self.failing_since.is_some() || self.is_giving_up(),
            HandlerStatus::Stopped => self.kind.is_some(),
            HandlerStatus::Paused
            | HandlerStatus::Finishing
            | HandlerStatus::Disabled
            | HandlerStatus::Unconfigured => false,
        }
    }
}

impl SourceView {
    /// Why nothing comes in, and since when; `None` = it is well. One whose requests are rejected is not silent.
    pub fn trouble(&self, now: Timestamp) -> Option<(SourceTrouble, Timestamp)> {
        if let Some(since) = self.rejected_since.filter(|_| self.rejects_all(now)) {
            return Some((SourceTrouble::Rejected(self.rejected_in_a_row), since));
        }
        let since = self.silent_since(self.last_event_at, now)?;
        Some((SourceTrouble::Silent, since))
    }

    /// What is the case, behind since when it is.
    pub fn trouble_says(&self, trouble: SourceTrouble) -> String {
        match trouble {
            SourceTrouble::Rejected(1) => {
                "the only request that came was rejected, and none was accepted".to_owned()
            }
            SourceTrouble::Rejected(n_rejected) => {
                format!("{} requests were rejected, and none was accepted", count(n_rejected))
            }
            SourceTrouble::Silent => self.expected(),
        }
    }

    /// What its owner expects of it.
    pub fn expected(&self) -> String {
        let every = Duration::from_secs(self.expect_every_seconds.unwrap_or_default());
        format!("one event is expected every {} (`expect_every`)", span(every))
    }
}
