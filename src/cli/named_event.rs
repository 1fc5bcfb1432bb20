//! The event that is named on the command line, by more or less of its id.

use std::time::Duration;

use tokio::time::Instant;

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
/// How long the pages are asked for before it is said that the event was not found in time.
const SEARCH_MAX: Duration = Duration::from_mins(1);

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
        let ask = EventsAsk {
            until: Some(beginning.last_time().after(RECEIVED_BEHIND)),
            limit: Some(EventQuery::LIMIT_MAX),
            ..EventsAsk::default()
        };
        let is_meant = |event: &EventSummary| beginning.is_of(event.id);
        let found = search(ask, is_meant, async |ask| self.page(ask).await).await?;
        match found.as_slice() {
            [one] => Ok(one.id),
            [] => Err(CliError::Failed(format!(
                "no event is retained whose id begins with `{beginning}`: `gatepost events list` has the ids"
            ))),
            several => Err(CliError::Failed(ambiguous(beginning, several))),
        }
    }
}

/// Those of all pages that are meant, newest first; no more than tell that several are.
async fn search(
    mut ask: EventsAsk,
    is_meant: impl Fn(&EventSummary) -> bool,
    mut page: impl AsyncFnMut(EventsAsk) -> Result<(Vec<EventSummary>, Option<u64>), CliError>,
) -> Result<Vec<EventSummary>, CliError> {
    let began = Instant::now();
    let mut found: Vec<EventSummary> = Vec::new();
    loop {
        let (events, next) = page(ask.clone()).await?;
        found.extend(events.into_iter().filter(&is_meant));
        if next.is_none() || found.len() > SHOWN_MAX {
            return Ok(found);
        }
        // What comes next is older, or the list would never end.
        if ask.before.is_some_and(|before| next >= Some(before)) {
            return Err(CliError::Failed(
                "the list of events does not end: give the whole id".into(),
            ));
        }
        if began.elapsed() > SEARCH_MAX {
            return Err(CliError::Failed(format!(
                "not all events were looked at within {} s: give the whole id",
                SEARCH_MAX.as_secs()
            )));
        }
        ask.before = next;
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

#[cfg(test)]
mod tests {
    use super::*;

    async fn searched(step: Duration, next: impl Fn(u64) -> u64) -> String {
        let mut n_pages = 0;
        let page = async |_ask: EventsAsk| {
            n_pages += 1;
            assert!(n_pages < 1_000, "it goes on");
            tokio::time::advance(step).await;
            Ok((Vec::new(), Some(next(n_pages))))
        };
        search(EventsAsk::default(), |_| true, page).await.unwrap_err().to_string()
    }

    #[tokio::test(start_paused = true)]
    async fn search_for_an_id_ends_whatever_the_pages_say() {
        let endless = searched(Duration::ZERO, |_| 7).await;
        assert!(endless.contains("does not end: give the whole id"), "{endless}");
        let slow = searched(Duration::from_secs(25), |n_pages| 1_000_000 - n_pages).await;
        assert!(slow.contains("within 60 s: give the whole id"), "{slow}");
    }
}
