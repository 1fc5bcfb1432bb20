//! Heads as actix has them (http 0.2), out of those of h2 (http 1), and back.

use std::net::SocketAddr;

use actix_http::header::{self, HeaderName, HeaderValue};
use actix_http::{Method, Payload, Request, ResponseHead, Uri, Version};

use crate::clock::Timestamp;
use crate::http::connection::HEAD_MAX;

/// The same number of headers as of HTTP/1.1. Their bytes count as they would be written there.
const HEADERS_MAX: usize = 96;

/// Why a head is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    TooLarge,
    Malformed,
}

/// The request of a head. Where it has no `Host`, that is its `:authority`: for who signs the
/// address, and for what is stored.
pub(super) fn request(
    parts: http::request::Parts,
    payload: Payload,
    peer: Option<SocketAddr>,
) -> Result<Request, Refused> {
    let http::request::Parts { method, uri, headers, .. } = parts;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let bytes: usize =
        headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if headers.len() > HEADERS_MAX || bytes + path.len() > HEAD_MAX {
        return Err(Refused::TooLarge);
    }
    let mut request = Request::with_payload(payload);
    let head = request.head_mut();
    head.method = Method::from_bytes(method.as_str().as_bytes()).map_err(|_| Refused::Malformed)?;
    head.uri = Uri::try_from(path).map_err(|_| Refused::Malformed)?;
    head.version = Version::HTTP_2;
    head.peer_addr = peer;
    for (name, value) in &headers {
        let name = HeaderName::from_bytes(name.as_str().as_bytes());
        let value = HeaderValue::from_bytes(value.as_bytes());
        let (Ok(name), Ok(value)) = (name, value) else { return Err(Refused::Malformed) };
        head.headers.append(name, value);
    }
    let hosts: Vec<&HeaderValue> = head.headers.get_all(header::HOST).collect();
    match (hosts.as_slice(), uri.authority()) {
        ([], Some(authority)) => {
            let host = HeaderValue::from_str(authority.as_str()).map_err(|_| Refused::Malformed)?;
            head.headers.insert(header::HOST, host);
        }
        ([] | [_], None) => {}
        ([host], Some(authority))
            if host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()) => {}
        // RFC 9113, 8.3.1: two that differ name no host.
        _ => return Err(Refused::Malformed),
    }
    Ok(request)
}

/// Whether the client waits to be told that it may send the body.
pub(super) fn is_waiting(request: &Request) -> bool {
    let expected = request.head().headers().get(header::EXPECT);
    expected.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// The head of an answer of so many bytes.
pub(super) fn response(head: &ResponseHead, length: usize, now: Timestamp) -> http::Response<()> {
    let mut response = http::Response::new(());
    // actix has checked it; there are no others.
    if let Ok(status) = http::StatusCode::from_u16(head.status.as_u16()) {
        *response.status_mut() = status;
    }
    let headers = response.headers_mut();
    for (name, value) in head.headers() {
        let name = http::HeaderName::from_bytes(name.as_str().as_bytes());
        let value = http::HeaderValue::from_bytes(value.as_bytes());
        if let (Ok(name), Ok(value)) = (name, value)
            && !IN_HTTP_1_ONLY.contains(&name.as_str())
        {
            headers.append(name, value);
        }
    }
    if !is_bare(head.status.as_u16()) {
        headers.insert(http::header::CONTENT_LENGTH, length.into());
    }
    if let Ok(date) = http::HeaderValue::from_maybe_shared(now.http_date()) {
        headers.insert(http::header::DATE, date);
    }
    response
}

/// Statuses whose answers have no length.
const fn is_bare(status: u16) -> bool {
    matches!(status, 100..=199 | 204 | 304)
}

/// What speaks of a connection of HTTP/1.1 (RFC 9113, 8.2.2).
const IN_HTTP_1_ONLY: [&str; 5] =
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];
