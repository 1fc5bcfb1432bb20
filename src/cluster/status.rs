//! How the cluster stands, as this node sees it.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use super::cluster_queue::ClusterQueue;
use super::members::Members;
use super::view::{ClusterView, EngineView, NodeView, OwnerView};
use crate::clock::whole_millis;
use crate::event::HandlerName;
use crate::sync::lock;

impl ClusterQueue {
    /// How the cluster stands. Memory work only.
    pub fn view(&self) -> ClusterView {
        let node = &self.node;
        let (since, error) = node.engine_state.since();
        // What keeps it from taking part outlasts what keeps the engine away.
        let failed = node.failed.borrow().clone();
        let (spilled, oldest_spilled_at) =
            self.spool.as_ref().map(|spool| spool.waiting()).unwrap_or_default();
        let members = node.members.lock().clone();
        let newest = node.newest.load(Ordering::Relaxed);
        ClusterView {
            node: node.name.clone(),
            backend: self.backend,
            ack: self.ack,
            engine: EngineView {
                up: error.is_none() || failed.is_some(),
                since,
                error: failed.or(error),
                durability: lock(&node.durability).clone(),
            },
            applied: node.applied.borrow().0,
            head: (newest > 0).then_some(newest),
            spilled,
            oldest_spilled_at,
            void_settlements: node.n_void.load(Ordering::Relaxed),
            nodes: self.nodes(&members),
            handlers: owners(&members),
        }
    }

    fn nodes(&self, members: &Members) -> Vec<NodeView> {
        let node = &self.node;
        let now = node.clock.steady();
        let seen = node.life.lock().seen.clone();
        let there = members.nodes().filter(|(_, member)| !member.has_left);
        let view = |name: &super::node::NodeName, applied: u64| NodeView {
            name: name.clone(),
            applied,
            seen_ms_ago: seen.get(name).map(|seen| whole_millis(now.since(*seen))),
            alive: !node.is_silent(name),
        };
        there.map(|(name, member)| view(name, member.applied)).collect()
    }
}

/// Who has each handler, of those that were ever had and those that are paused.
fn owners(members: &Members) -> Vec<OwnerView> {
    let leased = members.leases().map(|(handler, _)| handler);
    let names: BTreeSet<_> = leased.chain(members.pauses().keys()).collect();
    let view = |handler: &HandlerName| {
        let lease = members.lease(handler);
        let (owner, epoch) = (lease.owner, lease.epoch);
        let paused = members.pause_of(handler).is_some();
        OwnerView { handler: handler.clone(), owner, epoch, paused }
    };
    names.into_iter().map(view).collect()
}
