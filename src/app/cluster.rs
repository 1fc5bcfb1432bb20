//! The log that several gateways share, as the running server shows it.

use std::sync::Arc;

use crate::api::error_chain;
use crate::cluster::{
    ClusterAck, ClusterView, EngineReport, LogEngine, NatsEngine, PostgresEngine,
};
use crate::config::{Config, EngineSettings};
use crate::secret::SecretError;

pub(super) mod watch;

/// Says how the cluster stands. Called for each page and scrape.
pub(super) type ClusterSource = Arc<dyn Fn() -> ClusterView + Send + Sync>;

/// Why this node is not ready; `None` = it is. A shared log that is away is no reason where events are kept
/// here meanwhile: a load balancer that took all nodes out for it would lose what they are for.
pub(super) fn problem(view: &ClusterView) -> Option<String> {
    if let Some(why) = view.failure() {
        return Some(format!("this gateway takes no part in the cluster any more: {why}"));
    }
    let why = view.engine.error.as_deref().filter(|_| view.ack == ClusterAck::Engine)?;
    Some(format!("the shared log cannot be reached, and `queue.ack = \"engine\"` needs it: {why}"))
}

/// The engine of a shared log, which connects at its first call.
pub(super) fn engine(settings: &EngineSettings) -> Result<Box<dyn LogEngine>, SecretError> {
    Ok(match settings {
        EngineSettings::Postgres(settings) => Box::new(PostgresEngine::new(settings.clone())?),
        EngineSettings::Nats(settings) => Box::new(NatsEngine::new(settings.clone())?),
    })
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
