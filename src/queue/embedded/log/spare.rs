//! The file that was a segment and waits to become one again.

use std::sync::Mutex;

use crate::sync::lock;

/// Where it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Spare {
    #[default]
    None,
    Ready,
    /// It is being made, made a segment of, or removed.
    InUse,
}

/// The same, shared. Its lock is never held over a call to the disk: the queue's numbers ask for it, and
/// must not wait for one that hangs.
#[derive(Debug, Default)]
pub(super) struct SpareFile(Mutex<Spare>);

impl SpareFile {
    /// Makes it `to` if it is `from`.
    pub(super) fn change(&self, from: Spare, to: Spare) -> bool {
        let mut spare = lock(&self.0);
        let is_it = *spare == from;
        if is_it {
            *spare = to;
        }
        is_it
    }

    pub(super) fn set(&self, to: Spare) {
        *lock(&self.0) = to;
    }

    /// Whether it takes room.
    pub(super) fn is_there(&self) -> bool {
        *lock(&self.0) != Spare::None
    }
}
