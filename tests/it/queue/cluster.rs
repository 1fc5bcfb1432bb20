//! The suite over a node of a cluster whose shared log is in memory: one node alone keeps every promise
//! that the embedded queue keeps.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gatepost::clock::Clock;
use gatepost::cluster::{
    ClusterAck, ClusterBackend, ClusterOptions, ClusterQueue, LogEngine, MemoryEngine, NodeName,
};
use gatepost::queue::Queue;
use gatepost::queue::embedded::Settings;

use super::Backend;

#[derive(Default)]
pub(crate) struct OneNode {
    engine: MemoryEngine,
}

#[async_trait]
impl Backend for OneNode {
    async fn open(&self, folder: &Path, clock: Arc<dyn Clock>) -> Arc<dyn Queue> {
        let engine = Arc::new(self.engine.clone());
        open(ClusterBackend::Postgres, engine, folder, clock).await
    }
}

/// A node alone on a shared log.
pub(super) async fn open(
    backend: ClusterBackend,
    engine: Arc<dyn LogEngine>,
    folder: &Path,
    clock: Arc<dyn Clock>,
) -> Arc<dyn Queue> {
    let options = ClusterOptions {
        backend,
        name: NodeName::parse("a").unwrap(),
        ack: ClusterAck::Both,
        // The suite's clock jumps by days, in which a node alone gives no sign of life.
        lease: Duration::from_hours(24 * 100),
        engine,
        copy: Settings::new(folder.join("queue")),
        clock,
    };
    ClusterQueue::open(options).await.unwrap()
}

super::conformance!(one_by_one super::OneNode);
