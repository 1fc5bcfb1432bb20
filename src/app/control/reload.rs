//! Taking over another configuration.

use std::sync::{Arc, Weak};

use tracing::{info, warn};

use super::super::error::AppError;
use super::super::{changes, limits, parts, standby};
use super::Server;
use crate::api::{ApiError, Reloaded, error_chain};
use crate::config::{self, Config};
use crate::ingest::Limits;
use crate::settings::{Report, ReportStyle};
use crate::sync::lock;

impl Server {
    /// Reloads as a whole, also where the client has hung up while handlers finish: half of a configuration must not be
    /// in force.
    pub(super) async fn reload_to_the_end(&self) -> Result<Reloaded, ApiError> {
        let home =
            self.home.get().and_then(|(runtime, server)| Some((runtime, Weak::upgrade(server)?)));
        let Some((runtime, server)) = home else { return self.reload_now().await };
        let reloading = runtime.spawn(async move { server.reload_now().await });
        let ended = |err| ApiError::Conflict(format!("the reload ended by itself: {err}"));
        reloading.await.map_err(ended)?
    }

    async fn reload_now(&self) -> Result<Reloaded, ApiError> {
        let _alone = self.reloading.lock().await;
        let (config, warnings) = self.load()?;
        let emptied = || changes::objection_to_no_source(&self.config(), &config);
        if let Some(objection) = self.sandbox.objection(&config).or_else(emptied) {
            return Err(ApiError::Bad(objection));
        }
        let bad = |err: AppError| ApiError::Bad(error_chain(&err));
        // Everything is built before anything is replaced.
        let sources = parts::sources(&config, &self.core.clock).map_err(bad)?;
        let stay = self.handlers.unchanged_handlers(&config);
        let handlers = parts::handlers(&config, &self.core.clock, &stay);
        if let Some(objection) = self.handlers.objection(&handlers) {
            return Err(ApiError::Bad(objection));
        }
        let tokens = parts::admin_tokens(&config).map_err(bad)?;
        let mut reloaded = self.changes_by(&config, &warnings);
        self.gate.set_tokens(tokens, self.core.clock.steady());
        self.gate.set_hosts(config.admin.hosts.clone());
        self.ingest.replace_sources(sources);
        // The connections' own times are those of the start.
        let body_timeout = self.started_with.server.request_timeout;
        self.ingest.set_limits(Limits { body_timeout, ..limits::limits(&config) });
        self.standbys.set_rule(standby::rule(&config));
        self.public.set_trusted_proxies(config.server.trusted_proxies.clone());
        if let Some(certificates) = &self.certificates {
            reloaded.warnings.extend(certificates.refresh(self.core.clock.now()));
            reloaded.warnings.extend(certificates.problem(self.core.clock.now()));
        }
        reloaded.warnings.extend(self.handlers.replace(handlers, &stay).await);
        self.handlers.hold_places(&config).await;
        *self.config() = Arc::new(config);
        *lock(&self.read_at) = self.core.clock.now();
        reloaded.warnings.extend(self.orphan_lines());
        for change in &reloaded.changes {
            info!(change, "Configuration changed");
        }
        for warning in &reloaded.warnings {
            warn!(warning, "Reloaded with a warning");
        }
        Ok(reloaded)
    }

    pub(super) fn changes_by(&self, config: &Config, warnings: &Report) -> Reloaded {
        let read = (config, warnings, self.path.as_path());
        let old = self.config();
        changes::changes((&*self.started_with, &**old), read, &self.ingest, &self.handlers)
    }

    pub(super) fn load(&self) -> Result<(Config, Report), ApiError> {
        let loaded = config::load_to_run(&self.path);
        loaded.map_err(|report| ApiError::Bad(report.render(ReportStyle::Plain)))
    }
}
