//! Places of a spool whose events the log lacks although it has later ones: they could not be read when their
//! turn came.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::event::Position;

/// A set of places, as ranges that ascend and do not touch: where each begins, and what comes behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct LeftOut(Vec<(u64, u64)>);

impl LeftOut {
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn contains(&self, place: Position) -> bool {
        let n_before = self.0.partition_point(|(_, behind)| *behind <= place.0);
        self.0.get(n_before).is_some_and(|(first, _)| *first <= place.0)
    }

    /// Adds places; `false` = it had them all.
    pub(super) fn insert(&mut self, places: Range<Position>) -> bool {
        let (mut from, mut to) = (places.start.0, places.end.0);
        let has_all = |(first, behind): &(u64, u64)| *first <= from && to <= *behind;
        if from >= to || self.0.iter().any(has_all) {
            return false;
        }
        self.0.retain(|(first, behind)| {
            let is_apart = *behind < from || to < *first;
            if !is_apart {
                (from, to) = (from.min(*first), to.max(*behind));
            }
            is_apart
        });
        self.0.push((from, to));
        self.0.sort_unstable();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_kept_as_ranges_that_do_not_touch() {
        let mut left_out = LeftOut::default();
        let mut insert = |from, to| left_out.insert(Position(from)..Position(to));
        assert!(insert(5, 7) && insert(10, 12) && insert(1, 2), "they are new");
        assert!(!insert(5, 7) && !insert(11, 12) && !insert(3, 3), "it has them");
        assert!(insert(7, 8) && insert(11, 14), "a part of them is new");
        assert_eq!(left_out, LeftOut(vec![(1, 2), (5, 8), (10, 14)]));
        let has = |place: &u64| left_out.contains(Position(*place));
        assert_eq!((0..16).filter(has).collect::<Vec<_>>(), [1, 5, 6, 7, 10, 11, 12, 13]);
        assert!(left_out.insert(Position(2)..Position(11)));
        assert_eq!(left_out, LeftOut(vec![(1, 14)]));
    }
}
