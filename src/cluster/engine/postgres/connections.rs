//! Connections that never outlive a doubt: one that failed, hung or was dropped in the middle of a
//! statement is closed, not used again.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::postgres::PgSslMode;
use sqlx::{ConnectOptions, PgConnection, Row};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use super::failure::PgFailure;
use super::settings::{PostgresServer, PostgresSettings};
use crate::cluster::engine::authority;
use crate::handler::sql::postgres_options;
use crate::secret::{Secret, SecretRef};
use crate::sync::lock;

/// Servers and routers in between forget a connection that stands idle for long, without a word.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// How long one of several servers may take to be connected to: there are others, and a call has 3 s.
const ONE_SERVER: Duration = Duration::from_secs(1);

/// What is needed to log in, as it is now: it may have been changed at the server and in its file.
struct PgLogIn {
    password: Option<Secret>,
    ca: Option<Vec<u8>>,
}

impl PgLogIn {
    async fn read(settings: &PostgresSettings) -> Result<Self, PgFailure> {
        let secret = settings.password.clone();
        let read = move || secret.as_ref().map(SecretRef::resolve).transpose();
        let password = tokio::task::spawn_blocking(read).await;
        let password = password.map_err(|err| PgFailure::Unavailable(err.to_string()))?;
        let password = password.map_err(|err| PgFailure::Refused(err.to_string()))?;
        let ca = match &settings.ca {
            Some(path) => Some(authority::read(path).await.map_err(PgFailure::Refused)?),
            None => None,
        };
        Ok(Self { password, ca })
    }

    async fn connect(&self, server: &PostgresServer) -> Result<PgConnection, PgFailure> {
        // What a URL names, a certificate, may be gone since it was checked.
        let mut options =
            postgres_options(&server.url, server.default_tls, self.password.as_ref())?;
        if let Some(ca) = self.ca.clone().filter(|_| options.get_socket().is_none()) {
            let mode = match options.get_ssl_mode() {
                PgSslMode::VerifyCa => PgSslMode::VerifyCa,
                _ => PgSslMode::VerifyFull,
            };
            options = options.ssl_root_cert_from_pem(ca).ssl_mode(mode);
        }
        // What is slow here is the caller's to notice; a statement is never logged.
        Ok(options.disable_statement_logging().connect().await?)
    }

    /// The same where the server has to be one that takes writes, and there are others to be asked.
    async fn connect_to_primary(&self, server: &PostgresServer) -> Result<PgConnection, PgFailure> {
        let connect = async {
            let mut connection = self.connect(server).await?;
            let row =
                sqlx::raw_sql("SELECT pg_is_in_recovery()").fetch_one(&mut connection).await?;
            if row.try_get(0)? {
                return Err(PgFailure::Unavailable("it is a standby".to_owned()));
            }
            Ok(connection)
        };
        let connected = timeout(ONE_SERVER, connect).await;
        connected.unwrap_or_else(|_| Err(PgFailure::Unavailable("it does not answer".to_owned())))
    }
}

/// Some connections to one server.
pub(super) struct PgConnections {
    settings: PostgresSettings,
    /// Which of several servers is asked first: the one that took writes last.
    first: AtomicUsize,
    idle: Mutex<Vec<(PgConnection, Instant)>>,
    places: Semaphore,
}

impl fmt::Debug for PgConnections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgConnections").field("places", &self.places).finish_non_exhaustive()
    }
}

impl PgConnections {
    /// At most `most` at once; none is made yet.
    pub(super) fn new(settings: PostgresSettings, most: usize) -> Self {
        let places = Semaphore::new(most);
        Self { settings, first: AtomicUsize::new(0), idle: Mutex::default(), places }
    }

    /// One to use; made where none is idle.
    pub(super) async fn take(&self) -> Result<TakenConnection<'_>, PgFailure> {
        let place = self.places.acquire().await;
        let place = place.map_err(|err| PgFailure::Unavailable(err.to_string()))?;
        let idle = {
            let mut idle = lock(&self.idle);
            idle.retain(|(_, since)| since.elapsed() < IDLE_MAX);
            idle.pop()
        };
        let (connection, is_new) = match idle {
            Some((connection, _)) => (connection, false),
            None => (self.connect().await?, true),
        };
        Ok(TakenConnection { connection, is_new, home: self, _place: place })
    }

    /// One of its own, for a caller that shares none: to the server, or to the one of several that takes writes.
    pub(super) async fn connect(&self) -> Result<PgConnection, PgFailure> {
        let log_in = PgLogIn::read(&self.settings).await?;
        let servers = &self.settings.servers;
        if let [server] = &servers[..] {
            return log_in.connect(server).await;
        }
        let first = self.first.load(Ordering::Relaxed);
        let turns = servers.iter().enumerate().cycle().skip(first).take(servers.len());
        let mut failures = Vec::new();
        for (index, server) in turns {
            // Before it is asked: a caller that gives up while it hangs begins with the next one.
            self.first.store((index + 1) % servers.len(), Ordering::Relaxed);
            match log_in.connect_to_primary(server).await {
                Ok(connection) => {
                    self.first.store(index, Ordering::Relaxed);
                    return Ok(connection);
                }
                Err(failure) => failures.push((server.place.as_str(), failure)),
            }
        }
        Err(PgFailure::of_all(&failures))
    }

    /// Closes what is idle: where one connection failed, the others lead to the same server.
    pub(super) fn forget(&self) {
        lock(&self.idle).clear();
    }
}

/// A connection in use. Dropped without [`TakenConnection::give_back`] it is closed.
pub(super) struct TakenConnection<'a> {
    connection: PgConnection,
    is_new: bool,
    home: &'a PgConnections,
    _place: SemaphorePermit<'a>,
}

impl TakenConnection<'_> {
    /// Whether it was made just now: it may lead to another server than those before it.
    pub(super) const fn is_new(&self) -> bool {
        self.is_new
    }

    /// For the next caller: what it was asked was answered in full.
    pub(super) fn give_back(self) {
        lock(&self.home.idle).push((self.connection, Instant::now()));
    }
}

impl Deref for TakenConnection<'_> {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for TakenConnection<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}
