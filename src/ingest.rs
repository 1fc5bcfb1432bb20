//! The way in: source by name, limits, verification, one durable append.
//!
//! - Nothing is stored that was not verified, and nothing is answered that was not stored.
//! - The commit has [`COMMIT_TIMEOUT`]; who gives up then can repeat the request, which is
//!   recognised by its dedupe key if it was stored after all.
//! - What fails verification is kept in a bounded ring for diagnosis.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;

use crate::clock::{Clock, Timestamp};
use crate::event::{Headers, NewEvent, SourceName};
use crate::metrics::Metrics;
use crate::queue::{Appended, Queue, QueueError};
use crate::secret::Secret;
use crate::source::{Answered, Inbound, MethodUse, Rejection, Reply, Source, Verified};

mod client_limiter;
mod endpoint;
mod log;
mod proxies;
mod refused;
mod rejected;
mod unverified;

pub use client_limiter::{Admission, ClientLimiter, FailureResponse, Slot};
pub use endpoint::Endpoint;
pub use proxies::{FORWARDING_HEADERS, ProxiedRequest, Proxies, ProxyRow};
pub use refused::{RefusedFor, RefusedRequest, RefusedRequests, RefusedRow};
pub use rejected::{RejectedRequest, RejectedRing};
pub use unverified::{BodyRoom, UnverifiedBytes};

use log::ThrottledLog;

/// How long a durable commit may take: UserEcho hangs up after 10 s, and an answer that nobody
/// waits for is worth nothing.
pub const COMMIT_TIMEOUT: Duration = Duration::from_secs(8);

/// A request to a source, read to its end.
#[derive(Debug)]
pub struct Request<'a> {
    /// `POST` and the like.
    pub method: &'a str,
    /// The path with the query, as sent.
    pub path_and_query: &'a str,
    /// All headers.
    pub headers: Headers,
    /// The raw body.
    pub body: Bytes,
    /// When its head was read.
    pub received_at: Timestamp,
}

/// What became of a request that is believed.
#[derive(Debug)]
pub enum Accepted {
    /// It is an event, and durable.
    Stored(Appended),
    /// The same, with another answer than its id.
    StoredWith(Appended, Reply),
    /// It is a list, and each of its items an event.
    StoredAll {
        /// The first that was not seen before, or the first of all.
        first: Appended,
        /// How many items it has.
        n_events: usize,
    },
    /// It is a provider's question, and no event.
    Handshake(Reply),
    /// It only looks whether anything is there.
    Probe,
}

/// Why a request was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It failed verification.
    Rejected,
    /// More came than the source may send.
    RateLimited {
        /// When there is room again.
        retry_after: Duration,
    },
    /// It could not be made durable.
    Unavailable {
        /// When another try may help.
        retry_after: Duration,
    },
}

/// The way in.
pub struct Ingest {
    queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    /// Replaced as a whole by a reload; a request keeps the endpoint that it came through.
    endpoints: ArcSwap<HashMap<Box<str>, Arc<Endpoint>>>,
    rejected: RejectedRing,
    client_limiter: ClientLimiter,
    log: ThrottledLog,
    refused: RefusedRequests,
    proxies: Proxies,
    unverified: UnverifiedBytes,
    /// Held while a rejected request is stored: who asks for the same one meanwhile must find it
    /// gone. It is let go of only afterwards, so that it is not lost where storing fails.
    releasing: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Ingest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ingest").finish_non_exhaustive()
    }
}

impl Ingest {
    /// A way in through `sources`.
    pub fn new(
        queue: Arc<dyn Queue>,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
        sources: Vec<Source>,
    ) -> Self {
        let ingest = Self {
            queue,
            client_limiter: ClientLimiter::new(Arc::clone(&clock)),
            clock,
            metrics,
            endpoints: ArcSwap::default(),
            rejected: RejectedRing::default(),
            log: ThrottledLog::default(),
            refused: RefusedRequests::default(),
            proxies: Proxies::default(),
            unverified: UnverifiedBytes::default(),
            releasing: tokio::sync::Mutex::default(),
        };
        ingest.replace_sources(sources);
        ingest
    }

    /// The same with what an earlier run kept.
    #[must_use]
    pub fn with_rejected(self, rejected: RejectedRing) -> Self {
        Self { rejected, ..self }
    }

    /// Puts `sources` in place of those that were. Requests in flight end as they began.
    pub fn replace_sources(&self, sources: Vec<Source>) {
        let before = self.endpoints.load();
        let endpoints = sources.into_iter().map(|source| {
            let name: Box<str> = Box::from(source.name().as_str());
            let before = before.get(&name).map(|endpoint| &**endpoint);
            let endpoint = Endpoint::new(source, &self.metrics, before);
            (name, Arc::new(endpoint))
        });
        self.endpoints.store(Arc::new(endpoints.collect()));
    }

    /// The endpoint of the source of this name.
    pub fn endpoint(&self, name: &str) -> Option<Arc<Endpoint>> {
        self.endpoints.load().get(name).map(Arc::clone)
    }

    /// Every endpoint, by the source's name.
    pub fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        let mut endpoints: Vec<_> = self.endpoints.load().values().map(Arc::clone).collect();
        endpoints.sort_by(|left, right| left.source().name().cmp(right.source().name()));
        endpoints
    }

    /// The addresses that requests come from, and what each may still cost.
    pub fn client_limiter(&self) -> &ClientLimiter {
        &self.client_limiter
    }

    /// Room for the bodies that nobody has verified yet.
    pub fn unverified(&self) -> &UnverifiedBytes {
        &self.unverified
    }

    /// What was refused before its signature was looked at.
    pub fn refused(&self) -> &RefusedRequests {
        &self.refused
    }

    /// The proxies that requests came through.
    pub fn proxies(&self) -> &Proxies {
        &self.proxies
    }

    /// Remembers the proxy that a request came through.
    pub fn note_proxy(&self, request: ProxiedRequest) {
        self.proxies.add(request, self.clock.now());
    }

    /// Counts a request that was refused before its signature was looked at, and tells the log.
    pub fn refuse(&self, refused: RefusedRequest<'_>) {
        self.refused.add(refused, self.clock.now());
    }

    /// The requests that failed verification lately.
    pub fn rejected(&self) -> &RejectedRing {
        &self.rejected
    }

    /// Verifies `request` and stores it. `Ok` = the event survives a power cut from here on.
    /// `client` is asked for the caller's address where the request is kept as rejected; `believed`
    /// is called once the signature is good, before anything is stored.
    pub async fn accept(
        &self,
        endpoint: &Endpoint,
        request: Request<'_>,
        client: impl FnOnce() -> Option<IpAddr>,
        believed: impl FnOnce(),
    ) -> Result<Accepted, Refused> {
        let source = endpoint.source();
        let rejection = match source.verify_fetching(&request.inbound(), request.received_at).await
        {
            Ok(verified) => {
                believed();
                return self.store(endpoint, verified, request).await;
            }
            Err(rejection) => rejection,
        };
        if let Some(answered) = source.answer_unverified(&request.inbound()) {
            return Ok(Accepted::Handshake(self.handshake(endpoint, request, client(), answered)));
        }
        if source.method_use(request.method) == MethodUse::Question && request.is_plain() {
            return Ok(Accepted::Probe);
        }
        let refused = match rejection {
            Rejection::KeyNotFetched(_) => Refused::Unavailable { retry_after: RETRY_LATER },
            _ => Refused::Rejected,
        };
        let rejected = RejectedRequest::new(source, request, client(), &rejection);
        self.keep(rejected);
        Err(refused)
    }

    /// Takes in what an unsigned question brought: it is kept beside the rejected requests, where
    /// its owner can look at it, and becomes the source's secret where that is wanted.
    fn handshake(
        &self,
        endpoint: &Endpoint,
        request: Request<'_>,
        client: Option<IpAddr>,
        answered: Answered,
    ) -> Reply {
        let Answered { reply, learned, .. } = answered;
        if let Some(secret) = learned {
            self.learn(endpoint, &secret);
        }
        if !request.body.is_empty() || request.method == "POST" {
            self.keep_handshake(endpoint, request, client);
        }
        reply
    }

    /// Keeps a question where its owner can look at it.
    fn keep_handshake(&self, endpoint: &Endpoint, request: Request<'_>, client: Option<IpAddr>) {
        self.log.handshake(endpoint.source().name(), client, self.clock.now());
        self.rejected.push(RejectedRequest::of_handshake(endpoint.source(), request, client));
    }

    /// Writes a secret that the sender chose, where there is none yet, and goes on with it.
    fn learn(&self, endpoint: &Endpoint, secret: &Secret) {
        let source = endpoint.source();
        let Some(place) = source.settings().secrets.first() else { return };
        match place.learn(secret) {
            Ok(true) => {}
            Ok(false) => return,
            Err(err) => return self.log.not_learned(source.name(), &err, self.clock.now()),
        }
        match Source::build(source.name().clone(), source.settings().clone()) {
            Ok(learned) => {
                log::learned(source.name(), place);
                self.replace_source(learned);
            }
            Err(err) => self.log.not_learned(source.name(), &err, self.clock.now()),
        }
    }

    /// Puts `source` in place of the one of its name.
    fn replace_source(&self, source: Source) {
        let name: Box<str> = Box::from(source.name().as_str());
        let before = self.endpoints.load();
        let endpoint =
            Endpoint::new(source, &self.metrics, before.get(&name).map(|endpoint| &**endpoint));
        let endpoint = Arc::new(endpoint);
        self.endpoints.rcu(|endpoints| {
            let mut endpoints = HashMap::clone(endpoints);
            endpoints.insert(name.clone(), Arc::clone(&endpoint));
            endpoints
        });
    }

    /// Tells the log that a request to `source` was turned away unjudged, or because too many of
    /// `client` had failed at once.
    pub fn log_limited(&self, source: &SourceName, client: Option<IpAddr>) {
        self.log.log_limited(source, client, self.clock.now());
    }

    /// Verifies a rejected request again with the source as it is configured by now, as of the
    /// time it was received, and stores it if it passes. `None` = it is not kept any more.
    pub async fn release(&self, number: u64) -> Option<Result<Accepted, Refused>> {
        let _alone = self.releasing.lock().await;
        let rejected = self.rejected.get(number)?;
        let endpoint = self.endpoint(rejected.source.as_str())?;
        let request = Request {
            method: &rejected.method,
            path_and_query: &rejected.path_and_query,
            headers: rejected.headers.clone(),
            body: rejected.body.clone(),
            received_at: rejected.received_at,
        };
        let (source, inbound) = (endpoint.source(), request.inbound());
        let Ok(verified) = source.verify_fetching(&inbound, request.received_at).await else {
            return Some(Err(Refused::Rejected));
        };
        let stored = self.store(&endpoint, verified, request).await;
        if stored.is_ok() {
            self.rejected.remove(number);
        }
        Some(stored)
    }

    async fn store(
        &self,
        endpoint: &Endpoint,
        verified: Verified,
        request: Request<'_>,
    ) -> Result<Accepted, Refused> {
        let source = endpoint.source();
        if let Some(answered) = source.answer_verified(&request.inbound(), &verified) {
            if answered.is_kept {
                self.keep_handshake(endpoint, request, None);
            }
            return Ok(Accepted::Handshake(answered.reply));
        }
        if source.method_use(request.method) != MethodUse::Event {
            return Ok(Accepted::Probe);
        }
        // Charged here and not before: whoever cannot sign cannot use up a sender's rate.
        endpoint.charge().map_err(|retry_after| Refused::RateLimited { retry_after })?;
        endpoint.matched(verified.secret_index(), request.received_at);
        let Request { headers, body, received_at, .. } = request;
        if let Some(events) = source.split(&verified, received_at, &headers, &body) {
            return self.store_all(endpoint, events).await;
        }
        if verified.is_unsplit() {
            self.log.unsplit(source.name(), self.clock.now());
        }
        let event = source.event(verified, received_at, headers, body);
        let Some(answer) = source.settings().answer.body() else {
            return self.append(event).await.map(Accepted::Stored);
        };
        // The body is shared, not copied.
        let of_answer = answer.body.is_some().then(|| event.clone());
        let appended = self.append(event).await?;
        Ok(Accepted::StoredWith(appended, answer.reply(of_answer, appended.id())))
    }

    /// Stores the items of a list by one commit.
    async fn store_all(
        &self,
        endpoint: &Endpoint,
        events: Vec<NewEvent>,
    ) -> Result<Accepted, Refused> {
        let answer = endpoint.source().settings().answer.body();
        // What is answered is said over the first item.
        let of_answer = answer.filter(|answer| answer.body.is_some()).and(events.first().cloned());
        let all = self.in_time(self.queue.append_all(events)).await?;
        let is_new = |appended: &&Appended| matches!(appended, Appended::Stored(_));
        // A list that is split is never empty.
        let Some(first) = all.iter().find(is_new).or(all.first()).copied() else {
            return Ok(Accepted::Probe);
        };
        Ok(match answer {
            Some(answer) => Accepted::StoredWith(first, answer.reply(of_answer, first.id())),
            None => Accepted::StoredAll { first, n_events: all.len() },
        })
    }

    async fn append(&self, event: NewEvent) -> Result<Appended, Refused> {
        self.in_time(self.queue.append(event)).await
    }

    async fn in_time<T>(
        &self,
        stored: impl Future<Output = Result<T, QueueError>>,
    ) -> Result<T, Refused> {
        match tokio::time::timeout(COMMIT_TIMEOUT, stored).await {
            Ok(Ok(appended)) => Ok(appended),
            Ok(Err(err)) => Err(self.unavailable(&err)),
            Err(_elapsed) => {
                self.log.slow_commit(self.clock.now());
                Err(Refused::Unavailable { retry_after: RETRY_SOON })
            }
        }
    }

    fn keep(&self, rejected: RejectedRequest) {
        self.log.rejected(&rejected, self.clock.now());
        self.rejected.push(rejected);
    }

    fn unavailable(&self, err: &QueueError) -> Refused {
        let retry_after = match err {
            QueueError::Behind(_) => RETRY_AT_ONCE,
            QueueError::Full(_) => RETRY_LATER,
            QueueError::Poisoned
            | QueueError::Busy(_)
            | QueueError::Closed
            | QueueError::Held { .. }
            | QueueError::ForeignOwner { .. }
            | QueueError::Unsupported { .. }
            | QueueError::Corrupt(_)
            | QueueError::Io { .. } => RETRY_SOON,
        };
        self.log.not_stored(err, self.clock.now());
        Refused::Unavailable { retry_after }
    }
}

impl Request<'_> {
    /// Whether it asks nothing that a source could have an answer to.
    fn is_plain(&self) -> bool {
        self.method == "HEAD" || !self.path_and_query.contains('?')
    }

    fn inbound(&self) -> Inbound<'_> {
        Inbound {
            method: self.method,
            path_and_query: self.path_and_query,
            headers: &self.headers,
            body: &self.body,
        }
    }
}

/// The queue is behind for a moment.
const RETRY_AT_ONCE: Duration = Duration::from_secs(1);
/// A restart is under way, or the disk is slow.
const RETRY_SOON: Duration = Duration::from_secs(5);
/// Somebody must make room.
const RETRY_LATER: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
