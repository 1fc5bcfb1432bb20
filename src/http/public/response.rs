//! What a request is answered.

use actix_http::header::{self, HeaderValue};
use actix_http::{ConnectionType, Method, StatusCode};
use actix_web::HttpResponse;
use actix_web::body::BoxBody;
use actix_web::dev::Response;

use crate::event::EventId;
use crate::http::connections::Watched;
use crate::http::problem::Problem;
use crate::ingest::{Accepted, Ack, BodyError, IngestError, Stored};
use crate::source::Reply;

pub(in crate::http) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The answer to what was taken in. `connection` confirms one to an event once it was written.
pub(super) fn of_accepted(accepted: Accepted, connection: Watched<'_>) -> Response<BoxBody> {
    match accepted {
        Accepted::Stored(Stored { appended, ack, answer, .. }) => {
            connection.answers(answer);
            match ack {
                Ack::Id => id(appended.id()),
                Ack::IdAndCount(n_events) => id_and_count(appended.id(), n_events).into(),
                Ack::Reply(reply) => of_reply(reply).into(),
            }
        }
        Accepted::EmptyList(reply) => reply.map_or_else(no_events, of_reply).into(),
        Accepted::Handshake(reply) => of_reply(reply).into(),
        Accepted::Probe => HttpResponse::Ok().finish().into(),
    }
}

/// The answer to what was not taken in.
pub(super) fn of_error(err: &IngestError) -> Response<BoxBody> {
    let mut response = match err {
        // Its sender has shown who it is.
        IngestError::EventByMethod { .. } => problem(err).with_detail(&err.to_string()),
        IngestError::RejectedBare => HttpResponse::Unauthorized().finish(),
        _ => problem(err).response(),
    };
    match err {
        IngestError::Method { allow } | IngestError::EventByMethod { allow } => {
            if let Ok(allow) = HeaderValue::from_str(allow) {
                response.headers_mut().insert(header::ALLOW, allow);
            }
        }
        // RFC 9110, 15.5.2: clients that were not asked send no password.
        IngestError::RejectedBasic => {
            let asked = HeaderValue::from_static("Basic realm=\"gatepost\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, asked);
        }
        // The client must connect again for its next try, which slows it down.
        IngestError::TooManyUnverified | IngestError::Body(BodyError::NoRoom) => {
            response.head_mut().set_connection_type(ConnectionType::Close);
        }
        IngestError::UnknownSource
        | IngestError::NotAllowed
        | IngestError::NotAllowedBehindProxy
        | IngestError::Body(BodyError::TooLarge | BodyError::TooSlow | BodyError::Broken)
        | IngestError::Rejected
        | IngestError::RejectedBare
        | IngestError::RateLimited { .. }
        | IngestError::Unavailable { .. } => {}
    }
    response.into()
}

fn problem(err: &IngestError) -> Problem {
    let retry_after = err.retry_after().unwrap_or_default();
    match err {
        IngestError::UnknownSource => Problem::NotFound,
        IngestError::Method { .. } | IngestError::EventByMethod { .. } => {
            Problem::MethodNotAllowed("POST")
        }
        IngestError::NotAllowed
        | IngestError::NotAllowedBehindProxy
        | IngestError::Rejected
        | IngestError::RejectedBare
        | IngestError::RejectedBasic => Problem::Unauthorized,
        IngestError::Body(BodyError::TooLarge) => Problem::TooLarge,
        IngestError::Body(BodyError::TooSlow) => Problem::Timeout,
        IngestError::Body(BodyError::Broken) => Problem::BadRequest,
        IngestError::TooManyUnverified | IngestError::RateLimited { .. } => {
            Problem::TooMany(retry_after)
        }
        IngestError::Body(BodyError::NoRoom) | IngestError::Unavailable { .. } => {
            Problem::Unavailable(retry_after)
        }
    }
}

/// The process serves: that is all a health check asks.
pub(in crate::http) fn health(method: &Method) -> HttpResponse {
    if method == Method::GET || method == Method::HEAD {
        HttpResponse::Ok().insert_header((header::CONTENT_TYPE, JSON)).body(r#"{"status":"ok"}"#)
    } else {
        Problem::MethodNotAllowed("GET, HEAD").response()
    }
}

/// `{"id":"…"}`: a UUID needs no escaping.
fn id(id: EventId) -> Response<BoxBody> {
    let mut text = [0_u8; uuid::fmt::Hyphenated::LENGTH];
    let id: &str = id.0.hyphenated().encode_lower(&mut text);
    let mut body = String::with_capacity(id.len() + 9);
    body.push_str("{\"id\":\"");
    body.push_str(id);
    body.push_str("\"}");
    Response::build(StatusCode::OK)
        .insert_header((header::CONTENT_TYPE, JSON))
        .body(body)
        .map_into_boxed_body()
}

/// The same of a list, with how many events it became.
fn id_and_count(id: EventId, n_events: usize) -> HttpResponse {
    let body = serde_json::json!({ "id": id, "events": n_events });
    HttpResponse::Ok().insert_header((header::CONTENT_TYPE, JSON)).body(body.to_string())
}

/// The same of a list without items.
fn no_events() -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CONTENT_TYPE, JSON)).body(r#"{"events":0}"#)
}

/// An answer of a source. To a question it repeats text of an unverified client: never a page.
fn of_reply(reply: Reply) -> HttpResponse {
    let Reply { status, content_type, headers, body } = reply;
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let mut response = HttpResponse::build(status);
    response.insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    for (name, value) in headers {
        response.insert_header((name, value));
    }
    if !content_type.is_empty() {
        response.insert_header((header::CONTENT_TYPE, content_type.as_ref()));
    }
    response.body(body)
}
