//! Events that no handler asks for: mostly a typing mistake in an `on`.

use std::time::Duration;

use super::{Api, ApiError};
use crate::clock::Timestamp;
use crate::deliver::OWN_SOURCE;
use crate::event::SourceName;
use crate::queue::{EventNames, EventQuery, WantedBodies};

/// Of how many of the newest events it is told: a page waits for it.
const LOOKED_AT_MAX: usize = 100;
/// For how long they are looked for: the overview waits for it.
const UNASKED_TIME: Duration = Duration::from_millis(300);

/// How many of the newest events no handler asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unasked {
    pub count: u64,
    pub looked_at: u64,
    /// Whether there are more than were looked at.
    pub has_more: bool,
}

impl Unasked {
    /// Whether no handler asks for any of them.
    pub const fn is_all(&self) -> bool {
        self.count > 0 && self.count == self.looked_at && !self.has_more
    }
}

impl Api {
    /// What the `on` of each configured handler names.
    pub(super) fn named(&self) -> Vec<EventNames> {
        self.own_handlers().iter().filter_map(|one| self.given(&one.name)).collect()
    }

    /// How many of the newest events since then no `on` names, by today's configuration. Gatepost's own are none.
    pub async fn unasked(&self, since: Timestamp) -> Result<Unasked, ApiError> {
        let query = EventQuery {
            except: SourceName::parse(OWN_SOURCE).ok(),
            since: Some(since),
            limit: LOOKED_AT_MAX,
            bodies: WantedBodies::UpTo(0),
            ..EventQuery::default()
        };
        let found = self.queue.search(query, UNASKED_TIME).await?;
        let named = self.named();
        let is_asked_for = |(event, _): &&(_, usize)| named.iter().any(|one| one.contains(event));
        let looked_at = found.events.len() as u64;
        let n_asked = found.events.iter().filter(is_asked_for).count() as u64;
        Ok(Unasked { count: looked_at - n_asked, looked_at, has_more: found.next.is_some() })
    }
}
