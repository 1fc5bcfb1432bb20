//! Answers of the API.

use actix_web::HttpResponse;
use actix_web::http::header;
use serde::Serialize;
use tracing::error;

use crate::api::{ChangeCount, StoredEvent};
use crate::cluster::ClusterView;
use crate::event::EventId;
use crate::http::problem::Problem;
use crate::http::public::JSON;

pub(super) fn json(value: &impl Serialize) -> HttpResponse {
    match serde_json::to_string(value) {
        Ok(text) => HttpResponse::Ok().insert_header((header::CONTENT_TYPE, JSON)).body(text),
        Err(err) => {
            error!(error = %err, "Answer cannot be written as JSON");
            Problem::Internal.response()
        }
    }
}

pub(super) fn counted(count: u64) -> HttpResponse {
    json(&ChangeCount { count })
}

pub(super) fn stored(id: EventId) -> HttpResponse {
    json(&StoredEvent { id })
}

/// A body as it came. Never shown by a browser: it is a stranger's text on our own address.
pub(super) fn raw(body: bytes::Bytes) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "application/octet-stream"))
        .insert_header((header::CONTENT_DISPOSITION, "attachment"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(body)
}

/// One that takes events in while a shared log is away is ready, and says so.
pub(super) fn ready(problems: &[String], cluster: Option<ClusterView>) -> HttpResponse {
    if problems.is_empty() {
        return json(&match cluster.and_then(|view| view.outage()) {
            Some(note) => serde_json::json!({ "status": "ready", "note": note }),
            None => serde_json::json!({ "status": "ready" }),
        });
    }
    let body = serde_json::json!({ "status": "unready", "problems": problems });
    HttpResponse::ServiceUnavailable()
        .insert_header((header::CONTENT_TYPE, JSON))
        .body(body.to_string())
}
