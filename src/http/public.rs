//! The public listener: `POST /hooks/{source}` and `GET /healthz`, and nothing else.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_http::header::{self, HeaderMap, HeaderValue};
use actix_http::{ConnectionType, Method, Payload, Request as HttpRequest, StatusCode};
use actix_web::body::BoxBody;
use actix_web::dev::{Response, ServiceFactory, fn_service};
use actix_web::{Error, HttpResponse};
use arc_swap::ArcSwap;
use bytes::Bytes;
use ipnet::IpNet;
use tokio::time::Instant;

use crate::clock::{Clock, Timestamp};
use crate::event::{EventId, Headers};
use crate::ingest::{
    Accepted, Admission, BodyRoom, Endpoint, FailureResponse, Ingest, ProxiedRequest, Refused,
    RefusedFor, RefusedRequest, Request,
};
use crate::metrics::{Metrics, RequestOutcome, SourceMetrics};
use crate::queue::Appended;
use crate::source::{MethodUse, RateLimit, Reply};

use super::body::{self, BodyError, Collect};
use super::client;
use super::connections::{self, Seen, Watched};
use super::problem::Problem;

mod hook_error;

use hook_error::HookError;

/// Where hooks live: the source's name follows.
pub const HOOKS: &str = "/hooks/";

/// What the public listener needs.
#[derive(Debug)]
pub struct Public {
    ingest: Arc<Ingest>,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
    /// Replaced as a whole by a reload.
    limits: ArcSwap<Limits>,
    /// One series for all sources that nobody configured.
    unknown: SourceMetrics,
    /// The program is about to end: each answer is the last one of its connection.
    is_closing: AtomicBool,
}

/// Limits that hold for every source.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The longest body, where the source has no limit of its own.
    pub body_max: usize,
    /// How long a body may take.
    pub request_timeout: Duration,
    /// Networks whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How many requests of one address may fail before its failures are answered late; nothing =
    /// any number.
    pub unverified: Option<RateLimit>,
    /// How many bytes of bodies are held that nobody has verified yet.
    pub unverified_bytes: usize,
}

/// How long the response to a failed verification is delayed where a client has used up its limit:
/// 32 slots, each held for 20 ms, let one client fail at most 1,600 times a second.
const LATE: Duration = Duration::from_millis(20);
/// When to come back where no slot was free: each is free again within [`LATE`].
const RETRY: Duration = Duration::from_secs(1);

/// What the listener hands requests to. One function takes every request, straight from the
/// protocol's part of actix: a router and what comes with it would only add work.
pub(super) fn service(
    public: Arc<Public>,
) -> impl ServiceFactory<
    HttpRequest,
    Config = (),
    Response = Response<BoxBody>,
    Error = Error,
    InitError = (),
> {
    // Of this thread alone: its count is touched for each request.
    let public = Rc::new(public);
    fn_service(move |request| {
        let public = Rc::clone(&public);
        async move { Ok(entry(request, &public).await) }
    })
}

/// What the listener asks before it tells a client to go on with its body (`Expect: 100-continue`):
/// a request whose head alone says that it is refused is answered at once.
pub(super) fn expect(
    public: Arc<Public>,
) -> impl ServiceFactory<
    HttpRequest,
    Config = (),
    Response = HttpRequest,
    Error = Response<BoxBody>,
    InitError = (),
> {
    fn_service(move |request| {
        let public = Arc::clone(&public);
        async move { expected(request, &public).await }
    })
}

async fn expected(request: HttpRequest, public: &Public) -> Result<HttpRequest, Response<BoxBody>> {
    let is_welcome = match source_name(request.path()) {
        Some(name) => public
            .ingest
            .endpoint(name)
            .is_some_and(|endpoint| check_head(&endpoint, &request, public).is_ok()),
        None => false,
    };
    if is_welcome { Ok(request) } else { Err(entry(request, public).await) }
}

async fn entry(mut request: HttpRequest, public: &Public) -> Response<BoxBody> {
    let started = Instant::now();
    let payload = request.take_payload();
    let connection = connections::of(&request);
    connection.begin(body::announced(&payload, &request.head().headers), started);
    let mut response = match source_name(request.path()) {
        Some(name) => hook(name, started, &request, payload, connection, public).await,
        None if request.path() == "/healthz" => health(request.method()).into(),
        None => {
            public.note_near_miss(&request);
            Problem::NotFound.response().into()
        }
    };
    // actix takes no other request behind an offer to upgrade: whoever made it is told so.
    let is_offer = request.head().connection_type() == ConnectionType::Upgrade;
    let is_closing = public.is_closing.load(Ordering::Relaxed);
    if connection.end(Instant::now()) || is_offer || is_closing {
        // What is left of the body is thrown away, and no other request is looked for behind it.
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    response
}

/// The source's name in an address. A slash at its end, or a second one at its beginning, comes of
/// how an address was put together: no other source is meant by it.
fn source_name(path: &str) -> Option<&str> {
    let path = path.strip_prefix('/').filter(|path| path.starts_with('/')).unwrap_or(path);
    let name = path.strip_prefix(HOOKS)?;
    Some(name.strip_suffix('/').unwrap_or(name))
}

/// The process serves: that is all a health check asks.
pub(super) fn health(method: &Method) -> HttpResponse {
    if method == Method::GET || method == Method::HEAD {
        HttpResponse::Ok().insert_header((header::CONTENT_TYPE, JSON)).body(r#"{"status":"ok"}"#)
    } else {
        Problem::MethodNotAllowed("GET, HEAD").response()
    }
}

/// One request to a source, and its count.
async fn hook(
    name: &str,
    started: Instant,
    request: &HttpRequest,
    payload: Payload,
    connection: Watched<'_>,
    public: &Public,
) -> Response<BoxBody> {
    let Some(endpoint) = public.ingest.endpoint(name) else {
        public.unknown.request(RequestOutcome::UnknownSource);
        public.refuse(RefusedFor::UnknownSource, request, None);
        return Problem::NotFound.response().into();
    };
    let body = Unread { payload, connection, started };
    match receive(&endpoint, request, body, public).await {
        Ok(Accepted::Stored(appended)) => {
            count(&endpoint, appended, started, public);
            stored(appended.id())
        }
        Ok(Accepted::StoredWith(appended, reply)) => {
            count(&endpoint, appended, started, public);
            answered(reply).into()
        }
        Ok(Accepted::StoredAll { first, n_events }) => {
            count(&endpoint, first, started, public);
            stored_all(first.id(), n_events).into()
        }
        Ok(Accepted::Handshake(reply)) => {
            endpoint.metrics().request(RequestOutcome::Handshake);
            answered(reply).into()
        }
        Ok(Accepted::Probe) => HttpResponse::Ok().finish().into(),
        Err(no) => {
            if let Some(outcome) = no.outcome() {
                endpoint.metrics().request(outcome);
            }
            if let Some(reason) = no.refused_for(request, public) {
                public.refuse(reason, request, Some(&endpoint));
            }
            let mut response = no.problem().response();
            if let (HookError::Method, Ok(allow)) =
                (no, HeaderValue::from_str(&endpoint.source().methods()))
            {
                response.headers_mut().insert(header::ALLOW, allow);
            }
            if let HookError::Crowded = no {
                response.head_mut().set_connection_type(ConnectionType::Close);
            }
            if let HookError::TooManyUnverified = no {
                public.ingest.log_limited(endpoint.source().name(), public.client(request));
                // Whoever goes on regardless is not to do so at full speed.
                response.head_mut().set_connection_type(ConnectionType::Close);
            }
            response.into()
        }
    }
}

/// Counts an event that is durable.
fn count(endpoint: &Endpoint, appended: Appended, started: Instant, public: &Public) {
    endpoint.metrics().request(match appended {
        Appended::Stored(_) => RequestOutcome::Accepted,
        Appended::Duplicate(_) => RequestOutcome::Duplicate,
    });
    public.metrics.ack(started.elapsed());
}

/// A body that is still to be read.
struct Unread<'a> {
    payload: Payload,
    connection: Watched<'a>,
    started: Instant,
}

/// How much of a body is read, and for how long.
struct BodyLimits {
    bytes_max: usize,
    time: Duration,
}

impl Unread<'_> {
    async fn read(
        self,
        limits: &BodyLimits,
        room: &mut BodyRoom<'_>,
        headers: &HeaderMap,
    ) -> Result<Bytes, BodyError> {
        let body = Collect {
            bytes_max: limits.bytes_max,
            length: content_length(headers),
            room: Some(room),
            end: body::end_of(headers),
        };
        let body = body::read_soon(self.payload, body, limits.time).await?;
        self.connection.has_body(self.started);
        Ok(body)
    }
}

/// The whole way in: limits before anything is read, then the raw body, then the rest of it.
async fn receive(
    endpoint: &Endpoint,
    request: &HttpRequest,
    unread: Unread<'_>,
    public: &Public,
) -> Result<Accepted, HookError> {
    let received_at = public.clock.now();
    public.note_proxy(request);
    let limits = check_head(endpoint, request, public)?;
    let mut admission = public.admit(endpoint, request)?;
    let mut room = Some(public.reserve(request)?);
    let taken = async {
        let Some(body_room) = &mut room else { return Err(HookError::Crowded) };
        let body = unread.read(&limits, body_room, &request.head().headers).await?;
        if admission.as_mut().is_some_and(|admission| !admission.acquire_slot()) {
            return Err(HookError::TooManyUnverified);
        }
        let believed = || {
            // From here on the body is no longer unverified.
            drop(room.take());
            if let Some(admission) = admission.take() {
                admission.verified();
            }
        };
        take(endpoint, request, body, received_at, public, believed)
            .await
            .map_err(HookError::Refused)
    };
    let taken = taken.await;
    match admission {
        Some(admission) => answer_failure(admission, taken).await,
        None => taken,
    }
}

/// What the head alone says: whether the body is worth reading, and how much of it.
fn check_head(
    endpoint: &Endpoint,
    request: &HttpRequest,
    public: &Public,
) -> Result<BodyLimits, HookError> {
    if endpoint.source().method_use(request.method().as_str()) == MethodUse::None {
        return Err(HookError::Method);
    }
    if !endpoint.is_open() && !endpoint.allows(public.client(request)) {
        return Err(HookError::NotAllowed);
    }
    let limits = {
        let limits = public.limits.load();
        let bytes_max = endpoint.body_max().unwrap_or(limits.body_max);
        BodyLimits { bytes_max, time: limits.request_timeout }
    };
    if content_length(&request.head().headers).is_some_and(|length| length > limits.bytes_max) {
        return Err(HookError::TooLarge);
    }
    Ok(limits)
}

/// What becomes of the answer to a request whose signature nobody found good.
async fn answer_failure(
    admission: Admission<'_>,
    taken: Result<Accepted, HookError>,
) -> Result<Accepted, HookError> {
    match admission.failed() {
        FailureResponse::Immediate => taken,
        FailureResponse::Delayed(slot) => {
            tokio::time::sleep(LATE).await;
            drop(slot);
            taken
        }
        // An answered question stays one: it cost next to nothing, and may be an honest sender's.
        FailureResponse::Reject => taken.map_err(|_| HookError::TooManyUnverified),
    }
}

/// The rest of the way, with the whole request at hand.
async fn take(
    endpoint: &Endpoint,
    request: &HttpRequest,
    body: Bytes,
    received_at: Timestamp,
    public: &Public,
    believed: impl FnOnce(),
) -> Result<Accepted, Refused> {
    let head = request.head();
    let request = Request {
        method: head.method.as_str(),
        path_and_query: head.uri.path_and_query().map_or("/", |path| path.as_str()),
        headers: headers(&head.headers),
        body,
        received_at,
    };
    let client = || public.client_of(head.peer_addr, &head.headers);
    public.ingest.accept(endpoint, request, client, believed).await
}

impl Public {
    /// The public side of `ingest`.
    pub fn new(
        ingest: Arc<Ingest>,
        metrics: Metrics,
        clock: Arc<dyn Clock>,
        limits: Limits,
    ) -> Self {
        let unknown = metrics.unknown_source();
        let (limits, is_closing) = (ArcSwap::from_pointee(limits), AtomicBool::new(false));
        Self { ingest, metrics, clock, limits, unknown, is_closing }
    }

    /// Makes each answer from now on the last one of its connection.
    pub(super) fn close_connections(&self) {
        self.is_closing.store(true, Ordering::Relaxed);
    }

    /// Puts `limits` in place of those that were. Requests in flight end as they began.
    pub fn set_limits(&self, limits: Limits) {
        self.limits.store(Arc::new(limits));
    }

    /// Looks at the caller's address before anything is read.
    fn admit(
        &self,
        endpoint: &Endpoint,
        request: &HttpRequest,
    ) -> Result<Option<Admission<'_>>, HookError> {
        // A client in the source's `allow` is not limited.
        if !endpoint.is_open() {
            return Ok(None);
        }
        let limit = self.limits.load().unverified;
        let (Some(limit), Some(client)) = (limit, self.client(request)) else { return Ok(None) };
        self.ingest
            .client_limiter()
            .admit(client, limit)
            .map(Some)
            .ok_or(HookError::TooManyUnverified)
    }

    /// Room for the body, as long as it is said to be.
    fn reserve(&self, request: &HttpRequest) -> Result<BodyRoom<'_>, HookError> {
        let length = content_length(&request.head().headers).unwrap_or(0);
        let bytes_max = self.limits.load().unverified_bytes;
        let room = self.ingest.unverified().reserve(self.client(request), length, bytes_max);
        room.ok_or(HookError::Crowded)
    }

    /// Counts what is refused before its signature was looked at.
    fn refuse(&self, reason: RefusedFor, request: &HttpRequest, endpoint: Option<&Endpoint>) {
        self.ingest.refuse(RefusedRequest {
            reason,
            path: Some(request.path()),
            source: endpoint.map(|endpoint| endpoint.source().name()),
            client: self.client(request),
        });
    }

    /// Whether somebody passed the request on whom `trusted_proxies` does not name.
    fn is_behind_unnamed_proxy(&self, request: &HttpRequest) -> bool {
        let head = request.head();
        let peer = head.peer_addr.map(|peer| peer.ip().to_canonical());
        head.headers.contains_key("x-forwarded-for") && self.client(request) == peer
    }

    /// Remembers the proxy that passed the request on, where one did.
    fn note_proxy(&self, request: &HttpRequest) {
        let head = request.head();
        let Some(peer) = head.peer_addr.map(|peer| peer.ip().to_canonical()) else { return };
        let headers = client::forwarding_headers(&head.headers);
        if headers.is_empty() {
            return;
        }
        let limits = self.limits.load();
        let trusted = &limits.trusted_proxies;
        let is_trusted = trusted.iter().any(|net| net.contains(&peer));
        let client = self.client(request).unwrap_or(peer);
        let claimed = client::address(
            Some(peer),
            &[trusted.as_slice(), &[peer.into()]].concat(),
            client::forwarded_for(&head.headers).into_iter(),
        );
        self.ingest.note_proxy(ProxiedRequest {
            peer,
            is_trusted,
            headers,
            client,
            claimed: claimed.unwrap_or(peer),
        });
    }

    /// Counts a POST to what is nearly a source's address.
    fn note_near_miss(&self, request: &HttpRequest) {
        let path = request.path();
        let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let is_near = path.contains(HOOKS.trim_end_matches('/'))
            || self.ingest.endpoint(&last.to_ascii_lowercase()).is_some();
        if request.method() == Method::POST && is_near {
            self.refuse(RefusedFor::UnknownSource, request, None);
        }
    }

    /// Counts what a connection saw that never became a request.
    pub(super) fn saw(&self, seen: Seen, client: Option<IpAddr>) {
        let reason = match seen {
            Seen::HeadTooLarge => RefusedFor::HeadTooLarge,
            Seen::Malformed => RefusedFor::Malformed,
            Seen::Tls => RefusedFor::Tls,
            Seen::ProxyProtocol => RefusedFor::ProxyProtocol,
            Seen::TlsHandshake => RefusedFor::TlsHandshake,
            Seen::PlainHttp => RefusedFor::PlainHttp,
            Seen::Shed => RefusedFor::Shed,
            Seen::NoConnection => RefusedFor::NoConnection,
        };
        self.ingest.refuse(RefusedRequest { reason, path: None, source: None, client });
    }

    fn client(&self, request: &HttpRequest) -> Option<IpAddr> {
        self.client_of(request.head().peer_addr, &request.head().headers)
    }

    fn client_of(&self, peer: Option<SocketAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        client::address(
            peer.map(|peer| peer.ip()),
            &self.limits.load().trusted_proxies,
            client::forwarded_for(headers).into_iter(),
        )
    }
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    body::length(headers).map(|length| usize::try_from(length).unwrap_or(usize::MAX))
}

/// All headers, once, in the form in which they are stored. The order among different names is
/// the HTTP library's; repeated names keep theirs.
fn headers(map: &HeaderMap) -> Headers {
    let mut builder = Headers::builder();
    for (name, value) in map {
        builder.push(name.as_str(), value.as_bytes());
    }
    builder.finish()
}

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// `{"id":"…"}`: a UUID needs no escaping.
fn stored(id: EventId) -> Response<BoxBody> {
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
fn stored_all(id: EventId, n_events: usize) -> HttpResponse {
    let body = serde_json::json!({ "id": id, "events": n_events });
    HttpResponse::Ok().insert_header((header::CONTENT_TYPE, JSON)).body(body.to_string())
}

/// An answer of a source. To a question it repeats text of an unverified client: never a page.
fn answered(reply: Reply) -> HttpResponse {
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

#[cfg(test)]
mod tests;
