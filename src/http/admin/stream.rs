//! New events as server-sent events: the event as JSON under its position, so that a viewer who
//! comes again says where he was. One look per [`LOOK_EVERY`], whatever comes in: a viewer who is
//! behind is told how many he did not see. One who asks for some is shown them among all that came by, and told
//! of those that match and of those that there was no time to look at.

use std::collections::VecDeque;
use std::time::Duration;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use futures_util::{TryStreamExt, stream};
use serde_json::json;
use tokio::time::Instant;

use crate::api::{Api, ApiError, EventSummary, EventsAsk};
use crate::event::Position;
use crate::queue::{EventQuery, ListOrder};

use super::error::AdminError;
use super::question::query;

/// The header by which a viewer says what he saw last.
pub(super) const LAST_EVENT_ID: &str = "last-event-id";
/// How often to look: a person watches.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// After this many looks without an event a comment is sent, so that a caller that is gone is
/// noticed.
const LOOKS_PER_BEAT: u32 = 30;
/// The most events of one look.
const EVENTS_MAX: usize = 100;
/// A reader that is further behind than this, in events that he is to see, skips to the newest [`EVENTS_MAX`].
const BEHIND_MAX: usize = 500;
/// The same in events of any kind where he wants some: 10 s of 5,000 a second.
const UNSEEN_MAX: u64 = 50_000;
/// How long one look may take among what came by: a fifth of the time between two.
const LOOK_TIME: Duration = Duration::from_millis(100);

/// An answer that begins behind the newest event, or behind the one that the viewer saw last, and
/// does not end.
pub(super) fn response(request: &HttpRequest, api: Api) -> Result<HttpResponse, AdminError> {
    let ask: EventsAsk = query(request, &api)?;
    if ask.before.is_some() || ask.limit.is_some() {
        return Err(ApiError::Bad("a stream has no `before` and no `limit`".into()).into());
    }
    let seen = last_seen(request)?.or(ask.after);
    let every = api.question(EventsAsk { after: Some(0), ..EventsAsk::default() })?;
    let query = api.question(EventsAsk { after: Some(0), ..ask })?;
    let is_filtered = query != every;
    let last = api.newest();
    let at = Position(seen.unwrap_or(last.0).min(last.0));
    let found = VecDeque::new();
    let look = Look { api, query, is_filtered, at, found, told: at, is_first: true };
    let events = stream::try_unfold(look, |mut look| async move {
        let chunk = look.next().await?;
        Ok::<_, ApiError>(Some((chunk, look)))
    });
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        .streaming(Box::pin(events.map_err(std::io::Error::other))))
}

/// The position that the viewer says to have seen last. A wrong one must not become "from now on".
fn last_seen(request: &HttpRequest) -> Result<Option<u64>, ApiError> {
    let Some(said) = request.headers().get(LAST_EVENT_ID) else { return Ok(None) };
    let position = said.to_str().ok().and_then(|said| said.trim().parse().ok());
    position.map(Some).ok_or_else(|| {
        let what =
            "`Last-Event-ID` is not the `id:` of an event of this stream, which is a whole number";
        ApiError::Bad(what.to_owned())
    })
}

struct Look {
    api: Api,
    query: EventQuery,
    /// Whether it leaves events out.
    is_filtered: bool,
    /// All up to here was looked at or skipped.
    at: Position,
    /// What was found and is not told yet, at most [`BEHIND_MAX`].
    found: VecDeque<EventSummary>,
    /// The viewer knows of all up to here.
    told: Position,
    is_first: bool,
}

impl Look {
    async fn next(&mut self) -> Result<Bytes, ApiError> {
        for _ in 0..LOOKS_PER_BEAT {
            if !std::mem::take(&mut self.is_first) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            let text = self.look().await?;
            if !text.is_empty() {
                return Ok(text.into());
            }
        }
        Ok(Bytes::from_static(b": still here\n\n"))
    }

    async fn look(&mut self) -> Result<String, ApiError> {
        let last = self.api.newest();
        let mut n_skipped = self.skip(last);
        if last > self.at {
            n_skipped += self.search(last).await?;
        }
        let mut text = String::new();
        if n_skipped > 0 {
            let before = self.found.front().map_or(self.at.next(), |event| event.position);
            let skipped = json!({ "count": n_skipped, "after": self.told, "before": before });
            let id = before.previous().0;
            text = format!("event: skipped\nid: {id}\ndata: {skipped}\n\n");
        }
        for event in self.found.drain(..self.found.len().min(EVENTS_MAX)) {
            let json = serde_json::to_string(&event);
            let json = json.map_err(|err| ApiError::Bad(err.to_string()))?;
            text.extend(["id: ", &event.position.0.to_string(), "\ndata: ", &json, "\n\n"]);
            self.told = event.position;
        }
        if self.found.is_empty() {
            self.told = self.at;
        }
        Ok(text)
    }

    /// Leaves out what is too much to be looked at; says how many events that is.
    fn skip(&mut self, last: Position) -> u64 {
        let most = if self.is_filtered { UNSEEN_MAX } else { BEHIND_MAX as u64 };
        if last <= self.at || last.events_since(self.at) <= most {
            return 0;
        }
        let from = last.before(EVENTS_MAX as u64);
        let n_skipped = from.events_since(self.at) + self.found.len() as u64;
        self.found.clear();
        self.at = from;
        n_skipped
    }

    /// Looks among what came by up to `last`; says how many of what it found are too many to be told.
    async fn search(&mut self, last: Position) -> Result<u64, ApiError> {
        let until = Instant::now() + LOOK_TIME;
        let limit = if self.is_filtered { EventQuery::LIMIT_MAX } else { EVENTS_MAX };
        let mut n_skipped = 0;
        loop {
            let query = EventQuery {
                cursor: Some(self.at),
                order: ListOrder::Oldest,
                limit,
                ..self.query.clone()
            };
            let left = until.saturating_duration_since(Instant::now());
            let (events, next) = self.api.newer(query, left).await?;
            let newest = events.last().map_or(last, |event| event.position);
            // What was looked at and does not match is not looked at again; what came in between, and was
            // listed, neither.
            self.at = next.unwrap_or_else(|| newest.max(last));
            self.found.extend(events);
            if self.found.len() > BEHIND_MAX {
                let n_old = self.found.len() - EVENTS_MAX;
                self.found.drain(..n_old);
                n_skipped += n_old as u64;
            }
            if next.is_none() || !self.is_filtered || Instant::now() >= until {
                return Ok(n_skipped);
            }
        }
    }
}
