//! The parts that the configuration describes, opened.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

use crate::clock::{Clock, SystemClock};
use crate::config::{Config, HandlerSettings};
use crate::deliver;
use crate::event::HandlerName;
use crate::handler::{BuildContext, Purpose};
use crate::http::admin::Tokens;
use crate::http::{CONNECTION_BYTES, CONNECTIONS_PER_WORKER};
use crate::metrics::Metrics;
use crate::queue::embedded::{self, EmbeddedQueue};
use crate::secret::{SecretError, SecretRef};
use crate::source::Source;

use super::error::AppError;
use super::handlers::{BuildInputs, BuiltHandler};
use super::keys::with_keys;
use super::samples;

/// Opens the store that `config` describes, mending what a power cut tore. Not where several gateways share
/// a log: what is changed there goes through that log.
pub async fn open_queue(
    config: &Config,
    clock: Arc<dyn Clock>,
    metrics: &Metrics,
) -> Result<Arc<EmbeddedQueue>, AppError> {
    if config.queue.shared.is_some() {
        return Err(AppError::Shared);
    }
    let settings = queue_settings(config, metrics);
    let opened = tokio::task::spawn_blocking(move || EmbeddedQueue::open(settings, clock)).await;
    let opened = opened.map_err(|err| AppError::Io("opening the queue", err.into()))?;
    Ok(Arc::new(opened.map_err(AppError::Queue)?))
}

/// What the queue's files keep to.
pub(super) fn queue_settings(config: &Config, metrics: &Metrics) -> embedded::Settings {
    let metrics = metrics.clone();
    embedded::Settings {
        retention: config.queue.retention,
        disk_max: config.queue.disk_max.0,
        disk_reserve: config.queue.disk_reserve.0,
        dedupe_memory: config.queue.dedupe_memory.0,
        waiting_max: u64::from(config.queue.waiting_max.get()),
        observer: Box::new(move |duration, n_events| metrics.commit(duration, n_events)),
        ..embedded::Settings::new(&config.queue.path)
    }
}

/// What the admin listener asks for; made with the first start.
pub(super) fn admin_tokens(config: &Config) -> Result<Tokens, AppError> {
    let token = |path: &PathBuf| {
        let token = SecretRef::File { path: path.clone(), create: true };
        token.resolve().map_err(AppError::Token)
    };
    let reader = config.admin.read_only_token.as_ref().map(token).transpose()?;
    let standby = config.standby.as_ref().map(|standby| token(&standby.token)).transpose()?;
    Ok(Tokens { owner: token(&config.admin.token)?, reader, standby })
}

/// Every source with its secrets and what fetches its keys.
pub(super) fn sources(config: &Config, clock: &Arc<dyn Clock>) -> Result<Vec<Source>, AppError> {
    let sources = config.sources.iter().map(|(name, settings)| {
        let source = Source::build(name.clone(), settings.clone());
        let source = source.map_err(|err| AppError::Source(name.clone(), err))?;
        with_keys(source, clock).map_err(|err| AppError::Keys(name.clone(), err))
    });
    sources.collect()
}

/// Every handler that is enabled, but those that stay as they are, opened as far as it can be.
pub(super) fn handlers(
    config: &Config,
    clock: &Arc<dyn Clock>,
    stay: &BTreeSet<HandlerName>,
) -> Vec<BuiltHandler> {
    let wanted = config.handlers.iter();
    let wanted = wanted.filter(|(name, settings)| settings.is_enabled && !stay.contains(*name));
    let handlers = wanted.map(|(name, settings)| {
        // Before they are read for the handler: one that changes in between is taken over by the
        // next reload.
        let of = BuildInputs::now(config, name);
        let handler = settings.kind.build(&context(config, (name, settings), clock, Purpose::Call));
        BuiltHandler::new(name.clone(), settings, of, handler.map(Arc::from))
    });
    handlers.collect()
}

/// Which handlers cannot be built, as far as that can be told without a network and without
/// changing anything, each with the reason.
pub fn check_built(config: &Config) -> Vec<(HandlerName, String)> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let handlers = config.handlers.iter().filter(|(_, settings)| settings.is_enabled);
    let wrong = handlers.filter_map(|(name, settings)| {
        let err =
            settings.kind.check(&context(config, (name, settings), &clock, Purpose::Look)).err()?;
        if SecretError::is_of_unseen_credential(&err) {
            return None;
        }
        Some((name.clone(), crate::api::error_chain(&err)))
    });
    wrong.collect()
}

pub(super) fn context(
    config: &Config,
    (name, settings): (&HandlerName, &HandlerSettings),
    clock: &Arc<dyn Clock>,
    purpose: Purpose,
) -> BuildContext {
    BuildContext {
        handler: name.clone(),
        config_folder: config.folder.clone(),
        clock: Arc::clone(clock),
        timeout: settings.policy.timeout,
        own_timeout: settings.own_timeout,
        concurrency: settings.policy.concurrency.get(),
        batch: settings.policy.batch.as_ref().map(|batch| batch.max),
        samples: if settings.kind.wants_samples() {
            let mut samples = samples::samples(config, clock);
            samples.retain(|event| deliver::is_named(&settings.policy.on, event));
            samples
        } else {
            Vec::new()
        },
        purpose,
    }
}

/// What the other ends of handlers are, one line each.
#[derive(Debug)]
pub struct OtherEnds {
    /// Those that are there and fit.
    pub reached: Vec<String>,
    /// Those that are not, and names that do not lead here.
    pub problems: Vec<String>,
}

/// Looks whether the other ends of all handlers are there, and whether names lead here.
pub async fn check_online(config: &Config) -> OtherEnds {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut problems = super::own_names::problems(config).await;
    let mut reached = Vec::new();
    for (name, settings) in config.handlers.iter().filter(|(_, settings)| settings.is_enabled) {
        let context = context(config, (name, settings), &clock, Purpose::Look);
        match settings.kind.check_online(&context).await {
            Ok(()) => {
                let end = settings.kind.other_end();
                let is = if settings.kind.makes_other_end() { "will be made" } else { "is there" };
                reached.extend(end.map(|end| format!("handler `{name}`: {end} {is}")));
            }
            Err(err) => {
                // It may be built and started all the same: what is away now may come.
                let why = crate::api::error_chain(&err);
                problems.push(format!("handler `{name}` could not deliver now: {why}"));
            }
        }
    }
    OtherEnds { reached, problems }
}

/// Lets the calling thread give way to those that answer senders: a delivery can wait, a sender
/// hangs up after some seconds.
pub fn lower_thread_priority() {
    // On Linux the priority is each thread's own.
    if let Err(err) = rustix::process::nice(DELIVER_NICE) {
        warn!(error = %err, "Deliveries could not be given a lower priority");
    }
}

/// About a third of the share of a thread that answers senders, where there is not enough for all
/// (sched(7)).
const DELIVER_NICE: i32 = 5;

/// Takes as many open files as the system lets us: each connection is one, and the soft limit is
/// often 1,024. Gives how many those are.
pub(super) fn raise_file_limit() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = current == maximum
        || setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
            .inspect_err(|err| warn!(error = %err, "The limit of open files could not be raised"))
            .is_ok();
    let limit = if raised { maximum } else { current };
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// The most public connections: what the threads can serve, and no more than half of the files that may be open and
/// what half of the memory holds, since the queue and the handlers need some as well.
pub(super) fn n_connections(workers: usize, n_files: usize, memory: Option<u64>) -> usize {
    let in_memory = memory.and_then(|memory| usize::try_from(memory / 2 / CONNECTION_BYTES).ok());
    let n_connections = workers.saturating_mul(CONNECTIONS_PER_WORKER).min(n_files / 2);
    n_connections.min(in_memory.unwrap_or(usize::MAX)).max(1)
}
