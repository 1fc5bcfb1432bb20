//! What is recorded of each handler's deliveries, as a function of the log: no file, no clock and
//! no lock in here.
//!
//! [`HandlerState::apply`] is the one function that makes this state: live, at a start, and later
//! on another node. A change is an absolute assignment ("position 7 is dead"), so that applying one
//! twice does no harm, and one that is lost leaves the delivery as it was before: to be made again.

mod chunked_map;
mod handler_state;
mod position_set;
mod replay;
mod walk;

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use handler_state::Counts;
pub(crate) use handler_state::{HandlerState, Status, WaitingDelivery};
pub(crate) use position_set::PositionSet;
pub(crate) use replay::HandlerStates;
pub(crate) use walk::SnapshotWalk;
