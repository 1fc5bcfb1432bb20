//! The engine of a shared log: an ordered, durable sequence of units that other programs keep for us.
//!
//! - `contract`: what every engine promises. `measured`: one whose appends are measured.
//! - `postgres`: in PostgreSQL. `nats`: in NATS JetStream.
//! - `known_secret`: what they are logged in to with. `authority`: whose certificates are believed.
//! - `memory`: one for tests, in memory.

mod authority;
mod contract;
mod known_secret;
mod measured;
#[cfg(feature = "test-support")]
mod memory;
mod nats;
mod postgres;

pub use contract::{
    EngineAppendError, EngineError, EngineHead, EngineReadError, EngineReport, LogEngine, Sequence,
    StoredUnit,
};
pub use measured::MeasuredEngine;
#[cfg(feature = "test-support")]
pub use memory::MemoryEngine;
pub use nats::{NatsEngine, NatsLogin, NatsSettings};
pub use postgres::{PostgresEngine, PostgresServer, PostgresSettings};
