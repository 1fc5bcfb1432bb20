//! New events as server-sent events: the event as JSON under its position, so that a viewer who
//! comes again says where he was. One look per [`LOOK_EVERY`], whatever comes in: a viewer who is
//! behind is told how many he did not see.

use std::time::Duration;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use futures_util::{TryStreamExt, stream};
use serde_json::json;

use crate::api::{Api, ApiError, EventsAsk};
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
/// How much of bodies is read for one look, which tells nothing of them but their lengths.
const BYTES_MAX: usize = 2 << 20;
/// A reader that is further behind than this skips to the newest [`EVENTS_MAX`].
const BEHIND_MAX: u64 = 500;

/// An answer that begins behind the newest event, or behind the one that the viewer saw last, and
/// does not end.
pub(super) fn response(request: &HttpRequest, api: Api) -> Result<HttpResponse, AdminError> {
    let ask: EventsAsk = query(request, &api)?;
    if ask.before.is_some() || ask.limit.is_some() {
        return Err(ApiError::Bad("a stream has no `before` and no `limit`".into()).into());
    }
    let seen = last_seen(request)?.or(ask.after);
    let query = api.question(EventsAsk { after: Some(0), ..ask })?;
    let last = api.newest();
    let at = Position(seen.unwrap_or(last.0).min(last.0));
    let look = Look { api, query, at, is_first: true };
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
    at: Position,
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
        if last <= self.at {
            return Ok(String::new());
        }
        let mut text = String::new();
        if last.events_since(self.at) > BEHIND_MAX {
            let from = last.before(EVENTS_MAX as u64);
            let skipped = json!({
                "count": from.events_since(self.at),
                "after": self.at,
                "before": from.next(),
            });
            text = format!("event: skipped\nid: {}\ndata: {skipped}\n\n", from.0);
            self.at = from;
        }
        let query = EventQuery {
            cursor: Some(self.at),
            order: ListOrder::Oldest,
            limit: EVENTS_MAX,
            bytes_max: Some(BYTES_MAX),
            ..self.query.clone()
        };
        let events = self.api.newer(query.clone()).await?;
        let n_bytes = events.iter().map(|event| event.body_bytes).sum();
        let newest = events.last().map(|event| event.position);
        // What was looked at and does not match is not looked at again; what came in between, and was
        // listed, neither.
        self.at = match newest {
            Some(newest) if query.is_full(events.len(), n_bytes) => newest,
            newest => newest.unwrap_or(last).max(last),
        };
        for event in events {
            let json = serde_json::to_string(&event);
            let json = json.map_err(|err| ApiError::Bad(err.to_string()))?;
            text.extend(["id: ", &event.position.0.to_string(), "\ndata: ", &json, "\n\n"]);
        }
        Ok(text)
    }
}
