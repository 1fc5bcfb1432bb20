//! What this node tells the others, and what they told.

use std::sync::Arc;

use super::action_log::{ACTION_BYTES_MAX, LoggedAction};
use super::cluster_queue::ClusterQueue;
use super::node::NodeName;
use super::reports::{REPORT_MAX, SharedReport};
use super::unit::UnitOperation;
use crate::queue::QueueError;

impl ClusterQueue {
    /// Has every node keep a text under a name of this node's own, in place of the text that it had under that name
    /// before. `Ok` = the shared log has it, and this node has applied it: while the engine is away that takes until
    /// it is back.
    pub async fn log_action(&self, id: u64, text: String) -> Result<(), QueueError> {
        if text.len() > ACTION_BYTES_MAX {
            return Err(QueueError::Full(format!(
                "an action has at most {ACTION_BYTES_MAX} bytes"
            )));
        }
        self.node.propose(UnitOperation::Action { id, text }).await.map(drop)
    }

    /// The actions of all nodes, the newest 500, the oldest first.
    pub fn logged_actions(&self) -> Vec<Arc<LoggedAction>> {
        self.node.action_log.list()
    }

    /// Tells all nodes of this one, in at most [`REPORT_MAX`] bytes. `Ok` = the shared log has it, as with
    /// [`Self::log_action`].
    pub async fn report(&self, text: String) -> Result<(), QueueError> {
        self.node.propose(report_of(text)?).await.map(drop)
    }

    /// The same for one who waits. `Ok` = what the others had told before it in the log: of two nodes that tell
    /// something at the same moment exactly one sees there what the other has told. An error may come where all are
    /// told later all the same.
    pub async fn report_behind(&self, text: String) -> Result<Vec<SharedReport>, QueueError> {
        let operation = report_of(text)?;
        self.node.propose_soon(operation, "it did not answer in time: ask again").await?.told()
    }

    /// What the other nodes told last, by name: also those that give no sign of life any more or have left.
    pub fn reports(&self) -> Vec<SharedReport> {
        self.node.reports.list_without(&self.node.name)
    }

    /// How many reports were applied, of any node: [`Self::reports`] says the same until there is another one.
    pub fn n_reports(&self) -> u64 {
        self.node.reports.n_told()
    }

    /// How many nodes have begun since this one's start, as far as that is applied: those know of no report.
    pub fn n_sessions(&self) -> u64 {
        self.node.reports.n_sessions()
    }

    /// Whether what is told now is appended soon.
    pub fn is_log_there(&self) -> bool {
        self.node.is_engine_up()
    }

    /// This node's name.
    pub fn name(&self) -> &NodeName {
        &self.node.name
    }
}

fn report_of(text: String) -> Result<UnitOperation, QueueError> {
    if text.len() > REPORT_MAX {
        return Err(QueueError::Full(format!("a report has at most {REPORT_MAX} bytes")));
    }
    Ok(UnitOperation::Report { text })
}
