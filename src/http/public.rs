//! The public listener: `POST /hooks/{source}` and `GET /healthz`, and nothing else.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use arc_swap::ArcSwap;
use bytes::Bytes;
use ipnet::IpNet;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::clock::{Clock, Timestamp};
use crate::event::{EventId, Headers};
use crate::ingest::{Accepted, Door, Ingest, Refused, Request, Visit};
use crate::metrics::{Metrics, RequestOutcome, SourceMetrics};
use crate::queue::Appended;
use crate::source::{RateLimit, Reply};

use super::body::{self, BodyError};
use super::client;
use super::idle;
use super::problem::Problem;

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
    /// One for each answer that is held back.
    late: Semaphore,
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
    /// How many requests one address may send before one of them is verified; nothing = any.
    pub unverified: Option<RateLimit>,
}

/// How long a failure is held back where an address has run out of what it may cost: who waits for
/// the answer before the next request is slowed down to a few thousand a second in all.
const LATE: Duration = Duration::from_millis(20);
/// The most answers that are held back at once: whoever does not wait gains nothing by it.
const LATE_MAX: usize = 1_024;

/// One service takes every request: with two routes a router would only add work.
pub(super) fn configure(config: &mut web::ServiceConfig, public: &web::Data<Public>) {
    config.app_data(public.clone()).default_service(web::to(entry));
}

async fn entry(
    request: HttpRequest,
    payload: web::Payload,
    public: web::Data<Public>,
) -> HttpResponse {
    let started = Instant::now();
    idle::note(&request, started);
    match request.path().strip_prefix(HOOKS) {
        Some(name) => hook(name, started, &request, payload, &public).await,
        None if request.path() == "/healthz" => health(request.method()),
        None => Problem::NotFound.response(),
    }
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
    payload: web::Payload,
    public: &Public,
) -> HttpResponse {
    let Some(door) = public.ingest.door(name) else {
        public.unknown.request(RequestOutcome::UnknownSource);
        return Problem::NotFound.response();
    };
    match receive(&door, request, payload, public).await {
        Ok(Accepted::Stored(appended)) => {
            door.metrics().request(match appended {
                Appended::Stored(_) => RequestOutcome::Accepted,
                Appended::Duplicate(_) => RequestOutcome::Duplicate,
            });
            public.metrics.ack(started.elapsed());
            stored(appended.id())
        }
        Ok(Accepted::Handshake(reply)) => {
            door.metrics().request(RequestOutcome::Handshake);
            answered(reply)
        }
        Err(no) => {
            if let Some(outcome) = no.outcome() {
                door.metrics().request(outcome);
            }
            no.problem().response()
        }
    }
}

/// Why a request to a source gets no 200.
#[derive(Clone, Copy, Debug)]
enum No {
    Method,
    NotAllowed,
    TooLarge,
    TooSlow,
    Broken,
    TooManyUnverified(Duration),
    Refused(Refused),
}

/// The whole way in: limits before anything is read, then the raw body, then the rest of it.
async fn receive(
    door: &Door,
    request: &HttpRequest,
    payload: web::Payload,
    public: &Public,
) -> Result<Accepted, No> {
    let received_at = public.clock.now();
    let is_post = request.method() == Method::POST;
    let is_question = request.method() == Method::GET && door.source().takes_get();
    if !is_post && !is_question {
        return Err(No::Method);
    }
    if !door.is_open() && !door.allows(public.client(request)) {
        return Err(No::NotAllowed);
    }
    let (body_max, request_timeout) = {
        let limits = public.limits.load();
        (door.body_max().unwrap_or(limits.body_max), limits.request_timeout)
    };
    if content_length(request.headers()).is_some_and(|length| length > body_max) {
        return Err(No::TooLarge);
    }
    let visit = public.let_in(request).await?;
    let taken = async {
        let body = body::read(payload, body_max, request_timeout).await?;
        take(door, request, body, received_at, public).await.map_err(No::Refused)
    };
    let taken = taken.await;
    if let Some(visit) = visit {
        public.judge(visit, &taken).await;
    }
    taken
}

/// The rest of the way, with the whole request at hand.
async fn take(
    door: &Door,
    request: &HttpRequest,
    body: Bytes,
    received_at: Timestamp,
    public: &Public,
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
    public.ingest.accept(door, request, client).await
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
        let late = Semaphore::new(LATE_MAX);
        Self { ingest, metrics, clock, limits: ArcSwap::from_pointee(limits), unknown, late }
    }

    /// Puts `limits` in place of those that were. Requests in flight end as they began.
    pub fn set_limits(&self, limits: Limits) {
        self.limits.store(Arc::new(limits));
    }

    /// Charges the caller's address for a request that nobody has verified yet.
    async fn let_in(&self, request: &HttpRequest) -> Result<Option<Visit<'_>>, No> {
        let limit = self.limits.load().unverified;
        let (Some(limit), Some(client)) = (limit, self.client(request)) else { return Ok(None) };
        match self.ingest.strangers().let_in(client, limit, self.clock.steady()) {
            Ok(visit) => Ok(Some(visit)),
            Err(retry_after) => {
                self.hold_back().await;
                Err(No::TooManyUnverified(retry_after))
            }
        }
    }

    /// Gives a good request its charge back, and holds a bad one back where there were too many.
    async fn judge(&self, visit: Visit<'_>, taken: &Result<Accepted, No>) {
        match taken {
            Ok(Accepted::Stored(_))
            | Err(No::Refused(Refused::RateLimited { .. } | Refused::Unavailable { .. })) => {
                visit.verified(self.clock.steady());
            }
            Err(_) if visit.is_over() => self.hold_back().await,
            // An answered question may be anybody's.
            Ok(Accepted::Handshake(_)) | Err(_) => {}
        }
    }

    async fn hold_back(&self) {
        if let Ok(_permit) = self.late.try_acquire() {
            tokio::time::sleep(LATE).await;
        }
    }

    fn client(&self, request: &HttpRequest) -> Option<IpAddr> {
        self.client_of(request.head().peer_addr, request.headers())
    }

    fn client_of(&self, peer: Option<SocketAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        // The headers' own iterator cannot go backwards.
        let forwarded: Vec<&[u8]> =
            headers.get_all("x-forwarded-for").map(HeaderValue::as_bytes).collect();
        client::address(
            peer.map(|peer| peer.ip()),
            &self.limits.load().trusted_proxies,
            forwarded.into_iter(),
        )
    }
}

impl From<BodyError> for No {
    fn from(err: BodyError) -> Self {
        match err {
            BodyError::TooLarge => Self::TooLarge,
            BodyError::TooSlow => Self::TooSlow,
            BodyError::Broken => Self::Broken,
        }
    }
}

impl No {
    /// What it counts as; a wrong method is no request to the source.
    fn outcome(self) -> Option<RequestOutcome> {
        match self {
            Self::Method => None,
            Self::NotAllowed => Some(RequestOutcome::NotAllowed),
            Self::TooLarge => Some(RequestOutcome::TooLarge),
            Self::TooSlow | Self::Broken => Some(RequestOutcome::Incomplete),
            Self::TooManyUnverified(_) => Some(RequestOutcome::UnverifiedLimited),
            Self::Refused(Refused::Rejected) => Some(RequestOutcome::Rejected),
            Self::Refused(Refused::RateLimited { .. }) => Some(RequestOutcome::RateLimited),
            Self::Refused(Refused::Unavailable { .. }) => Some(RequestOutcome::Unavailable),
        }
    }

    fn problem(self) -> Problem {
        match self {
            Self::Method => Problem::MethodNotAllowed("POST"),
            Self::NotAllowed | Self::Refused(Refused::Rejected) => Problem::Unauthorized,
            Self::TooLarge => Problem::TooLarge,
            Self::TooSlow => Problem::Timeout,
            Self::Broken => Problem::BadRequest,
            Self::TooManyUnverified(retry_after)
            | Self::Refused(Refused::RateLimited { retry_after }) => Problem::TooMany(retry_after),
            Self::Refused(Refused::Unavailable { retry_after }) => {
                Problem::Unavailable(retry_after)
            }
        }
    }
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
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
fn stored(id: EventId) -> HttpResponse {
    let mut text = [0_u8; uuid::fmt::Hyphenated::LENGTH];
    let id: &str = id.0.hyphenated().encode_lower(&mut text);
    let mut body = String::with_capacity(id.len() + 9);
    body.push_str("{\"id\":\"");
    body.push_str(id);
    body.push_str("\"}");
    HttpResponse::Ok().insert_header((header::CONTENT_TYPE, JSON)).body(body)
}

/// The answer to a provider's question. It repeats a stranger's text: never a page.
fn answered(reply: Reply) -> HttpResponse {
    let Reply { content_type, headers, body } = reply;
    let mut response = if body.is_empty() { HttpResponse::NoContent() } else { HttpResponse::Ok() };
    response.insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    for (name, value) in headers {
        response.insert_header((name, value));
    }
    if body.is_empty() {
        return response.finish();
    }
    response.insert_header((header::CONTENT_TYPE, content_type)).body(body)
}
