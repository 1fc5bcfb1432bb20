//! The log that several gateways share, as the running server shows it.

use std::sync::Arc;

use crate::api::error_chain;
use crate::clock::Clock;
use crate::cluster::{
    ClusterAck, ClusterOptions, ClusterQueue, ClusterView, EngineReport, LogEngine, MeasuredEngine,
    NatsEngine, PostgresEngine,
};
use crate::config::{Config, EngineSettings};
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::queue::embedded::EmbeddedQueue;
use crate::secret::SecretError;

use super::error::AppError;
use super::parts;

pub(super) mod reports;
pub(super) mod steering;
pub(super) mod watch;

/// Says how the cluster stands. Called for each page and scrape.
pub(super) type ClusterSource = Arc<dyn Fn() -> ClusterView + Send + Sync>;

/// Why this node is not ready; `None` = it is. A shared log that is away is no reason where events are kept
/// here meanwhile: a load balancer that took all nodes out for it would lose what they are for.
pub(super) fn problem(view: &ClusterView) -> Option<String> {
    // Told to all on this machine: what an engine said may name its host, a role or a file.
    if view.failure().is_some() {
        let text = "this gateway takes no part in the cluster any more: `gatepost cluster status` says why";
        return Some(text.to_owned());
    }
    let is_needed = view.ack == ClusterAck::Engine && view.engine.error.is_some();
    is_needed.then(|| {
        "the shared log cannot be reached, and `queue.ack = \"engine\"` needs it: `gatepost cluster status` \
         says why"
            .to_owned()
    })
}

/// The engine of a shared log, which connects at its first call.
pub(super) fn engine(settings: &EngineSettings) -> Result<Box<dyn LogEngine>, SecretError> {
    Ok(match settings {
        EngineSettings::Postgres(settings) => Box::new(PostgresEngine::new(settings.clone())?),
        EngineSettings::Nats(settings) => Box::new(NatsEngine::new(settings.clone())?),
    })
}

/// The queue, and what it is made of.
pub(super) struct OpenedQueue {
    /// This machine's files: all of the queue, or its copy of a log that several gateways share.
    pub(super) store: Arc<EmbeddedQueue>,
    pub(super) queue: Arc<dyn Queue>,
    pub(super) cluster: Option<Arc<ClusterQueue>>,
}

/// Opens the queue that `config` describes, and takes part in its shared log where it has one.
pub(super) async fn open(
    config: &Config,
    clock: Arc<dyn Clock>,
    metrics: &Metrics,
) -> Result<OpenedQueue, AppError> {
    let Some(shared) = &config.queue.shared else {
        let store = parts::open_queue(config, clock, metrics).await?;
        let queue = Arc::clone(&store) as Arc<dyn Queue>;
        return Ok(OpenedQueue { store, queue, cluster: None });
    };
    let engine = engine(&shared.engine).map_err(AppError::SharedLogSecret)?;
    let options = ClusterOptions {
        backend: shared.engine.backend(),
        name: shared.node.clone(),
        ack: shared.ack,
        lease: shared.lease,
        engine: Arc::new(MeasuredEngine::new(engine, metrics.clone())),
        copy: parts::queue_settings(config, metrics),
        clock,
    };
    let cluster = ClusterQueue::open(options).await.map_err(AppError::Queue)?;
    let queue = Arc::clone(&cluster) as Arc<dyn Queue>;
    Ok(OpenedQueue { store: cluster.copy(), queue, cluster: Some(cluster) })
}

/// What the engine of the shared log says of itself, or why it does not; `None` = the queue is this
/// machine's alone.
pub async fn check_engine(config: &Config) -> Option<Result<EngineReport, String>> {
    let settings = &config.queue.shared.as_ref()?.engine;
    let engine = match engine(settings) {
        Ok(engine) => engine,
        Err(err) => return Some(Err(error_chain(&err))),
    };
    Some(engine.check().await.map_err(|err| err.to_string()))
}
