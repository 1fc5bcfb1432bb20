//! The handlers' tasks: one each, started, paused, replaced and ended here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::api::{ApiError, HandlerControl, LastErrorView, Run};
use crate::config::{Config, HandlerSettings};
use crate::deliver::{self, BreakerState, Deliverer, LoopState, OwnEvents, Parts, Policy};
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
    secrets: Secrets,
    handler: Arc<dyn Handler>,
}

/// What a handler's secrets were when it was built: a new one in the same file is a change.
type Secrets = Vec<Option<Fingerprint>>;

impl Built {
    pub(super) fn new(
        name: HandlerName,
        settings: &HandlerSettings,
        secrets: Secrets,
        handler: Arc<dyn Handler>,
    ) -> Self {
        let (kind, start) = (settings.kind_name, settings.start);
        Self { name, kind, start, policy: settings.policy.clone(), secrets, handler }
    }
}

/// A handler whose task runs.
struct Place {
    kind: &'static str,
    secrets: Secrets,
    control: deliver::Control,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Every configured handler.
pub(super) struct Handlers {
    core: Core,
    own_events: Arc<OwnSource>,
    /// Held while handlers are started or ended, which waits: two reloads must not mix.
    changing: tokio::sync::Mutex<()>,
    places: Mutex<BTreeMap<HandlerName, Place>>,
    /// Remembers who is paused.
    paused: Paused,
}

impl Handlers {
    pub(super) fn new(core: Core, own_events: Arc<OwnSource>, paused: Paused) -> Self {
        Self {
            core,
            own_events,
            changing: tokio::sync::Mutex::default(),
            places: Mutex::default(),
            paused,
        }
    }

    /// Starts every handler.
    pub(super) async fn start_all(&self, built: Vec<Built>) -> Result<(), AppError> {
        let _changing = self.changing.lock().await;
        self.start_each(built).await
    }

    /// The handlers that run, and of which `new` says what `old` says: with the same secrets.
    pub(super) fn that_stay(&self, old: &Config, new: &Config) -> BTreeSet<HandlerName> {
        let places = self.places();
        let stay = places.iter().filter(|(name, place)| {
            let secrets: Secrets = new.secrets_of(name).map(SecretRef::fingerprint).collect();
            new.handlers.contains_key(*name)
                && old.says_the_same_of(name, new)
                && place.secrets == secrets
                && !place.tasks.is_empty()
        });
        stay.map(|(name, _)| name.clone()).collect()
    }

    /// Puts `built` in place of the handlers that were, except those that `stay`. What is under
    /// way is finished first.
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
        for built in built {
            let name = built.name.clone();
            let run = if paused.contains(name.as_str()) { Run::Pause } else { Run::Resume };
            let place = self.start(built, run).await?;
            self.places().insert(name, place);
        }
        Ok(())
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
        stopped.map(|(name, _)| format!("the deliveries of handler `{name}` have ended")).collect()
    }

    async fn start(&self, built: Built, run: Run) -> Result<Place, AppError> {
        let Built { name, kind, start, policy, secrets, handler } = built;
        let subscribed = self.core.queue.subscribe(&name, start).await;
        let subscription = subscribed.map_err(|err| AppError::Subscribe(name.clone(), err))?;
        let parts = Parts {
            name: name.clone(),
            policy,
            handler,
            clock: Arc::clone(&self.core.clock),
            metrics: self.core.metrics.handler(&name),
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
        Ok(Place { kind, secrets, control, stop, tasks })
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
