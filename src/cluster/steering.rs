//! What people tell a handler to do, on every node: the one that has its lease gives out nothing while it is
//! paused, and tries one delivery at once where that is asked for.

use std::time::Duration;

use tokio::sync::watch;

use super::cluster_queue::ClusterQueue;
use super::local_node::OperationOutcome;
use super::unit::UnitOperation;
use crate::event::HandlerName;
use crate::queue::QueueError;

/// For how long a node remembers that a handler is to be tried: one who asked looks what comes of it. By the end of
/// so many leases it was taken over where the node that had it is gone.
const TRY_WITHIN: Duration = Duration::from_mins(1);
const TRY_LEASES: u32 = 3;

impl ClusterQueue {
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
