//! The public listener: `POST /hooks/{source}` and `GET /healthz`, and nothing else.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_http::{ConnectionType, Method, Request as HttpRequest, header};
use actix_web::Error;
use actix_web::body::BoxBody;
use actix_web::dev::{Response, ServiceFactory, fn_service};
use arc_swap::ArcSwap;
use ipnet::IpNet;
use tokio::time::Instant;

use super::body;
use super::client::{self, ClientInfo};
use super::connections::{self, ConnectionHandle};
use super::control::Control;
use super::problem::Problem;
use crate::clock::Timestamp;
use crate::ingest::{
    BodyError, Ingest, IngestError, ProxiedRequest, RefusedFor, RefusedRequest, RequestHead,
    is_private,
};

mod response;
mod unread;

pub(super) use response::{JSON, health};
use unread::Unread;

/// Where hooks live: the source's name follows.
pub const HOOKS: &str = "/hooks/";

/// How much sooner than others a connection is closed whose body found no room: it holds memory, too.
const CLOSED_SOONER: Duration = Duration::from_secs(1);

/// What the public listener needs.
#[derive(Debug)]
pub struct Public {
    ingest: Arc<Ingest>,
    /// Networks whose `X-Forwarded-For` is believed. Replaced as a whole by a reload.
    trusted_proxies: ArcSwap<Vec<IpNet>>,
    /// The program is about to end: each answer is the last one of its connection.
    is_closing: AtomicBool,
}

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
        async move { Ok(serve(request, &public, None).await) }
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
    fn_service(move |request: HttpRequest| {
        let public = Arc::clone(&public);
        async move {
            if public.is_welcome(&request) {
                Ok(request)
            } else {
                Err(serve(request, &public, None).await)
            }
        }
    })
}

/// One request and its answer. `stream` = it has a stream of its own, of HTTP/2.
pub(super) async fn serve(
    mut request: HttpRequest,
    public: &Public,
    stream: Option<&Arc<Control>>,
) -> Response<BoxBody> {
    let began = Instant::now();
    let payload = request.take_payload();
    let of_request = || connections::handle_of(&request);
    let connection = stream.map_or_else(of_request, |stream| ConnectionHandle(Some(stream)));
    let headers = &request.head().headers;
    let length = body::length(headers);
    connection.begin(&payload, length, began);
    let mut sooner = Duration::ZERO;
    let mut response = match source_name(request.path()) {
        Some(source) => {
            let info = public.client_info(&request);
            if !info.forwarding.is_empty() {
                public.note_proxy(&request, &info);
            }
            let head = request_head(source, &request, &info, length, began);
            let (length, is_stream) = (head.content_length, stream.is_some());
            let unread = Unread { payload, headers, length, connection, began, is_stream };
            match public.ingest.receive(head, unread).await {
                Ok(accepted) => response::of_accepted(accepted, connection),
                Err(err) => {
                    if err == IngestError::Body(BodyError::NoRoom) {
                        sooner = CLOSED_SOONER;
                    }
                    response::of_error(&err)
                }
            }
        }
        None if request.path() == "/healthz" => health(request.method()).into(),
        None => {
            public.note_elsewhere(&request);
            Problem::NotFound.response().into()
        }
    };
    // actix takes no other request behind an offer to upgrade: so the connection ends with this
    // answer.
    let is_offer = request.head().connection_type() == ConnectionType::Upgrade;
    let is_closing = public.is_closing.load(Ordering::Relaxed);
    // What is left of the body is thrown away, and no other request is looked for behind it. Behind
    // a stream's there is none.
    let is_unread = connection.end(Instant::now(), sooner) && stream.is_none();
    if is_unread || is_offer || is_closing {
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    response
}

/// The source's name in an address. A slash at its end, or a second one before its parts, comes of
/// how an address was put together: no other source is meant by it.
fn source_name(path: &str) -> Option<&str> {
    let path = path.strip_prefix('/').filter(|path| path.starts_with('/')).unwrap_or(path);
    let name = path.strip_prefix(HOOKS)?;
    let name = name.strip_prefix('/').unwrap_or(name);
    Some(name.strip_suffix('/').unwrap_or(name))
}

impl Public {
    /// The public side of `ingest`.
    pub fn new(ingest: Arc<Ingest>, trusted_proxies: Vec<IpNet>) -> Self {
        let trusted_proxies = ArcSwap::from_pointee(trusted_proxies);
        Self { ingest, trusted_proxies, is_closing: AtomicBool::new(false) }
    }

    /// What time it is, for the answers.
    pub(super) fn now(&self) -> Timestamp {
        self.ingest.now()
    }

    /// Whether a request's head alone is no reason to refuse it.
    pub(super) fn is_welcome(&self, request: &HttpRequest) -> bool {
        source_name(request.path()).is_some_and(|source| {
            let head = request.head();
            let info = self.client_info(request);
            let length = body::length(&head.headers);
            let head = request_head(source, request, &info, length, Instant::now());
            self.ingest.is_welcome(&head)
        })
    }

    /// Makes each answer from now on the last one of its connection.
    pub(super) fn close_connections(&self) {
        self.is_closing.store(true, Ordering::Relaxed);
    }

    /// Puts `trusted_proxies` in place of those that were.
    pub fn set_trusted_proxies(&self, trusted_proxies: Vec<IpNet>) {
        self.trusted_proxies.store(Arc::new(trusted_proxies));
    }

    fn client_info(&self, request: &HttpRequest) -> ClientInfo {
        let trusted = self.trusted_proxies.load();
        ClientInfo::of(request.head(), |address| is_in(address, &trusted))
    }

    /// Remembers the proxy that passed the request on. Strangers, who may claim what they like, are
    /// none.
    fn note_proxy(&self, request: &HttpRequest, info: &ClientInfo) {
        let (Some(peer), Some(client)) = (info.peer, info.client) else { return };
        let trusted = self.trusted_proxies.load();
        let is_trusted = is_in(peer, &trusted);
        if !is_trusted && !is_private(peer) {
            return;
        }
        let with_peer = |address| address == peer || is_in(address, &trusted);
        let hops = client::hops(&request.head().headers, &info.forwarding);
        let claimed = if is_trusted { client } else { client::address(peer, with_peer, hops) };
        let headers = info.forwarding.clone();
        let proxied = ProxiedRequest { peer, is_trusted, headers, client, claimed };
        self.ingest.proxies().add(proxied, self.now());
    }

    /// Counts what brings something to where no source is. A GET only looks around.
    fn note_elsewhere(&self, request: &HttpRequest) {
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            return;
        }
        let path = request.path();
        let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let is_near = path.contains(HOOKS.trim_end_matches('/'))
            || self.ingest.endpoint(&last.to_ascii_lowercase()).is_some();
        let reason = if is_near { RefusedFor::UnknownSource } else { RefusedFor::Elsewhere };
        let client = self.client_info(request).client;
        self.ingest.refuse(RefusedRequest { reason, path: Some(path), source: None, client });
    }

    /// Counts what never became a request. It has no path; on the admin side it is shown by `place`.
    pub(super) fn refuse_connection(
        &self,
        reason: RefusedFor,
        client: Option<IpAddr>,
        place: Option<&str>,
    ) {
        self.ingest.refuse(RefusedRequest { reason, path: place, source: None, client });
    }
}

fn is_in(address: IpAddr, networks: &[IpNet]) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

/// What the way in looks at before the body is read.
fn request_head<'a>(
    source: &'a str,
    request: &'a HttpRequest,
    info: &ClientInfo,
    length: Option<u64>,
    began: Instant,
) -> RequestHead<'a> {
    let head = request.head();
    RequestHead {
        source,
        method: head.method.as_str(),
        path_and_query: head.uri.path_and_query().map_or("/", |path| path.as_str()),
        is_preflight: head.method == Method::OPTIONS
            && head.headers.contains_key(header::ORIGIN)
            && head.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD),
        // A length that no address space holds is over every limit.
        content_length: length.map(|length| usize::try_from(length).unwrap_or(usize::MAX)),
        // As HTTP/2 counts it (RFC 9113, section 6.5.2): with 32 bytes for what holds them.
        header_bytes: head
            .headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + 32)
            .sum(),
        client: info.client,
        is_behind_unnamed_proxy: info.is_behind_unnamed_proxy(),
        began,
    }
}

#[cfg(test)]
mod tests;
