//! Answers of the API.

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use serde::Serialize;
use tracing::error;

use crate::api::{Api, HandlerView, StoredEvent};
use crate::event::EventId;
use crate::http::problem::Problem;
use crate::http::public::JSON;
use crate::text::plain;

use super::gate::Caller;

/// The longest error of a handler that is told.
const WHY_CHARS_MAX: usize = 200;

pub(super) fn json(value: &impl Serialize) -> HttpResponse {
    match serde_json::to_string(value) {
        Ok(text) => HttpResponse::Ok().insert_header((header::CONTENT_TYPE, JSON)).body(text),
        Err(err) => {
            error!(error = %err, "Answer cannot be written as JSON");
            Problem::Internal.response()
        }
    }
}

pub(super) fn stored(id: EventId) -> HttpResponse {
    json(&StoredEvent { id })
}

/// A body as it came. Never shown by a browser: it is a stranger's text on our own address.
pub(super) fn raw(body: bytes::Bytes) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "application/octet-stream"))
        .insert_header((header::CONTENT_DISPOSITION, "attachment"))
        .body(body)
}

/// What `readyz` says beside whether it is ready.
pub(super) fn notes(api: &Api, caller: Caller) -> Vec<String> {
    let outage = api.cluster().and_then(|view| view.outage()).map(str::to_owned);
    let handlers = api.handlers();
    let down = handlers.iter().filter(|handler| handler.is_down());
    outage.into_iter().chain(down.map(|handler| note_of_down(handler, caller))).collect()
}

/// The words of the other side, or of a program, are for those who may read `status`: all of this machine
/// may ask whether it is ready.
fn note_of_down(handler: &HandlerView, caller: Caller) -> String {
    let name = &handler.name;
    let since = handler.failing_since.or(handler.given_up_since);
    let since = since.map_or_else(String::new, |since| format!(" since {since}"));
    let why = match caller {
        Caller::Anybody | Caller::Standby => "`gatepost status` says why".to_owned(),
        Caller::Owner(_) | Caller::Reader => {
            let error = handler.last_error.as_ref().map(|error| error.text.as_str());
            let error = plain(error.unwrap_or_default());
            error.chars().take(WHY_CHARS_MAX).collect()
        }
    };
    let what = if handler.is_giving_up() { "delivers nothing" } else { "is down" };
    format!("handler `{name}` {what}{since}: {why}")
}

#[derive(Serialize)]
struct ReadyView<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    problems: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// One that takes events in while a shared log is away, or while handlers are down, is ready, and says so.
pub(super) fn ready(problems: &[String], notes: &[String]) -> HttpResponse {
    let note = (!notes.is_empty()).then(|| notes.join("; "));
    let status = if problems.is_empty() { "ready" } else { "unready" };
    let mut response = json(&ReadyView { status, problems, note });
    if !problems.is_empty() {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}
