//! What each node tells the others of itself: one short text, in place of what it told before. It means nothing
//! here, and is kept in memory only: a node that starts is told anew.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::node::NodeName;
use crate::clock::Timestamp;
use crate::sync::lock;

/// The longest text, in bytes.
pub const REPORT_MAX: usize = 8 << 10;

/// What another node told of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedReport {
    pub node: NodeName,
    /// When, by its wall clock.
    pub at: Timestamp,
    pub text: String,
}

/// The newest report of each node.
#[derive(Debug, Default)]
pub(super) struct Reports {
    newest: Mutex<BTreeMap<NodeName, (Timestamp, String)>>,
    n_told: AtomicU64,
    n_sessions: AtomicU64,
}

impl Reports {
    pub(super) fn apply(&self, node: &NodeName, at: Timestamp, text: String) {
        lock(&self.newest).insert(node.clone(), (at, text));
        // Behind it: who sees the count sees the report.
        self.n_told.fetch_add(1, Ordering::SeqCst);
    }

    /// How many were told.
    pub(super) fn n_told(&self) -> u64 {
        self.n_told.load(Ordering::SeqCst)
    }

    /// Those of all nodes but `own`, by name.
    pub(super) fn list_without(&self, own: &NodeName) -> Vec<SharedReport> {
        let newest = lock(&self.newest);
        let others = newest.iter().filter(|(node, _)| *node != own);
        let report = |(node, (at, text)): (&NodeName, &(Timestamp, String))| SharedReport {
            node: node.clone(),
            at: *at,
            text: text.clone(),
        };
        others.map(report).collect()
    }

    /// How many nodes have begun anew.
    pub(super) fn n_sessions(&self) -> u64 {
        self.n_sessions.load(Ordering::Relaxed)
    }

    /// A node has begun anew.
    pub(super) fn note_session(&self) {
        self.n_sessions.fetch_add(1, Ordering::Relaxed);
    }
}
