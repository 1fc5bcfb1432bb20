//! The engines of a shared log, each over real servers: what all of them promise, and what is one's own.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gatepost::cluster::{
    EngineAppendError, EngineError, EngineReadError, LogEngine, Sequence, StoredUnit,
};
use tokio::time::Instant;

mod log_in;
mod nats;
mod postgres;
mod promises;
pub(crate) mod rigs;
pub(crate) mod tls;
mod transfer;

/// As long as a test waits for what must come.
const PATIENCE: Duration = Duration::from_mins(1);
/// More than any log of these tests.
const ALL: usize = 256 << 20;

pub(crate) type SharedEngine = Arc<dyn LogEngine>;

/// Returns what `ask` answers once the engine is there.
pub(crate) async fn once_available<T, E: Unavailability, F>(mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, E>>,
{
    let began = Instant::now();
    loop {
        match ask().await {
            Ok(value) => return value,
            Err(err) => assert!(
                err.is_unavailable() && began.elapsed() < PATIENCE,
                "after {:?}: {err:?}",
                began.elapsed()
            ),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) trait Unavailability: std::fmt::Debug {
    fn is_unavailable(&self) -> bool;
}

impl Unavailability for EngineAppendError {
    fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

impl Unavailability for EngineReadError {
    fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

impl Unavailability for EngineError {
    fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

async fn append(engine: &SharedEngine, text: &str) -> Sequence {
    let unit = Bytes::copy_from_slice(text.as_bytes());
    once_available(|| engine.append(&unit)).await
}

/// All units from `from` to the log's end, as text.
async fn read_texts(engine: &SharedEngine, from: u64) -> Vec<String> {
    let units = read_all(engine, from).await;
    units.iter().map(|unit| String::from_utf8_lossy(&unit.bytes).into_owned()).collect()
}

/// All units from `from` to the log's end, which must follow each other.
async fn read_all(engine: &SharedEngine, from: u64) -> Vec<StoredUnit> {
    let next = once_available(|| engine.head()).await.next;
    let (mut units, mut from) = (Vec::new(), Sequence(from));
    while from < next {
        for unit in once_available(|| engine.read(from, ALL)).await {
            assert_eq!(unit.sequence, from, "units follow each other");
            from = from.next();
            units.push(unit);
        }
    }
    units
}
