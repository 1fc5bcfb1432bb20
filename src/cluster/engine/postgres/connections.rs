//! Connections that never outlive a doubt: one that failed, hung or was dropped in the middle of a
//! statement is closed, not used again.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Mutex;
use std::time::Duration;

use sqlx::{ConnectOptions, PgConnection};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::failure::PgFailure;
use super::settings::PostgresSettings;
use crate::handler::sql::postgres_options;
use crate::secret::SecretRef;
use crate::sync::lock;

/// Servers and routers in between forget a connection that stands idle for long, without a word.
const IDLE_MAX: Duration = Duration::from_secs(30);

impl PostgresSettings {
    /// With the password as it is now: it may have been changed at the server and in its file.
    async fn connect(&self) -> Result<PgConnection, PgFailure> {
        let secret = self.password.clone();
        let read = move || secret.as_ref().map(SecretRef::resolve).transpose();
        let password = tokio::task::spawn_blocking(read).await;
        let password = password.map_err(|err| PgFailure::Unavailable(err.to_string()))?;
        let password = password.map_err(|err| PgFailure::Refused(err.to_string()))?;
        // What a URL names, a certificate, may be gone since it was checked.
        let options = postgres_options(&self.url, self.default_tls, password.as_ref())?;
        // What is slow here is the caller's to notice; a statement is never logged.
        Ok(options.disable_statement_logging().connect().await?)
    }
}

/// Some connections to one server.
pub(super) struct PgConnections {
    settings: PostgresSettings,
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
        Self { settings, idle: Mutex::default(), places: Semaphore::new(most) }
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
            None => (self.settings.connect().await?, true),
        };
        Ok(TakenConnection { connection, is_new, home: self, _place: place })
    }

    /// One of its own, for a caller that shares none.
    pub(super) async fn connect(&self) -> Result<PgConnection, PgFailure> {
        self.settings.connect().await
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
