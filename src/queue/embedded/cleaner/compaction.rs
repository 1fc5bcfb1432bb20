//! Making the kept log smaller.

use rand::RngCore;

use super::pass::Cleaner;
use super::told::Told;
use crate::event::{HandlerName, Position};
use crate::queue::QueueError;
use crate::queue::embedded::commit::Request;
use crate::queue::embedded::subscription::HandlerCell;
use crate::sync::lock;

impl Cleaner {
    /// Makes the kept log smaller where most of it is dead.
    pub(super) async fn compact_kept(&self) -> Result<(), QueueError> {
        let handlers = self.core.handlers();
        let is_known_in = |cell: &HandlerCell, position: Position| {
            let range = position..position.next();
            let live = cell.lock();
            live.state.is_alive_in(range.clone()) || live.state.has_lost_in(range)
        };
        // Of what comes from there on some handler has been given nothing yet: damage at the log's
        // end can take what was recorded of it, and leave what was copied.
        let highs = handlers.iter().map(|cell| cell.lock().state.high());
        let unread_from = highs.min().unwrap_or(Position(u64::MAX));
        let is_known = |position| {
            position >= unread_from || handlers.iter().any(|cell| is_known_in(cell, position))
        };
        if !self.core.kept.needs_compaction(&is_known) {
            return Ok(());
        }
        // What was settled is recorded before its event goes.
        self.core.ask(Request::Recorded).await?;
        let is_known_for = |handler: &HandlerName, position| {
            self.core.handler(handler).is_some_and(|cell| is_known_in(&cell, position))
        };
        let salt_now = (lock(&self.random).next_u64(), self.core.clock.steady());
        let failed = |source| QueueError::Io { what: "compacting the kept log".into(), source };
        let stands = |positions: &[Position]| {
            // What is recorded from here on counts more than the states as they are found below.
            let label = self.core.log.head().next.previous();
            let mut told = Told::default();
            for cell in &handlers {
                let known = positions.iter().filter(|position| is_known_in(cell, **position));
                known.for_each(|position| told.must_tell(cell, *position));
            }
            told.into_changes(label)
        };
        let kept = self.core.kept.compact(salt_now, unread_from, &is_known_for, &stands);
        let Some(kept) = kept.map_err(failed)? else { return Ok(()) };
        self.record_kept(None, kept).await?;
        let removed = self.core.kept.remove_compacted();
        self.core.log.measure_aside();
        removed.map_err(failed)
    }
}
