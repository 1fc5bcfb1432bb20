//! Several gateways on one shared log.
//!
//! ```text
//! append ──► spool (a queue of this machine) ──► proposer ──► engine: orders units
//!   ▲ answer        settle, redrive, leases ───────┘            │
//!   └──────────── follower: copy (a queue of this machine) ◄────┘
//! ```
//!
//! The log orders, the state decides: every node applies all units in their order, by what stands in them
//! and by what was made of those before, never by its own clock or disk. So positions, repeats, outcomes and
//! leases are the same on all, and an engine needs no dedupe, no compare-and-set and no transactions.
//!
//! - `engine`: the shared log itself, in PostgreSQL or NATS JetStream. It knows nothing of events.
//! - `unit`: what one node appends at once. `members`: nodes and leases, as the units have made them.
//! - `proposer` appends, `follower` applies (`partial_units`: what comes in parts), `duties` gives signs of life
//!   and takes leases, `tidying` lets the log go; `local_node` is what they share,
//!   `engine_state` whether the log can be reached.
//! - `spool`: what was answered for and is not in the log yet; `forwarder` has it appended. `cluster_queue`
//!   and `calls`: the queue; `subscription`: a handler's, under its lease; `steering`: pauses, and tries at
//!   once. `status` and `view`: how it stands; `action_log`, `reports` and `broadcast`: what each node tells
//!   the others, opaque here.
//!
//! Invariants:
//!
//! - A unit counts once: by its number in its node's session; an event of a spool once by its place there, and
//!   only where the log has all that the spool proposed before it.
//! - What is settled counts only under the lease's newest epoch, and epochs stand in the log.
//! - A node calls handlers only while its newest unit that came back is younger than two thirds of the
//!   lease, by the moment at which it was sent; others take over after a whole one.
//! - Mutexes are locked in the order of `locks`, which builds with assertions assert, and no function of a caller
//!   is called under one: tasks that wait for each other stop the whole node.
//! - The copy's events and the mark of how far they go are one commit, and a torn one is taken away whole.

mod ack;
mod action_log;
mod broadcast;
mod calls;
mod cluster_queue;
mod duties;
mod engine;
mod engine_state;
mod event_batch;
mod follower;
mod forwarder;
mod handlers;
mod history;
mod identity;
mod left_out;
mod local_node;
mod locks;
mod members;
mod node;
mod operation_outcome;
mod partial_units;
mod proposer;
mod rebuild;
mod reports;
mod spool;
mod status;
mod steering;
mod subscription;
mod tidying;
mod unit;
mod view;

pub use ack::ClusterAck;
pub use action_log::{ACTION_BYTES_MAX, LOGGED_ACTIONS_MAX, LoggedAction};
pub use cluster_queue::{ClusterOptions, ClusterQueue};
#[cfg(feature = "test-support")]
pub use engine::MemoryEngine;
pub use engine::{
    EngineAppendError, EngineError, EngineHead, EngineReadError, EngineReport, LogEngine,
    MeasuredEngine, NatsEngine, NatsLogin, NatsSettings, PostgresEngine, PostgresServer,
    PostgresSettings, Sequence, StoredUnit,
};
pub use node::{BadNodeName, NodeName};
pub use reports::{REPORT_MAX, SharedReport};
pub use view::{ClusterBackend, ClusterView, EngineView, NodeView, OwnerView};
