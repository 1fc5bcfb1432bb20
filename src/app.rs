//! Wires the parts together and owns every task, so that a reload can replace them and a stop can
//! wait for them.

use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::api::{Actor, Api, Control, SourceView};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::deliver::Attempts;
use crate::http::admin::Gate;
use crate::http::{Listen, Listeners};
use crate::metrics::Metrics;
use crate::queue::QueueError;
use crate::queue::embedded::check_servable;

mod certificates;
mod changes;
mod cluster;
pub mod compare;
mod control;
mod core;
mod dead_news;
mod error;
mod handler_records;
mod handlers;
mod health;
mod held_events;
mod insight;
mod keys;
mod limits;
pub mod lint;
pub mod logging;
mod memory;
mod open_alerts;
mod orphans;
pub mod own_events;
mod own_names;
mod parts;
mod paused;
mod pauses;
mod places;
mod progress;
mod rates;
pub mod samples;
mod sandbox;
mod signals;
mod source_views;
mod standby;
mod system_events;
mod systemd;
mod traces;
pub mod trial;
mod watch;

pub use certificates::check_certificate;
pub use cluster::check_engine;
pub use error::AppError;
pub use orphans::{forgotten, left_behind_by};
pub use parts::{OtherEnds, check_built, check_online, lower_thread_priority, open_queue};
pub use places::{
    check_places, check_records, foreign_addresses, kept_from_the_service, unwritable_places,
};
pub use sandbox::Sandbox;
pub use source_views::configured_sources;
pub use systemd::inherited;

use certificates::Certificates;
use control::{Around, Server};
use core::Core;
use handler_records::HandlerRecords;
use handlers::Handlers;
use limits::listen;
use open_alerts::KeptAlerts;
use paused::Paused;
use pauses::Pauses;
use progress::Progress;
use signals::{Signal, Signals};
use system_events::SystemSource;
use traces::Exporting;
use watch::Watch;

/// How long everything that runs may take to end. The whole stop stays below 10 s, after which a
/// service manager may become impatient.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(9);
/// How long the rejected requests may take to be written: a few MiB, and no event depends on them.
const KEEPER_CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the store may take to let go.
const QUEUE_CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a process is before its server is built.
#[derive(Debug)]
pub struct ProcessState {
    /// The public listener's sockets, where the service manager holds them ([`inherited`]).
    pub sockets: Vec<TcpListener>,
    /// What it is shut in to.
    pub sandbox: Sandbox,
}

/// The server, listening.
pub struct Application {
    listeners: Listeners,
    server: Arc<Server>,
    signals: Signals,
    /// What runs beside handlers and listeners.
    tasks: TaskTracker,
    /// Writes the rejected requests behind those who answer senders.
    rejected_writer: JoinHandle<()>,
    /// Sends spans; ends last, so that those of the last deliveries are among them.
    exporting: Exporting,
    /// What signals ask for, in the action log.
    by_signal: Api,
    stop: CancellationToken,
}

impl Application {
    /// Opens the store, starts the handlers, then the listeners. `path` is where a reload finds
    /// the configuration.
    pub async fn build(config: Config, path: &Path) -> Result<Self, AppError> {
        let open = Sandbox::Open("a part of another program".to_owned());
        Self::build_in(ProcessState { sockets: Vec::new(), sandbox: open }, config, path).await
    }

    /// The same in a process that was prepared for it.
    pub async fn build_in(
        process: ProcessState,
        config: Config,
        path: &Path,
    ) -> Result<Self, AppError> {
        let ProcessState { sockets, sandbox } = process;
        let n_files = parts::raise_file_limit();
        let signals = Signals::listen().map_err(|err| AppError::Io("listening to signals", err))?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let metrics = Metrics::new();
        // Whatever can be missing comes first: nothing has been opened when it is. Secrets and tokens are
        // made only once what makes none is good.
        check_servable(&config.queue.path).map_err(AppError::Queue)?;
        let certificates = Certificates::open(&config)?;
        let sources = parts::sources(&config, &clock)?;
        let tokens = parts::admin_tokens(&config)?;
        let built = parts::handlers(&config, &clock, &BTreeSet::new());
        let cluster::OpenedQueue { store, queue, cluster } =
            opened(&config, Arc::clone(&clock), &metrics).await?;
        let (traces, exporter) = traces::open(&config, &clock)?;
        let core = Core { queue, clock, metrics, traces };

        let alerts = KeptAlerts::open(config.admin.open_alerts());
        let own = Arc::new(SystemSource::with_alerts(core.clone(), alerts));
        let records = cluster.is_none().then(|| config.admin.handler_records());
        let records = records.map_or_else(HandlerRecords::in_memory, HandlerRecords::open);
        let pauses = Pauses::new(Paused::open(config.admin.paused()), cluster.clone());
        // Only once the queue is ours: another process may be using it.
        let attempts = Attempts::open(config.admin.attempts())
            .map_err(|err| AppError::Io("noting calls", err))?;
        let handlers = Handlers::new(core.clone(), attempts, Arc::clone(&own), pauses, records);
        handlers.start_all(built).await;
        handlers.hold_places(&config).await;
        let tls = certificates.as_ref().map(Certificates::server_config).transpose();
        let challenges = certificates.as_ref().map(|one| Arc::clone(one.store()));
        let listen = Listen {
            tls: tls.map_err(AppError::Tls)?,
            challenges: challenges.unwrap_or_default(),
            inherited: sockets,
            ..listen(&config, n_files)
        };
        let gate = Gate::new(tokens, listen.admin.ip()).with_hosts(config.admin.hosts.clone());
        let gate = Arc::new(gate.with_sessions(config.admin.sessions(), core.clock.steady()));
        let path = path.to_owned();
        let cluster =
            cluster.map(|cluster| Arc::new(move || cluster.view()) as cluster::ClusterSource);
        let around = Around { sources, cluster, certificates, config, path, gate, sandbox };
        let server = Arc::new(Server::new(core.clone(), store, handlers, around));
        for line in server.orphan_lines() {
            warn!("{line}");
        }
        let stop = CancellationToken::new();
        let (listeners, api) = match server.listen(listen, stop.clone()) {
            Ok(listening) => listening,
            Err(err) => {
                server.handlers.stop_all(CLOSE_TIMEOUT).await;
                // The first error counts; a note that is left only makes the next start careful.
                drop(Attempts::close(&server.started_with.admin.attempts()));
                return Err(AppError::Listen(err));
            }
        };
        let rejected_writer =
            rejected_writer(&server).map_err(|err| AppError::Io("starting a thread", err))?;
        let by_signal = api.by(Actor::Signal);
        let tasks = tasks(&server, core, own, api, &stop);
        let exporting = Exporting::start(exporter);
        Ok(Self { listeners, server, signals, tasks, rejected_writer, exporting, by_signal, stop })
    }

    /// The public listener's addresses, with the ports that the system gave.
    pub fn public(&self) -> &[SocketAddr] {
        self.listeners.public()
    }

    /// Whether the public listener speaks TLS.
    pub fn is_tls(&self) -> bool {
        self.server.certificates.is_some()
    }

    pub fn admin(&self) -> Option<SocketAddr> {
        self.listeners.admin()
    }

    pub fn sources(&self) -> Vec<SourceView> {
        self.server.sources()
    }

    /// Cancelled, it stops the server as SIGTERM does.
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Serves until SIGTERM, SIGINT or the stop token; then finishes what is in flight, settles
    /// it and lets go of the store.
    pub async fn run_until_stopped(mut self) -> Result<(), AppError> {
        info!(public = ?self.public(), admin = ?self.admin(), "Serving");
        systemd::ready();
        let mut ended = self.serve().await;
        info!("Stopping");
        systemd::stopping();
        self.stop.cancel();
        let listeners = self.listeners;
        let server = self.server;
        let joined = tokio::task::spawn_blocking(move || listeners.join());
        // Nothing new comes in while what is under way is finished on both sides.
        let ended_all = async { server.handlers.stop_all(CLOSE_TIMEOUT).await };
        let (joined, health, ()) = tokio::join!(joined, ended_all, self.tasks.wait());
        server.handlers.records().close(health, server.core.clock.now());
        self.exporting.end().await;
        match joined {
            Ok(Ok(())) => {}
            Ok(Err(err)) => ended = ended.and(Err(AppError::Listen(err))),
            Err(err) => error!(error = %err, "Listener thread could not be joined"),
        }
        server.ingest.rejected().close();
        let rejected_writer = self.rejected_writer;
        let kept = tokio::task::spawn_blocking(move || rejected_writer.join());
        if !matches!(tokio::time::timeout(KEEPER_CLOSE_TIMEOUT, kept).await, Ok(Ok(Ok(())))) {
            warn!("The newest rejected requests could not be kept");
        }
        match tokio::time::timeout(QUEUE_CLOSE_TIMEOUT, server.core.queue.close()).await {
            Ok(Ok(()) | Err(QueueError::Closed)) => {}
            Ok(Err(QueueError::Poisoned)) => ended = Err(AppError::Poisoned),
            Ok(Err(err)) => ended = ended.and(Err(AppError::Queue(err))),
            Err(_elapsed) => warn!("The queue took too long to close"),
        }
        if let Err(err) = Attempts::close(&server.started_with.admin.attempts()) {
            warn!(error = %err, "The note of calls under way cannot be removed");
        }
        info!("Stopped");
        ended
    }

    /// Waits for the end, and reloads meanwhile.
    async fn serve(&mut self) -> Result<(), AppError> {
        let mut watchdog = systemd::Watchdog::new();
        let progress = Progress::new(self.public(), self.is_tls());
        let progress =
            progress.map_err(|err| AppError::Io("making a client", io::Error::other(err)))?;
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                signal = self.signals.next() => match signal {
                    Signal::Stop => return Ok(()),
                    Signal::Reload => self.reload().await,
                    Signal::Unused(name) => {
                        warn!("{name} means nothing here: SIGHUP reloads");
                    }
                },
                () = self.stop.cancelled() => return Ok(()),
                () = self.server.store.poisoned() => return Err(AppError::Poisoned),
                _ = look.tick() => {
                    self.server.handlers.resume_due(self.server.core.clock.now()).await;
                    self.check_listeners()?;
                }
                () = watchdog.due() => {
                    // Where one of them hangs it is not fed: that is what it is for.
                    match progress.check(&self.server).await {
                        Ok(()) => systemd::alive(),
                        Err(reason) => warn!(reason, "The watchdog is not fed"),
                    }
                }
            }
        }
    }

    /// An error once the listeners have ended by themselves. What ends the loop that asks ends them too,
    /// and they may be sooner than its turn.
    fn check_listeners(&self) -> Result<(), AppError> {
        if self.listeners.is_finished() && !self.stop.is_cancelled() {
            let gone = io::Error::other("the listeners ended by themselves");
            return Err(AppError::Listen(gone));
        }
        Ok(())
    }

    async fn reload(&self) {
        systemd::reloading();
        match self.by_signal.reload().await {
            Ok(reloaded) => info!(n_changes = reloaded.changes.len(), "Reloaded"),
            Err(err) => error!(error = %err, "The reload did not succeed"),
        }
        systemd::ready();
    }
}

/// Starts what runs beside handlers and listeners.
fn tasks(
    server: &Arc<Server>,
    core: Core,
    own: Arc<SystemSource>,
    api: Api,
    stop: &CancellationToken,
) -> TaskTracker {
    let tasks = TaskTracker::new();
    let watch = Watch::new(core, Arc::clone(&server.ingest), watch::disk(server), Arc::clone(&own))
        .with_dead_retention(server.config().queue.dead_retention, &api);
    tasks.spawn(watch.run(stop.clone()));
    if let Some(certificates) = server.certificates.clone() {
        let (core, own) = (server.core.clone(), Arc::clone(&own));
        tasks.spawn(certificates::watch(certificates, core, own, stop.clone()));
    }
    if let Some(cluster) = server.cluster.clone() {
        let (server, own, stop) = (Arc::clone(server), Arc::clone(&own), stop.clone());
        tasks.spawn(cluster::steering::follow(Arc::clone(&server), stop.clone()));
        tasks.spawn(cluster::reports::publish(Arc::clone(&server), api.clone(), stop.clone()));
        tasks.spawn(cluster::watch::run(cluster, server, own, stop));
    }
    tasks.spawn(standby::watch::run(Arc::clone(server), Arc::clone(&own), stop.clone()));
    tasks.spawn(health::watch(Arc::clone(server), own, stop.clone()));
    let sharing = api.clone();
    tasks.spawn(
        stop.clone().run_until_cancelled_owned(async move { sharing.share_actions().await }),
    );
    let following = api.clone();
    tasks.spawn(
        stop.clone()
            .run_until_cancelled_owned(async move { following.follow_rollout_requests().await }),
    );
    tasks.spawn(stop.clone().run_until_cancelled_owned(async move { api.run_rollouts().await }));
    tasks.close();
    tasks
}

/// How often the listeners' thread is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Starts the thread that keeps the rejected requests over a restart.
fn rejected_writer(server: &Arc<Server>) -> io::Result<JoinHandle<()>> {
    let ingest = Arc::clone(&server.ingest);
    let builder = std::thread::Builder::new().name("rejected".into());
    builder.spawn(move || {
        lower_thread_priority();
        ingest.rejected().keep();
    })
}

/// Opens the store, and asks the service manager for patience meanwhile: a large one whose index is
/// made anew takes minutes.
async fn opened(
    config: &Config,
    clock: Arc<dyn Clock>,
    metrics: &Metrics,
) -> Result<cluster::OpenedQueue, AppError> {
    let mut opening = std::pin::pin!(cluster::open(config, clock, metrics));
    loop {
        // A timer that is due at once may still fire later than a short start is over.
        systemd::starting();
        match tokio::time::timeout(systemd::START_EVERY, &mut opening).await {
            Ok(opened) => return opened,
            Err(_elapsed) => {}
        }
    }
}

#[cfg(test)]
mod tests;
