//! What the parts promise together, and each seam to its callers.

mod queue;
mod queue_faults;
mod support;
