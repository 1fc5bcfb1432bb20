//! Edited copies of events: the one way in that no sender takes.

use bytes::Bytes;

use super::receive::Ingest;
use crate::event::{Event, EventId, NewEvent, SourceName};
use crate::queue::QueueError;

/// Why there is no edited copy of an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    #[error(
        "source `{0}` is in no configuration any more: its events can be delivered again, and not be edited"
    )]
    NoSource(SourceName),
    #[error(
        "the body has {n_bytes} bytes, and source `{name}` takes {bytes_max} at most (`body_max`)"
    )]
    TooLong { name: SourceName, n_bytes: usize, bytes_max: usize },
    #[error("the body is empty: there would be nothing to deliver")]
    Empty,
}

impl Ingest {
    /// The event that `parent` becomes with another body, by its source as it is configured by now.
    pub fn edited(&self, parent: &Event, body: Bytes) -> Result<NewEvent, EditError> {
        let name = &parent.source;
        let endpoint = self.endpoint(name.as_str());
        let endpoint = endpoint.ok_or_else(|| EditError::NoSource(name.clone()))?;
        let (n_bytes, bytes_max) = (body.len(), endpoint.bytes_max(&self.limits.load()));
        if n_bytes == 0 {
            return Err(EditError::Empty);
        }
        if n_bytes > bytes_max {
            return Err(EditError::TooLong { name: name.clone(), n_bytes, bytes_max });
        }
        Ok(endpoint.source().edited(parent, body, self.now()))
    }

    /// Stores what [`Ingest::edited`] made: from here on it survives a power cut.
    pub async fn append_edited(&self, event: NewEvent) -> Result<EventId, QueueError> {
        self.store.append_made(event).await
    }
}
