//! What nearly every part of the program is given.

use std::sync::Arc;

use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::trace::Traces;

/// The queue, the clock and the counters: shared by all parts.
#[derive(Clone)]
pub(super) struct Core {
    pub(super) queue: Arc<dyn Queue>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Metrics,
    pub(super) traces: Traces,
}
