//! What only the running server can do.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::event::{Event, EventId, HandlerName, SourceName};
use crate::settings::parse_duration;

use super::{
    Actor, ApiError, HandlerStatus, LastErrorView, RatesView, SourceView, Surroundings, TestView,
    WantsView,
};

/// What only the running server can do: the owner of tasks implements it.
#[async_trait]
pub trait Control: Send + Sync {
    /// The configured sources.
    fn sources(&self) -> Vec<SourceView>;

    /// The configured handlers and how they stand, without the queue's figures.
    fn handlers(&self) -> Vec<HandlerControl>;

    /// Stops giving deliveries to a handler, or gives it another end. `false` = it is as it was.
    async fn pause(&self, handler: &HandlerName, pause: PauseView) -> Result<bool, ApiError>;

    /// Gives deliveries to a handler again. `false` = it got them already.
    async fn resume(&self, handler: &HandlerName) -> Result<bool, ApiError>;

    /// Lets a handler be tried at once, whatever its breaker says and whenever its next try is due.
    async fn retry_now(&self, handler: &HandlerName) -> Result<(), ApiError>;

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

    /// What each configured handler says to an event, by today's configuration.
    fn wants(&self, event: &Arc<Event>) -> Vec<WantsView>;

    /// How often something happened with each source and handler.
    fn rates(&self) -> RatesView;

    /// The configuration as it is in force, and the machine that it runs on.
    fn surroundings(&self) -> Surroundings;

    /// Signs a sample of this type as the source's provider would, and sends it to the public
    /// listener. Gives the status that came back and the body.
    async fn send_test(&self, source: &SourceName, event_type: &str) -> Result<TestView, ApiError>;
}

/// Whether a handler gets deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// It gets none; what comes in waits.
    Pause,
    /// It gets them.
    Resume,
}

/// Why a handler is paused, and until when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseView {
    /// When it is resumed by itself; `None` = not.
    pub until: Option<Timestamp>,
    /// What whoever did it said.
    pub reason: Option<String>,
    /// Who did it.
    pub by: Option<Actor>,
}

/// How long to pause a handler, and why. Nothing said = until somebody resumes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PauseAsk {
    /// For so long: `30min`, `2h`.
    pub r#for: Option<String>,
    /// Until this moment.
    pub until: Option<Timestamp>,
    /// Why, for others who look.
    pub reason: Option<String>,
}

/// The longest reason of a pause.
const REASON_CHARS_MAX: usize = 200;

impl PauseAsk {
    /// The pause that it asks for.
    pub(super) fn parse(self, now: Timestamp, by: Actor) -> Result<PauseView, ApiError> {
        let until = match (self.r#for, self.until) {
            (None, until) => until,
            (Some(text), None) => {
                let length =
                    parse_duration(&text).map_err(|err| ApiError::Bad(format!("`for`: {err}")))?;
                Some(now.after(length))
            }
            (Some(_), Some(_)) => {
                return Err(ApiError::Bad("`for` and `until` exclude each other".into()));
            }
        };
        if until.is_some_and(|until| until <= now) {
            return Err(ApiError::Bad("the pause would be over already: say a later time".into()));
        }
        let reason = self.reason.map(|text| text.chars().take(REASON_CHARS_MAX).collect());
        Ok(PauseView { until, reason, by: Some(by) })
    }
}

/// What became of a try that somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retried {
    /// Whose it is.
    pub handler: HandlerName,
    /// How many deliveries wait for it: one of them is tried at once.
    pub waiting: u64,
}

/// What became of a pause or a resumption.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunChanged {
    /// Whose it is.
    pub handler: HandlerName,
    /// Whether it was otherwise before.
    pub changed: bool,
}

/// A place in the log that was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// Whose it was.
    pub handler: HandlerName,
    /// True.
    pub forgotten: bool,
}

/// How many there were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeCount {
    /// That many.
    pub count: u64,
}

/// An event that was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredEvent {
    /// Its stable name.
    pub id: EventId,
}

/// What a reload did.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
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
    /// How it stands.
    pub state: HandlerStatus,
    /// Why it is `failed`.
    pub reason: Option<String>,
    /// While it is paused: until when, and why.
    pub pause: Option<PauseView>,
    /// Calls that are under way.
    pub in_flight: usize,
    /// How many there may be.
    pub concurrency: usize,
    /// Since when its calls fail; `None` = the newest one did not.
    pub failing_since: Option<Timestamp>,
    /// How many failed in a row.
    pub n_failures: u32,
    /// While it is left alone because it is down: when it is tried next.
    pub probe_at: Option<Timestamp>,
    /// The newest failure since the start.
    pub last_error: Option<LastErrorView>,
    /// When the newest delivery since the start was made.
    pub last_success_at: Option<Timestamp>,
}

impl HandlerControl {
    /// One that does nothing, and of which nothing is known.
    pub fn idle(name: HandlerName, kind: &'static str, state: HandlerStatus) -> Self {
        Self {
            name,
            kind,
            state,
            reason: None,
            pause: None,
            in_flight: 0,
            concurrency: 0,
            failing_since: None,
            n_failures: 0,
            probe_at: None,
            last_error: None,
            last_success_at: None,
        }
    }
}
