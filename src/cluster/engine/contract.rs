//! What every engine of a shared log promises.
//!
//! 1. A unit is there whole or not at all.
//! 2. There is one order of units: 1, 2, 3, … What was read at a sequence is read there by every node,
//!    always; nothing comes before it later.
//! 3. `Ok` of an append: the unit is there, as durably as [`LogEngine::check`] says. `Unavailable`: it may
//!    be there, now or in a moment. All other errors: it is not there.
//! 4. Reading leaves nothing out without saying so: what was trimmed, and what is missing, is an error.
//! 5. A trim removes nothing at or behind the sequence that it is given.
//! 6. No call hangs: an engine that does not answer is `Unavailable` after some 3 s, longer only for a
//!    unit of megabytes. A call may be dropped at any point.
//!
//! An engine gives back the bytes that it was given as far as it knows: a checksum of a unit's own is
//! what finds the bit that it does not know of.

use std::fmt::{self, Debug};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

/// Place of a unit in the shared log: 1, 2, 3, … without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

impl Sequence {
    /// Of the first unit that a log ever had.
    pub const FIRST: Self = Self(1);

    /// The one behind it.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A unit as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredUnit {
    /// Where it stands.
    pub sequence: Sequence,
    /// What was appended.
    pub bytes: Bytes,
}

/// What a log holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineHead {
    /// The first unit that can be read; `next` where there is none.
    pub first: Sequence,
    /// Where the next unit will stand.
    pub next: Sequence,
    /// Which life of the engine this is. Another text than before: what was acknowledged may be gone and
    /// what was read may be another unit now (failover to another copy, made anew, restored). The same
    /// text proves nothing.
    pub lineage: String,
}

/// Why a unit was not appended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineAppendError {
    /// No unit is as large. It is not there.
    #[error("the engine takes units of at most {max} bytes")]
    TooLarge {
        /// The largest, in bytes.
        max: usize,
    },
    /// The engine has no room. It is not there.
    #[error("the engine has no room: {0}")]
    Full(String),
    /// The engine does not take it until its owner changes something: permissions, another shape, an
    /// older version. It is not there.
    #[error("the engine refuses: {0}")]
    Refused(String),
    /// It is not known whether it is there.
    #[error("the engine is not available: {0}")]
    Unavailable(String),
}

/// Why nothing was read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineReadError {
    /// It was trimmed.
    #[error("it was trimmed, the first unit is {first}")]
    Trimmed {
        /// What can be read instead, or the log's end.
        first: Sequence,
    },
    /// These units were there and cannot be read any more; those behind them can.
    #[error("units {from} up to and without {to} are missing or cannot be read")]
    Damaged {
        /// The first of them.
        from: Sequence,
        /// The first one behind them.
        to: Sequence,
    },
    /// The engine does not answer it until its owner changes something.
    #[error("the engine refuses: {0}")]
    Refused(String),
    /// The engine does not answer.
    #[error("the engine is not available: {0}")]
    Unavailable(String),
}

/// Why an engine did not do something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// Its owner has to change something first.
    #[error("the engine refuses: {0}")]
    Refused(String),
    /// It does not answer.
    #[error("the engine is not available: {0}")]
    Unavailable(String),
}

impl From<EngineError> for EngineAppendError {
    fn from(err: EngineError) -> Self {
        match err {
            EngineError::Refused(why) => Self::Refused(why),
            EngineError::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

impl From<EngineError> for EngineReadError {
    fn from(err: EngineError) -> Self {
        match err {
            EngineError::Refused(why) => Self::Refused(why),
            EngineError::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

/// What is known of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineReport {
    /// Its name and version.
    pub version: String,
    /// What an acknowledged unit survives, in one sentence.
    pub durability: String,
    /// What is wrong, each with its remedy.
    pub problems: Vec<String>,
}

/// What is wrong with a log whose first units are gone though no node let them go.
pub(super) fn removed_by_hand(from: u64, to: u64, place: &str) -> String {
    format!(
        "units {from} up to and without {to} of {place} were removed by hand, or the engine lost them: gateways \
         that have applied what stands behind them go on, and one that comes new has to begin with a copy of \
         another's folder (docs/cluster.md, \"When units were removed by hand\")"
    )
}

/// An ordered, durable sequence of units that several nodes append to and read.
///
/// An engine connects at its first call, and again by itself whenever that is needed. What the log needs
/// (schema, stream) is made by the first call that finds it missing in this process's life, and not again:
/// a log that vanishes is `Refused`.
#[async_trait]
pub trait LogEngine: Send + Sync + Debug {
    /// Appends `unit` whole behind all that was appended before.
    ///
    /// After `Unavailable` the caller appends it again: so a unit carries its node and a number, and
    /// applying skips a number that it has had.
    async fn append(&self, unit: &Bytes) -> Result<Sequence, EngineAppendError>;

    /// Whole units from `from` on, in order, none left out, about `bytes` in all, but at least one where
    /// there is one. Empty = there is none yet.
    async fn read(&self, from: Sequence, bytes: usize) -> Result<Vec<StoredUnit>, EngineReadError>;

    /// What the log holds now.
    async fn head(&self) -> Result<EngineHead, EngineError>;

    /// Returns when there may be a unit at `from` or behind it, or after `most`: some milliseconds after an
    /// append of another node, at once after one of this engine. Never an error: a caller that is not told
    /// looks again.
    async fn wait(&self, from: Sequence, most: Duration);

    /// Units before `before` may go; at most all that there are. Idempotent: a trim that did not end is
    /// called again.
    async fn trim(&self, before: Sequence) -> Result<(), EngineError>;

    /// What is known of the engine. Changes nothing, and asks over a connection of its own.
    async fn check(&self) -> Result<EngineReport, EngineError>;

    /// The largest unit, in bytes.
    fn unit_max(&self) -> usize;

    /// How often a connection was lost, also where no call was told of it. What answers since may be
    /// another copy of the log: a caller that sees more than before looks at the log first.
    fn n_lost(&self) -> u64;
}
