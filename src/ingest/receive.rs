//! The way in, from a request's head to the durable commit.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::accepted::Accepted;
use super::client_limiter::{Admission, ClientLimiter};
use super::endpoint::Endpoint;
use super::endpoints::Endpoints;
use super::error::{IngestError, RefusalCount};
use super::log::{self, ThrottledLog};
use super::newest::NewestFacts;
use super::proxies::Proxies;
use super::reader::RequestReader;
use super::refused::{RefusedFor, RefusedRequest, RefusedRequests};
use super::rejected::{RejectedRequest, RejectedRing};
use super::request::{BodyError, Limits, Request, RequestHead};
use super::store::EventStore;
use super::unverified::UnverifiedBytes;
use crate::clock::{Clock, Timestamp};
use crate::metrics::{Metrics, RequestOutcome, SourceMetrics};
use crate::queue::{Appended, Queue};
use crate::secret::Secret;
use crate::source::{Answered, MethodUse, Rejection, Source, Verified};
use crate::standby::Standbys;
use crate::trace::Traces;

/// The way in.
pub struct Ingest {
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    /// One series for all unknown sources.
    unknown: SourceMetrics,
    /// Replaced as a whole by a reload.
    pub(super) limits: ArcSwap<Limits>,
    endpoints: Endpoints,
    client_limiter: ClientLimiter,
    unverified: UnverifiedBytes,
    pub(super) store: EventStore,
    rejected: RejectedRing,
    refused: RefusedRequests,
    proxies: Proxies,
    /// How long after the request's head was read.
    acknowledged: NewestFacts<Duration>,
    log: Arc<ThrottledLog>,
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
        limits: Limits,
        sources: Vec<Source>,
    ) -> Self {
        let log = Arc::new(ThrottledLog::default());
        let ingest = Self {
            unknown: metrics.unknown_source(),
            limits: ArcSwap::from_pointee(limits),
            endpoints: Endpoints::new(metrics.clone()),
            client_limiter: ClientLimiter::new(Arc::clone(&clock)),
            unverified: UnverifiedBytes::default(),
            store: EventStore::new(queue, Arc::clone(&clock), Arc::clone(&log)),
            rejected: RejectedRing::default(),
            refused: RefusedRequests::default(),
            proxies: Proxies::default(),
            acknowledged: NewestFacts::default(),
            releasing: tokio::sync::Mutex::default(),
            clock,
            metrics,
            log,
        };
        ingest.replace_sources(sources);
        ingest
    }

    /// The same with what an earlier run kept.
    #[must_use]
    pub fn with_rejected(self, rejected: RejectedRing) -> Self {
        Self { rejected, ..self }
    }

    /// The same where answers may have to wait for the second copy.
    #[must_use]
    pub fn with_standbys(self, standbys: Arc<Standbys>) -> Self {
        Self { store: self.store.with_standbys(standbys), ..self }
    }

    /// Puts `sources` in place of those that were. Requests in flight end as they began.
    pub fn replace_sources(&self, sources: Vec<Source>) {
        self.endpoints.replace_all(sources);
        self.rejected.sources_changed();
    }

    /// Puts `limits` in place of those that were. Requests in flight end as they began.
    pub fn set_limits(&self, limits: Limits) {
        self.limits.store(Arc::new(limits));
    }

    /// The same; spans of the events go to `traces`.
    #[must_use]
    pub fn with_traces(mut self, traces: Traces) -> Self {
        self.store.set_traces(traces);
        self
    }

    /// The endpoint of the source of this name.
    pub fn endpoint(&self, name: &str) -> Option<Arc<Endpoint>> {
        self.endpoints.get(name)
    }

    /// Every endpoint, by the source's name.
    pub fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        self.endpoints.all()
    }

    /// What was refused before its signature was looked at.
    pub fn refused(&self) -> &RefusedRequests {
        &self.refused
    }

    /// When the newest repeats came.
    pub fn repeats(&self) -> &NewestFacts<Timestamp> {
        self.store.repeats()
    }

    /// How long after their requests' heads were read the newest events were answered.
    pub fn acknowledged(&self) -> &NewestFacts<Duration> {
        &self.acknowledged
    }

    /// The proxies that requests came through.
    pub fn proxies(&self) -> &Proxies {
        &self.proxies
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Counts a request that was refused before its signature was looked at, and tells the log.
    pub fn refuse(&self, refused: RefusedRequest<'_>) {
        self.refused.add(refused, self.clock.now());
    }

    #[cfg(test)]
    pub(crate) fn client_limiter(&self) -> &ClientLimiter {
        &self.client_limiter
    }

    /// The requests that failed verification lately.
    pub fn rejected(&self) -> &RejectedRing {
        &self.rejected
    }

    /// Whether the head alone does not refuse the request, so that its body is worth sending.
    pub fn is_welcome(&self, head: &RequestHead<'_>) -> bool {
        let endpoint = self.endpoints.get(head.source);
        endpoint.is_some_and(|endpoint| endpoint.check_head(head, &self.limits.load()).is_ok())
    }

    /// Takes a request in, and counts what became of it. `Ok` of an event = it survives a power cut
    /// from here on.
    pub async fn receive(
        &self,
        head: RequestHead<'_>,
        reader: impl RequestReader,
    ) -> Result<Accepted, IngestError> {
        let endpoint = self.endpoints.get(head.source);
        let received = match &endpoint {
            Some(endpoint) => self.receive_at(endpoint, &head, reader).await,
            None => Err(IngestError::UnknownSource),
        };
        self.count(endpoint.as_deref(), &head, &received);
        received
    }

    /// What costs least and refuses most comes first; nothing is believed before its signature is.
    async fn receive_at(
        &self,
        endpoint: &Endpoint,
        head: &RequestHead<'_>,
        mut reader: impl RequestReader,
    ) -> Result<Accepted, IngestError> {
        let received_at = self.clock.now();
        let limits = **self.limits.load();
        let body_limits = endpoint.check_head(head, &limits)?; // 405, 401, 413
        // Whom the source names in `allow` is not limited.
        let limited = head.client.zip(limits.unverified).filter(|_| endpoint.is_open());
        let mut admission = match limited {
            Some((client, limit)) => self.client_limiter.admit(client, limit)?, // 429
            None => Admission::unlimited(),
        };
        let reserved = self.unverified.reserve(head, limits.unverified_bytes);
        let Ok(mut room) = reserved else { return admission.no_room() }; // 503
        let body = match reader.body(body_limits, &mut room).await {
            Ok(body) => body,
            Err(BodyError::NoRoom) => return admission.no_room(), // 503
            Err(err) => return admission.fail(Err(err.into())).await, // 413, 408, 400
        };
        if !admission.acquire_slot() {
            return admission.fail(Err(IngestError::TooManyUnverified)).await; // 429
        }
        let (method, path_and_query, client) = (head.method, head.path_and_query, head.client);
        let headers = reader.headers();
        let request = Request { method, path_and_query, headers, body, received_at, client };
        match endpoint.source().verify_fetching(&request.inbound(), received_at).await {
            Ok(verified) => {
                // From here on the body is no longer unverified.
                drop(room);
                admission.verified();
                endpoint.course().verified();
                self.answer_or_store(endpoint, verified, request).await
            }
            Err(rejection) => {
                let late = self.store.answer_late(endpoint, &request, &rejection).await;
                let or_401 = || self.answer_unverified(endpoint, request, &rejection);
                admission.fail(late.unwrap_or_else(or_401)).await
            }
        }
    }

    /// The answer to a request whose verification failed: it may be a question and no event.
    fn answer_unverified(
        &self,
        endpoint: &Endpoint,
        request: Request<'_>,
        rejection: &Rejection,
    ) -> Result<Accepted, IngestError> {
        let source = endpoint.source();
        let answered = source.answer_unverified(&request.inbound(), rejection);
        if let Some(Answered { reply, learned, denial }) = answered {
            if let Some(secret) = learned {
                self.learn(endpoint, &secret);
            }
            self.keep_handshake(endpoint, request, denial.as_deref());
            return Ok(Accepted::Handshake(reply));
        }
        // What tries to be believed is no mere look whether anything is there.
        let is_look = *rejection == Rejection::Missing && request.is_plain();
        if is_look && source.may_be_look(request.method) {
            return Ok(Accepted::Probe);
        }
        endpoint.course().rejected_by(rejection);
        let rejected = RejectedRequest::new(source, request, rejection);
        self.log.rejected(&rejected, self.clock.now());
        self.refused.add_unkept(&rejected, self.clock.now());
        self.rejected.push(rejected);
        Err(IngestError::of_rejection(source, rejection))
    }

    /// Keeps a question beside the rejected requests, where its owner can look at it: also a signed one, or its
    /// owner could not tell that an event was taken for one.
    fn keep_handshake(&self, endpoint: &Endpoint, request: Request<'_>, denial: Option<&str>) {
        let (source, now) = (endpoint.source(), self.clock.now());
        match denial {
            Some(reason) => self.log.denied(source.name(), reason, request.client, now),
            None => self.log.handshake(source.name(), request.client, now),
        }
        self.rejected.push(RejectedRequest::of_handshake(source, request, denial.is_some()));
    }

    /// Answers what a verified request asks, or stores what it brought.
    async fn answer_or_store(
        &self,
        endpoint: &Endpoint,
        verified: Verified,
        request: Request<'_>,
    ) -> Result<Accepted, IngestError> {
        let source = endpoint.source();
        if let Some(answered) = source.answer_verified(&request.inbound(), &verified) {
            self.keep_handshake(endpoint, request, answered.denial.as_deref());
            return Ok(Accepted::Handshake(answered.reply));
        }
        if source.method_use(request.method) != MethodUse::Event {
            // What may bring something is told that it was not taken.
            if !source.is_look(&request.inbound(), &verified) {
                return Err(IngestError::EventByMethod { allow: source.event_methods() });
            }
            let says = source.form_in_query(request.path_and_query);
            if verified.is_of_known_sender() && (request.method == "GET" || says.is_some()) {
                self.tell_look(endpoint, &request);
            }
            return Ok(Accepted::Probe);
        }
        let request = request.with_believed_query(&verified);
        self.store.store(endpoint, verified, request).await
    }

    /// Its owner may have meant an event.
    fn tell_look(&self, endpoint: &Endpoint, request: &Request<'_>) {
        let (source, client) = (endpoint.source().name(), request.client);
        if endpoint.is_first_look() {
            log::look(source, client);
        }
        let path = request.path_and_query.split('?').next();
        let look = RefusedRequest { reason: RefusedFor::Look, path, source: Some(source), client };
        self.refused.count(look, self.clock.now());
    }

    /// Writes a secret that the sender chose, where there is none yet, and goes on with it.
    fn learn(&self, endpoint: &Endpoint, secret: &Secret) {
        let source = endpoint.source();
        let Some(place) = source.settings().secrets.first() else { return };
        match place.learn(secret) {
            Ok(true) => {}
            // Learned by another request, while a reload read the secrets just before that.
            Ok(false) if source.n_secrets() == 0 => {}
            Ok(false) => return,
            Err(err) => return self.log.not_learned(source.name(), &err, self.clock.now()),
        }
        match Source::build(source.name().clone(), source.settings().clone()) {
            Ok(learned) => {
                log::learned(source.name(), place);
                self.endpoints.replace(learned);
            }
            Err(err) => self.log.not_learned(source.name(), &err, self.clock.now()),
        }
    }

    /// Counts what became of a request, and shows the owner what was refused.
    fn count(
        &self,
        endpoint: Option<&Endpoint>,
        head: &RequestHead<'_>,
        received: &Result<Accepted, IngestError>,
    ) {
        let count = |outcome| match endpoint {
            Some(endpoint) => endpoint.count(outcome, self.clock.now()),
            None => self.unknown.request(outcome),
        };
        match received {
            Ok(Accepted::Stored(stored)) => {
                let took = head.began.elapsed();
                self.metrics.ack(took);
                match stored.appended {
                    Appended::Stored(id) => {
                        count(RequestOutcome::Accepted);
                        self.acknowledged.add(id, took);
                    }
                    Appended::Duplicate(_) => count(RequestOutcome::Duplicate),
                }
                for _ in 0..stored.n_more_repeats {
                    count(RequestOutcome::Duplicate);
                }
            }
            Ok(Accepted::EmptyList(_) | Accepted::Handshake(_)) => count(RequestOutcome::Handshake),
            // A look whether anything is there counts as nothing.
            Ok(Accepted::Probe) => {}
            Err(err) => {
                let RefusalCount { outcome, shown } = err.counted_as();
                outcome.into_iter().for_each(count);
                if let Some(reason) = shown {
                    let source = endpoint.map(|endpoint| endpoint.source().name());
                    let path = Some(head.path());
                    self.refuse(RefusedRequest { reason, path, source, client: head.client });
                }
            }
        }
    }

    /// Verifies a rejected request again with the source as it is configured by now, as of the
    /// time it was received, and stores it if it passes. `None` = it is not kept any more.
    pub async fn release(&self, number: u64) -> Option<Result<Accepted, IngestError>> {
        let _alone = self.releasing.lock().await;
        let rejected = self.rejected.get(number)?;
        let endpoint = self.endpoint(rejected.source.as_str())?;
        let request = rejected.as_it_came();
        let source = endpoint.source();
        let verified = source.verify_fetching(&request.inbound(), request.received_at).await;
        let Ok(verified) = verified else { return Some(Err(IngestError::Rejected)) };
        let stored = self.answer_or_store(&endpoint, verified, request).await;
        if let Ok(accepted) = &stored {
            endpoint.course().released(accepted, rejected.received_at);
            self.rejected.remove(number);
        }
        Some(stored)
    }

    /// Whether [`Ingest::release`] would store it, with nothing fetched. `None` = it is not kept any more.
    pub fn is_good_by_now(&self, number: u64) -> Option<bool> {
        let rejected = self.rejected.get(number)?;
        let endpoint = self.endpoint(rejected.source.as_str())?;
        let request = rejected.as_it_came();
        Some(endpoint.source().verify(&request.inbound(), request.received_at).is_ok())
    }
}
