//! A copy in S3-compatible storage.
//!
//! ```text
//! PREFIX/manifest.json            which objects are the copy: written last, in one step
//! PREFIX/log/SEGMENT.seg.RUN-N    a segment, or a part of the one that is written
//! PREFIX/kept/… PREFIX/keys/…     the same of the kept log and of the dedupe keys
//! ```
//!
//! - `access`: address and credentials. `objects`: reading and writing objects, `error` what the
//!   storage says.
//! - `manifest`: the list of what is there. `copy`: the copy that a standby holds, with `write` (what
//!   came), `merge` (many parts become one) and `sweep` (is it all still there?).
//! - `restore`: making a queue of it.
//!
//! Invariants:
//!
//! - An object is never written twice: its name has the run that wrote it and a number in it.
//! - An object is removed only once no manifest names it.
//! - What is noted of the copy changes only once the manifest that says so is written: after any failure
//!   it is what it was before, and the same is asked for again.
//! - A manifest replaces the one that this process read or wrote, and no other: of two standbys with
//!   one prefix, one ends.

mod access;
mod copy;
mod error;
mod manifest;
mod merge;
mod objects;
mod restore;
mod sweep;
mod write;

pub use access::BucketAccess;
pub use copy::BucketCopy;
pub use error::BucketError;
pub use objects::BucketPlace;
pub use restore::restore_from_bucket;

#[cfg(test)]
mod tests;
