//! The suite over the embedded queue.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use gatepost::clock::Clock;
use gatepost::queue::Queue;
use gatepost::queue::sled::{Settings, SledQueue};

use super::Backend;

pub(crate) struct Sled;

#[async_trait]
impl Backend for Sled {
    fn new() -> Self {
        Self
    }

    async fn open(&self, folder: &Path, clock: Arc<dyn Clock>) -> Arc<dyn Queue> {
        Arc::new(SledQueue::open(Settings::new(folder.join("queue")), clock).unwrap())
    }
}

super::conformance!(super::Sled);
