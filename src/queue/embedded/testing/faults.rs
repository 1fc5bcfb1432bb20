//! How calls of a storage in memory are made to fail.

use std::io::ErrorKind;
use std::path::Path;

/// What is asked of the storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// A file is opened that is there.
    Open,
    Create,
    /// A folder is listed, or a file's size asked for.
    List,
    Read,
    Write,
    Sync,
    /// A file is renamed; the path is the old name.
    Rename,
    Remove,
    /// A folder's names are synced.
    SyncFolder,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is made.
    Ok,
    /// It fails and changes nothing.
    Error(ErrorKind),
    /// It fails with this error number of the system and changes nothing.
    Errno(i32),
    /// A write fails behind so many bytes; a read gives no more than so many.
    Short(usize),
}

/// Decides which calls fail.
pub trait Faults: Send + Sync {
    /// Asked before each call is made. `offset` and `len` are 0 where the call has none.
    fn before(&self, call: Call, path: &Path, offset: u64, len: usize) -> Verdict;
}

impl<F: Fn(Call, &Path, u64, usize) -> Verdict + Send + Sync> Faults for F {
    fn before(&self, call: Call, path: &Path, offset: u64, len: usize) -> Verdict {
        self(call, path, offset, len)
    }
}

impl std::fmt::Debug for dyn Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Faults")
    }
}
