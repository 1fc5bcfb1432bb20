//! What the admin side can ask and change, as plain values: one set of answers for the admin
//! listener, the admin socket and the command line, with or without a running server.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;

use crate::clock::{Clock, Timestamp};
use crate::event::{Event, EventId, HandlerName, NewEvent, Position};
use crate::ingest::{Accepted, Ingest, Refused};
use crate::queue::{Appended, DeadFilter, EventQuery, ListOrder, Queue, QueueError, QueueStats};
use crate::source::Source;

mod ask;
mod export;
mod figures;
mod rejected;
mod replay;
mod view;

pub use ask::{DeadAsk, EventsAsk, ExportAsk, RejectedAsk, ReplayAsk};
pub use export::{Exact, ExportError, ExportedEvent};
pub use figures::figures;
pub use rejected::{ExplainView, RejectedView};
pub use replay::{ReplayRange, Replayed};
pub use view::{
    AttemptView, DeadEntry, DeadView, DeliveryView, EventDetail, EventSummary, HandlerView,
    LastErrorView, LostView, QueueView, SecretView, SourceView, StatusView,
};

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// The question makes no sense.
    #[error("{0}")]
    Bad(String),
    /// It contradicts what is there.
    #[error("{0}")]
    Conflict(String),
    /// The queue cannot do it.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// What only the running server can do: the owner of tasks implements it.
#[async_trait]
pub trait Control: Send + Sync {
    /// The configured sources.
    fn sources(&self) -> Vec<SourceView>;

    /// The configured handlers and how they stand, without the queue's figures.
    fn handlers(&self) -> Vec<HandlerControl>;

    /// Stops giving deliveries to a handler, or starts again. `false` = it is as it was.
    async fn set_running(&self, handler: &HandlerName, run: Run) -> Result<bool, ApiError>;

    /// Reads the configuration again; a bad one changes nothing.
    async fn reload(&self) -> Result<Reloaded, ApiError>;

    /// What is wrong with what runs, one line each; empty = nothing.
    fn problems(&self) -> Vec<String>;

    /// What [`Control::reload`] would change.
    fn changes(&self) -> Result<Reloaded, ApiError>;

    /// Gives the store's unused space back.
    async fn compact(&self) -> Result<(), ApiError>;

    /// When the server started.
    fn started_at(&self) -> Timestamp;
}

/// Whether a handler gets deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// It gets none; what comes in waits.
    Pause,
    /// It gets them.
    Resume,
}

/// What a reload did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Reloaded {
    /// What is different, one line each.
    pub changes: Vec<String>,
    /// Warnings about the configuration, one each.
    pub warnings: Vec<String>,
}

/// A configured handler as its task sees it.
#[derive(Clone, Debug)]
pub struct HandlerControl {
    /// Its name.
    pub name: HandlerName,
    /// Its kind: `email`, `sql`, …
    pub kind: &'static str,
    /// `running`, `paused`, `down` (its calls fail), `failed` (it could not be started, and is tried
    /// again), `finishing` (another takes its place soon), `disabled` or `stopped`.
    pub state: &'static str,
    /// Why it is `failed`.
    pub reason: Option<String>,
    /// Calls that are under way.
    pub in_flight: usize,
    /// The newest failure since the start.
    pub last_error: Option<LastErrorView>,
    /// When the newest delivery since the start was made.
    pub last_success_at: Option<Timestamp>,
}

impl HandlerControl {
    /// One that does nothing, and of which nothing is known.
    pub fn idle(name: HandlerName, kind: &'static str, state: &'static str) -> Self {
        let (in_flight, last_error, last_success_at) = (0, None, None);
        Self { name, kind, state, reason: None, in_flight, last_error, last_success_at }
    }
}

/// The admin side of one queue, and of the server around it where one runs.
#[derive(Clone)]
pub struct Api {
    queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    server: Option<Server>,
}

#[derive(Clone)]
struct Server {
    ingest: Arc<Ingest>,
    control: Arc<dyn Control>,
}

impl Api {
    /// The admin side of a queue that no server holds: reading and repairing only.
    pub fn offline(queue: Arc<dyn Queue>, clock: Arc<dyn Clock>) -> Self {
        Self { queue, clock, server: None }
    }

    /// The admin side of a running server.
    pub fn online(
        queue: Arc<dyn Queue>,
        clock: Arc<dyn Clock>,
        ingest: Arc<Ingest>,
        control: Arc<dyn Control>,
    ) -> Self {
        Self { queue, clock, server: Some(Server { ingest, control }) }
    }

    /// The queue's figures.
    pub fn stats(&self) -> QueueStats {
        self.queue.stats()
    }

    /// How everything stands.
    pub fn status(&self) -> StatusView {
        let stats = self.queue.stats();
        let now = self.clock.now();
        let started_at = self.server.as_ref().map(|server| server.control.started_at());
        StatusView {
            version: env!("CARGO_PKG_VERSION"),
            running: self.server.is_some(),
            started_at,
            queue: QueueView::new(&stats),
            sources: self.sources(),
            handlers: self.handlers_in(&stats, now),
            rejected: self.server.as_ref().map_or(0, |server| server.ingest.rejected().len()),
            refused: self
                .server
                .as_ref()
                .map(|server| server.ingest.refused().list())
                .unwrap_or_default(),
        }
    }

    /// The configured sources; none without a server.
    pub fn sources(&self) -> Vec<SourceView> {
        self.server.as_ref().map(|server| server.control.sources()).unwrap_or_default()
    }

    /// Every handler that is configured or has a place in the log.
    pub fn handlers(&self) -> Vec<HandlerView> {
        self.handlers_in(&self.queue.stats(), self.clock.now())
    }

    fn handlers_in(&self, stats: &QueueStats, now: Timestamp) -> Vec<HandlerView> {
        let configured = self.server.as_ref().map(|server| server.control.handlers());
        view::handlers(stats, configured, now)
    }

    /// Events as `query` asks for them.
    pub async fn events(&self, query: EventQuery) -> Result<Vec<EventSummary>, ApiError> {
        let events = self.queue.list(query).await?;
        Ok(events.iter().map(EventSummary::new).collect())
    }

    /// One event with all that is known of it.
    pub async fn event(&self, id: EventId) -> Result<EventDetail, ApiError> {
        let event = self.get(id).await?;
        let history = self.queue.history(event.position).await?;
        Ok(EventDetail::new(&event, history))
    }

    /// One event's body, byte for byte.
    pub async fn raw(&self, id: EventId) -> Result<bytes::Bytes, ApiError> {
        Ok(self.get(id).await?.body)
    }

    async fn get(&self, id: EventId) -> Result<Event, ApiError> {
        let event = self.queue.get(id).await?;
        event.ok_or_else(|| ApiError::NotFound(format!("no event `{id}` is retained")))
    }

    /// At most `limit` events behind the position `after`, with all that is needed to store them
    /// elsewhere.
    pub async fn export(
        &self,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<ExportedEvent>, ApiError> {
        let query = EventQuery {
            cursor: after,
            order: ListOrder::Oldest,
            limit: limit.clamp(1, EventQuery::LIMIT_MAX),
            ..EventQuery::default()
        };
        let events = self.queue.list(query).await?;
        Ok(events.iter().map(ExportedEvent::new).collect())
    }

    /// Stores events that were exported elsewhere; says how many were new. They get ids of their
    /// own; the same one again is a duplicate.
    pub async fn import(&self, events: Vec<ExportedEvent>) -> Result<u64, ApiError> {
        let events: Result<Vec<NewEvent>, _> =
            events.into_iter().map(ExportedEvent::into_event).collect();
        let mut n_stored = 0;
        for event in events.map_err(|err| ApiError::Bad(err.to_string()))? {
            match self.queue.append(event).await? {
                Appended::Stored(_) => n_stored += 1,
                Appended::Duplicate(_) => {}
            }
        }
        Ok(n_stored)
    }

    /// Dead letters that match, oldest first.
    /// Behind them what is lost: deliveries whose events cannot be read.
    pub async fn dead(&self, filter: DeadFilter) -> Result<Vec<DeadEntry>, ApiError> {
        let dead = self.queue.dead(filter.clone()).await?;
        let lost = self.queue.lost(filter).await?.into_iter().map(LostView::new);
        let letters = dead.iter().map(DeadView::new).map(DeadEntry::Letter);
        Ok(letters.chain(lost.map(DeadEntry::Lost)).collect())
    }

    /// Makes dead letters due again; says how many.
    pub async fn redrive(&self, filter: DeadFilter) -> Result<u64, ApiError> {
        Ok(self.queue.redrive(filter).await?)
    }

    /// Gives dead letters up for good; says how many.
    pub async fn drop_dead(&self, filter: DeadFilter) -> Result<u64, ApiError> {
        Ok(self.queue.drop_dead(filter).await?)
    }

    /// The place of the event `id` in the log, for a [`DeadFilter`].
    pub async fn position(&self, id: EventId) -> Result<Position, ApiError> {
        Ok(self.get(id).await?.position)
    }

    /// Rejected requests, newest first.
    pub fn rejected(&self, limit: usize) -> Result<Vec<RejectedView>, ApiError> {
        Ok(RejectedView::list(self.server()?.ingest.rejected(), limit))
    }

    /// One rejected request, with headers and body.
    pub fn rejected_one(&self, number: u64) -> Result<RejectedView, ApiError> {
        RejectedView::one(self.server()?.ingest.rejected(), number)
    }

    /// Why one request was rejected, in words an owner understands.
    pub async fn explain(&self, number: u64) -> Result<ExplainView, ApiError> {
        let ingest = Arc::clone(&self.server()?.ingest);
        // Hundreds of ways to sign are tried on what may be some megabytes.
        let explaining = tokio::task::spawn_blocking(move || {
            let doors = ingest.doors();
            let sources: Vec<&Source> = doors.iter().map(|door| door.source()).collect();
            ExplainView::new(ingest.rejected(), &sources, number)
        });
        explaining
            .await
            .unwrap_or_else(|err| Err(ApiError::Bad(format!("explaining failed: {err}"))))
    }

    /// Verifies a rejected request again as of the time it was received, and stores it if it
    /// passes.
    pub async fn release(&self, number: u64) -> Result<EventId, ApiError> {
        let released = self.server()?.ingest.release(number).await;
        match released.ok_or_else(|| rejected::gone(number))? {
            Ok(
                Accepted::Stored(appended)
                | Accepted::StoredWith(appended, _)
                | Accepted::StoredAll { first: appended, .. },
            ) => Ok(appended.id()),
            Ok(Accepted::Handshake(_) | Accepted::Probe) => {
                Err(ApiError::Bad("it is a question, which is answered and not stored".into()))
            }
            Err(Refused::Rejected) => {
                Err(ApiError::Conflict(format!("request {number} still fails verification")))
            }
            Err(Refused::RateLimited { retry_after } | Refused::Unavailable { retry_after }) => {
                let text = format!("try again in {} s", retry_after.as_secs().max(1));
                Err(ApiError::Conflict(text))
            }
        }
    }

    /// Stops giving deliveries to a handler, or starts again.
    pub async fn set_running(&self, handler: &HandlerName, run: Run) -> Result<bool, ApiError> {
        self.server()?.control.set_running(handler, run).await
    }

    /// Removes the place of a handler that is no longer configured.
    pub async fn forget(&self, handler: &HandlerName) -> Result<(), ApiError> {
        match self.queue.forget(handler).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(no_handler(handler)),
            Err(QueueError::Busy(name)) => {
                let text = format!(
                    "handler `{name}` is configured: remove [handler.{name}] and reload first"
                );
                Err(ApiError::Conflict(text))
            }
            Err(err) => Err(err.into()),
        }
    }

    /// Reads the configuration again.
    pub async fn reload(&self) -> Result<Reloaded, ApiError> {
        self.server()?.control.reload().await
    }

    /// What is not as it should be, one line each: the store takes no durable write, the journal is
    /// damaged, or a handler could not be started.
    pub async fn unready(&self) -> Vec<String> {
        let mut problems = match &self.server {
            Some(server) => server.control.problems(),
            None => Vec::new(),
        };
        match tokio::time::timeout(PROBE_TIMEOUT, self.queue.probe()).await {
            Ok(Ok(())) => {}
            Ok(Err(err)) => problems.push(err.to_string()),
            Err(_elapsed) => problems.push("the store does not answer".into()),
        }
        problems.extend(self.queue.stats().damage);
        problems
    }

    /// What a reload would change, one line each.
    pub fn changes(&self) -> Result<Reloaded, ApiError> {
        self.server()?.control.changes()
    }

    /// Gives the store's unused space back.
    pub async fn compact(&self) -> Result<QueueStats, ApiError> {
        self.server()?.control.compact().await?;
        Ok(self.stats())
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

/// `err` and its causes in one line.
pub fn chain(err: &dyn std::error::Error) -> String {
    let mut text = err.to_string();
    let mut cause = err.source();
    while let Some(err) = cause {
        let own = err.to_string();
        // Some errors say their cause in their own text as well.
        if !text.ends_with(&own) {
            text.push_str(": ");
            text.push_str(&own);
        }
        cause = err.source();
    }
    text
}
