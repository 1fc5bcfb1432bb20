//! A shared log in NATS JetStream: one message for each unit, in one stream.
//!
//! - `connection`: requests and answers. `login`: what servers are shown. `api`: JetStream's API as JSON over
//!   connections. `shape`: what the stream must be. `read`: reading, whichever server answers. `failure`: what
//!   errors mean.
//! - `report`: what `check` says. `settings`: `[queue.nats]`.
//!
//! Of the client library only connections, requests and subscriptions are used: publishing is a request
//! that the stream's leader answers once a majority has the message; reading is a question for messages
//! from a sequence on. So there is no consumer whose state a failover could lose.
//!
//! A node that has appended tells the others on a subject of its own, which no stream keeps. Who misses
//! that looks every 100 ms.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{OnceCell, watch};
use tokio::time::{Instant, timeout};

use super::contract::{
    EngineAppendError, EngineError, EngineHead, EngineReadError, EngineReport, LogEngine, Sequence,
    StoredUnit,
};
use crate::secret::SecretError;

mod api;
mod connection;
mod failure;
mod login;
mod read;
mod report;
mod settings;
mod shape;

pub use settings::{NatsLogin, NatsSettings};

use api::{StreamApi, StreamInfo};
use connection::NatsConnection;
use failure::NatsFailure;
use read::FoundUnits;

/// The largest unit, where the servers take messages as large.
const UNIT_MAX: usize = 8 << 20;
/// What servers take where their owner says nothing else.
const MAX_PAYLOAD: usize = 1 << 20;
/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(3);
/// So many bytes may take a second more: 32 Mbit/s.
const BYTES_PER_SECOND: usize = 4 << 20;
/// How long may be looked for the reason of a refusal: what asked has waited for [`TIMEOUT`] already.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a trim may take: a purge of gigabytes is answered when it is done.
const TRIM_TIMEOUT: Duration = Duration::from_secs(10);
/// How often `wait` looks by itself for what another node did not tell.
const POLL: Duration = Duration::from_millis(100);
/// How long `wait` rests where no server answers; the caller's own `read` says why.
const REST: Duration = Duration::from_millis(500);

/// A shared log in NATS JetStream.
pub struct NatsEngine {
    settings: NatsSettings,
    api: StreamApi,
    connection: OnceCell<NatsConnection>,
    /// Whether the stream was looked at, and made where it was missing.
    is_prepared: AtomicBool,
    unit_max: AtomicUsize,
    /// Where the next unit will stand, as far as this engine has heard.
    next: watch::Sender<u64>,
}

impl std::fmt::Debug for NatsEngine {
    // Without the log-in.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NatsEngine").field("api", &self.api).finish_non_exhaustive()
    }
}

impl NatsEngine {
    /// Connects at the first call. Whether there is something to log in with is looked at now.
    pub fn new(settings: NatsSettings) -> Result<Self, SecretError> {
        settings.login.probe()?;
        Ok(Self {
            api: StreamApi::new(&settings.stream),
            settings,
            connection: OnceCell::new(),
            is_prepared: AtomicBool::new(false),
            unit_max: AtomicUsize::new(MAX_PAYLOAD),
            next: watch::Sender::new(1),
        })
    }

    /// Runs `work`, which waits for an answer of `subject`, for at most `most`.
    async fn within<T>(
        &self,
        most: Duration,
        subject: &str,
        work: impl Future<Output = Result<T, NatsFailure>> + Send,
    ) -> Result<T, NatsFailure> {
        if let Ok(result) = timeout(most, work).await {
            return result;
        }
        Err(match self.connection.get() {
            Some(connection) if connection.is_there() => connection.no_answer(subject),
            Some(connection) => match self.refusal().await {
                Some(why) => NatsFailure::Refused(why),
                None => connection.no_answer(subject),
            },
            None => NatsFailure::Unavailable("no server could be connected to".to_owned()),
        })
    }

    /// Why the servers do not let this gateway in, where that is so. Of a connection that does not come back the client tells no
    /// reason but "IO error": another one says whether a certificate is not believed any more.
    async fn refusal(&self) -> Option<String> {
        match timeout(REFUSAL_TIMEOUT, self.open()).await {
            Ok(Err(NatsFailure::Refused(why))) => Some(why),
            Ok(Ok(_) | Err(_)) | Err(_) => None,
        }
    }

    async fn open(&self) -> Result<NatsConnection, NatsFailure> {
        NatsConnection::open(&self.settings, self.api.bell.clone()).await
    }

    async fn connection(&self) -> Result<&NatsConnection, NatsFailure> {
        let connection = self.connection.get_or_try_init(|| self.open()).await?;
        connection.until_connected().await;
        if !self.is_prepared.load(Ordering::Acquire) {
            self.prepare(connection).await?;
            self.is_prepared.store(true, Ordering::Release);
        }
        Ok(connection)
    }

    /// Makes the stream where it is missing; refuses one of another shape, and servers that are too old.
    async fn prepare(&self, connection: &NatsConnection) -> Result<(), NatsFailure> {
        let server = connection.client.server_info();
        if let Some(why) = report::too_old(&server.version) {
            return Err(NatsFailure::Refused(why));
        }
        let info = match self.api.info(connection).await {
            Err(NatsFailure::NoStream) => self.make(connection).await?,
            Err(NatsFailure::Refused(why)) => {
                return Err(NatsFailure::Refused(format!(
                    "{why}: {}",
                    report::permissions(&self.api)
                )));
            }
            result => result?,
        };
        info.check(&self.api)?;
        self.note(connection, &info);
        Ok(())
    }

    async fn make(&self, connection: &NatsConnection) -> Result<StreamInfo, NatsFailure> {
        if connection.client.server_info().cluster.is_none() && self.settings.replicas > 1 {
            return Err(NatsFailure::Refused(report::single_server(&self.settings)));
        }
        let config = shape::made(&self.api, &self.settings, connection.client.max_payload());
        match self.api.create(connection, &config).await {
            // Another node made it a moment ago, out of other settings: its shape is looked at.
            Err(NatsFailure::Refused(why)) => match self.api.info(connection).await {
                Ok(info) => Ok(info),
                Err(_) => Err(NatsFailure::Refused(format!(
                    "stream `{}` is not there and cannot be made: {why}",
                    self.api.stream
                ))),
            },
            result => result,
        }
    }

    fn note(&self, connection: &NatsConnection, info: &StreamInfo) {
        // So that what is there and cannot be read at the end of the log is missed.
        self.hear(info.state.last_seq + 1);
        let max = connection.client.max_payload().min(UNIT_MAX);
        let max = info.message_max().map_or(max, |of_stream| of_stream.min(max));
        self.unit_max.store(max, Ordering::Relaxed);
    }

    async fn try_append(&self, unit: &Bytes) -> Result<u64, NatsFailure> {
        let connection = self.connection().await?;
        let ack = self.api.publish(connection, unit.clone()).await?;
        if ack.stream != self.api.stream {
            return Err(NatsFailure::Refused(format!(
                "stream `{}` takes what is published to `{}`: take that subject out of it",
                ack.stream, self.api.units
            )));
        }
        // Who does not hear it looks by itself.
        let told = (ack.seq + 1).to_string();
        drop(connection.client.publish(self.api.bell.clone(), told.into()).await);
        Ok(ack.seq)
    }

    async fn try_read(&self, from: u64, bytes: usize) -> Result<FoundUnits, NatsFailure> {
        let connection = self.connection().await?;
        let seen = *self.next.borrow();
        read::read(&self.api, connection, (from, bytes), seen).await
    }

    async fn info(&self) -> Result<StreamInfo, NatsFailure> {
        let connection = self.connection().await?;
        let info = self.api.info(connection).await?;
        // It may have been edited since.
        info.check(&self.api)?;
        self.note(connection, &info);
        Ok(info)
    }

    async fn try_trim(&self, before: u64) -> Result<(), NatsFailure> {
        let mut info = self.info().await?;
        let connection = self.connection().await?;
        let before = before.min(info.state.last_seq + 1);
        // First the mark, then the messages: so that what is gone was marked as trimmed before.
        while info.trimmed() < before {
            info = self.api.update(connection, &info.with_trimmed(before)).await?;
        }
        if info.state.first_seq >= before {
            return Ok(());
        }
        self.api.purge(connection, before).await
    }

    /// What was heard of another node's append.
    fn hear(&self, next: u64) {
        self.next.send_if_modified(|known| {
            let is_news = *known < next;
            *known = next.max(*known);
            is_news
        });
    }

    /// Returns once there is news, or it is time to look.
    async fn listen(&self, news: &mut watch::Receiver<u64>, most: Duration) {
        let bell = async {
            match self.connection.get() {
                Some(connection) => connection.next_bell().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = news.changed() => {}
            next = bell => match next {
                Some(next) => self.hear(next),
                // The connection was closed for ever, which its owner alone does.
                None => tokio::time::sleep(most).await,
            },
            () = tokio::time::sleep(most) => {}
        }
    }

    async fn is_there(&self, from: u64) -> Result<bool, NatsFailure> {
        let connection = self.connection().await?;
        read::is_there(&self.api, connection, from).await
    }
}

#[async_trait]
impl LogEngine for NatsEngine {
    async fn append(&self, unit: &Bytes) -> Result<Sequence, EngineAppendError> {
        let most = time_for(unit.len());
        // What the servers take is known once there is a connection.
        self.within(most, &self.api.info_subject(), async { self.connection().await.map(drop) })
            .await?;
        let max = self.unit_max();
        if unit.len() > max {
            return Err(EngineAppendError::TooLarge { max });
        }
        let sequence = self.within(most, &self.api.units, self.try_append(unit)).await?;
        self.hear(sequence + 1);
        Ok(Sequence(sequence))
    }

    async fn read(&self, from: Sequence, bytes: usize) -> Result<Vec<StoredUnit>, EngineReadError> {
        let subject = self.api.direct_subject();
        let found = self.within(time_for(bytes), &subject, self.try_read(from.0, bytes)).await?;
        match found {
            FoundUnits::Units(units) => Ok(units),
            FoundUnits::End(next) => {
                // Also where the log became shorter: waiters must not believe what was true before.
                self.next.send_if_modified(|known| std::mem::replace(known, next) < next);
                Ok(Vec::new())
            }
            FoundUnits::Trimmed(first) => Err(EngineReadError::Trimmed { first: Sequence(first) }),
            FoundUnits::Missing(to) => Err(EngineReadError::Damaged { from, to: Sequence(to) }),
        }
    }

    async fn head(&self) -> Result<EngineHead, EngineError> {
        let info = self.within(TIMEOUT, &self.api.info_subject(), self.info()).await?;
        let next = info.state.last_seq + 1;
        Ok(EngineHead {
            first: Sequence(info.state.first_seq.clamp(1, next)),
            next: Sequence(next),
            lineage: info.lineage(),
        })
    }

    async fn wait(&self, from: Sequence, most: Duration) {
        let began = Instant::now();
        let mut news = self.next.subscribe();
        while *news.borrow_and_update() <= from.0 {
            let Some(left) = most.checked_sub(began.elapsed()) else { return };
            let pause = POLL.min(left);
            let listened = Instant::now();
            self.listen(&mut news, pause).await;
            if listened.elapsed() < pause {
                continue;
            }
            let subject = self.api.direct_subject();
            match self.within(TIMEOUT.min(left), &subject, self.is_there(from.0)).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(_) => tokio::time::sleep(REST.min(most.saturating_sub(began.elapsed()))).await,
            }
        }
    }

    async fn trim(&self, before: Sequence) -> Result<(), EngineError> {
        let subject = self.api.info_subject();
        Ok(self.within(TRIM_TIMEOUT, &subject, self.try_trim(before.0)).await?)
    }

    async fn check(&self) -> Result<EngineReport, EngineError> {
        let report = async {
            let connection = self.open().await?;
            let report = report::read(&self.api, &connection, &self.settings);
            // Its own: what was refused is known to this connection only.
            match timeout(TIMEOUT, report).await {
                Ok(report) => report,
                Err(_) => Err(connection.no_answer(&self.api.info_subject())),
            }
        };
        Ok(self.within(2 * TIMEOUT, &self.api.info_subject(), report).await?)
    }

    fn unit_max(&self) -> usize {
        self.unit_max.load(Ordering::Relaxed)
    }

    fn n_lost(&self) -> u64 {
        self.connection.get().map_or(0, NatsConnection::n_lost)
    }
}

fn time_for(bytes: usize) -> Duration {
    TIMEOUT + Duration::from_secs((bytes / BYTES_PER_SECOND) as u64)
}
