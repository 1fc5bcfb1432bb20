//! What only the running server can do.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::cluster::{ClusterView, SharedReport};
use crate::event::{Event, EventId, HandlerName, SourceName};
use crate::queue::EventNames;
use crate::standby::StandbyView;

use super::handler_control::HandlerControl;
use super::pause::PauseView;
use super::{ApiError, PlanView, RatesView, SourceView, Surroundings, TestView, WantsView};

/// What only the running server can do: the owner of tasks implements it.
#[async_trait]
pub trait Control: Send + Sync {
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

    /// How the second copy of the queue stands; `None` = there is none, and none is expected.
    fn standby(&self) -> Option<StandbyView>;

    /// How the cluster stands; `None` = the queue is this machine's alone.
    fn cluster(&self) -> Option<ClusterView>;

    /// What the other gateways of the cluster told last; empty = the queue is this machine's alone.
    fn reports(&self) -> Vec<SharedReport>;

    /// How many reports came: [`Control::reports`] says the same until there is another one.
    fn n_reports(&self) -> u64;

    /// Tells the other gateways of this one, and gives what they had told before that in the log of all. An error =
    /// it is not there yet.
    async fn tell(&self, report: String) -> Result<Vec<SharedReport>, ApiError>;

    /// What [`Control::reload`] would change.
    fn changes(&self) -> Result<Reloaded, ApiError>;

    /// Gives the store's unused space back.
    async fn compact(&self) -> Result<(), ApiError>;

    /// Where the admin listener is, as this machine knows it; `None` = it does not listen yet.
    fn admin(&self) -> Option<SocketAddr>;

    fn started_at(&self) -> Timestamp;

    /// What each configured handler says to an event, by today's configuration.
    fn wants(&self, event: &Arc<Event>) -> Vec<WantsView>;

    /// Whether a handler would be called with an event, by today's configuration. One that is not
    /// configured may be again.
    fn is_wanted(&self, handler: &HandlerName, event: &Arc<Event>) -> bool;

    /// Which events a handler is given, by today's `on`; `None` = it is not configured.
    fn given(&self, handler: &HandlerName) -> Option<EventNames>;

    /// What a handler would do with an event, by today's configuration.
    fn plan(&self, handler: &HandlerName, event: &Arc<Event>) -> Result<PlanView, ApiError>;

    /// How often something happened with each source and handler.
    fn rates(&self) -> RatesView;

    /// The configuration as it is in force, and the machine that it runs on.
    fn surroundings(&self) -> Surroundings;

    /// What the configuration leaves out, with its defaults.
    fn defaults(&self) -> Vec<(String, String)>;

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

/// What became of a try that the owner asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retried {
    pub handler: HandlerName,
    /// How many deliveries wait for it: one of them is tried at once.
    pub waiting: u64,
    /// Whether it has not looked at all of them, so that there may be fewer.
    #[serde(default)]
    pub is_bound: bool,
}

/// What became of a pause or a resumption.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunChanged {
    pub handler: HandlerName,
    /// Whether it was otherwise before.
    pub changed: bool,
}

/// A place in the log that was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    pub handler: HandlerName,
    /// True.
    pub forgotten: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredEvent {
    pub id: EventId,
}

/// What a reload did.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Reloaded {
    /// What is different, one line each.
    pub changes: Vec<String>,
    /// Warnings about the configuration, one each.
    pub warnings: Vec<String>,
    /// The file that it is read from, from the root on.
    #[serde(default)]
    pub file: String,
}
