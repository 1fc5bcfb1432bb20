//! What the admin side can ask and change, as plain values: one set of answers for the admin
//! listener, the admin socket and the command line, with or without a running server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, Timestamp};
use crate::cluster::ClusterView;
use crate::deliver::Policy;
use crate::event::{HandlerName, Position, SourceName};
use crate::ingest::Ingest;
use crate::queue::{Backlog, Queue, QueueError, QueueStats};
use crate::source::SourceCredentials;
use crate::text::{count, up_to};

mod acted_on;
mod actions;
mod ask;
mod control;
mod dead;
mod dead_ask;
mod dead_list;
mod detail;
mod edited;
mod events;
mod export;
mod figures;
mod find;
mod fixture;
mod handler_control;
mod lately;
mod node_reports;
mod pause;
mod picked;
mod rates;
mod redriven;
mod refused;
mod rejected;
mod replay;
mod replay_event;
mod rollouts;
mod search;
mod surroundings;
mod transfer;
mod type_count;
mod unasked;
mod values;
mod view;
mod waits;
mod wants;

pub use crate::text::error_chain;
pub use acted_on::{ActedOn, ActionList, ListName};
pub use actions::{ACTIONS_MAX, ActionView, Actions, ActionsAsk, Actor, ListedActions};
pub use ask::{EventsAsk, ExportAsk, RejectedAsk, ReplayAsk};
pub use control::{Control, Forgotten, Reloaded, Retried, Run, RunChanged, StoredEvent};
pub use dead::{Changed, DeadGroup, DeadGroups, GROUPED_MAX, WINDOWS, is_zero, normalised};
pub use dead_ask::{DeadAsk, DeadSelection, GroupBy, RolloutAsk};
pub use dead_list::{ChosenAsk, ChosenDead, ListedDead, OldestTypes};
pub use detail::{HandlerDetail, NextTry, PlanAsk, ReasonCount, SourceDetail, TakenType};
pub use edited::{EditAsk, EditView, Edited, editable};
pub use events::{EventEntry, EventRow, ListedEvents, SenderSecrets};
pub use export::{Exact, ExportError, ExportedEvent, ExportedState};
pub use figures::figures;
pub use find::{FoundEvents, ROW_BODY_MAX, SEARCH_TIME};
pub use fixture::{FIXTURE_END, Fixture};
pub use handler_control::{HandlerControl, HandlerStatus};
pub use lately::Lately;
pub use node_reports::{
    ClusterAnswer, NodeReport, NodeReportView, ReportedHandler, ReportedRefused, ReportedRejected,
};
pub use pause::{PauseAsk, PauseView};
pub use rates::{HandlerRates, LatencyView, LevelsView, RatesView, Series, SourceRates};
pub use redriven::Redriven;
pub use rejected::{ExplainView, ListedRejected, RejectedView, ReleaseAsk};
pub use replay::{ReplayRange, Replayed, Skips};
pub use replay_event::ReplayedEvent;
pub use rollouts::{
    LetGo, LetGoResult, ROLLOUT_STAGES, RolloutAnswer, RolloutRequest, RolloutStage, RolloutState,
    RolloutStep, RolloutView, Rollouts,
};
pub use search::{moment, state, unknown_qualifiers};
pub use surroundings::{ConfigView, KeyOrigin, Surroundings, TestView};
pub use transfer::{ImportView, OtherId};
pub use type_count::TypeCount;
pub use unasked::Unasked;
pub use view::{
    ArrivalView, AttemptView, DeadEntry, DeliveryView, EventDetail, EventSummary, GatewayCounts,
    GatewayState, HandlerView, LostView, QueueView, ReportedBy, ReportedSource, SecretView,
    SourceTrouble, SourceView, StatusView, WaitReason, WaitView,
};
pub use waits::TRY_ON_TIME;
pub use wants::{EventLine, PlanView, SeenValue, WantsView, Wish};

use acted_on::ActionTarget;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Bad(String),
    /// It contradicts what is there.
    #[error("{0}")]
    Conflict(String),
    /// It is longer than what is taken.
    #[error("{0}")]
    TooLarge(String),
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// The admin side of one queue, and of the server around it where one runs.
#[derive(Clone)]
pub struct Api {
    queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    server: Option<Server>,
    /// What is hidden of events while no server knows the sources.
    credentials: Arc<SourceCredentials>,
    /// What handlers want while no server knows them.
    policies: Arc<BTreeMap<HandlerName, Policy>>,
    /// Who asks, for the action log.
    actor: Actor,
}

#[derive(Clone)]
struct Server {
    ingest: Arc<Ingest>,
    control: Arc<dyn Control>,
    actions: Arc<Actions>,
    rollouts: Arc<Rollouts>,
    redrives: Arc<redriven::Redrives>,
    dead_lately: Arc<lately::DeadLately>,
}

impl Api {
    /// The admin side of a queue that no server holds: reading and repairing only.
    pub fn offline(queue: Arc<dyn Queue>, clock: Arc<dyn Clock>) -> Self {
        let (credentials, policies) = (Arc::default(), Arc::default());
        Self { queue, clock, server: None, credentials, policies, actor: Actor::CommandLine }
    }

    /// The same, which knows what handlers want.
    #[must_use]
    pub fn judging(self, policies: BTreeMap<HandlerName, Policy>) -> Self {
        Self { policies: Arc::new(policies), ..self }
    }

    /// The same, which shows nothing of what `credentials` say.
    #[must_use]
    pub fn hiding(self, credentials: SourceCredentials) -> Self {
        Self { credentials: Arc::new(credentials), ..self }
    }

    /// Where the passwords of each source stand, by the configuration in force.
    fn credentials(&self) -> Arc<SourceCredentials> {
        let Some(server) = &self.server else { return Arc::clone(&self.credentials) };
        let endpoints = server.ingest.endpoints();
        let sources = endpoints.iter().map(|endpoint| endpoint.source());
        Arc::new(sources.map(|one| (one.name().clone(), one.credentials().clone())).collect())
    }

    /// The admin side of a running server.
    pub fn online(
        queue: Arc<dyn Queue>,
        clock: Arc<dyn Clock>,
        ingest: Arc<Ingest>,
        control: Arc<dyn Control>,
        actions: Actions,
        rollouts: Rollouts,
    ) -> Self {
        let (actions, rollouts) = (Arc::new(actions), Arc::new(rollouts));
        let (redrives, dead_lately) = (Arc::default(), Arc::default());
        let server = Server { ingest, control, actions, rollouts, redrives, dead_lately };
        Self { server: Some(server), ..Self::offline(queue, clock) }
    }

    /// The same on behalf of `actor`, for the action log.
    #[must_use]
    pub fn by(&self, actor: Actor) -> Self {
        Self { actor, ..self.clone() }
    }

    /// The present moment, as ages are counted from.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The configuration in force, and the machine it runs on.
    pub fn surroundings(&self) -> Result<Surroundings, ApiError> {
        Ok(self.server()?.control.surroundings())
    }

    /// The same with what the file leaves open.
    pub fn config(&self) -> Result<ConfigView, ApiError> {
        let defaults = self.server()?.control.defaults();
        Ok(ConfigView { around: self.surroundings()?, defaults })
    }

    /// Sends a signed sample to a source, by the public listener.
    pub async fn send_test(
        &self,
        source: &SourceName,
        event_type: &str,
    ) -> Result<TestView, ApiError> {
        let sent = self.server()?.control.send_test(source, event_type).await;
        let event = sent.as_ref().ok().and_then(|sent| sent.id);
        let about = ActedOn { event, source: Some(source.clone()), ..ActedOn::default() };
        let target = ActionTarget::new(format!("{source} {event_type}"), about);
        self.note("send test", target, &sent, |sent| format!("answered {}", sent.status));
        sent
    }

    pub fn stats(&self) -> QueueStats {
        self.queue.stats()
    }

    /// The newest position.
    pub fn newest(&self) -> Position {
        self.queue.newest()
    }

    pub fn status(&self) -> StatusView {
        let stats = self.queue.stats();
        let (now, server) = (self.clock.now(), self.server.as_ref());
        let started_at = server.map(|server| server.control.started_at());
        let sources = self.own_sources();
        let mut answer = StatusView {
            refused: self.refused(&sources),
            version: env!("CARGO_PKG_VERSION").into(),
            running: self.server.is_some(),
            started_at,
            queue: QueueView::new(&stats),
            problems: self.problems(&stats),
            sources,
            handlers: self.handlers_in(&stats, now),
            rejected: server.map_or(0, |server| server.ingest.rejected().len()),
            proxies: server.map(|server| server.ingest.proxies().list()).unwrap_or_default(),
            standby: server.and_then(|server| server.control.standby()),
            cluster: self.cluster(),
            gateways: Vec::new(),
        };
        self.add_reports(&mut answer);
        answer
    }

    /// How the cluster stands; `None` = the queue is this machine's alone, or no server runs.
    pub fn cluster(&self) -> Option<ClusterView> {
        self.server.as_ref().and_then(|server| server.control.cluster())
    }

    /// Every handler that is configured or has a place in the log.
    pub fn handlers(&self) -> Vec<HandlerView> {
        self.handlers_in(&self.queue.stats(), self.clock.now())
    }

    /// The same as this gateway knows of them.
    fn own_handlers(&self) -> Vec<HandlerView> {
        let configured = self.server.as_ref().map(|server| server.control.handlers());
        view::handlers(&self.queue.stats(), configured, self.clock.now())
    }

    fn handlers_in(&self, stats: &QueueStats, now: Timestamp) -> Vec<HandlerView> {
        let configured = self.server.as_ref().map(|server| server.control.handlers());
        let mut handlers = view::handlers(stats, configured, now);
        self.apply_reports(&mut handlers);
        for handler in &mut handlers {
            handler.condition = handler.state_shown().into();
            if handler.waiting > 0 {
                let next = self.queue.next_tries(&handler.name, 1).pop();
                handler.next_try_at = next.map(|(_, due)| self.next_try_at(due, handler.probe_at));
            }
        }
        handlers
    }

    /// Stops giving deliveries to a handler for a while, or until it is resumed. `false` = it is as it
    /// was.
    pub async fn pause(&self, handler: &HandlerName, ask: PauseAsk) -> Result<bool, ApiError> {
        let pause = ask.parse(self.clock.now(), self.actor)?;
        let until = pause.until.map(|until| format!(" until {until}")).unwrap_or_default();
        let reason = pause.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let changed = self.server()?.control.pause(handler, pause).await;
        self.note("pause", ActionTarget::handler(handler), &changed, |changed| {
            if *changed { format!("done{until}{reason}") } else { "it was so already".to_owned() }
        });
        changed
    }

    /// Gives deliveries to a handler again. `false` = it got them already.
    pub async fn resume(&self, handler: &HandlerName) -> Result<bool, ApiError> {
        let changed = self.server()?.control.resume(handler).await;
        self.note("resume", ActionTarget::handler(handler), &changed, |changed| {
            if *changed { "done" } else { "it was so already" }.to_owned()
        });
        changed
    }

    /// Lets a handler be tried at once: with what finds it left alone, else with the retry that is due
    /// next.
    pub async fn retry_now(&self, handler: &HandlerName) -> Result<Retried, ApiError> {
        // Counted before: it may be done a moment later.
        let stats = self.queue.stats();
        let backlog = stats.handlers.iter().find(|(name, _)| name == handler);
        let backlog = backlog.map_or_else(Backlog::default, |(_, backlog)| *backlog);
        let (waiting, is_bound) =
            (backlog.in_log.saturating_add(backlog.waiting), backlog.in_log > 0);
        let retried = self.server()?.control.retry_now(handler).await;
        let retried = retried.map(|()| Retried { handler: handler.clone(), waiting, is_bound });
        self.note("try now", ActionTarget::handler(handler), &retried, |one| match one.waiting {
            0 => "nothing waits for it".to_owned(),
            waiting => format!("one of {} that wait", up_to(one.is_bound, count(waiting))),
        });
        retried
    }

    /// Removes the place of a handler that is no longer configured.
    pub async fn forget(&self, handler: &HandlerName) -> Result<(), ApiError> {
        let forgotten = match self.queue.forget(handler).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(no_handler(handler)),
            Err(QueueError::Busy(name)) => {
                let text = format!(
                    "handler `{name}` is configured: remove [handler.{name}] and reload first"
                );
                Err(ApiError::Conflict(text))
            }
            Err(err) => Err(err.into()),
        };
        self.note("forget", ActionTarget::handler(handler), &forgotten, |()| "done".to_owned());
        forgotten
    }

    pub async fn reload(&self) -> Result<Reloaded, ApiError> {
        let reloaded = self.server()?.control.reload().await;
        self.note("reload", "configuration".to_owned(), &reloaded, |reloaded| {
            match reloaded.changes.as_slice() {
                [] => "nothing changed".to_owned(),
                changes => changes.join("; "),
            }
        });
        reloaded
    }

    /// What is not as it should be, one line each: the store takes no durable write, the journal is
    /// damaged, or a handler could not be started.
    pub async fn unready(&self) -> Vec<String> {
        let stats = self.queue.stats();
        let mut problems = self.problems(&stats);
        match tokio::time::timeout(PROBE_TIMEOUT, self.queue.probe()).await {
            Ok(Err(err)) if stats.refuses.is_none() => problems.push(err.to_string()),
            // Why it takes nothing is said.
            Ok(Ok(()) | Err(_)) => {}
            Err(_elapsed) => problems.push("the store does not answer".into()),
        }
        problems.extend(stats.damage);
        problems
    }

    /// What is not as it should be, as far as that is known without a try.
    fn problems(&self, stats: &QueueStats) -> Vec<String> {
        let of_server = self.server.as_ref().map(|server| server.control.problems());
        stats.refuses.iter().cloned().chain(of_server.into_iter().flatten()).collect()
    }

    /// What a reload would change, one line each.
    pub fn changes(&self) -> Result<Reloaded, ApiError> {
        self.server()?.control.changes()
    }

    /// Gives the store's unused space back.
    pub async fn compact(&self) -> Result<QueueStats, ApiError> {
        let given = self.server()?.control.compact().await.map(|()| self.stats());
        self.note("compact", "the queue".to_owned(), &given, |_| "done".into());
        given
    }

    /// Writes what waits and lets go of a store that was opened for one question.
    pub async fn close(&self) -> Result<(), ApiError> {
        Ok(self.queue.close().await?)
    }

    fn server(&self) -> Result<&Server, ApiError> {
        self.server.as_ref().ok_or_else(|| ApiError::Conflict("no server is running".into()))
    }
}

/// How long the store may take for one durable write before it counts as broken.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

fn no_handler(name: &HandlerName) -> ApiError {
    ApiError::NotFound(format!("handler `{name}` has no place in the log"))
}
