//! What a request is answered.

use actix_http::header::{self, HeaderValue};
use actix_http::{ConnectionType, Method, StatusCode};
use actix_web::HttpResponse;
use actix_web::body::BoxBody;
use actix_web::dev::Response;

use crate::event::EventId;
use crate::http::connections::ConnectionHandle;
use crate::http::problem::Problem;
use crate::ingest::{Accepted, Ack, BodyError, IngestError, Stored};
use crate::source::Reply;

pub(in crate::http) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The answer to what was taken in. `connection` confirms one to an event once it was written.
pub(super) fn of_accepted(
    accepted: Accepted,
    connection: ConnectionHandle<'_>,
) -> Response<BoxBody> {
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
    let retry_after = err.retry_after().unwrap_or_default();
    let response = match err {
        IngestError::UnknownSource => Problem::NotFound.response(),
        IngestError::Method { allow } => allowing(allow, Problem::MethodNotAllowed("").response()),
        // Its sender has shown who it is, or is a person who looks at a page of their own.
        IngestError::EventByMethod { allow } | IngestError::Preflight { allow } => {
            allowing(allow, Problem::MethodNotAllowed("").with_detail(&err.to_string()))
        }
        IngestError::NotAllowed | IngestError::NotAllowedBehindProxy | IngestError::Rejected => {
            Problem::Unauthorized.response()
        }
        IngestError::RejectedBare => HttpResponse::Unauthorized().finish(),
        IngestError::RejectedBasic => {
            let mut response = Problem::Unauthorized.response();
            // RFC 9110, 15.5.2: clients that were not asked send no password.
            let asked = HeaderValue::from_static("Basic realm=\"gatepost\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, asked);
            response
        }
        IngestError::Body(BodyError::TooLarge) => Problem::TooLarge.response(),
        IngestError::Body(BodyError::TooSlow) => Problem::Timeout.response(),
        IngestError::Body(BodyError::Broken) => Problem::BadRequest.response(),
        IngestError::Body(BodyError::NoRoom) => {
            closing(Problem::Unavailable(retry_after).response())
        }
        IngestError::TooManyUnverified => closing(Problem::TooMany(retry_after).response()),
        IngestError::RateLimited { .. } => Problem::TooMany(retry_after).response(),
        IngestError::Unavailable { .. } => Problem::Unavailable(retry_after).response(),
    };
    response.into()
}

fn allowing(methods: &str, mut response: HttpResponse) -> HttpResponse {
    if let Ok(methods) = HeaderValue::from_str(methods) {
        response.headers_mut().insert(header::ALLOW, methods);
    }
    response
}

/// The client must connect again for its next try, which slows it down.
fn closing(mut response: HttpResponse) -> HttpResponse {
    response.head_mut().set_connection_type(ConnectionType::Close);
    response
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

fn id_and_count(id: EventId, n_events: usize) -> HttpResponse {
    let body = serde_json::json!({ "id": id, "events": n_events });
    HttpResponse::Ok().insert_header((header::CONTENT_TYPE, JSON)).body(body.to_string())
}

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
