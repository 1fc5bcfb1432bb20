//! Which handlers are paused, on every node: whichever has a handler's lease gives out nothing of it.

use tokio::sync::watch;

use super::calls::ENGINE_WAIT;
use super::cluster_queue::ClusterQueue;
use super::local_node::OperationOutcome;
use super::unit::UnitOperation;
use crate::event::HandlerName;
use crate::queue::QueueError;
use crate::sync::lock;

impl ClusterQueue {
    /// The words of a handler's pause; `None` = it gets deliveries.
    pub fn pause_of(&self, handler: &HandlerName) -> Option<String> {
        lock(&self.node.members).pause_of(handler).map(ToOwned::to_owned)
    }

    /// All handlers that are paused, with the words of their pauses.
    pub fn pauses(&self) -> Vec<(HandlerName, String)> {
        let members = lock(&self.node.members);
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
        let changed = tokio::time::timeout(ENGINE_WAIT, self.node.propose(operation)).await;
        let changed = changed.map_err(|_| {
            QueueError::LogAway(
                "the change holds as soon as it is back, and nothing is delivered meanwhile once the leases \
                 are over",
            )
        })?;
        Ok(matches!(changed?, OperationOutcome::Counted(true)))
    }

    /// Changes whenever a pause may have changed.
    pub fn watch_pauses(&self) -> watch::Receiver<u64> {
        self.node.changed.subscribe()
    }
}
