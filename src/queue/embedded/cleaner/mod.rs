//! The cleaner: frees the oldest segment of the log by one rule, in one place.
//!
//! The oldest sealed segment goes when every handler's recorded settlements have passed it, when it
//! is older than `retention` (or the disk presses), and when the newest snapshot and the key runs
//! reach beyond it. What of it is alive in some handler is copied into the kept log first. The
//! cleaner reads the handlers' states and writes files. It changes a state only where events that could
//! not be read can be read again: their deliveries are redriven before their segment goes.
//!
//! Its steps, each of which may be the last before a crash:
//!
//! 1. *Freeze*: no handler may make a settled position of the segment alive any more, and what was
//!    settled is recorded. From here on the set of what is alive in it can only shrink, but for what was
//!    lost and is redriven.
//! 2. *Copy* what is alive, and sync it.
//! 3. *Trim*: what was settled meanwhile is recorded, with it that the log begins behind the segment.
//! 4. *Remove* the file.

mod ballast;
mod compaction;
mod copy;
mod keys;
mod pass;
mod room;
mod told;

pub(crate) use pass::{Cleaner, Effort, Limits};
