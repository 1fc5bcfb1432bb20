//! A walk over a handler's state in steps, for a snapshot that is written while the state goes on
//! changing.
//!
//! The changes of a walk are not the state of any one moment. They are exact all the same: what
//! changed since the walk began was recorded behind the LSN that the snapshot was given, is applied
//! again on top of it, and is absolute.

use super::handler_state::{HandlerState, dead};
use crate::event::Position;
use crate::queue::embedded::record::{DeliveryRecord, NewState};

/// How far a walk has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotWalk {
    part: Part,
    /// The first position that was not looked at, within the part.
    from: Position,
}

/// The sets in the order of the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Open,
    Dead,
    Lost,
    Waiting,
    Holding,
    Done,
}

impl Part {
    const fn next(self) -> Self {
        match self {
            Self::Open => Self::Dead,
            Self::Dead => Self::Lost,
            Self::Lost => Self::Waiting,
            Self::Waiting => Self::Holding,
            Self::Holding | Self::Done => Self::Done,
        }
    }
}

impl SnapshotWalk {
    pub(crate) const fn new() -> Self {
        Self { part: Part::Open, from: Position(0) }
    }

    /// Whether every set was walked through.
    pub(crate) const fn is_done(&self) -> bool {
        matches!(self.part, Part::Done)
    }
}

impl HandlerState {
    /// The next changes of a walk, at most `limit` of them, with ranges as ranges; empty = the walk
    /// is done. Positions from `below` on are left out: it is the `high` that was noted when the
    /// walk began, after the LSN was.
    pub(crate) fn chunk(
        &self,
        walk: &mut SnapshotWalk,
        below: Position,
        limit: usize,
    ) -> Vec<DeliveryRecord> {
        let mut changes = Vec::new();
        while !walk.is_done() && changes.len() < limit {
            let room = limit - changes.len();
            let n_before = changes.len();
            self.walk_part(walk, below, room, &mut changes);
            if changes.len() - n_before < room {
                *walk = SnapshotWalk { part: walk.part.next(), from: Position(0) };
            } else if let Some(last) = changes.last() {
                walk.from = last.positions().end;
            }
        }
        changes
    }

    fn walk_part(
        &self,
        walk: &SnapshotWalk,
        below: Position,
        room: usize,
        out: &mut Vec<DeliveryRecord>,
    ) {
        let set = match walk.part {
            Part::Open => Some((&self.open, NewState::Open)),
            Part::Dead => Some((&self.dead, dead(None))),
            Part::Lost => Some((&self.lost, NewState::Lost)),
            Part::Waiting | Part::Holding | Part::Done => None,
        };
        if let Some((set, to)) = set {
            let ranges = set.iter_within(walk.from..below).take(room);
            let to_change =
                |range: std::ops::Range<Position>| DeliveryRecord::of_all(range, to.clone());
            return out.extend(ranges.map(to_change));
        }
        if walk.part == Part::Waiting {
            let waiting = self.waiting.iter_from(walk.from);
            let below = waiting.take_while(|(position, _)| *position < below).take(room);
            out.extend(below.map(|(position, waiting)| waiting.to_change(position)));
        } else {
            let holding = self.holding.iter_from(walk.from);
            let below = holding.take_while(|(position, _)| *position < below).take(room);
            let to_change =
                |(position, key): (_, &_)| DeliveryRecord::of(position, 1, dead(Some(*key)));
            out.extend(below.map(to_change));
        }
    }
}
