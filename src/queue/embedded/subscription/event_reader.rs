//! Where one subscription reads.

use crate::queue::embedded::log::{Finder, LogReader};
use crate::queue::names::Names;

/// Where one subscription reads.
#[derive(Debug, Default)]
pub(crate) struct EventReader {
    /// Follows the log in order.
    pub(super) log: Option<LogReader>,
    /// Names of events that it reads, shared from one to the next.
    pub(super) names: Names,
    /// Finds single events.
    pub(super) finder: Finder,
}
