//! The changes that are told with a copied event.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::event::{HandlerName, Position};
use crate::queue::embedded::record::{DeliveryRecord, KeptChanges, Lsn};
use crate::queue::embedded::subscription::HandlerCell;

/// The changes that a segment's copy tells: of each delivery what the segment says, and how it
/// stands where that is not the last word.
#[derive(Debug, Default)]
pub(super) struct Told(BTreeMap<HandlerName, (Arc<HandlerCell>, Words)>);

/// What was recorded of each delivery, in the order of the log.
type Words = BTreeMap<Position, Vec<(Lsn, DeliveryRecord)>>;

impl Told {
    pub(super) fn must_tell(&mut self, cell: &Arc<HandlerCell>, position: Position) {
        let (_, positions) = self
            .0
            .entry(cell.handler.clone())
            .or_insert_with(|| (Arc::clone(cell), BTreeMap::new()));
        positions.entry(position).or_default();
    }

    pub(super) fn tells_of(&self, cell: &HandlerCell, position: Position) -> bool {
        self.0.get(&cell.handler).is_some_and(|(_, positions)| positions.contains_key(&position))
    }

    pub(super) fn change(
        &mut self,
        cell: &Arc<HandlerCell>,
        position: Position,
        lsn: Lsn,
        change: DeliveryRecord,
    ) {
        self.must_tell(cell, position);
        let positions = self.0.get_mut(&cell.handler).map(|(_, positions)| positions);
        if let Some(changes) = positions.and_then(|positions| positions.get_mut(&position)) {
            changes.push((lsn, change));
        }
    }

    /// `label` = before everything that the states below may lack.
    pub(super) fn into_changes(self, label: Lsn) -> Vec<KeptChanges> {
        let mut all = Vec::new();
        for (handler, (cell, positions)) in self.0 {
            let mut changes = Vec::new();
            let live = cell.lock();
            for (position, told) in positions {
                let stands = live.state.change_of(position);
                let last = told.last().map(|(_, change)| change);
                let is_told = stands.as_ref().zip(last).is_some_and(|(s, l)| s.says_the_same(l));
                changes.extend(told);
                if !is_told && let Some(stands) = stands {
                    changes.push((label, stands));
                }
            }
            drop(live);
            let incarnation = cell.incarnation;
            all.push(KeptChanges { handler, incarnation, changes });
        }
        all
    }
}

impl DeliveryRecord {
    /// Whether both make the same of a delivery, apart from what is kept for people only.
    fn says_the_same(&self, other: &Self) -> bool {
        use crate::queue::embedded::record::NewState::{
            Dead, Delivered, Dropped, Lost, Open, Retry, Skipped,
        };
        let is_same = match (&self.to, &other.to) {
            (Delivered | Skipped | Dropped, Delivered | Skipped | Dropped)
            | (Open, Open)
            | (Lost, Lost) => true,
            (Dead { order_key: one, .. }, Dead { order_key: other, .. }) => one == other,
            (Retry { due, order_key, .. }, Retry { due: other_due, order_key: other_key, .. }) => {
                due == other_due && order_key == other_key && self.attempts == other.attempts
            }
            _ => false,
        };
        is_same && self.first == other.first
    }
}
