//! What the admin side asks of the running server.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tracing::info;

use crate::api::{ApiError, Control, HandlerControl, Reloaded, Run, SecretView, SourceView};
use crate::clock::{Clock, Timestamp};
use crate::config::{self, Config};
use crate::event::HandlerName;
use crate::http::public::{HOOKS, Public};
use crate::ingest::{Door, Ingest};
use crate::metrics::RequestOutcome;
use crate::queue::Queue;
use crate::settings::{Look, Report};

use super::handlers::Handlers;
use super::parts;

/// Everything that runs.
pub(super) struct Server {
    pub(super) queue: Arc<dyn Queue>,
    pub(super) ingest: Arc<Ingest>,
    pub(super) public: Arc<Public>,
    pub(super) handlers: Handlers,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) started_at: Timestamp,
    /// Where a reload finds the configuration.
    pub(super) path: PathBuf,
    /// What is in force.
    pub(super) config: Mutex<Config>,
}

#[async_trait]
impl Control for Server {
    fn sources(&self) -> Vec<SourceView> {
        self.ingest.doors().iter().map(|door| source_view(door)).collect()
    }

    fn handlers(&self) -> Vec<HandlerControl> {
        self.handlers.list()
    }

    async fn set_running(&self, handler: &HandlerName, run: Run) -> Result<bool, ApiError> {
        self.handlers.set_running(handler, run).await
    }

    async fn reload(&self) -> Result<Reloaded, ApiError> {
        let (config, warnings) = self.load()?;
        let bad = |err: super::AppError| ApiError::Bad(crate::api::chain(&err));
        // Everything is built before anything is replaced.
        let sources = parts::sources(&config).map_err(bad)?;
        let handlers = parts::handlers(&config, &self.clock).map_err(bad)?;
        let reloaded = reloaded(&self.config(), &config, &warnings);
        self.ingest.replace_sources(sources);
        self.public.set_limits(super::limits(&config));
        self.handlers.replace_all(handlers).await.map_err(bad)?;
        *self.config() = config;
        for change in &reloaded.changes {
            info!(change, "Configuration changed");
        }
        Ok(reloaded)
    }

    fn changes(&self) -> Result<Reloaded, ApiError> {
        let (config, warnings) = self.load()?;
        Ok(reloaded(&self.config(), &config, &warnings))
    }

    fn started_at(&self) -> Timestamp {
        self.started_at
    }
}

impl Server {
    fn load(&self) -> Result<(Config, Report), ApiError> {
        config::load(&self.path).map_err(|report| ApiError::Bad(report.render(Look::Plain)))
    }
}

fn reloaded(old: &Config, new: &Config, warnings: &Report) -> Reloaded {
    let warnings = warnings.problems.iter().map(|problem| problem.message.clone());
    Reloaded {
        changes: config::diff(old, new).iter().map(ToString::to_string).collect(),
        warnings: warnings.collect(),
    }
}

fn source_view(door: &Door) -> SourceView {
    let (source, metrics) = (door.source(), door.metrics());
    let secrets = door.secrets().enumerate();
    SourceView {
        name: source.name().clone(),
        provider: source.provider().to_owned(),
        path: format!("{HOOKS}{}", source.name()),
        accepted: metrics.requests(RequestOutcome::Accepted),
        duplicate: metrics.requests(RequestOutcome::Duplicate),
        rejected: metrics.requests(RequestOutcome::Rejected),
        secrets: secrets
            .map(|(index, last_matched_at)| SecretView { index, last_matched_at })
            .collect(),
    }
}
