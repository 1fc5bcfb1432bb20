//! Errors as `application/problem+json` (RFC 9457). The caller gets a bare status; the reason goes
//! to our log.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// An answer that is not a success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// The request makes no sense.
    BadRequest,
    /// Not signed as the source expects, or not from an allowed address: the same words for each,
    /// so that the response does not reveal which check failed.
    Unauthorized,
    /// Signed in, but not allowed to do this from there.
    Forbidden,
    /// Nothing is there.
    NotFound,
    /// Another method is needed; the text names them for `Allow`.
    MethodNotAllowed(&'static str),
    /// The sender was too slow.
    Timeout,
    /// It contradicts what is there.
    Conflict,
    /// The body is over the limit.
    TooLarge,
    /// The body is no JSON, and says so.
    UnsupportedMedia,
    /// The host is not one of ours.
    Misdirected,
    /// Too many at once.
    TooMany(Duration),
    /// Something of ours is broken.
    Internal,
    /// It cannot be made durable.
    Unavailable(Duration),
}

impl Problem {
    const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMedia => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The whole body: constant, so that a flood of bad requests costs no formatting.
    const fn body(self) -> &'static str {
        match self {
            Self::BadRequest => r#"{"title":"Bad Request","status":400}"#,
            Self::Unauthorized => r#"{"title":"Unauthorized","status":401}"#,
            Self::Forbidden => r#"{"title":"Forbidden","status":403}"#,
            Self::NotFound => r#"{"title":"Not Found","status":404}"#,
            Self::MethodNotAllowed(_) => r#"{"title":"Method Not Allowed","status":405}"#,
            Self::Timeout => r#"{"title":"Request Timeout","status":408}"#,
            Self::Conflict => r#"{"title":"Conflict","status":409}"#,
            Self::TooLarge => r#"{"title":"Content Too Large","status":413}"#,
            Self::UnsupportedMedia => r#"{"title":"Unsupported Media Type","status":415}"#,
            Self::Misdirected => r#"{"title":"Misdirected Request","status":421}"#,
            Self::TooMany(_) => r#"{"title":"Too Many Requests","status":429}"#,
            Self::Internal => r#"{"title":"Internal Server Error","status":500}"#,
            Self::Unavailable(_) => r#"{"title":"Service Unavailable","status":503}"#,
        }
    }

    pub(super) fn response(self) -> HttpResponse {
        self.with_body(self.body())
    }

    /// The answer with words for the owner: for the admin side, and for senders who are believed.
    pub(super) fn with_detail(self, detail: &str) -> HttpResponse {
        let status = self.status();
        let body = serde_json::json!({
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "detail": detail,
        });
        self.with_body(body.to_string())
    }

    fn with_body(self, body: impl Into<String>) -> HttpResponse {
        let mut response = HttpResponse::build(self.status());
        response.insert_header((header::CONTENT_TYPE, CONTENT_TYPE));
        match self {
            Self::MethodNotAllowed(allow) => {
                response.insert_header((header::ALLOW, allow));
            }
            Self::TooMany(retry_after) | Self::Unavailable(retry_after) => {
                // Rounded up: a caller that comes a moment early is refused again.
                let seconds = retry_after.as_millis().div_ceil(1000).max(1);
                response.insert_header((header::RETRY_AFTER, seconds.to_string()));
            }
            Self::Timeout => {
                response.force_close();
            }
            Self::BadRequest
            | Self::Unauthorized
            | Self::Forbidden
            | Self::NotFound
            | Self::Conflict
            | Self::TooLarge
            | Self::UnsupportedMedia
            | Self::Misdirected
            | Self::Internal => {}
        }
        response.body(body.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constant_bodies_say_their_own_status() {
        let second = Duration::from_secs(1);
        for problem in [
            Problem::BadRequest,
            Problem::Unauthorized,
            Problem::Forbidden,
            Problem::NotFound,
            Problem::MethodNotAllowed("POST"),
            Problem::Timeout,
            Problem::Conflict,
            Problem::TooLarge,
            Problem::UnsupportedMedia,
            Problem::Misdirected,
            Problem::TooMany(second),
            Problem::Internal,
            Problem::Unavailable(second),
        ] {
            let body: serde_json::Value = serde_json::from_str(problem.body()).unwrap();
            assert_eq!(body["status"], problem.status().as_u16());
        }
    }

    #[test]
    fn a_wait_is_given_in_whole_seconds_rounded_up() {
        let response = Problem::Unavailable(Duration::from_millis(1200)).response();
        assert_eq!(response.headers().get("retry-after").unwrap(), "2");
    }
}
