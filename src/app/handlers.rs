//! The handlers' tasks: one each, started, paused, replaced and ended here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::api::{ApiError, HandlerControl, LastErrorView, Run, chain};
use crate::config::{Config, HandlerSettings, Said};
use crate::deliver::{
    self, Attempts, BreakerState, Deliverer, LoopState, OwnEvents, Parts, Policy,
};
use crate::event::HandlerName;
use crate::handler::Handler;
use crate::queue::Start;
use crate::secret::{Fingerprint, SecretRef};

use super::own_events::OwnSource;
use super::paused::Paused;
use super::{AppError, Core};

/// A handler that is ready to run.
pub(super) struct Built {
    name: HandlerName,
    kind: &'static str,
    start: Start,
    policy: Policy,
    of: BuiltOf,
    handler: Arc<dyn Handler>,
}

/// What a handler was built of: with all of it the same it need not be built again.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BuiltOf {
    said: Said,
    secrets: Secrets,
}

impl BuiltOf {
    pub(super) fn now(config: &Config, handler: &HandlerName) -> Self {
        let secrets = config.secrets_of(handler).map(SecretRef::fingerprint).collect();
        Self { said: config.said_of(handler), secrets }
    }
}

/// What a handler's secrets were when it was built: a new one in the same file is a change.
type Secrets = Vec<Option<Fingerprint>>;

impl Built {
    pub(super) fn new(
        name: HandlerName,
        settings: &HandlerSettings,
        of: BuiltOf,
        handler: Arc<dyn Handler>,
    ) -> Self {
        let (kind, start) = (settings.kind_name, settings.start);
        Self { name, kind, start, policy: settings.policy.clone(), of, handler }
    }
}

/// A handler whose task runs.
struct Place {
    kind: &'static str,
    of: BuiltOf,
    control: deliver::Control,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Every configured handler.
pub(super) struct Handlers {
    core: Core,
    attempts: Arc<Attempts>,
    own_events: Arc<OwnSource>,
    /// Held while handlers are started or ended, which waits: two reloads must not mix.
    changing: tokio::sync::Mutex<()>,
    places: Mutex<BTreeMap<HandlerName, Place>>,
    /// Those that could not be started, and why.
    failed: Mutex<BTreeMap<HandlerName, String>>,
    /// Remembers who is paused.
    paused: Paused,
}

impl Handlers {
    pub(super) fn new(
        core: Core,
        attempts: Attempts,
        own_events: Arc<OwnSource>,
        paused: Paused,
    ) -> Self {
        Self {
            core,
            attempts: Arc::new(attempts),
            own_events,
            changing: tokio::sync::Mutex::default(),
            places: Mutex::default(),
            failed: Mutex::default(),
            paused,
        }
    }

    /// Starts every handler.
    pub(super) async fn start_all(&self, built: Vec<Built>) -> Result<(), AppError> {
        let _changing = self.changing.lock().await;
        self.start_each(built).await
    }

    /// The handlers that run as `new` wants them, with the secrets that there are now.
    pub(super) fn that_stay(&self, new: &Config) -> BTreeSet<HandlerName> {
        let places = self.places();
        let stay = places.iter().filter(|(name, place)| {
            new.handlers.contains_key(*name)
                && place.of == BuiltOf::now(new, name)
                && !place.tasks.is_empty()
        });
        stay.map(|(name, _)| name.clone()).collect()
    }

    /// Puts `built` in place of the handlers that were, except those that `stay`. What is under
    /// way is finished first. An error = some could not be started; the others run.
    pub(super) async fn replace(
        &self,
        built: Vec<Built>,
        stay: &BTreeSet<HandlerName>,
    ) -> Result<(), AppError> {
        let _changing = self.changing.lock().await;
        self.stop_but(stay, REPLACE_TIMEOUT).await;
        self.start_each(built).await
    }

    /// Ends every task. Deliveries that do not end in time come back at the next start.
    pub(super) async fn stop_all(&self, timeout: Duration) {
        let _changing = self.changing.lock().await;
        self.stop_but(&BTreeSet::new(), timeout).await;
    }

    async fn start_each(&self, built: Vec<Built>) -> Result<(), AppError> {
        let paused = self.paused.read();
        let mut result = Ok(());
        self.failed().clear();
        for built in built {
            let name = built.name.clone();
            let run = if paused.contains(name.as_str()) { Run::Pause } else { Run::Resume };
            match self.start(built, run).await {
                Ok(place) => drop(self.places().insert(name, place)),
                Err(err) => {
                    error!(handler.name = %name, error = %err, "Handler could not be started");
                    self.failed().insert(name, chain(&err));
                    result = result.and(Err(err));
                }
            }
        }
        result
    }

    async fn stop_but(&self, stay: &BTreeSet<HandlerName>, timeout: Duration) {
        let ending: Vec<_> = self.places().extract_if(.., |name, _| !stay.contains(name)).collect();
        let ends = ending.into_iter().map(|(name, place)| place.end(name, timeout));
        futures_util::future::join_all(ends).await;
    }

    /// Stops giving deliveries to a handler, or starts again. `false` = it is as it was.
    pub(super) fn set_running(&self, handler: &HandlerName, run: Run) -> Result<bool, ApiError> {
        let places = self.places();
        let Some(place) = places.get(handler) else {
            return Err(ApiError::NotFound(format!("handler `{handler}` is not configured")));
        };
        let is_paused = place.control.status().state == LoopState::Paused;
        if is_paused == (run == Run::Pause) {
            return Ok(false);
        }
        // Remembered first: a restart in between must not resume what was paused.
        self.paused.change(handler, run)?;
        match run {
            Run::Pause => place.control.pause(),
            Run::Resume => place.control.resume(),
        }
        info!(handler.name = %handler, ?run, "Handler changed");
        Ok(true)
    }

    /// Every handler and how it stands.
    pub(super) fn list(&self) -> Vec<HandlerControl> {
        self.places().values().map(Place::show).collect()
    }

    /// What is wrong with a handler's task, one line each.
    pub(super) fn problems(&self) -> Vec<String> {
        let places = self.places();
        let stopped = places.iter().filter(|(_, place)| place.tasks.is_empty());
        let ended =
            stopped.map(|(name, _)| format!("the deliveries of handler `{name}` have ended"));
        let failed = self.failed();
        let not_begun = failed.iter().map(|(name, why)| {
            format!("handler `{name}` could not be started ({why}); a reload tries again")
        });
        ended.chain(not_begun).collect()
    }

    async fn start(&self, built: Built, run: Run) -> Result<Place, AppError> {
        let Built { name, kind, start, policy, of, handler } = built;
        let subscribed = self.core.queue.subscribe(&name, start).await;
        let subscription = subscribed.map_err(|err| AppError::Subscribe(name.clone(), err))?;
        let parts = Parts {
            name: name.clone(),
            policy,
            handler,
            clock: Arc::clone(&self.core.clock),
            metrics: self.core.metrics.handler(&name),
            attempts: Arc::clone(&self.attempts),
            own_events: Arc::clone(&self.own_events) as Arc<dyn OwnEvents>,
            seed: rand::random(),
        };
        let (deliverer, control) =
            Deliverer::new(parts, subscription, Arc::clone(&self.core.queue));
        // Before its task begins: one that is paused must not have a single delivery.
        if run == Run::Pause {
            info!(handler.name = %name, "Handler is paused");
            control.pause();
        }
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let until = stop.clone();
        tasks.spawn(async move {
            if let Err(err) = deliverer.run(until).await {
                error!(handler.name = %name, error = %err, "Deliveries ended");
            }
        });
        tasks.close();
        Ok(Place { kind, of, control, stop, tasks })
    }

    fn failed(&self) -> MutexGuard<'_, BTreeMap<HandlerName, String>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn places(&self) -> MutexGuard<'_, BTreeMap<HandlerName, Place>> {
        // A panic elsewhere leaves the map whole.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long what is under way may take before a handler is replaced.
const REPLACE_TIMEOUT: Duration = Duration::from_secs(30);

impl Place {
    fn show(&self) -> HandlerControl {
        let status = self.control.status();
        let state = match (status.state, status.breaker) {
            (LoopState::Paused, _) => "paused",
            (LoopState::Stopped, _) => "stopped",
            (LoopState::Running, BreakerState::Closed) => "running",
            // Failures made its breaker open: one delivery is tried now and then.
            (LoopState::Running, BreakerState::Open | BreakerState::Probing) => "down",
        };
        HandlerControl {
            name: status.handler,
            kind: self.kind,
            state,
            in_flight: status.in_flight,
            last_error: status.last_error.map(|error| LastErrorView {
                at: error.at,
                event: error.event,
                text: error.text,
            }),
            last_success_at: status.last_success_at,
        }
    }

    async fn end(self, name: HandlerName, timeout: Duration) {
        self.stop.cancel();
        if tokio::time::timeout(timeout, self.tasks.wait()).await.is_err() {
            warn!(handler.name = %name, "Deliveries under way took too long; they come back");
        }
    }
}

#[cfg(test)]
mod tests;
