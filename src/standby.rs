//! Warm standby: a second copy of the queue on another machine, which follows the gateway and can be
//! made one by command.
//!
//! ```text
//! gateway                                   standby
//! Standbys ◄── hello: whose copy, how far ── CopyFollower
//!    │     ◄── pull: this far, durably ─────   │
//!    └──────── batch: bytes, checksums ──────► CopyFolder
//! ```
//!
//! The standby asks, again and again, over one connection; each question says how far its copy is
//! durable, and is answered as soon as there is more. So there is no state to keep in step: a standby that
//! was cut off, killed or restarted asks from where it stands.
//!
//! - `wire`: what is said. `standbys`: the gateway's side, with `gather` (what a question is answered
//!   by) and `lag`.
//! - `follow`: the other side, with a copy (`held`). `local`: one in a folder, with `write` and
//!   `manifest` (what is known of it beside its bytes); `promote` and `restore`: making a queue of it.
//!   `bucket`: one in S3-compatible storage.
//!
//! Invariants:
//!
//! - A copy is a prefix of the gateway's log, byte for byte, with what that prefix relies on: the kept
//!   log is written before the log's records that count on it.
//! - Nothing is said to be durable before the fdatasync that covers it.
//! - A copy belongs to one gateway, by the id in its queue's folder, and that gateway's log must go
//!   through the copy's end: one that was restored from an older copy is refused.
//! - A copy is no queue until it is promoted: `FORMAT` says so, and both hold the folder's lock.

mod bucket;
mod error;
mod follow;
mod gather;
mod held;
mod lag;
mod local;
mod manifest;
mod promote;
mod restore;
mod standbys;
mod wire;
mod write;

pub use bucket::{BucketAccess, BucketCopy, BucketError, BucketPlace, restore_from_bucket};
pub use error::StandbyError;
pub use follow::{CopyFollower, FollowError, FollowOptions, Progress};
pub use held::HeldCopy;
pub use lag::{Lag, StandbyView};
pub use local::{CopyError, LocalCopy};
pub use promote::{Promoted, TellBytes, Thoroughness, promote};
pub use restore::restore;
pub use standbys::{Acknowledge, Rule, Standbys};
pub use wire::{Hello, Pull, PulledParts, Welcome};

#[cfg(test)]
mod tests;
