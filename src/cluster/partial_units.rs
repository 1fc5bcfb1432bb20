//! Large units come in parts, which may stand apart in the log.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use super::engine::Sequence;
use super::node::NodeName;
use super::unit::{Author, Part};

/// So many units later the rest of one that was half sent is not waited for any more.
const WAITED_FOR: u64 = 10_000;

/// Units of which not all parts were read, at most one of each node.
#[derive(Debug, Default)]
pub(super) struct PartialUnits(BTreeMap<NodeName, PartialUnit>);

/// A large unit of which not all parts were read.
#[derive(Debug)]
struct PartialUnit {
    author: Author,
    first: Sequence,
    n_parts: u64,
    bytes: BytesMut,
}

impl PartialUnits {
    /// Puts the parts of a unit together; `None` = more are to come.
    pub(super) fn gather(&mut self, part: Part, at: Sequence) -> Option<(Author, Bytes)> {
        if part.n_parts == 1 {
            // A node appends one unit after the other: what it left half sent will not be whole.
            self.0.remove(&part.author.node);
            return Some((part.author, part.bytes));
        }
        if part.index == 0 {
            let partial = PartialUnit {
                author: part.author.clone(),
                first: at,
                n_parts: part.n_parts,
                bytes: BytesMut::from(&part.bytes[..]),
            };
            self.0.insert(part.author.node, partial);
            return None;
        }
        let is_late = |partial: &PartialUnit| at.0 >= partial.first.0 + WAITED_FOR;
        if self.0.get(&part.author.node).is_some_and(is_late) {
            // By its place, as on every other node: how often one commits is its own.
            self.0.remove(&part.author.node);
        }
        let partial = self.0.get_mut(&part.author.node)?;
        let is_next = partial.author.session == part.author.session
            && partial.author.number + 1 == part.author.number;
        if !is_next {
            // A part that was sent twice, or the rest of what a process left half sent.
            return None;
        }
        partial.author.number = part.author.number;
        partial.bytes.extend_from_slice(&part.bytes);
        if part.index + 1 < partial.n_parts {
            return None;
        }
        let whole = self.0.remove(&part.author.node)?;
        Some((whole.author, whole.bytes.freeze()))
    }

    /// Up to where all that was read is applied: a unit of which parts are missing is read again after a
    /// start; not one whose node is gone.
    pub(super) fn applied_whole(&mut self, applied: Sequence) -> Sequence {
        self.0.retain(|_, partial| applied.0 < partial.first.0 + WAITED_FOR);
        let first_partial = self.0.values().map(|partial| Sequence(partial.first.0 - 1)).min();
        first_partial.map_or(applied, |before| before.min(applied))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(number: u64, index: u64) -> Part {
        let author = Author { node: NodeName::parse("a").unwrap(), session: 1, number };
        Part { author, index, n_parts: 2, bytes: Bytes::from_static(b"x") }
    }

    /// One commits between the parts, the other does not.
    #[test]
    fn rest_of_a_unit_that_comes_late_is_void_however_often_a_node_commits() {
        for (behind, is_whole) in [(WAITED_FOR - 1, true), (WAITED_FOR, false)] {
            for commits in [false, true] {
                let mut parts = PartialUnits::default();
                assert!(parts.gather(part(1, 0), Sequence(5)).is_none());
                if commits {
                    parts.applied_whole(Sequence(5 + behind - 1));
                }
                let gathered = parts.gather(part(2, 1), Sequence(5 + behind));
                assert_eq!(gathered.is_some(), is_whole, "{behind} {commits}");
            }
        }
    }
}
