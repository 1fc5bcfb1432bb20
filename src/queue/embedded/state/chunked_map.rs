//! A sorted map of positions for small values: full to about three quarters where a `BTreeMap` is
//! to a half, which at 1,000,000 waiting deliveries is some 40 MB.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound::{Excluded, Unbounded};
use std::ops::Range;

use crate::event::Position;

/// The most entries of a chunk. Larger ones move more bytes for each insertion, smaller ones have
/// more nodes above them.
const CHUNK_MAX: usize = 64;

type Chunk<V> = Vec<(Position, V)>;

/// A map from positions to values, in ascending order.
#[derive(Clone)]
pub(crate) struct ChunkedMap<V> {
    /// Sorted chunks, none of them empty, each by a lower bound of its positions.
    chunks: BTreeMap<Position, Chunk<V>>,
    len: usize,
}

impl<V: fmt::Debug> fmt::Debug for ChunkedMap<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<V> Default for ChunkedMap<V> {
    fn default() -> Self {
        Self { chunks: BTreeMap::new(), len: 0 }
    }
}

impl<V: PartialEq> PartialEq for ChunkedMap<V> {
    /// Equal entries; how they are spread over chunks depends on their history.
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<V: Eq> Eq for ChunkedMap<V> {}

impl<V> ChunkedMap<V> {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    #[cfg(test)]
    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn get(&self, position: Position) -> Option<&V> {
        let (_, chunk) = self.chunks.range(..=position).next_back()?;
        let index = search(chunk, position).ok()?;
        chunk.get(index).map(|(_, value)| value)
    }

    pub(crate) fn contains(&self, position: Position) -> bool {
        self.get(position).is_some()
    }

    pub(crate) fn first(&self) -> Option<(Position, &V)> {
        self.iter().next()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Position, &V)> {
        self.chunks.values().flatten().map(|(position, value)| (*position, value))
    }

    /// The entries at or behind `from`.
    pub(crate) fn iter_from(&self, from: Position) -> impl Iterator<Item = (Position, &V)> {
        let bound = self.chunks.range(..=from).next_back().map_or(from, |(bound, _)| *bound);
        let chunks = self.chunks.range(bound..).map(|(_, chunk)| chunk);
        chunks
            .flat_map(move |chunk| {
                let index = chunk.partition_point(|(position, _)| *position < from);
                chunk.get(index..).unwrap_or_default()
            })
            .map(|(position, value)| (*position, value))
    }

    /// Gives `position` a value in place of the one that it has.
    pub(crate) fn insert(&mut self, position: Position, value: V) {
        let last_bound = self.chunks.last_key_value().map(|(bound, _)| *bound);
        let Some((bound, chunk)) = self.chunks.range_mut(..=position).next_back() else {
            return self.insert_in_front(position, value);
        };
        let index = match search(chunk, position) {
            Ok(index) => {
                if let Some(entry) = chunk.get_mut(index) {
                    entry.1 = value;
                }
                return;
            }
            Err(index) => index,
        };
        self.len += 1;
        if chunk.len() < CHUNK_MAX {
            return chunk.insert(index, (position, value));
        }
        if index == CHUNK_MAX && Some(*bound) == last_bound {
            // Ascending insertions leave full chunks behind.
            self.chunks.insert(position, vec![(position, value)]);
            return;
        }
        let mut upper = chunk.split_off(CHUNK_MAX / 2);
        match index.checked_sub(CHUNK_MAX / 2) {
            Some(index) if index > 0 => upper.insert(index, (position, value)),
            Some(_) | None => chunk.insert(index, (position, value)),
        }
        if let Some((first, _)) = upper.first() {
            self.chunks.insert(*first, upper);
        }
    }

    /// `position` is before every bound.
    fn insert_in_front(&mut self, position: Position, value: V) {
        self.len += 1;
        let is_first_full =
            self.chunks.first_key_value().is_none_or(|(_, chunk)| chunk.len() >= CHUNK_MAX);
        let mut chunk = if is_first_full {
            Vec::new()
        } else {
            self.chunks.pop_first().map(|(_, chunk)| chunk).unwrap_or_default()
        };
        chunk.insert(0, (position, value));
        self.chunks.insert(position, chunk);
    }

    pub(crate) fn remove(&mut self, position: Position) -> Option<V> {
        let (bound, chunk) = self.chunks.range_mut(..=position).next_back()?;
        let index = search(chunk, position).ok()?;
        let (_, value) = chunk.remove(index);
        self.len -= 1;
        let bound = *bound;
        if chunk.len() < CHUNK_MAX / 4 {
            self.merge(bound);
        }
        Some(value)
    }

    /// Takes out every entry of `range`.
    pub(crate) fn remove_range(&mut self, range: Range<Position>) {
        while let Some((bound, chunk)) = self.chunk_within(&range) {
            let n_before = chunk.len();
            let first = chunk.partition_point(|(position, _)| *position < range.start);
            let end = chunk.partition_point(|(position, _)| *position < range.end);
            chunk.drain(first..end);
            let n_after = chunk.len();
            self.len -= n_before - n_after;
            if n_after < CHUNK_MAX / 4 {
                self.merge(bound);
            }
        }
    }

    /// The first chunk that has an entry within `range`.
    fn chunk_within(&mut self, range: &Range<Position>) -> Option<(Position, &mut Chunk<V>)> {
        if range.start >= range.end {
            return None;
        }
        let (first, _) = self.iter_from(range.start).next()?;
        if first >= range.end {
            return None;
        }
        let (bound, chunk) = self.chunks.range_mut(..=first).next_back()?;
        Some((*bound, chunk))
    }

    /// Joins the small chunk at `bound` with a neighbour where they fit well into one.
    fn merge(&mut self, bound: Position) {
        let Some(chunk) = self.chunks.get(&bound) else { return };
        if chunk.is_empty() {
            self.chunks.remove(&bound);
            return;
        }
        let room = (CHUNK_MAX * 3 / 4).saturating_sub(chunk.len());
        let has_room = |(neighbour, chunk): (&Position, &Chunk<V>)| {
            (chunk.len() <= room).then_some(*neighbour)
        };
        let next = self.chunks.range((Excluded(bound), Unbounded)).next().and_then(has_room);
        let previous = self.chunks.range(..bound).next_back().and_then(has_room);
        let (lower, upper) = match (previous, next) {
            (_, Some(next)) => (bound, next),
            (Some(previous), None) => (previous, bound),
            (None, None) => return,
        };
        if let Some(mut upper) = self.chunks.remove(&upper)
            && let Some(lower) = self.chunks.get_mut(&lower)
        {
            lower.append(&mut upper);
        }
    }

    /// About how many bytes of memory it takes.
    #[cfg(test)]
    pub(crate) fn memory_bytes(&self) -> usize {
        let n_slots: usize = self.chunks.values().map(Vec::capacity).sum();
        let per_chunk = size_of::<(Position, Chunk<V>)>() * 2;
        n_slots * size_of::<(Position, V)>() + self.chunks.len() * per_chunk
    }
}

fn search<V>(chunk: &Chunk<V>, position: Position) -> Result<usize, usize> {
    chunk.binary_search_by_key(&position, |(position, _)| *position)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u64, u64),
        Remove(u64),
        RemoveRange(u64, u64),
        /// Many insertions in a row, so that chunks become full and are split.
        Run {
            first: u64,
            count: u64,
            is_descending: bool,
        },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..1_000_u64, any::<u64>()).prop_map(|(at, value)| Step::Insert(at, value)),
            4 => (0..1_000_u64).prop_map(Step::Remove),
            1 => (0..1_000_u64, 0..200_u64).prop_map(|(at, n)| Step::RemoveRange(at, at + n)),
            1 => (0..800_u64, 0..200_u64, any::<bool>()).prop_map(
                |(first, count, is_descending)| Step::Run { first, count, is_descending }
            ),
        ]
    }

    fn run(map: &mut ChunkedMap<u64>, model: &mut BTreeMap<u64, u64>, step: &Step) {
        match *step {
            Step::Insert(at, value) => {
                map.insert(Position(at), value);
                model.insert(at, value);
            }
            Step::Remove(at) => assert_eq!(map.remove(Position(at)), model.remove(&at)),
            Step::RemoveRange(start, end) => {
                map.remove_range(Position(start)..Position(end));
                model.retain(|position, _| !(start..end).contains(position));
            }
            Step::Run { first, count, is_descending } => {
                for n in 0..count {
                    let at = first + if is_descending { count - 1 - n } else { n };
                    map.insert(Position(at), n);
                    model.insert(at, n);
                }
            }
        }
    }

    proptest! {
        /// It does what a `BTreeMap` does, and its chunks stay sorted, bounded and not empty.
        #[test]
        fn chunked_map_is_a_map(
            steps in prop::collection::vec(step(), 1..60),
            asked in 0..1_000_u64,
        ) {
            let mut map = ChunkedMap::default();
            let mut model = BTreeMap::new();
            for step in &steps {
                run(&mut map, &mut model, step);
                prop_assert_eq!(map.len(), model.len());
            }
            let entries: Vec<_> = map.iter().map(|(at, value)| (at.0, *value)).collect();
            let expected: Vec<_> = model.iter().map(|(at, value)| (*at, *value)).collect();
            prop_assert_eq!(entries, expected);
            for (bound, chunk) in &map.chunks {
                prop_assert!(!chunk.is_empty() && chunk.len() <= CHUNK_MAX);
                prop_assert!(*bound <= chunk[0].0);
            }
            prop_assert_eq!(map.get(Position(asked)), model.get(&asked));
            let from: Vec<_> = map.iter_from(Position(asked)).map(|(at, _)| at.0).collect();
            let expected: Vec<_> = model.range(asked..).map(|(at, _)| *at).collect();
            prop_assert_eq!(from, expected);
        }
    }

    #[test]
    fn ascending_insertions_fill_the_chunks() {
        let mut map = ChunkedMap::default();
        for position in 0..64_000 {
            map.insert(Position(position), ());
        }
        assert_eq!(map.chunks.len(), 1_000);
    }

    #[test]
    fn memory_shrinks_with_the_entries() {
        let mut map = ChunkedMap::default();
        for position in 0..64_000 {
            map.insert(Position(position), 0_u64);
        }
        let n_bytes = map.memory_bytes();
        for position in 0..64_000 {
            if position % 16 != 0 {
                map.remove(Position(position));
            }
        }
        assert!(map.memory_bytes() < n_bytes / 3, "{} of {n_bytes}", map.memory_bytes());
    }
}
