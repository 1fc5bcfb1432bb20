//! What was answered 200 is there after a power cut, a kill, a full disk; with the real program.

pub(crate) mod disk;
mod failed_sync;
mod fates;
mod full_disk;
mod killed;
pub(crate) mod load;
pub(crate) mod order;
mod power_cut;
mod quiet;
