//! The handlers' tasks: one each, started, paused, replaced and ended here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::api::{ApiError, HandlerControl, Run, chain};
use crate::clock::Clock;
use crate::config::HandlerSettings;
use crate::event::HandlerName;
use crate::handler::Handler;
use crate::metrics::Metrics;
use crate::queue::{Queue, QueueError, Start, Subscription};

use super::AppError;

/// A handler that is ready to run.
pub(super) struct Built {
    name: HandlerName,
    kind: &'static str,
    start: Start,
    handler: Arc<dyn Handler>,
}

impl Built {
    pub(super) fn new(
        name: HandlerName,
        settings: &HandlerSettings,
        handler: Arc<dyn Handler>,
    ) -> Self {
        Self { name, kind: settings.kind_name, start: settings.start, handler }
    }
}

/// A handler whose task runs, or is paused.
struct Place {
    built: Built,
    /// `None` = paused.
    task: Option<Task>,
}

/// What a running task is held by.
struct Task {
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Every configured handler.
pub(super) struct Handlers {
    queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    /// Held while handlers are started or ended, which waits: two reloads must not mix.
    places: Mutex<BTreeMap<HandlerName, Place>>,
    /// What `places` looks like from outside, for those who cannot wait.
    shown: std::sync::Mutex<Vec<HandlerControl>>,
    /// Remembers who is paused.
    paused: Paused,
    /// Set by a task that finds the queue poisoned.
    poisoned: CancellationToken,
}

impl Handlers {
    pub(super) fn new(
        queue: Arc<dyn Queue>,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
        paused: PathBuf,
    ) -> Self {
        Self {
            queue,
            clock,
            metrics,
            places: Mutex::default(),
            shown: std::sync::Mutex::default(),
            paused: Paused(paused),
            poisoned: CancellationToken::new(),
        }
    }
}

impl Handlers {
    /// Starts every handler that is not paused.
    pub(super) async fn start_all(&self, built: Vec<Built>) -> Result<(), AppError> {
        let paused = self.paused.read();
        let mut places = self.places.lock().await;
        for built in built {
            let name = built.name.clone();
            let task = if paused.contains(name.as_str()) {
                info!(handler.name = %name, "Handler is paused");
                // Its place is made all the same: what comes in meanwhile waits for it.
                self.subscribe(&built).await?;
                None
            } else {
                Some(self.start(&built).await?)
            };
            places.insert(name, Place { built, task });
        }
        self.show(&places);
        Ok(())
    }

    /// Puts `built` in place of the handlers that were. What is under way is finished first.
    pub(super) async fn replace_all(&self, built: Vec<Built>) -> Result<(), AppError> {
        self.stop_all(REPLACE_TIMEOUT).await;
        self.start_all(built).await
    }

    /// Ends every task. Deliveries that do not end in time come back at the next start.
    pub(super) async fn stop_all(&self, timeout: Duration) {
        let places = std::mem::take(&mut *self.places.lock().await);
        let ends = places.into_values().map(|place| place.end(timeout));
        futures_util::future::join_all(ends).await;
    }

    /// Stops giving deliveries to a handler, or starts again. `false` = it is as it was.
    pub(super) async fn set_running(
        &self,
        handler: &HandlerName,
        run: Run,
    ) -> Result<bool, ApiError> {
        let mut places = self.places.lock().await;
        let Some(place) = places.get_mut(handler) else {
            return Err(ApiError::NotFound(format!("handler `{handler}` is not configured")));
        };
        match (run, place.task.take()) {
            (Run::Pause, Some(task)) => {
                // Remembered first: a restart in between must not resume it.
                self.paused.change(handler, run)?;
                task.end(handler, REPLACE_TIMEOUT).await;
            }
            (Run::Resume, None) => {
                let started = self.start(&place.built).await;
                place.task = Some(started.map_err(|err| ApiError::Conflict(chain(&err)))?);
                self.paused.change(handler, run)?;
            }
            (Run::Pause, None) => return Ok(false),
            (Run::Resume, Some(task)) => {
                place.task = Some(task);
                return Ok(false);
            }
        }
        info!(handler.name = %handler, ?run, "Handler changed");
        self.show(&places);
        Ok(true)
    }

    /// Every handler and how it stands.
    pub(super) fn list(&self) -> Vec<HandlerControl> {
        self.shown().clone()
    }

    /// Waits until a task finds that the queue can do nothing any more.
    pub(super) async fn poisoned(&self) {
        self.poisoned.cancelled().await;
    }

    async fn subscribe(&self, built: &Built) -> Result<Box<dyn Subscription>, AppError> {
        let subscribed = self.queue.subscribe(&built.name, built.start).await;
        subscribed.map_err(|err| AppError::Subscribe(built.name.clone(), err))
    }

    async fn start(&self, built: &Built) -> Result<Task, AppError> {
        let subscription = self.subscribe(built).await?;
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let (name, handler) = (built.name.clone(), Arc::clone(&built.handler));
        let (until, poisoned) = (stop.clone(), self.poisoned.clone());
        tasks.spawn(async move {
            match interim(&*subscription, &*handler, until).await {
                Ok(()) => {}
                Err(QueueError::Poisoned) => poisoned.cancel(),
                Err(err) => error!(handler.name = %name, error = %err, "Deliveries ended"),
            }
        });
        tasks.close();
        Ok(Task { stop, tasks })
    }

    fn show(&self, places: &BTreeMap<HandlerName, Place>) {
        *self.shown() = places.values().map(Place::show).collect();
    }

    fn shown(&self) -> std::sync::MutexGuard<'_, Vec<HandlerControl>> {
        // A panic elsewhere leaves the list whole: it is only ever replaced.
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long what is under way may take before a handler is replaced or paused.
const REPLACE_TIMEOUT: Duration = Duration::from_secs(30);

async fn interim(
    subscription: &dyn Subscription,
    handler: &dyn Handler,
    stop: CancellationToken,
) -> Result<(), QueueError> {
    loop {
        let deliveries = tokio::select! {
            deliveries = subscription.next(1) => deliveries?,
            () = stop.cancelled() => return Ok(()),
        };
        if handler.handle(&deliveries).await.is_ok() {
            for delivery in deliveries {
                let outcome = crate::event::Outcome::Delivered;
                let settled = crate::event::Settled { outcome, attempt: None };
                subscription.settle(delivery, settled).await?;
            }
        }
    }
}

impl Place {
    fn show(&self) -> HandlerControl {
        let state = if self.task.is_some() { "running" } else { "paused" };
        HandlerControl {
            name: self.built.name.clone(),
            kind: self.built.kind,
            state: state.to_owned(),
        }
    }

    async fn end(self, timeout: Duration) {
        if let Some(task) = self.task {
            task.end(&self.built.name, timeout).await;
        }
        if tokio::time::timeout(HANDLER_CLOSE_TIMEOUT, self.built.handler.close()).await.is_err() {
            warn!(handler.name = %self.built.name, "Handler took too long to close");
        }
    }
}

/// How long a handler may take to end what it keeps running.
const HANDLER_CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

impl Task {
    async fn end(self, handler: &HandlerName, timeout: Duration) {
        self.stop.cancel();
        if tokio::time::timeout(timeout, self.tasks.wait()).await.is_err() {
            warn!(handler.name = %handler, "Deliveries under way took too long; they come back");
        }
    }
}

/// The names of paused handlers in a file, one a line: a restart does not resume them.
struct Paused(PathBuf);

impl Paused {
    fn read(&self) -> BTreeSet<String> {
        match std::fs::read_to_string(&self.0) {
            Ok(text) => text.lines().map(str::to_owned).collect(),
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => BTreeSet::new(),
            Err(err) => {
                warn!(error = %err, "The list of paused handlers cannot be read");
                BTreeSet::new()
            }
        }
    }

    fn change(&self, handler: &HandlerName, run: Run) -> Result<(), ApiError> {
        let mut names = self.read();
        match run {
            Run::Pause => names.insert(handler.to_string()),
            Run::Resume => names.remove(handler.as_str()),
        };
        let text: String = names.iter().flat_map(|name| [name, "\n"]).collect();
        self.write(&text).map_err(|err| {
            let path = self.0.display();
            ApiError::Conflict(format!("`{path}` cannot be written: {err}"))
        })
    }

    /// All of the new list or all of the old one, whatever happens in between.
    fn write(&self, text: &str) -> std::io::Result<()> {
        let staging = self.0.with_extension("new");
        std::fs::write(&staging, text)?;
        std::fs::rename(&staging, &self.0)
    }
}
