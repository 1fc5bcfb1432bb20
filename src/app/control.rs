//! What the admin side asks of the running server.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::api::{
    Actions, Api, ApiError, Control, HandlerControl, HandlerStatus, PauseView, PlanView, RatesView,
    Reloaded, Rollouts, SourceView, Surroundings, TestView, WantsView,
};
use crate::clock::Timestamp;
use crate::cluster::{ClusterView, SharedReport};
use crate::config::Config;
use crate::event::{Event, HandlerName, SourceName};
use crate::http::admin::{Admin, Gate};
use crate::http::public::Public;
use crate::http::{self, Listen, Listeners};
use crate::ingest::{Ingest, RejectedRing};
use crate::queue::EventNames;
use crate::queue::embedded::EmbeddedQueue;
use crate::source::Source;
use crate::standby::{StandbyView, Standbys};
use crate::sync::lock;

use super::certificates::Certificates;
use super::cluster::{self, ClusterSource};
use super::core::Core;
use super::handlers::Handlers;
use super::orphans::Orphans;
use super::rates::Rates;
use super::sandbox::Sandbox;
use super::{insight, limits, parts, source_views, standby};

mod gone;
mod reload;

/// Everything that runs.
pub(super) struct Server {
    pub(super) core: Core,
    /// The same queue, for what only this backend can do.
    pub(super) store: Arc<EmbeddedQueue>,
    pub(super) ingest: Arc<Ingest>,
    public: Arc<Public>,
    pub(super) handlers: Arc<Handlers>,
    /// Who has a second copy of the queue.
    pub(super) standbys: Arc<Standbys>,
    /// How the cluster stands; nothing = the queue is this machine's alone.
    pub(super) cluster: Option<ClusterSource>,
    started_at: Timestamp,
    gate: Arc<Gate>,
    sandbox: Sandbox,
    /// The public listener's certificate; nothing = it speaks plain HTTP.
    pub(super) certificates: Option<Arc<Certificates>>,
    /// Where a reload finds the configuration.
    path: PathBuf,
    /// What was taken over last.
    config: Mutex<Arc<Config>>,
    /// What the process began with: of much of it that is in force until the next start.
    pub(super) started_with: Arc<Config>,
    /// Remembers who has a place in the queue.
    orphans: Orphans,
    /// When that was read.
    read_at: Mutex<Timestamp>,
    /// How often something happened with each source and handler.
    rates: Mutex<Rates>,
    /// Where the public listener is.
    address: OnceLock<SocketAddr>,
    /// Where the admin listener is.
    admin_address: OnceLock<SocketAddr>,
    /// Held across a reload, which waits for handlers: two must not mix.
    reloading: tokio::sync::Mutex<()>,
    /// Itself, with the runtime of all that outlives a request.
    home: OnceLock<(Handle, Weak<Self>)>,
}

/// What a server is made of beside its queue and its handlers.
pub(super) struct Around {
    pub(super) sources: Vec<Source>,
    pub(super) cluster: Option<ClusterSource>,
    pub(super) certificates: Option<Certificates>,
    pub(super) config: Config,
    /// Where a reload finds the configuration.
    pub(super) path: PathBuf,
    pub(super) gate: Arc<Gate>,
    pub(super) sandbox: Sandbox,
}

impl Server {
    pub(super) fn new(
        core: Core,
        store: Arc<EmbeddedQueue>,
        handlers: Handlers,
        around: Around,
    ) -> Self {
        let Around { sources, cluster, certificates, config, path, gate, sandbox } = around;
        let Core { queue, clock, metrics, traces } = core.clone();
        let started_at = clock.now();
        let ingest = Ingest::new(queue, clock, metrics, limits::limits(&config), sources);
        let rejected = RejectedRing::open(config.admin.rejected());
        let standbys = Arc::new(standby::standbys(&store, &core.clock, &config));
        let ingest = ingest.with_rejected(rejected).with_traces(traces);
        let ingest = Arc::new(ingest.with_standbys(Arc::clone(&standbys)));
        let trusted_proxies = config.server.trusted_proxies.clone();
        let public = Public::new(Arc::clone(&ingest), trusted_proxies);
        let config = Arc::new(config);
        Self {
            core,
            store,
            ingest,
            public: Arc::new(public),
            handlers: Arc::new(handlers),
            standbys,
            cluster,
            started_at,
            gate,
            sandbox,
            certificates: certificates.map(Arc::new),
            path,
            orphans: Orphans::new(config.admin.places()),
            config: Mutex::new(Arc::clone(&config)),
            started_with: config,
            read_at: Mutex::new(started_at),
            rates: Mutex::default(),
            address: OnceLock::new(),
            admin_address: OnceLock::new(),
            reloading: tokio::sync::Mutex::default(),
            home: OnceLock::new(),
        }
    }

    /// Opens the listeners; gives what they answer by, too.
    pub(super) fn listen(
        self: &Arc<Self>,
        listen: Listen,
        stop: CancellationToken,
    ) -> io::Result<(Listeners, Api)> {
        self.home.get_or_init(|| (Handle::current(), Arc::downgrade(self)));
        let Core { queue, clock, metrics, traces: _ } = self.core.clone();
        let control = Arc::clone(self) as Arc<dyn Control>;
        let admin = self.config().admin.clone();
        let actions = Actions::open_shared(admin.actions(), self.handlers.pauses().shared());
        let (rollouts, ingest) = (Rollouts::open(admin.rollouts()), Arc::clone(&self.ingest));
        let api = Api::online(queue, Arc::clone(&clock), ingest, control, actions, rollouts);
        let gate = Arc::clone(&self.gate);
        let standbys = Some(Arc::clone(&self.standbys));
        let admin = Arc::new(Admin { api: api.clone(), metrics, clock, standbys, gate });
        let listeners = http::start(listen, Arc::clone(&self.public), admin, stop)?;
        if let Some(address) = listeners.public().first() {
            self.address.get_or_init(|| *address);
        }
        if let Some(address) = listeners.admin() {
            self.admin_address.get_or_init(|| address);
        }
        Ok((listeners, api))
    }

    pub(super) fn config(&self) -> MutexGuard<'_, Arc<Config>> {
        lock(&self.config)
    }
}

#[async_trait]
impl Control for Server {
    fn sources(&self) -> Vec<SourceView> {
        let base = self.public_base();
        source_views::source_views(&self.config(), &self.ingest, base.as_deref())
    }

    fn handlers(&self) -> Vec<HandlerControl> {
        let config = self.config();
        let disabled = config.handlers.iter().filter(|(_, settings)| !settings.is_enabled);
        let disabled = disabled.map(|(name, settings)| {
            HandlerControl::idle(name.clone(), settings.kind_name, HandlerStatus::Disabled)
        });
        let mut handlers = self.handlers.list();
        // One that finishes its last calls is still listed as such.
        let disabled: Vec<_> = disabled
            .filter(|one| handlers.iter().all(|handler| handler.name != one.name))
            .collect();
        handlers.extend(disabled);
        for handler in &mut handlers {
            let retry = config.handlers.get(&handler.name).map(|known| &known.policy.retry);
            handler.retry_total = retry.map(|retry| retry.total);
            handler.retry_attempts = retry.and_then(|retry| retry.attempts);
        }
        handlers
    }

    async fn pause(&self, handler: &HandlerName, pause: PauseView) -> Result<bool, ApiError> {
        self.check_enabled(handler)?;
        self.handlers.pause(handler, pause).await
    }

    async fn resume(&self, handler: &HandlerName) -> Result<bool, ApiError> {
        self.check_enabled(handler)?;
        self.handlers.resume(handler).await
    }

    async fn retry_now(&self, handler: &HandlerName) -> Result<(), ApiError> {
        self.check_enabled(handler)?;
        let told = self.handlers.try_epoch(handler);
        if !self.handlers.retry_now(handler)? {
            self.retry_failed().await;
        }
        self.handlers.retry_elsewhere(handler, told).await
    }

    async fn reload(&self) -> Result<Reloaded, ApiError> {
        self.reload_to_the_end().await
    }

    async fn compact(&self) -> Result<(), ApiError> {
        Ok(self.store.compact().await?)
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = self.handlers.problems();
        let certificates = self.certificates.as_ref();
        problems.extend(certificates.and_then(|one| one.problem(self.core.clock.now())));
        problems.extend(self.standbys.problem());
        problems.extend(self.cluster().and_then(|view| cluster::problem(&view)));
        problems
    }

    fn cluster(&self) -> Option<ClusterView> {
        self.cluster.as_ref().map(|look| look())
    }

    fn reports(&self) -> Vec<SharedReport> {
        self.handlers.pauses().shared().map(|log| log.reports()).unwrap_or_default()
    }

    fn n_reports(&self) -> u64 {
        self.handlers.pauses().shared().map_or(0, |log| log.n_reports())
    }

    async fn tell(&self, report: String) -> Result<Vec<SharedReport>, ApiError> {
        let Some(log) = self.handlers.pauses().shared() else { return Ok(Vec::new()) };
        Ok(log.report_behind(report).await?)
    }

    fn standby(&self) -> Option<StandbyView> {
        self.standbys.view()
    }

    fn changes(&self) -> Result<Reloaded, ApiError> {
        let (config, warnings) = self.load()?;
        let mut changes = self.changes_by(&config, &warnings);
        changes.warnings.extend(self.sandbox.objection(&config));
        Ok(changes)
    }

    fn admin(&self) -> Option<SocketAddr> {
        self.admin_address.get().copied()
    }

    fn started_at(&self) -> Timestamp {
        self.started_at
    }

    fn wants(&self, event: &Arc<Event>) -> Vec<WantsView> {
        insight::wants(&self.config(), event)
    }

    fn is_wanted(&self, handler: &HandlerName, event: &Arc<Event>) -> bool {
        insight::is_wanted(&self.config(), handler, event)
    }

    fn given(&self, handler: &HandlerName) -> Option<EventNames> {
        self.config().handlers.get(handler).map(|settings| settings.policy.names())
    }

    fn plan(&self, handler: &HandlerName, event: &Arc<Event>) -> Result<PlanView, ApiError> {
        insight::plan(&self.config(), handler, event, &self.core.clock)
    }

    fn rates(&self) -> RatesView {
        self.look_at_rates();
        lock(&self.rates).view(self.core.clock.now())
    }

    fn defaults(&self) -> Vec<(String, String)> {
        self.config().defaults_since(&self.started_with)
    }

    fn surroundings(&self) -> Surroundings {
        let read_at = *lock(&self.read_at);
        let at = (self.public_listener(), self.public_base());
        let config = self.config();
        insight::surroundings((&*self.started_with, &**config), &self.path, read_at, at)
    }

    async fn send_test(&self, source: &SourceName, event_type: &str) -> Result<TestView, ApiError> {
        let endpoints = self.ingest.endpoints();
        let endpoint = endpoints.iter().find(|endpoint| endpoint.source().name() == source);
        let no_source = || ApiError::NotFound(format!("source `{source}` is not configured"));
        let endpoint = endpoint.ok_or_else(no_source)?;
        let nothing = || ApiError::Conflict("nothing listens yet".into());
        let listener = self.public_listener().ok_or_else(nothing)?;
        insight::send_test(endpoint.source(), event_type, listener, &*self.core.clock).await
    }
}

impl Server {
    /// What the public listener speaks, and where it is: as it was opened, whatever a reload says of the next start.
    fn public_listener(&self) -> Option<(&'static str, SocketAddr)> {
        let scheme = if self.certificates.is_some() { "https" } else { "http" };
        self.address.get().map(|address| (scheme, *address))
    }

    /// Where senders reach it.
    fn public_base(&self) -> Option<String> {
        let listening = self.address.get().copied();
        self.config().server.public_base_since(&self.started_with.server, listening)
    }

    /// Takes in what the counters say by now, so that each minute gets what belongs to it.
    pub(super) fn look_at_rates(&self) {
        let now = self.core.clock.now();
        let handlers: Vec<HandlerName> = self.config().handlers.keys().cloned().collect();
        let mut rates = lock(&self.rates);
        rates.look_at_sources(&self.ingest.endpoints(), now);
        rates.look_at_handlers(&handlers, &self.core, now);
    }

    /// One that is disabled has no loop that could be steered.
    fn check_enabled(&self, handler: &HandlerName) -> Result<(), ApiError> {
        let config = self.config();
        if config.handlers.get(handler).is_some_and(|settings| !settings.is_enabled) {
            let text = format!("handler `{handler}` is disabled: take out `enabled = false`");
            return Err(ApiError::Conflict(text));
        }
        Ok(())
    }

    /// Tries the handlers again that could not be started.
    pub(super) async fn retry_failed(&self) {
        let _alone = self.reloading.lock().await;
        let failed = self.handlers.failed();
        if failed.is_empty() {
            return;
        }
        let built = {
            let config = self.config();
            let names = config.handlers.keys();
            let others = names.filter(|name| !failed.contains(*name)).cloned().collect();
            parts::handlers(&config, &self.core.clock, &others)
        };
        self.handlers.retry(built).await;
    }
}
