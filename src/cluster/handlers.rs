//! The handlers that this node is configured for, and what it has given out to them.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::event::{HandlerName, Position};
use crate::sync::lock;

/// Every handler with a subscription in this process.
#[derive(Debug, Default)]
pub(super) struct LocalHandlers {
    /// What was given out and is not settled, each with the epoch under which it was.
    taken: Mutex<BTreeMap<HandlerName, BTreeMap<Position, u64>>>,
}

impl LocalHandlers {
    /// Adds a handler; `false` = it is there.
    pub(super) fn add(&self, handler: &HandlerName) -> bool {
        let mut taken = lock(&self.taken);
        let is_new = !taken.contains_key(handler);
        taken.entry(handler.clone()).or_default();
        is_new
    }

    pub(super) fn remove(&self, handler: &HandlerName) {
        lock(&self.taken).remove(handler);
    }

    pub(super) fn names(&self) -> Vec<HandlerName> {
        lock(&self.taken).keys().cloned().collect()
    }

    pub(super) fn is_wanted(&self, handler: &HandlerName) -> bool {
        lock(&self.taken).contains_key(handler)
    }

    /// How many deliveries of a handler are given out.
    pub(super) fn n_taken(&self, handler: &HandlerName) -> usize {
        lock(&self.taken).get(handler).map_or(0, BTreeMap::len)
    }

    /// Notes that deliveries were given out under a lease.
    pub(super) fn take(
        &self,
        handler: &HandlerName,
        epoch: u64,
        positions: impl Iterator<Item = Position>,
    ) {
        if let Some(taken) = lock(&self.taken).get_mut(handler) {
            taken.extend(positions.map(|position| (position, epoch)));
        }
    }

    /// Notes that a delivery came back; gives the epoch under which it was given out.
    pub(super) fn give_back(&self, handler: &HandlerName, position: Position) -> Option<u64> {
        lock(&self.taken).get_mut(handler)?.remove(&position)
    }
}
