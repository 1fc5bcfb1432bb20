//! The event that is named on the command line, by more or less of its id.

use std::time::Duration;

use crate::api::{EventSummary, EventsAsk};
use crate::config::Config;
use crate::deliver::OWN_SOURCE;
use crate::event::EventId;
use crate::queue::EventQuery;

use super::CliError;
use super::args::{IdBeginning, SaidEvent};
use super::human::ago;
use super::output::plain;
use super::store::Via;

/// The most events that are told where several are meant.
const SHOWN_MAX: usize = 5;
/// How far the clock of another node, whose events are here too, may be ahead of the one that gave the id.
const RECEIVED_BEHIND: Duration = Duration::from_mins(1);

/// The event that is meant, for a verb that has no store open.
pub(super) async fn id_of(said: SaidEvent, config: &Config) -> Result<EventId, CliError> {
    if let SaidEvent::Id(id) = said {
        return Ok(id);
    }
    let via = Via::reach(config).await?;
    let id = via.event(said).await;
    via.close().await?;
    id
}

impl Via {
    /// The event that is meant.
    pub(super) async fn event(&self, said: SaidEvent) -> Result<EventId, CliError> {
        match said {
            SaidEvent::Id(id) => Ok(id),
            SaidEvent::Begin(beginning) => self.begun(beginning).await,
            SaidEvent::Last => {
                let sent = format!("-source:{OWN_SOURCE}");
                self.newest(&sent, "no sender has sent an event yet").await
            }
        }
    }

    /// The newest event that `words` find; where there is none, an error that says `none`.
    pub(super) async fn newest(
        &self,
        words: &str,
        none: &'static str,
    ) -> Result<EventId, CliError> {
        let ask = EventsAsk { q: Some(words.to_owned()), limit: Some(1), ..EventsAsk::default() };
        let newest = self.list(ask, 1).await?.pop();
        newest.map(|event| event.id).ok_or_else(|| CliError::Failed(none.into()))
    }

    /// The one event whose id begins so.
    async fn begun(&self, beginning: IdBeginning) -> Result<EventId, CliError> {
        // No `since`: what was released or imported came in long before its id was given.
        let mut ask = EventsAsk {
            until: Some(beginning.last_time().after(RECEIVED_BEHIND)),
            limit: Some(EventQuery::LIMIT_MAX),
            ..EventsAsk::default()
        };
        let mut found: Vec<EventSummary> = Vec::new();
        loop {
            let (page, next) = self.page(ask.clone()).await?;
            found.extend(page.into_iter().filter(|event| beginning.is_of(event.id)));
            if next.is_none() || found.len() > SHOWN_MAX {
                break;
            }
            ask.before = next;
        }
        match found.as_slice() {
            [one] => Ok(one.id),
            [] => Err(CliError::Failed(format!(
                "no event is retained whose id begins with `{beginning}`: `gatepost events list` has the ids"
            ))),
            several => Err(CliError::Failed(ambiguous(beginning, several))),
        }
    }
}

fn ambiguous(beginning: IdBeginning, events: &[EventSummary]) -> String {
    let first = format!("several events have ids that begin with `{beginning}`: give more of it");
    let shown = events.iter().take(SHOWN_MAX).map(|event| {
        let EventSummary { id, source, event_type, received_at, .. } = event;
        format!("  {id}  {source}:{}, {}", plain(event_type.as_str()), ago(*received_at))
    });
    let more = (events.len() > SHOWN_MAX).then(|| "  and more".to_owned());
    let lines: Vec<String> = [first].into_iter().chain(shown).chain(more).collect();
    lines.join("\n")
}
