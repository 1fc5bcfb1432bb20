//! A shared log in PostgreSQL: one row for each unit, and one locked row that gives the sequences.
//!
//! - `tables`: what is asked of the tables. `statements`: the SQL. `connections`: who talks to the server.
//!   `failure`: what its errors mean.
//! - `report`: what `check` says. `settings`: `[queue.postgres]`.
//!
//! Nodes learn of each other's units by asking every 10 ms (20 ms while nothing comes), over one connection
//! that `wait` holds. `NOTIFY` is not used: see [`POLL`].

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::contract::{
    EngineAppendError, EngineError, EngineHead, EngineReadError, EngineReport, LogEngine, Sequence,
    StoredUnit,
};
use crate::secret::{SecretError, SecretRef};

mod connections;
mod failure;
mod report;
mod settings;
mod statements;
mod tables;

pub use settings::{PostgresServer, PostgresSettings};

use statements::TRIM_STEP;
use tables::{LogTables, PgPage};

/// The largest unit.
const UNIT_MAX: usize = 8 << 20;
/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(3);
/// So many bytes may take a second more: 32 Mbit/s.
const BYTES_PER_SECOND: usize = 4 << 20;
/// How long one step of a trim may take.
const TRIM_TIMEOUT: Duration = Duration::from_secs(10);
/// How often `wait` looks for units of other nodes. With a `NOTIFY` in each append PostgreSQL appends less:
/// 1,238 units/s instead of 1,852 with three nodes that append and three that wait (4 KiB, version 15, no
/// fsync, medians of 7); it holds a lock of the whole server until the commit, and `LISTEN` does not work
/// behind a pooler.
const POLL: Duration = Duration::from_millis(10);
/// The same once nothing came for [`QUIET_AFTER`].
const QUIET_POLL: Duration = Duration::from_millis(20);
const QUIET_AFTER: Duration = Duration::from_secs(1);
/// How long `wait` rests where the server does not answer; the caller's own `read` says why.
const REST: Duration = Duration::from_millis(500);

/// A shared log in PostgreSQL.
#[derive(Debug)]
pub struct PostgresEngine {
    tables: LogTables,
    /// Where the next unit will stand, as far as this engine has seen.
    next: watch::Sender<u64>,
}

impl PostgresEngine {
    /// Connects at the first call. Whether the password is there is looked at now.
    pub fn new(settings: PostgresSettings) -> Result<Self, SecretError> {
        settings.password.as_ref().map(SecretRef::resolve).transpose()?;
        let tables = LogTables::new(settings);
        Ok(Self { tables, next: watch::Sender::new(1) })
    }

    /// Waiters look again at once where there is more than they know of.
    fn note(&self, next: u64) {
        self.next.send_if_modified(|known| std::mem::replace(known, next) < next);
    }
}

#[async_trait]
impl LogEngine for PostgresEngine {
    async fn append(&self, unit: &Bytes) -> Result<Sequence, EngineAppendError> {
        if unit.len() > UNIT_MAX {
            return Err(EngineAppendError::TooLarge { max: UNIT_MAX });
        }
        let most = time_for(unit.len());
        let sequence =
            self.tables.within(most, "a unit was appended", self.tables.append(unit)).await?;
        let next = sequence + 1;
        self.next.send_if_modified(|known| {
            let is_news = *known < next;
            *known = next.max(*known);
            is_news
        });
        Ok(Sequence(sequence))
    }

    async fn read(&self, from: Sequence, bytes: usize) -> Result<Vec<StoredUnit>, EngineReadError> {
        let most = time_for(bytes);
        let page =
            self.tables.within(most, "units were read", self.tables.read(from.0, bytes)).await;
        let PgPage { first, next, mut units } = page.map_err(|failure| failure.of_read(from))?;
        if from.0 < first {
            return Err(EngineReadError::Trimmed { first: Sequence(first) });
        }
        let mut expected = from;
        let n_whole = units
            .iter()
            .take_while(|unit| {
                let is_next = unit.sequence == expected;
                expected = expected.next();
                is_next
            })
            .count();
        if n_whole == 0 && from.0 < next {
            let to = units.first().map_or(Sequence(next), |unit| unit.sequence);
            return Err(EngineReadError::Damaged { from, to });
        }
        if units.is_empty() {
            // Also where the log became shorter: waiters must not believe what was true before.
            self.note(next);
        }
        units.truncate(n_whole);
        Ok(units)
    }

    async fn head(&self) -> Result<EngineHead, EngineError> {
        let head = self.tables.within(TIMEOUT, "its head was read", self.tables.head()).await?;
        let (first, next) = (Sequence(head.first), Sequence(head.next));
        Ok(EngineHead { first, next, lineage: head.lineage })
    }

    async fn wait(&self, from: Sequence, most: Duration) {
        let began = Instant::now();
        let mut news = self.next.subscribe();
        while *news.borrow_and_update() <= from.0 {
            let waited = began.elapsed();
            let Some(left) = most.checked_sub(waited) else { return };
            let pause = if waited < QUIET_AFTER { POLL } else { QUIET_POLL };
            if timeout(pause.min(left), news.changed()).await.is_ok() {
                continue;
            }
            if left <= pause {
                return;
            }
            // However little is left: what was given up after some milliseconds would count as a lost connection.
            match self.tables.within(TIMEOUT, "it was asked for news", self.tables.next()).await {
                Ok(next) => self.note(next),
                Err(_) => tokio::time::sleep(REST.min(most.saturating_sub(began.elapsed()))).await,
            }
        }
    }

    async fn trim(&self, before: Sequence) -> Result<(), EngineError> {
        self.tables.within(TIMEOUT, "it was trimmed", self.tables.move_first(before.0)).await?;
        // In steps: each is its own transaction, so that it neither holds up appends nor is in vain.
        while self.tables.within(TRIM_TIMEOUT, "it was trimmed", self.tables.remove_some()).await?
            == TRIM_STEP
        {}
        Ok(())
    }

    async fn check(&self) -> Result<EngineReport, EngineError> {
        Ok(self.tables.within(TIMEOUT, "it was checked", self.tables.check()).await?)
    }

    fn unit_max(&self) -> usize {
        UNIT_MAX
    }

    fn n_lost(&self) -> u64 {
        self.tables.n_lost()
    }
}

fn time_for(bytes: usize) -> Duration {
    TIMEOUT + Duration::from_secs((bytes / BYTES_PER_SECOND) as u64)
}
