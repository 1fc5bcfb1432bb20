//! SEAM: what is done with an event. A kind is one file and one line.

use async_trait::async_trait;

use crate::event::{Delivery, Failure};

/// A configured destination.
#[async_trait]
pub trait Handler: Send + Sync {
    /// One try with one event, or with a batch where the kind supports batches (then all of it is
    /// done or none). Called at least once per event: a repeat must be harmless.
    async fn handle(&self, deliveries: &[Delivery]) -> Result<(), Failure>;

    /// The most deliveries that one call can take.
    fn batch_max(&self) -> usize {
        1
    }

    /// Ends what the handler keeps running, within a few seconds.
    async fn close(&self) {}
}
