//! The suite over the embedded queue: real files, sled and threads.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use gatepost::clock::Clock;
use gatepost::queue::Queue;
use gatepost::queue::embedded::{EmbeddedQueue, Settings};

use super::Backend;

#[derive(Default)]
pub(crate) struct Embedded;

#[async_trait]
impl Backend for Embedded {
    async fn open(&self, folder: &Path, clock: Arc<dyn Clock>) -> Arc<dyn Queue> {
        Arc::new(EmbeddedQueue::open(Settings::new(folder.join("queue")), clock).unwrap())
    }
}

super::conformance!(one_by_one super::Embedded);
