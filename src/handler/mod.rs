//! SEAM: what is done with an event. A kind is one file and one line in [`KINDS`].
//!
//! The way of a kind: its table in the configuration is read by [`Kind::read`], which opens
//! nothing and reports every problem at once; [`KindSettings::build`] then opens what is needed,
//! at start and on reload; the [`Handler`] it gives is called until each event is settled. A call
//! is two steps: a pure one that works out what is to be done ([`KindSettings::plan`] shows it), and
//! one that does it.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Clock;
use crate::event::{Delivery, Event, Failure, Glob, HandlerName, Output};
use crate::expr::{ExprError, Expression, Scope};
use crate::secret::SecretError;
use crate::settings::Table;

pub mod chat;
pub mod command;
pub mod email;
mod envelope;
pub mod file;
pub mod http;
pub mod log;
mod plan;
mod rate_limit;
pub mod sql;
#[cfg(test)]
pub(crate) mod testing;
mod texts;
mod web;

pub use plan::{Content, Plan, SECRET, Step};
pub use texts::{Text, Words};
pub use web::Downloader;

/// All kinds, in the order in which help texts name them.
pub static KINDS: &[&Kind] =
    &[&log::KIND, &file::KIND, &email::KIND, &sql::KIND, &http::KIND, &command::KIND, &chat::KIND];

/// A configured destination.
#[async_trait]
pub trait Handler: Send + Sync {
    /// One try with one event, or with a batch where the kind supports batches (then all of it is
    /// done, or what [`Failure::done`] names). Called at least once per event: a repeat must be
    /// harmless. Gives what the other side said, for people.
    async fn handle(&self, deliveries: &[Delivery]) -> Result<Output, Failure>;

    /// The most deliveries that one call can take.
    fn batch_max(&self) -> usize {
        1
    }

    /// The most deliveries that one call takes where the owner asks for no batches: more than 1
    /// where the difference cannot be seen from outside, and only the cost is shared (one sync,
    /// one transaction). What is due goes at once; nothing waits for a batch to fill.
    fn default_batch(&self) -> usize {
        1
    }

    /// Whether [`Delivery::replay`] or [`Delivery::progress`] makes a difference: it costs a look-up
    /// for each delivery that does not come straight out of the log.
    fn tells_replays(&self) -> bool {
        false
    }

    /// Ends what the handler keeps running, within a few seconds.
    async fn close(&self) {}
}

/// A kind of handler.
#[derive(Debug)]
pub struct Kind {
    /// The name of its table: `[handler.NAME.file]`.
    pub name: &'static str,
    /// The most deliveries that one call can take, whatever the settings say; 1 = the kind has no
    /// use for `batch`.
    pub batch_max: usize,
    /// Reads its table and reports every problem in it; `None` where there was one. Opens nothing.
    pub read: fn(&mut Table<'_>) -> Option<Box<dyn KindSettings>>,
}

/// The kind whose table is called `name`.
pub fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name).copied()
}

/// The checked settings of one handler's kind.
#[async_trait]
pub trait KindSettings: fmt::Debug + Send + Sync {
    /// What a call with `deliveries` would do: the same functions that [`Handler::handle`] acts by,
    /// without the acting. Pure: it opens nothing, waits for nothing and reads no secret. A failure
    /// is that of a real call, before anything was done.
    fn plan(&self, context: &BuildContext, deliveries: &[Delivery]) -> Result<Plan, Failure>;

    /// The texts in it that are worked out for each event: `check` compares their fields with the
    /// senders' samples.
    fn texts(&self) -> Vec<Text> {
        Vec::new()
    }

    /// Opens what the handler needs. What may come and go (a server at the other end) is not
    /// asked for yet: only what cannot get well by itself is an error.
    fn build(&self, context: &BuildContext) -> Result<Box<dyn Handler>, BuildError>;

    /// Looks at what can be looked at without a network: `gatepost check`. Changes nothing.
    fn check(&self, context: &BuildContext) -> Result<(), BuildError> {
        self.build(context).map(drop)
    }

    /// The events that the kind wants whatever `when` says.
    fn exempt(&self) -> Exempt {
        Exempt::default()
    }

    /// Whether samples of its events say something that the settings do not.
    fn wants_samples(&self) -> bool {
        false
    }

    /// Whether an older event that is tried again after a newer one does harm.
    fn needs_order(&self) -> bool {
        false
    }

    /// What has to be written for `batch` to have a meaning with these settings; `None` = nothing.
    fn batch_needs(&self) -> Option<&'static str> {
        None
    }

    /// The files that it writes, each with others beside it.
    fn writes(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Whether it runs programs, which may do anything.
    fn runs_programs(&self) -> bool {
        false
    }

    /// Looks whether the other end is there and fits: `gatepost check --online`. Changes nothing.
    async fn check_online(&self, _context: &BuildContext) -> Result<(), BuildError> {
        Ok(())
    }
}

/// Events that go past a handler's `when`: those that take something back must come through where
/// the filter says no to what they leave behind.
#[derive(Clone, Debug, Default)]
pub struct Exempt {
    /// Patterns over `source:type`.
    pub on: Vec<Glob>,
    /// An expression that is true for them.
    pub when: Option<Arc<Expression>>,
}

impl Exempt {
    /// Whether no event is one of them.
    pub fn is_empty(&self) -> bool {
        self.on.is_empty() && self.when.is_none()
    }

    /// Whether `event`, which `scope` is of, is one of them.
    pub fn has(&self, event: &Event, scope: &Scope) -> Result<bool, ExprError> {
        if !self.on.is_empty() {
            let name = format!("{}:{}", event.source, event.event_type);
            if self.on.iter().any(|glob| glob.matches(&name)) {
                return Ok(true);
            }
        }
        self.when.as_ref().map_or(Ok(false), |when| when.is_true(scope))
    }
}

/// What every kind is told about the handler that it builds.
#[derive(Clone, Debug)]
pub struct BuildContext {
    /// The handler's name.
    pub handler: HandlerName,
    /// The configuration file's folder: the working folder of programs that are run.
    pub config_folder: PathBuf,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// How long one call may take. Its caller ends it after that; a kind that has something to
    /// end in order (a process, a transaction) does so by itself before.
    pub timeout: Duration,
    /// How many calls there may be at once.
    pub concurrency: usize,
    /// How many events one call takes where the owner asks for batches; `None` = they do not.
    pub batch: Option<NonZeroUsize>,
    /// The senders' samples of its events, for a kind that [`KindSettings::wants_samples`].
    pub samples: Vec<Arc<Event>>,
}

/// Why a handler could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A secret could not be had.
    #[error("a secret is missing")]
    Secret(#[from] SecretError),
    /// The system said no.
    #[error("{what} failed")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Something else does not fit, said for people.
    #[error("{0}")]
    Unfit(String),
}

impl BuildError {
    /// `what` failed with `source`.
    pub fn io(what: impl fmt::Display, source: std::io::Error) -> Self {
        Self::Io { what: what.to_string(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        for (index, one) in KINDS.iter().enumerate() {
            assert!(std::ptr::eq(kind(one.name).unwrap(), *one), "{}", one.name);
            assert!(one.batch_max >= 1, "{}", one.name);
            assert!(KINDS.iter().skip(index + 1).all(|other| other.name != one.name));
        }
        assert!(kind("nothing").is_none());
    }
}
