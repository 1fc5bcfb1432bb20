//! What a gateway had when it started: another one may have gone on with it meanwhile.

use std::time::Duration;

use crate::api::{Api, NodeReportView, Server};
use crate::clock::Timestamp;
use crate::cluster::{ClusterView, NodeView};

/// For how long is waited for what the other gateways tell: each tells one that starts within 10 s, unless it is gone.
const HEARD_WITHIN: Duration = Duration::from_secs(30);

/// Rollouts with which this gateway does not go on before it has heard of the others.
#[derive(Debug)]
pub(super) struct Kept {
    numbers: Vec<u64>,
    /// Since when the log is there, by the steady clock.
    since: Option<Timestamp>,
}

impl Kept {
    pub(super) const fn new(numbers: Vec<u64>) -> Self {
        Self { numbers, since: None }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    pub(super) fn holds(&self, number: u64) -> bool {
        self.numbers.contains(&number)
    }
}

impl Api {
    /// Lets those go on that no other gateway goes on with, once all have told; at once without others.
    pub(super) async fn let_kept_go_on(&self, server: &Server, kept: &mut Kept) {
        if kept.is_empty() {
            return;
        }
        if let Some(cluster) = self.cluster() {
            if !cluster.engine.up {
                return;
            }
            let (reports, now) = (self.node_reports(), self.clock.steady());
            let since = *kept.since.get_or_insert(now);
            if !have_all_told(&cluster, &reports) && now.since(since) < HEARD_WITHIN {
                return;
            }
            for told in &reports {
                self.end_continued(server, &cluster.node, told).await;
            }
        }
        kept.numbers.clear();
    }
}

/// Whether all gateways that take part have told something, and this one has read the log that says which these are.
fn have_all_told(cluster: &ClusterView, reports: &[NodeReportView]) -> bool {
    let is_own = |node: &NodeView| node.name == cluster.node;
    let has_told = |node: &NodeView| {
        if is_own(node) { node.alive } else { reports.iter().any(|told| told.node == node.name) }
    };
    cluster.head.is_some()
        && cluster.lag_units() == 0
        && cluster.nodes.iter().any(is_own)
        && cluster.nodes.iter().all(has_told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::NodeReport;
    use crate::cluster::NodeName;

    #[test]
    fn all_have_told_once_the_log_is_read_and_each_of_the_others_has() {
        let cluster = |applied: u64, own_alive: bool| -> ClusterView {
            serde_json::from_value(serde_json::json!({
                "node": "a", "backend": "postgres", "ack": "engine", "applied": applied, "head": 7, "spilled": 0,
                "engine": { "up": true, "since": "2026-11-28T10:00:00Z" }, "void_settlements": 0,
                "nodes": [
                    { "name": "a", "applied": 7, "alive": own_alive },
                    { "name": "b", "applied": 7, "alive": false },
                ],
                "handlers": [],
            }))
            .unwrap()
        };
        let (node, at) = (NodeName::parse("b").unwrap(), Timestamp::from_millis(1));
        let told = [NodeReportView { node, at, report: NodeReport::default() }];
        assert!(have_all_told(&cluster(7, true), &told));
        assert!(!have_all_told(&cluster(7, true), &[]), "b may go on with one");
        assert!(!have_all_told(&cluster(6, true), &told), "a later unit may say so");
        assert!(!have_all_told(&cluster(7, false), &told), "the log is not known to be read");
    }
}
