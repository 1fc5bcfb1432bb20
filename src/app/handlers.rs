//! The handlers' tasks: one each, started, paused, replaced and ended here.
//!
//! A handler that cannot be built or started is no reason for the others not to run: it is
//! `failed`, its place in the log is held so that what comes in waits for it, and it is tried again
//! every minute and with each reload.
//!
//! A handler that a reload replaces takes nothing new and ends with its calls, each within its own
//! `timeout`. That may take long, so the reload does not wait for it: the next one begins when it
//! is done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info};

use crate::api::{HandlerControl, Run, error_chain};
use crate::config::Config;
use crate::deliver::{Attempts, Context, Deliverer, FailureLog, SystemEvents};
use crate::event::HandlerName;
use crate::queue::Subscription;
use crate::sync::lock;

use super::core::Core;
use super::error::AppError;
use super::handler_records::HandlerRecords;
use super::pauses::Pauses;
use super::system_events::SystemSource;

mod disabled;
mod health;
mod place;
mod steer;
mod stop;

pub(super) use place::{BuildInputs, BuiltHandler, Condition};
use place::{Failed, Place, Running};

pub(super) struct Handlers {
    core: Core,
    attempts: Arc<Attempts>,
    system_events: Arc<SystemSource>,
    /// Held while handlers are started or ended, which waits: two reloads must not mix.
    changing: tokio::sync::Mutex<()>,
    /// Once it is cancelled nothing is waited for with the lock held, and no handler is started any more: a reload may
    /// still be under way.
    stopped: CancellationToken,
    places: Mutex<BTreeMap<HandlerName, Place>>,
    /// Those who wait for handlers that finish.
    finishers: TaskTracker,
    /// Remembers who is paused.
    pauses: Pauses,
    /// Remembers how each did until the process before ended.
    records: HandlerRecords,
}

impl Handlers {
    pub(super) fn new(
        core: Core,
        attempts: Attempts,
        system_events: Arc<SystemSource>,
        pauses: Pauses,
        records: HandlerRecords,
    ) -> Self {
        Self {
            core,
            attempts: Arc::new(attempts),
            system_events,
            changing: tokio::sync::Mutex::default(),
            stopped: CancellationToken::new(),
            places: Mutex::default(),
            finishers: TaskTracker::new(),
            pauses,
            records,
        }
    }

    /// Starts every handler; those that cannot be started are `failed`.
    pub(super) async fn start_all(&self, built: Vec<BuiltHandler>) {
        let _changing = self.changing.lock().await;
        self.start_each(built).await;
    }

    /// The handlers that run as `new` wants them, with the secrets that there are now.
    pub(super) fn unchanged_handlers(&self, new: &Config) -> BTreeSet<HandlerName> {
        let places = self.places();
        let stays = |name: &HandlerName, place: &Place| match place {
            Place::Running(running) => {
                new.handlers.get(name).is_some_and(|settings| settings.is_enabled)
                    && running.of == BuildInputs::now(new, name)
                    && !running.tasks.is_empty()
            }
            Place::Failed(_) | Place::Finishing { .. } => false,
        };
        let stay = places.iter().filter(|(name, place)| stays(name, place));
        stay.map(|(name, _)| name.clone()).collect()
    }

    /// The running handlers that `new` leaves as they are, but for a secret that is another one by now.
    pub(super) fn with_new_secrets(&self, new: &Config) -> Vec<HandlerName> {
        let is_changed = |name: &HandlerName, place: &Place| match place {
            Place::Running(running) => {
                new.handlers.contains_key(name)
                    && running.of.differs_by_secrets(&BuildInputs::now(new, name))
            }
            Place::Failed(_) | Place::Finishing { .. } => false,
        };
        let places = self.places();
        let changed = places.iter().filter(|(name, place)| is_changed(name, place));
        changed.map(|(name, _)| name.clone()).collect()
    }

    /// Why `built` should not take the place of what runs: one of them cannot be built, and is not
    /// known to be like that already.
    pub(super) fn objection(&self, built: &[BuiltHandler]) -> Option<String> {
        let failed = self.failed();
        built.iter().filter(|built| !failed.contains(&built.name)).find_map(|built| {
            let err = built.handler.as_ref().err()?;
            Some(format!("handler `{}` cannot be built: {}", built.name, error_chain(err)))
        })
    }

    /// Puts `built` in place of the handlers that were, except those that `stay`. What is under
    /// way is finished first. Says what could not be started or is still to come.
    pub(super) async fn replace(
        self: &Arc<Self>,
        built: Vec<BuiltHandler>,
        stay: &BTreeSet<HandlerName>,
    ) -> Vec<String> {
        let _changing = self.changing.lock().await;
        let mut next: BTreeMap<HandlerName, BuiltHandler> =
            built.into_iter().map(|built| (built.name.clone(), built)).collect();
        let finishing = self.finish_but(stay, &mut next);
        let soon = finishing
            .iter()
            .map(|(_, _, tasks)| tokio::time::timeout(REPLACE_TIMEOUT, tasks.wait()));
        tokio::select! {
            _ = futures_util::future::join_all(soon) => {}
            () = self.stopped.cancelled() => {}
        }
        let mut notes = Vec::new();
        for (name, is_awaited, tasks) in finishing {
            if tasks.is_empty() {
                self.start_next(&name).await;
                continue;
            }
            info!(handler.name = %name, "Handler finishes its calls before it is replaced");
            notes.push(format!("handler `{name}` finishes its calls first, each within `timeout`"));
            if !is_awaited {
                let handlers = Arc::clone(self);
                self.finishers.spawn(async move { handlers.await_end(name, tasks).await });
            }
        }
        self.start_each(next.into_values().collect()).await;
        notes.extend(self.problems());
        notes
    }

    /// Tells all but those that `stay` to finish; what takes their place is taken out of `next`.
    /// Gives their tasks, and whether a finisher awaits those already.
    fn finish_but(
        &self,
        stay: &BTreeSet<HandlerName>,
        next: &mut BTreeMap<HandlerName, BuiltHandler>,
    ) -> Vec<(HandlerName, bool, TaskTracker)> {
        let mut finishing = Vec::new();
        let mut places = self.places();
        for (name, place) in
            places.extract_if(.., |name, _| !stay.contains(name)).collect::<Vec<_>>()
        {
            let (running, is_awaited) = match place {
                // The one that is built now takes its subscription, and fails since then where it fails.
                Place::Failed(failed) => {
                    if next.contains_key(&name) {
                        places.insert(name, Place::Failed(failed));
                    }
                    continue;
                }
                Place::Running(running) => (running, false),
                Place::Finishing { running, .. } => (running, true),
            };
            running.control.finish();
            self.hand_over(&name, &running);
            finishing.push((name.clone(), is_awaited, running.tasks.clone()));
            let next = next.remove(&name).map(Box::new);
            places.insert(name, Place::Finishing { running, next });
        }
        finishing
    }

    /// Waits for a handler that finishes, and starts the one that takes its place.
    async fn await_end(&self, name: HandlerName, tasks: TaskTracker) {
        tasks.wait().await;
        let _changing = self.changing.lock().await;
        self.start_next(&name).await;
    }

    async fn start_next(&self, name: &HandlerName) {
        let next = {
            let mut places = self.places();
            match places.remove(name) {
                Some(Place::Finishing { running, next }) if running.tasks.is_empty() => {
                    // What it delivered meanwhile.
                    self.hand_over(name, &running);
                    next
                }
                Some(other) => {
                    places.insert(name.clone(), other);
                    None
                }
                None => None,
            }
        };
        if let Some(next) = next {
            self.start_each(vec![*next]).await;
        }
    }

    /// Tries those of `built` again that could not be started.
    pub(super) async fn retry(&self, built: Vec<BuiltHandler>) {
        let _changing = self.changing.lock().await;
        let failed = self.failed();
        let again: Vec<BuiltHandler> =
            built.into_iter().filter(|built| failed.contains(&built.name)).collect();
        self.start_each(again).await;
    }

    /// Those that could not be started.
    pub(super) fn failed(&self) -> BTreeSet<HandlerName> {
        let places = self.places();
        let failed = places.iter().filter(|(_, place)| matches!(place, Place::Failed(_)));
        failed.map(|(name, _)| name.clone()).collect()
    }

    async fn start_each(&self, built: Vec<BuiltHandler>) {
        for built in built {
            if self.stopped.is_cancelled() {
                return;
            }
            let name = built.name.clone();
            let run = if self.pauses.of(&name).is_some() { Run::Pause } else { Run::Resume };
            let before = match self.places().remove(&name) {
                Some(Place::Failed(failed)) => Some(failed),
                Some(Place::Running(_) | Place::Finishing { .. }) | None => None,
            };
            let place = self.start(built, run, before).await;
            drop(self.places().insert(name, place));
        }
    }

    pub(super) fn list(&self) -> Vec<HandlerControl> {
        let clock = &*self.core.clock;
        let show = |(name, place): (&HandlerName, &Place)| HandlerControl {
            pause: self.pauses.of(name),
            ..place.show(name, clock)
        };
        self.places().iter().map(show).collect()
    }

    /// What is wrong with a handler's task, one line each.
    pub(super) fn problems(&self) -> Vec<String> {
        let problem = |(name, place): (&HandlerName, &Place)| match place {
            Place::Running(running) if running.tasks.is_empty() => {
                Some(format!("the deliveries of handler `{name}` have ended"))
            }
            Place::Running(_) | Place::Finishing { .. } => None,
            Place::Failed(Failed { why, .. }) => {
                // Mostly it names the handler, and says what cannot be done.
                let is_named = why.starts_with(&format!("handler `{name}` cannot "));
                let what =
                    if is_named { "" } else { &format!("handler `{name}` is not running: ") };
                Some(format!("{what}{why}; it is tried again every minute"))
            }
        };
        self.places().iter().filter_map(problem).collect()
    }

    /// The handlers whose loops do not go round within `limit`.
    pub(super) async fn stuck(&self, limit: Duration) -> Vec<HandlerName> {
        let controls: Vec<_> = {
            let places = self.places();
            let running = places.iter().filter_map(|(name, place)| match place {
                Place::Running(running) => Some((name.clone(), running.control.clone())),
                // One that finishes ends with its calls, each within its own `timeout`.
                Place::Finishing { .. } | Place::Failed(_) => None,
            });
            running.collect()
        };
        let rounds = controls.into_iter().map(|(name, control)| async move {
            tokio::time::timeout(limit, control.go_round()).await.is_err().then_some(name)
        });
        futures_util::future::join_all(rounds).await.into_iter().flatten().collect()
    }

    async fn start(&self, built: BuiltHandler, run: Run, before: Option<Failed>) -> Place {
        let since = before.as_ref().map_or(self.core.clock.now(), |failed| failed.since);
        let was_told = before.is_some();
        let (kind, name) = (built.kind, built.name.clone());
        let fail = |err: &AppError, subscription| {
            let why = error_chain(err);
            if !was_told {
                error!(handler.name = %name, error = %why, "Handler could not be started");
            }
            Place::Failed(Failed { kind, why, since, subscription })
        };
        let held = before.and_then(|failed| failed.subscription);
        let subscription = match held {
            Some(subscription) => subscription,
            None => match self.core.queue.subscribe(&built.name, built.start).await {
                Ok(subscription) => subscription,
                Err(err) => return fail(&AppError::Subscribe(built.name, err), None),
            },
        };
        match built.handler {
            Err(err) => fail(&AppError::Handler(built.name, err), Some(subscription)),
            Ok(ref handler) => {
                let handler = Arc::clone(handler);
                let context = Context {
                    name: built.name.clone(),
                    policy: built.policy,
                    handler,
                    clock: Arc::clone(&self.core.clock),
                    metrics: self.core.metrics.handler(&built.name),
                    attempts: Arc::clone(&self.attempts),
                    system_events: Arc::clone(&self.system_events) as Arc<dyn SystemEvents>,
                    traces: self.core.traces.clone(),
                    seed: rand::random(),
                    log: FailureLog::default(),
                };
                Place::Running(self.run(context, kind, built.of, subscription, run))
            }
        }
    }

    fn run(
        &self,
        context: Context,
        kind: &'static str,
        of: BuildInputs,
        subscription: Box<dyn Subscription>,
        run: Run,
    ) -> Running {
        let name = context.name.clone();
        let concurrency = context.policy.concurrency.get();
        let (deliverer, control) =
            Deliverer::new(context, subscription, Arc::clone(&self.core.queue));
        if let Some(record) = self.records.take(&name) {
            control.recall(record, &*self.core.clock);
        }
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
        Running { kind, concurrency, of, control, stop, tasks }
    }

    fn places(&self) -> MutexGuard<'_, BTreeMap<HandlerName, Place>> {
        // A panic elsewhere leaves the map whole.
        lock(&self.places)
    }
}

/// How long a reload waits for what is under way: most calls end in less, and what takes longer
/// is waited for behind it.
const REPLACE_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
