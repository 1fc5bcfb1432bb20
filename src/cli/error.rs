//! Why a verb failed: what the exit code, or another try, depends on.

use crate::api::error_chain;
use crate::settings::Report;

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CliError {
    /// It was tried and did not work.
    #[error("{0}")]
    Failed(String),
    /// It cannot be meant like that.
    #[error("{0}")]
    Usage(String),
    /// The configuration is wrong: the report says where.
    #[error("the configuration has mistakes")]
    Configuration(Box<Report>),
    /// The report was printed already.
    #[error("the configuration has mistakes")]
    ConfigurationShown,
    /// The server says that the configuration is wrong, and where.
    #[error("{0}")]
    ConfigurationRefused(String),
    /// The server does not answer.
    #[error("{0}")]
    Unreachable(String),
    /// The server stops just now, or its store cannot do it. A failure, which may pass.
    #[error("{0}")]
    Unavailable(String),
    /// Standard output is closed: the reader has gone.
    #[error("the output was closed")]
    OutputClosed,
}

impl CliError {
    /// Something that was tried failed with `err`; the whole chain of causes is told.
    pub fn failed(err: &dyn std::error::Error) -> Self {
        Self::Failed(error_chain(err))
    }

    /// The failure that a queue is which is damaged in so many places.
    pub(super) fn of_damage(n_places: usize) -> Result<(), Self> {
        match n_places {
            0 => Ok(()),
            1 => Err(Self::Failed("the queue is damaged in one place".to_owned())),
            n => Err(Self::Failed(format!("the queue is damaged in {n} places"))),
        }
    }
}

impl From<std::io::Error> for CliError {
    fn from(err: std::io::Error) -> Self {
        if err.kind() == std::io::ErrorKind::BrokenPipe {
            Self::OutputClosed
        } else {
            Self::failed(&err)
        }
    }
}

impl From<crate::queue::QueueError> for CliError {
    fn from(err: crate::queue::QueueError) -> Self {
        Self::failed(&err)
    }
}
