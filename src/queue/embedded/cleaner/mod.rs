//! The cleaner: frees the oldest segment of the log by one rule, in one place.
//!
//! The oldest sealed segment goes when every handler's recorded settlements have passed it, when it
//! is older than `retention` (or the disk presses), and when the newest snapshot and the key runs
//! reach beyond it. What of it is alive in some handler is copied into the kept log first. The
//! cleaner reads the handlers' states and writes files; it never changes a state.
//!
//! Its steps, each of which may be the last before a crash:
//!
//! 1. *Freeze*: no handler may make a settled position of the segment alive any more, and what was
//!    settled is recorded. From here on the set of what is alive in it can only shrink.
//! 2. *Copy* what is alive, and sync it.
//! 3. *Trim*: what was settled meanwhile is recorded, with it that the log begins behind the segment.
//! 4. *Remove* the file.

mod copy;
mod pass;
mod told;

pub(crate) use pass::{Cleaner, Effort, Limits};
