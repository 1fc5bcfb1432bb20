//! Finding single events: in the log or, where their segment is gone, in the kept log.

use std::io;
use std::sync::Arc;

use super::kept::KeptLog;
use super::log::{FileLog, Finder, ReadError};
use crate::event::{Dedupe, Event, Position};
use crate::queue::QueueError;

/// Why an event could not be looked for. Try again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadFailure {
    #[error("reading `{file}` failed")]
    Io {
        file: String,
        #[source]
        source: io::Error,
    },
    /// The log was trimmed while it was read.
    #[error("the log does not go back so far any more")]
    Trimmed,
}

/// The event at `position` with its dedupe key; `None` = neither log nor kept log has it, or it
/// cannot be read.
pub(crate) fn event_at(
    log: &Arc<FileLog>,
    kept: &KeptLog,
    finder: &mut Finder,
    position: Position,
) -> Result<Option<(Event, Dedupe)>, ReadFailure> {
    match finder.event_at(log, position) {
        Ok(Some((event, dedupe, _))) => return Ok(Some((event, dedupe))),
        // Damage in the log: its event may have been kept all the same.
        Ok(None) | Err(ReadError::Trimmed) => {}
        Err(err @ ReadError::Io { .. }) => return Err(err.into()),
    }
    kept.find(position).map_err(|source| ReadFailure::Io { file: "the kept log".into(), source })
}

impl From<ReadError> for ReadFailure {
    fn from(err: ReadError) -> Self {
        match err {
            ReadError::Io { file, source } => Self::Io { file, source },
            ReadError::Trimmed => Self::Trimmed,
        }
    }
}

impl From<ReadFailure> for QueueError {
    fn from(err: ReadFailure) -> Self {
        match err {
            ReadFailure::Io { file, source } => {
                Self::Io { what: format!("reading `{file}`"), source }
            }
            ReadFailure::Trimmed => Self::Corrupt("the log was trimmed while it was read".into()),
        }
    }
}
