//! SEAM: the durable, ordered log of events, and each handler's own place in it.
//!
//! What every backend promises, each a function of the conformance suite in `tests/it/queue`:
//!
//! 1. `append` answers `Ok` only when the event survives a power cut from then on.
//! 2. Positions ascend by one in the order of the log, ids with them, and both are never reused.
//! 3. An event whose dedupe key was seen within its window is not stored again: the first id comes
//!    back. The check and the append are one step.
//! 4. Every subscription sees every event from its start on, oldest first, whatever the others do.
//! 5. At least once: a delivery that was taken and not settled comes back at the next start. One
//!    that was settled does not, except for those of the last settle batch (at most 100 ms) after a
//!    crash.
//! 6. A delivery that waits (a retry, a held one) leaves the cursor's path: what comes after it in
//!    the log is not kept waiting by the queue.
//! 7. Nothing that is not settled by every subscription is ever removed.
//! 8. No held delivery is stranded, and none overtakes: when the entry in front of it in the line
//!    of its order key leaves that line (settled for good, dropped, or settled with another key),
//!    the first of the line becomes due if it is a held one. At every start the same is done for
//!    all lines, except that a held delivery with unsettled events of the log before it is not an
//!    entry any more: it comes again from the log, in its place.
//! 9. No clock stalls a retry: a due time that lies further away at a start than the wait that was
//!    asked for counts as that wait from then on.

mod check_report;
pub(crate) mod codec;
mod contract;
pub(crate) mod detach;
pub mod embedded;
mod error;
pub(crate) mod ids;
pub(crate) mod invariant;
pub(crate) mod names;
mod query;
mod standing;
pub mod storage;
pub mod tools;

pub use contract::{
    APPEND_ALL_MAX, Appended, AwaitedTry, LOOK_AGAIN, Queue, Start, Subscription, TAKE_BYTES_MAX,
};
pub use error::QueueError;
pub use query::{
    BodyFilter, DeadCursor, DeadFilter, DeliveryFilter, EventNames, EventQuery, ListOrder,
    Searched, WantedBodies,
};
pub use standing::{
    AttemptRecord, Backlog, CarriedState, DeadChange, DeadLetter, DeadListing, DeadRecord,
    DeliveryHistory, DeliveryState, LostDeliveries, PlannedWait, QueueStats, ReplayResult,
};
