//! How deliveries stand, as the core knows it.

use std::fmt::Debug;
use std::ops::Range;

use crate::event::{HandlerName, OrderKey, Position};
use crate::queue::embedded::record::Incarnation;
use crate::queue::embedded::state::Status;

/// The state of one delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) status: Status,
    /// Attempts so far, where it waits.
    pub(crate) attempts: u32,
    /// It waits for an earlier one of its order key: parked, or not the first of its key queue.
    pub(crate) is_held: bool,
}

/// The handlers' states. Each call takes a handler's lock for memory work only; what is asked in
/// two calls may have changed in between.
pub(crate) trait States: Send + Sync + Debug {
    /// Every handler that has a subscription, by name.
    fn handlers(&self) -> Vec<(HandlerName, Incarnation)>;

    /// The state of a delivery; `None` = the handler has no subscription any more.
    fn standing(&self, handler: &HandlerName, position: Position) -> Option<Standing>;

    /// At most `limit` dead letters from `from` on, by position, each with the key that it holds.
    fn dead_from(
        &self,
        handler: &HandlerName,
        from: Position,
        limit: usize,
    ) -> Vec<(Position, Option<OrderKey>)>;

    /// Positions whose events could not be read.
    fn lost(&self, handler: &HandlerName) -> Vec<Range<Position>>;
}
