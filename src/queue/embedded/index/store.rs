//! What the index asks of the database that keeps it: ordered tables of small byte strings.

use std::fmt::Debug;

/// A table of the index. Numbers in keys are big endian, so that they sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Table {
    /// What is in each run of some 256 events.
    Zones,
    /// Why deliveries became dead letters.
    Dead,
    /// Attempts of deliveries that did not end at the first.
    Attempts,
    /// Which settle records hold the deliveries that ended at the first attempt.
    Settled,
    /// The version of this layout, and how much of the log is in the index.
    Meta,
}

impl Table {
    pub(crate) const ALL: [Self; 5] =
        [Self::Zones, Self::Dead, Self::Attempts, Self::Settled, Self::Meta];

    /// The table's name on disk.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Zones => "zones",
            Self::Dead => "dead",
            Self::Attempts => "attempts",
            Self::Settled => "settled",
            Self::Meta => "meta",
        }
    }
}

/// Why the store could not answer. The remedy is always to clear it and to fill it anew.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("the database failed: {0}")]
    Failed(String),
    #[error("the database panicked")]
    Panicked,
    #[error("the database is closed")]
    Closed,
    #[error("a value in the database makes no sense")]
    Bad,
}

/// A change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    Put { table: Table, key: Vec<u8>, value: Vec<u8> },
    Delete { table: Table, key: Vec<u8> },
}

/// In which order a scan goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    Backward,
}

/// A key and its value.
pub(crate) type Pair = (Vec<u8>, Vec<u8>);

/// A database that may lose anything at any time: all of it can be made again from the log.
pub(crate) trait Store: Send + Sync + Debug {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Makes the changes, in this order. After an error any of them may be made.
    fn apply(&self, writes: Vec<Write>) -> Result<(), StoreError>;

    /// At most `limit` pairs with keys from `from` to before `to`.
    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Pair>, StoreError>;

    /// Bytes on disk.
    fn bytes(&self) -> u64;

    /// Hands what was applied to the file system. It survives the end of the process from here
    /// on, not a power cut. This is also when a store may make its files smaller.
    fn flush(&self) -> Result<(), StoreError>;

    /// Forgets everything, whatever state the files are in.
    fn clear(&self) -> Result<(), StoreError>;

    /// Makes everything durable and lets go of the files. Calls after it fail.
    fn close(&self) -> Result<(), StoreError>;
}
