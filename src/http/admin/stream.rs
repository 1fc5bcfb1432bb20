//! New events as server-sent events, one `data:` line of JSON each.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header;
use bytes::Bytes;
use futures_util::{TryStreamExt, stream};

use crate::api::{Api, ApiError};
use crate::event::Position;
use crate::queue::{EventQuery, ListOrder};

/// How often to look: a person watches.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// After this many looks without an event a comment is sent, so that a caller that is gone is
/// noticed.
const LOOKS_PER_BEAT: u32 = 30;
/// The most events of one look.
const EVENTS_MAX: usize = 100;

/// An answer that begins behind the newest event and does not end.
pub(super) fn response(api: Api) -> HttpResponse {
    let at = api.stats().last;
    let events = stream::try_unfold(At { api, at }, |mut at| async move {
        let chunk = at.next().await?;
        Ok::<_, ApiError>(Some((chunk, at)))
    });
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .streaming(Box::pin(events.map_err(std::io::Error::other)))
}

struct At {
    api: Api,
    at: Position,
}

impl At {
    async fn next(&mut self) -> Result<Bytes, ApiError> {
        for _ in 0..LOOKS_PER_BEAT {
            if self.api.stats().last > self.at {
                let text = self.look().await?;
                if !text.is_empty() {
                    return Ok(text.into());
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(Bytes::from_static(b": still here\n\n"))
    }

    async fn look(&mut self) -> Result<String, ApiError> {
        let query = EventQuery {
            cursor: Some(self.at),
            order: ListOrder::Oldest,
            limit: EVENTS_MAX,
            ..EventQuery::default()
        };
        let mut text = String::new();
        for event in self.api.events(query).await? {
            self.at = event.position;
            let json = serde_json::to_string(&event);
            text.push_str("data: ");
            text.push_str(&json.map_err(|err| ApiError::Bad(err.to_string()))?);
            text.push_str("\n\n");
        }
        Ok(text)
    }
}
