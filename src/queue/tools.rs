//! The queue's files from outside: looking for damage in all of them.
//!
//! Nothing here changes a file, and nothing needs the index: a queue that does not open any more
//! can still be looked at.

use std::path::Path;

use super::QueueError;
pub use super::check_report::{CheckReport, DamageReport};
use super::embedded::check;

/// Reads everything of the queue in `folder` and changes nothing. The queue may be open meanwhile;
/// what is being written just then may show as torn.
pub fn check(folder: &Path) -> Result<CheckReport, QueueError> {
    check_telling(folder, &|_, _| ())
}

/// The same, which tells now and then how many bytes of about how many it has read.
pub fn check_telling(folder: &Path, tell: &dyn Fn(u64, u64)) -> Result<CheckReport, QueueError> {
    check::check(folder, tell)
}
