//! A set of positions as ranges.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::ops::Range;

use crate::event::Position;

/// Positions in ascending order, kept as disjoint ranges that do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PositionSet {
    /// The first position of each range by the one behind its last. By the end, because what is
    /// taken out most often is the first position of a range: that changes a value in place.
    starts: BTreeMap<u64, u64>,
    len: u64,
}

impl PositionSet {
    pub(crate) const fn new() -> Self {
        Self { starts: BTreeMap::new(), len: 0 }
    }

    /// How many positions there are.
    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    /// How many ranges they make.
    #[cfg(test)]
    pub(crate) fn n_ranges(&self) -> usize {
        self.starts.len()
    }

    pub(crate) fn contains(&self, position: Position) -> bool {
        self.range_behind(position.0).is_some_and(|(start, _)| start <= position.0)
    }

    /// Whether any position of `range` is in the set.
    pub(crate) fn intersects(&self, range: Range<Position>) -> bool {
        range.start < range.end
            && self.range_behind(range.start.0).is_some_and(|(start, _)| start < range.end.0)
    }

    pub(crate) fn first(&self) -> Option<Position> {
        self.starts.first_key_value().map(|(_, start)| Position(*start))
    }

    /// The first position at or behind `from`.
    #[cfg(test)]
    pub(crate) fn first_from(&self, from: Position) -> Option<Position> {
        self.range_behind(from.0).map(|(start, _)| Position(start.max(from.0)))
    }

    /// Takes out the first position.
    pub(crate) fn pop_first(&mut self) -> Option<Position> {
        let first = self.first()?;
        self.remove_range(first..first.next());
        Some(first)
    }

    /// The ranges in ascending order.
    pub(crate) fn iter_ranges(&self) -> impl Iterator<Item = Range<Position>> + '_ {
        self.starts.iter().map(|(end, start)| Position(*start)..Position(*end))
    }

    /// The ranges at or behind `from`; the first one begins at `from` where `from` is within it.
    pub(crate) fn iter_from(&self, from: Position) -> impl Iterator<Item = Range<Position>> + '_ {
        let behind = self.starts.range((Excluded(from.0), Unbounded));
        behind.map(move |(end, start)| Position((*start).max(from.0))..Position(*end))
    }

    /// The parts of the ranges that are within `within`.
    pub(crate) fn iter_within(
        &self,
        within: Range<Position>,
    ) -> impl Iterator<Item = Range<Position>> + '_ {
        let Range { start, end } = within;
        self.iter_from(start)
            .take_while(move |range| range.start < end)
            .map(move |range| range.start..range.end.min(end))
    }

    pub(crate) fn insert_range(&mut self, range: Range<Position>) {
        let (mut start, mut end) = (range.start.0, range.end.0);
        if start >= end {
            return;
        }
        // Every range that overlaps or touches the new one becomes part of it.
        while let Some((&its_end, &its_start)) = self.starts.range(start..).next() {
            if its_start > end {
                break;
            }
            self.starts.remove(&its_end);
            self.len -= its_end - its_start;
            start = start.min(its_start);
            end = end.max(its_end);
        }
        self.starts.insert(end, start);
        self.len += end - start;
    }

    /// Takes out what of `range` is in the set, and says how many positions that were.
    pub(crate) fn remove_range(&mut self, range: Range<Position>) -> u64 {
        let (start, end) = (range.start.0, range.end.0);
        let mut n_removed = 0;
        while start < end
            && let Some((&its_end, its_start)) =
                self.starts.range_mut((Excluded(start), Unbounded)).next()
            && *its_start < end
        {
            let left = *its_start;
            n_removed += its_end.min(end) - left.max(start);
            if end < its_end {
                *its_start = end;
            } else {
                self.starts.remove(&its_end);
            }
            if left < start {
                self.starts.insert(start, left);
            }
        }
        self.len -= n_removed;
        n_removed
    }

    /// The first range that ends behind `position`.
    fn range_behind(&self, position: u64) -> Option<(u64, u64)> {
        let (end, start) = self.starts.range((Excluded(position), Unbounded)).next()?;
        Some((*start, *end))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn range(start: u64, end: u64) -> Range<Position> {
        Position(start)..Position(end)
    }

    fn ranges(set: &PositionSet) -> Vec<(u64, u64)> {
        set.iter_ranges().map(|range| (range.start.0, range.end.0)).collect()
    }

    #[test]
    fn ranges_that_touch_are_one() {
        let mut set = PositionSet::new();
        set.insert_range(range(5, 7));
        set.insert_range(range(9, 12));
        set.insert_range(range(7, 9));
        assert_eq!(ranges(&set), [(5, 12)]);
        set.remove_range(range(8, 9));
        assert_eq!(ranges(&set), [(5, 8), (9, 12)]);
        assert_eq!(set.len(), 6);
        assert_eq!(set.pop_first(), Some(Position(5)));
        assert_eq!(set.first(), Some(Position(6)));
    }

    #[test]
    fn positions_at_the_end_of_the_numbers_do_no_harm() {
        let mut set = PositionSet::new();
        set.insert_range(range(0, u64::MAX));
        assert!(!set.contains(Position(u64::MAX)));
        assert_eq!(set.first_from(Position(u64::MAX)), None);
        assert_eq!(set.remove_range(range(1, u64::MAX)), u64::MAX - 1);
        assert_eq!(ranges(&set), [(0, 1)]);
    }

    proptest! {
        /// Inserting and removing ranges does what a set of numbers does.
        #[test]
        fn set_of_ranges_is_a_set(
            steps in prop::collection::vec((any::<bool>(), 0..60_u64, 0..20_u64), 1..60),
            asked in (0..80_u64, 0..20_u64),
        ) {
            let mut set = PositionSet::new();
            let mut model = BTreeSet::new();
            for (is_insert, start, count) in steps {
                let changed = range(start, start + count);
                if is_insert {
                    set.insert_range(changed);
                    model.extend(start..start + count);
                } else {
                    let n_before = model.len();
                    let n_removed = set.remove_range(changed);
                    model.retain(|position| !(start..start + count).contains(position));
                    prop_assert_eq!(n_removed, (n_before - model.len()) as u64);
                }
                prop_assert_eq!(set.len(), model.len() as u64);
            }
            let spelt: Vec<u64> = ranges(&set).into_iter().flat_map(|(from, to)| from..to).collect();
            prop_assert_eq!(spelt, model.iter().copied().collect::<Vec<_>>());
            prop_assert!(ranges(&set).windows(2).all(|pair| pair[0].1 < pair[1].0));

            let (from, end) = (asked.0, asked.0 + asked.1);
            let expected: Vec<u64> = model.range(from..end).copied().collect();
            let within = set.iter_within(range(from, end));
            let within: Vec<u64> = within.flat_map(|it| it.start.0..it.end.0).collect();
            prop_assert_eq!(&within, &expected);
            prop_assert_eq!(set.intersects(range(from, end)), !expected.is_empty());
            let first = model.range(from..).next().map(|first| Position(*first));
            prop_assert_eq!(set.first_from(Position(from)), first);
            prop_assert_eq!(set.contains(Position(from)), model.contains(&from));
            prop_assert_eq!(set.first().map(|first| first.0), model.first().copied());
        }
    }
}
