//! The handlers' states as the reading side asks for them.

use std::ops::Range;

use super::core::Core;
use super::read::{Standing, States};
use super::record::Incarnation;
use super::state::WaitingDelivery;
use crate::event::{HandlerName, OrderKey, Position};

impl States for Core {
    fn handlers(&self) -> Vec<(HandlerName, Incarnation)> {
        let cells = Self::handlers(self).into_iter();
        cells.map(|cell| (cell.handler.clone(), cell.incarnation)).collect()
    }

    fn standing(&self, handler: &HandlerName, position: Position) -> Option<Standing> {
        let cell = self.handler(handler)?;
        let live = cell.lock();
        let waiting = live.state.waiting().get(position);
        let is_parked = live.session.as_ref().is_some_and(|session| session.is_held(position));
        Some(Standing {
            status: live.state.status(position),
            attempts: waiting.map_or(0, WaitingDelivery::attempts),
            is_held: is_parked,
        })
    }

    fn dead_from(
        &self,
        handler: &HandlerName,
        from: Position,
        limit: usize,
    ) -> Vec<(Position, Option<OrderKey>)> {
        let Some(cell) = self.handler(handler) else { return Vec::new() };
        let live = cell.lock();
        let plain = live.state.dead().iter_from(from);
        let plain = plain.flat_map(|range| (range.start.0.max(from.0)..range.end.0).map(Position));
        let holding = live.state.holding().iter_from(from).take(limit);
        let mut dead: Vec<(Position, Option<OrderKey>)> = plain
            .take(limit)
            .map(|position| (position, None))
            .chain(holding.map(|(position, key)| (position, Some(*key))))
            .collect();
        dead.sort_unstable_by_key(|(position, _)| *position);
        dead.truncate(limit);
        dead
    }

    fn lost(&self, handler: &HandlerName) -> Vec<Range<Position>> {
        let Some(cell) = self.handler(handler) else { return Vec::new() };
        cell.lock().state.lost().iter_ranges().collect()
    }
}
