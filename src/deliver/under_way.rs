//! Which deliveries are with their handler at this moment, for people who look at an event.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::clock::Timestamp;
use crate::event::Position;
use crate::sync::lock;

/// The deliveries of a handler's calls under way. Cheap to clone; outlives the loop.
///
/// A call that ends at once is never in it: the fastest handlers take no lock for it, and pay for the
/// list of their call's positions only.
#[derive(Clone, Debug, Default)]
pub struct CallsUnderWay(Arc<Mutex<BTreeMap<Position, Timestamp>>>);

impl CallsUnderWay {
    /// Since when the event at `position` is with the handler, by the wall clock; `None` = it is not.
    pub fn since(&self, position: Position) -> Option<Timestamp> {
        lock(&self.0).get(&position).copied()
    }

    pub(super) fn begin(&self, positions: impl IntoIterator<Item = Position>, now: Timestamp) {
        lock(&self.0).extend(positions.into_iter().map(|position| (position, now)));
    }

    pub(super) fn end(&self, positions: impl IntoIterator<Item = Position>) {
        let mut calls = lock(&self.0);
        for position in positions {
            calls.remove(&position);
        }
    }

    /// All of them are given up.
    pub(super) fn clear(&self) {
        lock(&self.0).clear();
    }
}
