//! Makes durable what was verified.

use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use super::accepted::{Accepted, Ack, Stored};
use super::endpoint::Endpoint;
use super::error::{IngestError, RETRY_LATER};
use super::late::late_event;
use super::log::ThrottledLog;
use super::newest::NewestFacts;
use super::request::Request;
use super::unconfirmed::UnconfirmedAnswer;
use crate::clock::{Clock, Timestamp};
use crate::event::{Dedupe, EventId, EventType, Headers, NewEvent, SourceName};
use crate::queue::{Appended, Queue, QueueError};
use crate::source::{AnswerBody, Rejection, Verified};
use crate::standby::Standbys;
use crate::trace::{EventTrace, Span, SpanKind, SpanValue, Traces};

/// How long a durable commit may take: UserEcho hangs up after 10 s, and a later answer is
/// not read.
pub const COMMIT_TIMEOUT: Duration = Duration::from_secs(8);
/// The queue is behind for a moment.
const RETRY_AT_ONCE: Duration = Duration::from_secs(1);
/// A restart is under way, or the disk is slow.
const RETRY_SOON: Duration = Duration::from_secs(5);

/// The queue, as verified requests see it.
pub(super) struct EventStore {
    queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    log: Arc<ThrottledLog>,
    standbys: Option<Arc<Standbys>>,
    traces: Traces,
    repeats: NewestFacts<Timestamp>,
}

impl EventStore {
    pub(super) fn new(
        queue: Arc<dyn Queue>,
        clock: Arc<dyn Clock>,
        log: Arc<ThrottledLog>,
    ) -> Self {
        let (traces, repeats) = (Traces::default(), NewestFacts::default());
        Self { queue, clock, log, standbys: None, traces, repeats }
    }

    pub(super) fn repeats(&self) -> &NewestFacts<Timestamp> {
        &self.repeats
    }

    pub(super) fn set_traces(&mut self, traces: Traces) {
        self.traces = traces;
    }

    /// The same where what is stored is answered once the second copy has it, if that is wanted.
    pub(super) fn with_standbys(self, standbys: Arc<Standbys>) -> Self {
        Self { standbys: Some(standbys), ..self }
    }

    /// Stores what a verified request brought.
    pub(super) async fn store(
        &self,
        endpoint: &Endpoint,
        verified: Verified,
        request: Request<'_>,
    ) -> Result<Accepted, IngestError> {
        let source = endpoint.source();
        // Charged here and not before: a client that cannot sign cannot use up the sender's rate.
        let taken = endpoint.take_verified(&verified, request.received_at);
        taken.map_err(|retry_after| IngestError::RateLimited { retry_after })?;
        let Request { headers, body, received_at, client, .. } = request;
        let verified = verified.from_client(client);
        if let Some(events) = source.split(&verified, received_at, &headers, &body) {
            if events.is_empty() {
                self.log.empty_list(source.name(), self.clock.now());
                let event = || source.event(verified, received_at, headers, body);
                let rule = source.settings().answer.body();
                // What is said over an event that is none may be empty: there is nothing to lose.
                let reply = rule.map(|rule| rule.reply(Some(event()), EventId::NONE).0);
                return Ok(Accepted::EmptyList(reply));
            }
            return self.append_all(endpoint, events).await;
        }
        if verified.is_unsplit() {
            self.log.unsplit(source.name(), self.clock.now());
        }
        self.append(endpoint, source.event(verified, received_at, headers, body)).await
    }

    async fn append(&self, endpoint: &Endpoint, event: NewEvent) -> Result<Accepted, IngestError> {
        let rule = endpoint.source().settings().answer.body();
        // The body is shared, not copied.
        let of_answer = rule.filter(|rule| rule.body.is_some()).map(|_| event.clone());
        let dedupe = event.dedupe;
        let received = self.traces.is_on().then(|| TracedRequest::of(&event));
        let appended = self.in_time(self.queue.append(event)).await?;
        if let (Some(received), Appended::Stored(id)) = (received, appended) {
            self.trace(received, id);
        }
        self.acknowledge(endpoint, &[(dedupe, appended)], of_answer, Ack::Id).await
    }

    /// Stores an event that no request brought: its owner made it.
    pub(super) async fn append_made(&self, event: NewEvent) -> Result<EventId, QueueError> {
        let made = self.traces.is_on().then(|| TracedRequest::of(&event));
        let id = self.queue.append(event).await?.id();
        if let Some(made) = made {
            self.trace(made, id);
        }
        // It is stored all the same, and an error would have its maker make another one.
        if let Some(standbys) = &self.standbys
            && !standbys.is_copied().await
        {
            warn!(event = %id, "The standby did not have an edited event in time (`queue.ack`)");
        }
        Ok(id)
    }

    /// Stores the items of a list by one commit.
    async fn append_all(
        &self,
        endpoint: &Endpoint,
        events: Vec<NewEvent>,
    ) -> Result<Accepted, IngestError> {
        let rule = endpoint.source().settings().answer.body();
        // What is answered is said over the first item.
        let of_answer = rule.filter(|rule| rule.body.is_some()).and(events.first().cloned());
        let dedupes: Vec<_> = events.iter().map(|event| event.dedupe).collect();
        let is_traced = self.traces.is_on();
        let traced: Vec<_> = events.iter().filter(|_| is_traced).map(TracedRequest::of).collect();
        let all = self.in_time(self.queue.append_all(events)).await?;
        for (received, appended) in traced.into_iter().zip(&all) {
            if let Appended::Stored(id) = appended {
                self.trace(received, *id);
            }
        }
        let ack = Ack::IdAndCount(all.len());
        let stored: Vec<_> = dedupes.into_iter().zip(all).collect();
        self.acknowledge(endpoint, &stored, of_answer, ack).await
    }

    /// Answers a request that was refused as too old where it repeats an event that is stored: as its
    /// first answer would have been. `None` = it is no such repeat.
    pub(super) async fn answer_late(
        &self,
        endpoint: &Endpoint,
        request: &Request<'_>,
        rejection: &Rejection,
    ) -> Option<Result<Accepted, IngestError>> {
        let event = late_event(endpoint.source(), request, rejection)?;
        let found = match self.in_time(self.queue.find_repeated(&event)).await {
            Ok(found) => found?,
            Err(err) => return Some(Err(err)),
        };
        let stored = [(event.dedupe, Appended::Duplicate(found))];
        Some(self.acknowledge(endpoint, &stored, Some(event), Ack::Id).await)
    }

    /// The answer to a request whose events are stored: `ack`, unless the source has an answer of its own, which is
    /// said over `of_answer`.
    async fn acknowledge(
        &self,
        endpoint: &Endpoint,
        stored: &[(Dedupe, Appended)],
        of_answer: Option<NewEvent>,
        ack: Ack,
    ) -> Result<Accepted, IngestError> {
        let (mut first_new, mut n_repeats) = (None, 0);
        for (_, appended) in stored {
            match appended {
                Appended::Stored(_) => first_new = first_new.or(Some(*appended)),
                Appended::Duplicate(id) => {
                    n_repeats += 1;
                    self.repeats.add(*id, self.clock.now());
                }
            }
        }
        let answer = UnconfirmedAnswer::new(&self.queue, stored.iter().copied());
        // An event that the second copy does not have in time is stored all the same, so its sender's
        // repeat is a duplicate, and is answered once it has it.
        if let Some(standbys) = &self.standbys
            && !standbys.is_copied().await
        {
            self.log.not_copied(self.clock.now());
            return Err(IngestError::Unavailable { retry_after: RETRY_SOON });
        }
        let first = || stored.first().map(|(_, appended)| *appended);
        let Some(appended) = first_new.or_else(first) else {
            return Ok(Accepted::EmptyList(None));
        };
        let ack = match endpoint.source().settings().answer.body() {
            None => ack,
            Some(rule) => self.reply(endpoint, rule, of_answer, appended.id()),
        };
        // The request itself counts as one where all of its items were there before.
        let n_more_repeats = n_repeats - usize::from(n_repeats == stored.len());
        Ok(Accepted::Stored(Stored { appended, n_more_repeats, ack, answer }))
    }

    /// What the source's own rule answers. An answer that cannot be made is told: its sender may take an empty one
    /// for a failure.
    fn reply(
        &self,
        endpoint: &Endpoint,
        rule: &AnswerBody,
        event: Option<NewEvent>,
        id: EventId,
    ) -> Ack {
        let (reply, err) = rule.reply(event, id);
        if let Some(err) = err {
            self.log.not_answered(endpoint.source().name(), &err, self.clock.now());
        }
        Ack::Reply(reply)
    }

    /// The first span of an event: from its request's head to the durable commit.
    fn trace(&self, received: TracedRequest, id: EventId) {
        let trace = EventTrace::of(id, &received.headers);
        if !trace.is_sampled {
            return;
        }
        let TracedRequest { source, event_type, received_at, .. } = received;
        self.traces.record(Span {
            context: trace.root,
            parent: trace.sender,
            name: format!("receive {source}"),
            kind: SpanKind::Server,
            started_at: received_at,
            duration: self.clock.now().since(received_at),
            attributes: vec![
                ("gatepost.event.id", SpanValue::Text(id.to_string())),
                ("gatepost.source", SpanValue::Text(source.to_string())),
                ("gatepost.event.type", SpanValue::Text(event_type.to_string())),
                ("http.request.method", SpanValue::Text("POST".to_owned())),
                ("http.route", SpanValue::Text(format!("/hooks/{source}"))),
                ("http.response.status_code", SpanValue::Number(200)),
            ],
            error: None,
        });
    }

    async fn in_time<T>(
        &self,
        stored: impl Future<Output = Result<T, QueueError>>,
    ) -> Result<T, IngestError> {
        match tokio::time::timeout(COMMIT_TIMEOUT, stored).await {
            Ok(Ok(stored)) => Ok(stored),
            Ok(Err(err)) => {
                self.log.not_stored(&err, self.clock.now());
                Err(IngestError::Unavailable { retry_after: retry_after(&err) })
            }
            Err(_elapsed) => {
                self.log.slow_commit(self.clock.now());
                Err(IngestError::Unavailable { retry_after: RETRY_SOON })
            }
        }
    }
}

/// What a trace says of a request, where traces are wanted.
struct TracedRequest {
    source: SourceName,
    event_type: EventType,
    headers: Headers,
    received_at: Timestamp,
}

impl TracedRequest {
    fn of(event: &NewEvent) -> Self {
        Self {
            source: event.source.clone(),
            event_type: event.event_type.clone(),
            headers: event.headers.clone(),
            received_at: event.received_at,
        }
    }
}

fn retry_after(err: &QueueError) -> Duration {
    match err {
        QueueError::Behind(_) => RETRY_AT_ONCE,
        QueueError::Full(_) | QueueError::LogAway(_) | QueueError::NoPart => RETRY_LATER,
        QueueError::Poisoned
        | QueueError::Busy(_)
        | QueueError::Closed
        | QueueError::Held { .. }
        | QueueError::ForeignOwner { .. }
        | QueueError::Unsupported { .. }
        | QueueError::Standby { .. }
        | QueueError::Corrupt(_)
        | QueueError::Io { .. } => RETRY_SOON,
    }
}
