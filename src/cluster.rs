//! Several gateways on one shared log.
//!
//! - `engine`: the shared log itself, in PostgreSQL or NATS JetStream. It orders opaque units and knows
//!   nothing of events.
//!
//! What a unit means is decided where it is applied, by every node alike: an engine needs no dedupe, no
//! compare-and-set and no transactions over several units.

mod engine;

#[cfg(feature = "test-support")]
pub use engine::MemoryEngine;
pub use engine::{
    EngineAppendError, EngineError, EngineHead, EngineReadError, EngineReport, LogEngine, Sequence,
    StoredUnit,
};
