//! What people tell a handler to do, on every node: the one that has its lease gives out nothing while it is
//! paused, and tries one delivery at once where that is asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;

use super::cluster_queue::ClusterQueue;
use super::operation_outcome::OperationOutcome;
use super::unit::{HandChange, UnitOperation};
use crate::event::{HandlerName, Position};
use crate::queue::QueueError;

/// For how long a node remembers that a handler is to be tried: one who asked looks what comes of it. By the end of
/// so many leases it was taken over where the node that had it is gone.
const TRY_WITHIN: Duration = Duration::from_mins(1);
const TRY_LEASES: u32 = 3;

/// How many deliveries one operation changes by hand.
pub(super) const CHANGED_AT_ONCE: usize = 4_096;

impl ClusterQueue {
    /// Changes deliveries by the shared log, so many at once.
    pub(super) async fn change_by_hand(
        &self,
        handler: &HandlerName,
        change: HandChange,
        positions: &[Position],
    ) -> Result<Vec<OperationOutcome>, QueueError> {
        if self.node.failed.borrow().is_some() {
            return Err(QueueError::NoPart);
        }
        let mut outcomes = Vec::new();
        for some in positions.chunks(CHANGED_AT_ONCE) {
            let (handler, positions) = (handler.clone(), some.to_vec());
            let operation = UnitOperation::ByHand { handler, change, positions };
            outcomes.push(self.node.propose(operation).await?);
        }
        Ok(outcomes)
    }

    /// Changes dead letters, handler by handler.
    pub(super) async fn change_letters(
        &self,
        letters: Vec<(HandlerName, Position)>,
        change: HandChange,
    ) -> Result<u64, QueueError> {
        let mut by_handler: BTreeMap<_, Vec<Position>> = BTreeMap::new();
        for (handler, position) in letters {
            by_handler.entry(handler).or_default().push(position);
        }
        let mut n_changed = 0;
        for (handler, positions) in by_handler {
            let outcomes = self.change_by_hand(&handler, change, &positions).await?;
            for outcome in outcomes {
                n_changed += outcome.changed()?;
            }
        }
        Ok(n_changed)
    }

    /// The words of a handler's pause; `None` = it gets deliveries.
    pub fn pause_of(&self, handler: &HandlerName) -> Option<String> {
        self.node.members.lock().pause_of(handler).map(ToOwned::to_owned)
    }

    /// All handlers that are paused, with the words of their pauses.
    pub fn pauses(&self) -> Vec<(HandlerName, String)> {
        let members = self.node.members.lock();
        members.pauses().iter().map(|(name, pause)| (name.clone(), pause.clone())).collect()
    }

    /// Pauses a handler on every node, or lets it go on; `of` = only while its pause says so. `false` = it
    /// is as it was. Where the shared log does not have it in time that is an error, and it holds once the
    /// log has it.
    pub async fn set_pause(
        &self,
        handler: &HandlerName,
        of: Option<String>,
        pause: Option<String>,
    ) -> Result<bool, QueueError> {
        let operation = UnitOperation::Pause { handler: handler.clone(), of, pause };
        let late = "the change holds as soon as it is back, and nothing is delivered meanwhile once the leases \
                    are over";
        let changed = self.node.propose_soon(operation, late).await?;
        Ok(matches!(changed, OperationOutcome::Counted(true)))
    }

    /// The epoch of the lease under which this node may try a handler; `None` = it may not.
    pub fn try_epoch(&self, handler: &HandlerName) -> Option<u64> {
        self.node.holds(handler).map(|(epoch, _)| epoch)
    }

    /// Has the node that has a handler's lease try one delivery at once, unless this one was told to under the
    /// epoch `told` and has it still. Where the shared log does not have it in time that is an error, and it is
    /// done if the log has it soon.
    pub async fn try_elsewhere(
        &self,
        handler: &HandlerName,
        told: Option<u64>,
    ) -> Result<(), QueueError> {
        // A lease that came or went since: who was told then may not have had it.
        if told.is_some() && told == self.try_epoch(handler) {
            return Ok(());
        }
        let operation = UnitOperation::TryNow { handler: handler.clone() };
        let late = "one delivery is tried if it is back within a minute, else ask again";
        self.node.propose_soon(operation, late).await.map(|_| ())
    }

    /// The handlers of which any node was told to try one delivery, and which this one has the lease of; where the
    /// one that had it is gone, that is so when it was taken over. Each until [`Self::end_try`], for a while.
    pub fn tries(&self) -> Vec<HandlerName> {
        let since = self.node.clock.steady().before(TRY_WITHIN.max(TRY_LEASES * self.node.lease));
        let mut tries = self.handlers.tries(since);
        tries.retain(|handler| self.node.holds(handler).is_some());
        tries
    }

    /// One delivery of a handler is tried.
    pub fn end_try(&self, handler: &HandlerName) {
        self.handlers.end_try(handler);
    }

    /// Changes whenever a pause may have changed, or a handler may have to be tried.
    pub fn watch_steering(&self) -> watch::Receiver<u64> {
        self.node.changed.subscribe()
    }
}
