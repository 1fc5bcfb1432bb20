//! The log that several gateways share, as the running server shows it.

use std::sync::Arc;

use crate::cluster::{ClusterAck, ClusterView};

pub(super) mod watch;

/// Says how the cluster stands. Called for each page and scrape.
pub(super) type ClusterSource = Arc<dyn Fn() -> ClusterView + Send + Sync>;

/// Why this node is not ready; `None` = it is. A shared log that is away is no reason where events are kept
/// here meanwhile: a load balancer that took all nodes out for it would lose what they are for.
pub(super) fn problem(view: &ClusterView) -> Option<String> {
    if let Some(why) = view.failure() {
        return Some(format!("this gateway takes no part in the cluster any more: {why}"));
    }
    let why = view.engine.error.as_deref().filter(|_| view.ack == ClusterAck::Engine)?;
    Some(format!("the shared log cannot be reached, and `queue.ack = \"engine\"` needs it: {why}"))
}
