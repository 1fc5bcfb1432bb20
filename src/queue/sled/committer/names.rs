//! The names that the index is told, shared from one event to the next: most are the same, and what
//! several threads count at once is slow to count.

use crate::event::{EventId, EventType, NewEvent, Position, SourceName};
use crate::queue::sled::index::Indexed;

/// The names of the last event.
#[derive(Debug, Default)]
pub(crate) struct Names(Option<(SourceName, EventType)>);

impl Names {
    /// What the index keeps of an event.
    pub(super) fn indexed(&mut self, event: &NewEvent, id: EventId, position: Position) -> Indexed {
        let known = self.0.take();
        let is_same = |known: &(SourceName, EventType)| {
            known.0 == event.source && known.1 == event.event_type
        };
        let (source, event_type) = known
            .filter(is_same)
            .unwrap_or_else(|| (event.source.clone(), event.event_type.clone()));
        self.0 = Some((source.clone(), event_type.clone()));
        Indexed { position, id, received_at: event.received_at, source, event_type }
    }
}
