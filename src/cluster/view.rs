//! How a cluster stands, as one of its nodes sees it: what the command line, the API, the dashboard and
//! the metrics show.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ack::ClusterAck;
use super::node::NodeName;
use crate::clock::Timestamp;
use crate::event::HandlerName;

/// What keeps the shared log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClusterBackend {
    /// `[queue.postgres]`
    Postgres,
    /// `[queue.nats]`
    Nats,
}

impl ClusterBackend {
    /// As the configuration says it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Nats => "nats",
        }
    }
}

impl fmt::Display for ClusterBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres => "PostgreSQL",
            Self::Nats => "NATS",
        })
    }
}

/// A cluster as one of its nodes sees it. Field names are part of the API: add, never rename.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterView {
    /// The node that answers.
    pub node: NodeName,
    /// What keeps the shared log.
    pub backend: ClusterBackend,
    /// When this node answers 200.
    pub ack: ClusterAck,
    /// Whether the shared log can be reached from here.
    pub engine: EngineView,
    /// The newest unit of the shared log that this node has applied; 0 = none yet.
    pub applied: u64,
    /// The newest unit that the shared log is known to have; nothing = it was never reached.
    pub head: Option<u64>,
    /// Events that were answered 200 and are on this machine only, until they are forwarded.
    pub spilled: u64,
    /// When the oldest of them came in.
    pub oldest_spilled_at: Option<Timestamp>,
    /// Settlements that this node applied since its start and that did not count: their owner had lost
    /// its lease.
    pub void_settlements: u64,
    /// All nodes that take part, by name; without those that were stopped in order.
    pub nodes: Vec<NodeView>,
    /// All handlers that a lease was ever taken of, or that are paused, by name.
    pub handlers: Vec<OwnerView>,
}

/// Whether the shared log can be reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineView {
    /// Whether it answered when it was last asked, and had room for the newest event; also where this node asks no
    /// more.
    pub up: bool,
    /// Since when that is so.
    pub since: Timestamp,
    /// Why it did not; or, while it does, why this node takes no part any more.
    pub error: Option<String>,
    /// What an acknowledged unit survives, in one sentence; nothing = it is not known yet.
    pub durability: Option<String>,
}

/// One gateway of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeView {
    pub name: NodeName,
    /// The newest unit that it said it had applied.
    pub applied: u64,
    /// How long ago its newest sign of life came here; nothing = none since this node's start.
    pub seen_ms_ago: Option<u64>,
    /// Whether that is less than the lease.
    pub alive: bool,
}

/// Which node delivers to a handler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerView {
    pub handler: HandlerName,
    /// Nothing = none has it just now.
    pub owner: Option<NodeName>,
    /// Of the newest lease: greater with each owner.
    pub epoch: u64,
    /// Whether it is paused, on every node.
    #[serde(default)]
    pub paused: bool,
}

impl ClusterView {
    /// How many units of the shared log this node has not applied yet, as far as it knows.
    pub fn lag_units(&self) -> u64 {
        self.head.map_or(0, |head| head.saturating_sub(self.applied))
    }

    /// Why this node takes no part any more until it is started anew; `None` = it does.
    pub fn failure(&self) -> Option<&str> {
        self.engine.error.as_deref().filter(|_| self.engine.up)
    }

    /// What holds while the shared log takes no events and events are taken in all the same; `None` = neither.
    /// Told to all on this machine, so without the engine's words.
    pub fn outage(&self) -> Option<&'static str> {
        let is_outage = !self.engine.up && self.ack != ClusterAck::Engine;
        is_outage.then_some(
            "the shared log cannot be reached, or has no room for events: they are kept on this machine, and delivered \
             once it has them (`gatepost cluster status` says why)",
        )
    }

    /// The nodes that give no sign of life.
    pub fn silent(&self) -> impl Iterator<Item = &NodeView> {
        self.nodes.iter().filter(|node| !node.alive)
    }

    /// Whether this node delivers to a handler: what its calls come to is known to that node alone.
    pub fn delivers_to(&self, handler: &HandlerName) -> bool {
        self.owned_by(&self.node).any(|owned| owned == handler)
    }

    /// The handlers that `node` delivers to.
    pub fn owned_by(&self, node: &NodeName) -> impl Iterator<Item = &HandlerName> {
        let is_owned = move |one: &&OwnerView| one.owner.as_ref() == Some(node);
        self.handlers.iter().filter(is_owned).map(|one| &one.handler)
    }
}
