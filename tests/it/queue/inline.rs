//! The suite over the embedded queue in memory, its components on the caller's thread.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use gatepost::clock::Clock;
use gatepost::queue::Queue;
use gatepost::queue::embedded::testing::MemoryDisk;

use super::Backend;

#[derive(Default)]
pub(crate) struct Inline(MemoryDisk);

#[async_trait]
impl Backend for Inline {
    /// There is one folder in each test, so there is one disk.
    async fn open(&self, _folder: &Path, clock: Arc<dyn Clock>) -> Arc<dyn Queue> {
        Arc::new(self.0.open(clock))
    }
}

super::conformance!(one_by_one super::Inline);
