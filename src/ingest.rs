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
use crate::source::{Inbound, Reply, Source, Verified};

mod door;
mod notes;
mod rejected;
mod strangers;

pub use door::Door;
pub use rejected::{RejectedRequest, RejectedRing};
pub use strangers::{Place, Strangers, Verdict, Visit};

use notes::Notes;

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
    /// It is a provider's question: neither an event nor kept.
    Handshake(Reply),
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
    /// Replaced as a whole by a reload; a request keeps the door that it came through.
    doors: ArcSwap<HashMap<Box<str>, Arc<Door>>>,
    rejected: RejectedRing,
    strangers: Strangers,
    notes: Notes,
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
            strangers: Strangers::new(Arc::clone(&clock)),
            clock,
            metrics,
            doors: ArcSwap::default(),
            rejected: RejectedRing::default(),
            notes: Notes::default(),
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
        let before = self.doors.load();
        let doors = sources.into_iter().map(|source| {
            let name: Box<str> = Box::from(source.name().as_str());
            let before = before.get(&name).map(|door| &**door);
            let door = Door::new(source, &self.metrics, before);
            (name, Arc::new(door))
        });
        self.doors.store(Arc::new(doors.collect()));
    }

    /// The door of the source of this name.
    pub fn door(&self, name: &str) -> Option<Arc<Door>> {
        self.doors.load().get(name).map(Arc::clone)
    }

    /// Every door, by the source's name.
    pub fn doors(&self) -> Vec<Arc<Door>> {
        let mut doors: Vec<_> = self.doors.load().values().map(Arc::clone).collect();
        doors.sort_by(|left, right| left.source().name().cmp(right.source().name()));
        doors
    }

    /// The addresses that requests come from, and what each may still cost.
    pub fn strangers(&self) -> &Strangers {
        &self.strangers
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
        door: &Door,
        request: Request<'_>,
        client: impl FnOnce() -> Option<IpAddr>,
        believed: impl FnOnce(),
    ) -> Result<Accepted, Refused> {
        if let Some(reply) = door.source().handshake(&request.inbound(), None) {
            return Ok(Accepted::Handshake(reply));
        }
        let verified = match door.source().verify(&request.inbound(), request.received_at) {
            Ok(verified) => verified,
            Err(rejection) => {
                let rejected = RejectedRequest::new(door.source(), request, client(), &rejection);
                self.keep(rejected);
                return Err(Refused::Rejected);
            }
        };
        believed();
        self.store(door, verified, request).await
    }

    /// Tells the log that a request to `source` was turned away unjudged, or because too many of
    /// `client` had failed at once.
    pub fn turned_away(&self, source: &SourceName, client: Option<IpAddr>) {
        self.notes.turned_away(source, client, self.clock.now());
    }

    /// Verifies a rejected request again with the source as it is configured by now, as of the
    /// time it was received, and stores it if it passes. `None` = it is not kept any more.
    pub async fn release(&self, number: u64) -> Option<Result<Accepted, Refused>> {
        let _alone = self.releasing.lock().await;
        let rejected = self.rejected.get(number)?;
        let door = self.door(rejected.source.as_str())?;
        let request = Request {
            method: &rejected.method,
            path_and_query: &rejected.path_and_query,
            headers: rejected.headers.clone(),
            body: rejected.body.clone(),
            received_at: rejected.received_at,
        };
        let Ok(verified) = door.source().verify(&request.inbound(), request.received_at) else {
            return Some(Err(Refused::Rejected));
        };
        let stored = self.store(&door, verified, request).await;
        if stored.is_ok() {
            self.rejected.remove(number);
        }
        Some(stored)
    }

    async fn store(
        &self,
        door: &Door,
        verified: Verified,
        request: Request<'_>,
    ) -> Result<Accepted, Refused> {
        if let Some(reply) = door.source().handshake(&request.inbound(), Some(&verified)) {
            return Ok(Accepted::Handshake(reply));
        }
        // Charged here and not before: whoever cannot sign cannot use up a sender's rate.
        door.charge().map_err(|retry_after| Refused::RateLimited { retry_after })?;
        door.matched(verified.secret_index(), request.received_at);
        let Request { headers, body, received_at, .. } = request;
        let event = door.source().event(verified, received_at, headers, body);
        self.append(event).await.map(Accepted::Stored)
    }

    async fn append(&self, event: NewEvent) -> Result<Appended, Refused> {
        match tokio::time::timeout(COMMIT_TIMEOUT, self.queue.append(event)).await {
            Ok(Ok(appended)) => Ok(appended),
            Ok(Err(err)) => Err(self.unavailable(&err)),
            Err(_elapsed) => {
                self.notes.slow_commit(self.clock.now());
                Err(Refused::Unavailable { retry_after: RETRY_SOON })
            }
        }
    }

    fn keep(&self, rejected: RejectedRequest) {
        self.notes.rejected(&rejected, self.clock.now());
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
            | QueueError::Corrupt(_)
            | QueueError::Io { .. } => RETRY_SOON,
        };
        self.notes.not_stored(err, self.clock.now());
        Refused::Unavailable { retry_after }
    }
}

impl Request<'_> {
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
