//! What a look at a whole queue came to.

use serde::Serialize;

use crate::event::Position;

/// What a look at a whole queue came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// Segments of the log.
    pub segments: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// Whole records in them.
    pub records: u64,
    /// Events, each counted once.
    pub events: u64,
    /// Of these: in the kept log, since their segment is gone and a handler still needs them.
    pub kept: u64,
    /// The newest position; 0 = none.
    pub last: Position,
    /// Positions between others whose event cannot be read although it was acknowledged.
    pub n_missing: u64,
    /// Bytes at the end that a power cut left of a commit that was never acknowledged. The next
    /// start puts them aside.
    pub torn_bytes: u64,
    /// What cannot be read although it was acknowledged, and where what was derived differs from
    /// the log.
    pub damage: Vec<DamageReport>,
}

/// A stretch of the log that cannot be read, or a difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DamageReport {
    /// The segment's number; 0 = it is of no segment of the log.
    pub segment: u64,
    pub offset: u32,
    pub bytes: u32,
    /// All of it in words.
    pub text: String,
}

impl DamageReport {
    /// Damage that is not of a segment of the log.
    pub(crate) const fn of_text(text: String) -> Self {
        Self { segment: 0, offset: 0, bytes: 0, text }
    }
}
