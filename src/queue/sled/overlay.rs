//! Changes of entries that the index does not know yet.

use std::collections::{BTreeMap, BTreeSet};

use super::state::due_of;
use crate::clock::Timestamp;
use crate::event::{OrderKey, Position};
use crate::queue::record::Change;

/// One handler's entries as they are, where the index is behind.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    changes: BTreeMap<Position, (u64, Change)>,
    due: BTreeSet<(Timestamp, Position)>,
    lines: BTreeSet<(OrderKey, Position)>,
}

impl Overlay {
    /// What is known of an entry here; a change to a state that is no entry = it is gone.
    pub(crate) fn get(&self, position: Position) -> Option<&Change> {
        self.changes.get(&position).map(|(_, change)| change)
    }

    pub(crate) fn holds(&self, position: Position) -> bool {
        self.changes.contains_key(&position)
    }

    /// Sets what is known of an entry until `flush` is in the index.
    pub(crate) fn insert(&mut self, flush: u64, change: &Change) {
        self.remove(change.position);
        if let Some((due, _)) = due_of(&change.state) {
            self.due.insert((due, change.position));
        }
        if let Some(key) = change.state.order_key() {
            self.lines.insert((key, change.position));
        }
        let mut kept = change.clone();
        kept.attempt = None;
        self.changes.insert(change.position, (flush, kept));
    }

    fn remove(&mut self, position: Position) {
        let Some((_, change)) = self.changes.remove(&position) else { return };
        if let Some((due, _)) = due_of(&change.state) {
            self.due.remove(&(due, position));
        }
        if let Some(key) = change.state.order_key() {
            self.lines.remove(&(key, position));
        }
    }

    /// Forgets what the index has by now.
    pub(crate) fn forget_through(&mut self, flush: u64) {
        let known: Vec<Position> = self
            .changes
            .iter()
            .filter(|(_, (number, _))| *number <= flush)
            .map(|(position, _)| *position)
            .collect();
        for position in known {
            self.remove(position);
        }
    }

    /// Retries by due time.
    pub(crate) fn due(&self) -> impl Iterator<Item = (Timestamp, Position)> {
        self.due.iter().copied()
    }

    /// The positions that stand in the line of a key.
    pub(crate) fn line(&self, key: OrderKey) -> impl Iterator<Item = Position> {
        self.lines.range((key, Position(0))..=(key, Position(u64::MAX))).map(|(_, p)| *p)
    }

    /// Whether nobody stands in any line here.
    pub(crate) fn has_no_lines(&self) -> bool {
        self.lines.is_empty()
    }

    /// Entries here that wait, less those that the index counts and that are gone.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Change> {
        self.changes.values().map(|(_, change)| change)
    }
}
