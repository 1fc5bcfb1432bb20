//! Searching events within a time.

use std::time::Duration;

use super::ask::EventsAsk;
use super::events::EventRow;
use super::{Api, ApiError};
use crate::queue::{EventQuery, WantedBodies};

/// How long a search takes before it says how far it came.
pub const SEARCH_TIME: Duration = Duration::from_millis(2_500);

/// Longer bodies are not read for a list of events: no row has room to say anything of them.
pub const ROW_BODY_MAX: usize = 64 << 10;

/// A page of what a search found.
#[derive(Debug)]
pub struct FoundEvents {
    /// The events, newest first unless it was asked from a position on.
    pub rows: Vec<EventRow>,
    /// Where to go on; `None` = everything was looked at.
    pub next: Option<u64>,
    pub looked_at: u64,
    pub retained: u64,
}

impl Api {
    /// Events as `ask` asks for them, each with how its deliveries stand, within [`SEARCH_TIME`].
    pub async fn find(&self, ask: EventsAsk) -> Result<FoundEvents, ApiError> {
        let bodies = WantedBodies::UpTo(ROW_BODY_MAX);
        let query = EventQuery { bodies, ..self.question(ask)? };
        let searched = self.queue.search(query, SEARCH_TIME).await?;
        let rows = self.rows(searched.events).await?;
        let retained = self.queue.stats().events;
        let next = searched.next.map(|position| position.0);
        Ok(FoundEvents { rows, next, looked_at: searched.looked_at, retained })
    }
}
