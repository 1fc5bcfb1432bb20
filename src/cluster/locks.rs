//! The order in which a thread of a node locks its mutexes, where it holds several at once.

use crate::sync::OrderedMutex;

/// The handlers of this node.
pub(super) type HandlersMutex<T> = OrderedMutex<1, T>;
/// One handler's hold on deliveries.
pub(super) type HoldMutex<T> = OrderedMutex<2, T>;
/// Nodes and leases, as the units have made them.
pub(super) type MembersMutex<T> = OrderedMutex<3, T>;
/// When this node's and the others' units came.
pub(super) type LifeMutex<T> = OrderedMutex<4, T>;
