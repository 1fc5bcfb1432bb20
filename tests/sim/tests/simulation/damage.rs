//! What can go wrong below the queue, and what each of it may cost at most.

use std::collections::BTreeSet;

/// Which files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileClass {
    Log,
    Kept,
    Snapshot,
    Keys,
}

impl FileClass {
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Kept => "kept",
            Self::Snapshot => "state",
            Self::Keys => "keys",
        }
    }
}

/// Damage at rest. `file` and `at` choose among what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    Flip { class: FileClass, file: u16, at: u16, bit: u8 },
    Remove { class: FileClass, file: u16 },
}

/// Calls to the disk that fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The write behind the next `after` ones fails: where that number is odd, for want of room.
    Write {
        after: u8,
    },
    /// The same, behind so many bytes of it.
    ShortWrite {
        after: u8,
        bytes: u16,
    },
    Sync {
        after: u8,
    },
    /// Giving, changing, removing or syncing names.
    Names {
        after: u8,
    },
    /// A single read.
    ReadOnce {
        after: u8,
    },
    /// Every read of some blocks of a file of the log, until it is mended.
    ReadRegion {
        file: u16,
        at: u16,
        blocks: u8,
    },
    /// Files may grow by so many bytes only.
    Full {
        free: u32,
    },
}

/// What damage or a fault may cost; the oracle allows that and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Events, by their tokens, that may be unreadable from here on.
    pub events: Vec<u32>,
    /// Outcomes that were recorded may be missing: their deliveries come again.
    pub outcomes: bool,
    /// A handler's subscription may be missing, where nothing later names it.
    pub subscriptions: bool,
    /// Dedupe keys may be missing: a repeat may be stored again.
    pub keys: bool,
    /// A handler that was forgotten may be there again, until it is forgotten once more.
    pub revivals: bool,
    /// Something of what was copied out of segments that are gone may be missing.
    pub kept: bool,
    /// A snapshot may be missing. By itself that costs nothing: the log and what was copied out of it
    /// say the same.
    pub snapshot: bool,
    /// Where it is not known any more what was let go: the events that are on the disk. All others
    /// may be found to be lost, though they were settled.
    pub only_left: Option<BTreeSet<u32>>,
}
