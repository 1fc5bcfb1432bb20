//! The queue's numbers, for metrics and status. None of them asks sled.

use std::sync::Arc;

use super::core::Core;
use super::events::event_at;
use super::log::Finder;
use super::subscription::{HandlerCell, Session};
use crate::clock::Timestamp;
use crate::event::Position;
use crate::queue::{Backlog, QueueStats};

/// All numbers of this moment. `index_bytes` = what sled takes on the disk, `lag_bytes` = what of
/// the log it has not taken in.
pub(crate) fn stats(core: &Arc<Core>, index_bytes: u64, lag_bytes: u64) -> QueueStats {
    let head = core.log.head();
    let handlers = core.handlers();
    // Before the first segment is begun the log has no first position.
    let first = head.first_position.max(Position(1));
    QueueStats {
        events: head.next_position.events_since(first) + core.kept.len() as u64,
        bytes: core.bytes() + index_bytes,
        aside_bytes: core.log.aside_bytes(),
        last: head.next_position.previous(),
        lag_bytes,
        handlers: handlers.iter().map(|cell| (cell.handler.clone(), backlog(core, cell))).collect(),
        damage: core.damage(),
        refuses: core.refuses(),
    }
}

/// One subscription's numbers.
pub(crate) fn backlog(core: &Core, cell: &HandlerCell) -> Backlog {
    let (counts, n_parked, high, oldest) = {
        let live = cell.lock();
        let n_parked = live.session.as_ref().map_or(0, Session::n_parked);
        let oldest = live.state.oldest_pending();
        (live.state.counts(), n_parked, live.state.high(), oldest)
    };
    // Asked behind the state, which follows it. A state that was made anew may know of positions
    // whose events the log has lost.
    let next = core.log.head().next_position;
    let in_log = high.events_until(next) + counts.open;
    let oldest = oldest.or_else(|| (high < next).then_some(high));
    Backlog {
        in_log: in_log.saturating_sub(n_parked),
        waiting: counts.waiting + n_parked,
        dead: counts.dead + counts.lost,
        oldest_pending_at: oldest.and_then(|position| cell.received_at(core, position)),
    }
}

impl HandlerCell {
    /// When the event at `position` came in. Asked for the oldest pending one again and again, so
    /// the last answer is kept.
    fn received_at(&self, core: &Core, position: Position) -> Option<Timestamp> {
        if let Some((known, at)) = *self.oldest_known()
            && known == position
        {
            return Some(at);
        }
        let mut finder = Finder::default();
        let found = event_at(&core.log, &core.kept, &mut finder, position).ok().flatten()?;
        let at = found.0.received_at;
        *self.oldest_known() = Some((position, at));
        Some(at)
    }
}
