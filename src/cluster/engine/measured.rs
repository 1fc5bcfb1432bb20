//! An engine whose appends are measured.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::contract::{
    EngineAppendError, EngineError, EngineHead, EngineReadError, EngineReport, LogEngine, Sequence,
    StoredUnit,
};
use crate::clock::Stopwatch;
use crate::metrics::Metrics;

/// Counts how long the appends of another engine take, those that succeed.
#[derive(Debug)]
pub struct MeasuredEngine {
    engine: Box<dyn LogEngine>,
    metrics: Metrics,
}

impl MeasuredEngine {
    /// Measures `engine`.
    pub fn new(engine: Box<dyn LogEngine>, metrics: Metrics) -> Self {
        Self { engine, metrics }
    }
}

#[async_trait]
impl LogEngine for MeasuredEngine {
    async fn append(&self, unit: &Bytes) -> Result<Sequence, EngineAppendError> {
        let began = Stopwatch::start();
        let appended = self.engine.append(unit).await?;
        self.metrics.engine_append(began.elapsed());
        Ok(appended)
    }

    async fn read(&self, from: Sequence, bytes: usize) -> Result<Vec<StoredUnit>, EngineReadError> {
        self.engine.read(from, bytes).await
    }

    async fn head(&self) -> Result<EngineHead, EngineError> {
        self.engine.head().await
    }

    async fn wait(&self, from: Sequence, most: Duration) {
        self.engine.wait(from, most).await;
    }

    async fn trim(&self, before: Sequence) -> Result<(), EngineError> {
        self.engine.trim(before).await
    }

    async fn check(&self) -> Result<EngineReport, EngineError> {
        self.engine.check().await
    }

    fn unit_max(&self) -> usize {
        self.engine.unit_max()
    }

    fn n_lost(&self) -> u64 {
        self.engine.n_lost()
    }
}

#[cfg(test)]
mod tests {
    use super::super::MemoryEngine;
    use super::*;

    #[tokio::test]
    async fn appends_that_succeed_are_counted() {
        let metrics = Metrics::new();
        let engine = MeasuredEngine::new(Box::new(MemoryEngine::default()), metrics.clone());
        assert!(!metrics.text().contains("engine_append"), "nothing is shown before the first");
        engine.append(&Bytes::from_static(b"unit")).await.unwrap();
        let too_large = Bytes::from(vec![0; engine.unit_max() + 1]);
        engine.append(&too_large).await.unwrap_err();
        let text = metrics.text();
        assert!(text.contains("gatepost_engine_append_seconds_count{} 1"), "{text}");
    }
}
