//! What a handler is built with, and why it could not be.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::event::{Event, HandlerName};
use crate::secret::{Secret, SecretError, SecretRef};

/// What every kind is told about the handler that it builds.
#[derive(Clone, Debug)]
pub struct BuildContext {
    pub handler: HandlerName,
    /// The configuration file's folder: the working folder of programs that are run.
    pub config_folder: PathBuf,
    pub clock: Arc<dyn Clock>,
    /// How long one call may take. Its caller ends it after that; a kind that has something to
    /// end in order (a process, a transaction) does so by itself before.
    pub timeout: Duration,
    /// The same where the owner says so; `None` = it is the kind's own, or the default.
    pub own_timeout: Option<Duration>,
    /// How many calls there may be at once.
    pub concurrency: usize,
    /// How many events one call takes where the owner asks for batches; `None` = they do not.
    pub batch: Option<NonZeroUsize>,
    /// The senders' samples of its events, for a kind that [wants them](super::KindSettings::wants_samples).
    pub samples: Vec<Arc<Event>>,
    /// What it is built for.
    pub purpose: Purpose,
}

/// What a handler is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be called.
    Call,
    /// To see whether it can be: nothing on the disk changes.
    Look,
}

impl BuildContext {
    /// The secret as it is read for this build: only a handler that is to be called makes a file that is missing.
    pub fn secret(&self, place: &SecretRef) -> Result<Secret, SecretError> {
        match self.purpose {
            Purpose::Call => place.resolve(),
            Purpose::Look => place.look(),
        }
    }
}

/// Why a handler could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    #[error("a secret is missing")]
    Secret(#[from] SecretError),
    #[error("{what} failed")]
    Io {
        what: String,
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
