//! The log's tables: made, checked, asked.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, Row};
use tokio::time::timeout;

use super::connections::{PgConnections, TakenConnection};
use super::failure::PgFailure;
use super::report;
use super::settings::PostgresSettings;
use super::statements::{LAYOUT, Statements, VERSION_MIN, older, read_max};
use crate::cluster::engine::contract::{EngineReport, Sequence, StoredUnit};
use crate::sync::lock;

/// Appends under way at once: while one is being committed, the next is with the server.
const APPENDING: usize = 2;
/// The others: the follower's `read` and `wait`, and `head` or `trim` beside them.
const READING: usize = 4;

/// The tables of one log.
#[derive(Debug)]
pub(super) struct LogTables {
    settings: PostgresSettings,
    statements: Statements,
    appending: PgConnections,
    reading: PgConnections,
    /// Whether the tables were looked at, and made where they were missing.
    is_prepared: AtomicBool,
    /// Whether the system's identifier may be asked for.
    knows_system: AtomicBool,
    /// How often the server went away.
    n_lost: AtomicU64,
    /// The newest unit that was seen, and its checksum (CRC-32C): a connection that is new must have it.
    newest: Mutex<Option<(u64, u32)>>,
}

impl LogTables {
    /// Connects at the first call.
    pub(super) fn new(settings: PostgresSettings) -> Self {
        Self {
            statements: Statements::new(&settings),
            appending: PgConnections::new(settings.clone(), APPENDING),
            reading: PgConnections::new(settings.clone(), READING),
            settings,
            is_prepared: AtomicBool::new(false),
            knows_system: AtomicBool::new(false),
            n_lost: AtomicU64::new(0),
            newest: Mutex::default(),
        }
    }

    /// Runs `work` for at most `most`. A failure closes what is idle: a server that went away closed
    /// those connections as well.
    pub(super) async fn within<T>(
        &self,
        most: Duration,
        what: &str,
        work: impl Future<Output = Result<T, PgFailure>> + Send,
    ) -> Result<T, PgFailure> {
        let result = timeout(most, work).await.unwrap_or_else(|_| Err(PgFailure::no_answer(what)));
        if matches!(result, Err(PgFailure::Unavailable(_))) {
            self.n_lost.fetch_add(1, Ordering::SeqCst);
            self.appending.forget();
            self.reading.forget();
        }
        result
    }

    pub(super) fn n_lost(&self) -> u64 {
        self.n_lost.load(Ordering::SeqCst)
    }

    async fn take<'a>(
        &self,
        connections: &'a PgConnections,
    ) -> Result<TakenConnection<'a>, PgFailure> {
        let mut connection = connections.take().await?;
        if !self.is_prepared.load(Ordering::Acquire) {
            self.prepare(&mut connection).await?;
            self.is_prepared.store(true, Ordering::Release);
        }
        if connection.is_new() {
            self.recognise(&mut connection).await?;
        }
        Ok(connection)
    }

    /// Whether a connection that was made just now leads to the log that the ones before it led to: a name
    /// or an address may lead to another server by now, without a word to a connection that stood idle.
    /// Nothing is read of a log that lacks the newest unit that was seen, or appended to it.
    async fn recognise(&self, connection: &mut PgConnection) -> Result<(), PgFailure> {
        let Some((sequence, crc)) = *lock(&self.newest) else { return Ok(()) };
        let page = self.ask_page(connection, sequence, 1, 1).await?;
        let there = page.units.first().filter(|unit| unit.sequence.0 == sequence);
        // One that is missing between others is damage, which a read names.
        let is_other = there.is_some_and(|unit| crc32c::crc32c(&unit.bytes) != crc);
        if sequence < page.next && !is_other {
            return Ok(());
        }
        // Said once, and counted as a lost connection: the caller has to look at the log as it is now.
        *lock(&self.newest) = None;
        Err(PgFailure::Unavailable(format!(
            "a new connection leads to another copy of the log: unit {sequence} is not there, or another one"
        )))
    }

    fn note_newest(&self, sequence: u64, bytes: &[u8]) {
        let mut newest = lock(&self.newest);
        if newest.is_none_or(|(known, _)| known < sequence) {
            *newest = Some((sequence, crc32c::crc32c(bytes)));
        }
    }

    /// Makes the tables where they are missing; refuses what is none of ours.
    async fn prepare(&self, connection: &mut PgConnection) -> Result<(), PgFailure> {
        let schema = &self.settings.schema;
        let mut found = self.look(connection).await?;
        if (found.has_head, found.has_units) == (false, false) {
            let make = AssertSqlSafe(self.statements.make.clone());
            sqlx::raw_sql(make).execute(&mut *connection).await.map_err(|err| {
                match PgFailure::from(err) {
                    PgFailure::Refused(why) => PgFailure::Refused(format!(
                        "the log's tables are not there and cannot be made in schema `{schema}`: {why}"
                    )),
                    failure => failure,
                }
            })?;
            found = self.look(connection).await?;
        }
        if !(found.has_head && found.has_units) {
            return Err(PgFailure::Refused(format!(
                "schema `{schema}` has only one of the tables `log_head` and `log_units`: restore the \
                 other one, or drop both"
            )));
        }
        if !found.persistence.chars().all(|kind| kind == 'p') {
            return Err(PgFailure::Refused(format!(
                "a crash of the server empties an unlogged table: run ALTER TABLE {schema}.log_head SET \
                 LOGGED and the same for log_units"
            )));
        }
        self.knows_system.store(found.may_know_system, Ordering::Relaxed);
        self.read_head(connection).await.map(|_| ())
    }

    async fn look(&self, connection: &mut PgConnection) -> Result<FoundTables, PgFailure> {
        let look = AssertSqlSafe(self.statements.look.clone());
        let row = sqlx::raw_sql(look).fetch_one(connection).await?;
        let (number, version): (i32, String) = (row.try_get(0)?, row.try_get(1)?);
        if number < VERSION_MIN {
            return Err(PgFailure::Refused(older(&version)));
        }
        Ok(FoundTables {
            has_head: row.try_get(2)?,
            has_units: row.try_get(3)?,
            persistence: row.try_get(4)?,
            may_know_system: row.try_get(5)?,
        })
    }

    async fn read_head(&self, connection: &mut PgConnection) -> Result<PgHead, PgFailure> {
        let head = AssertSqlSafe(self.statements.head.clone());
        let row = sqlx::raw_sql(head).fetch_optional(connection).await?;
        let row = row.ok_or_else(|| self.no_head())?;
        self.check_layout(row.try_get(0)?)?;
        Ok(PgHead { lineage: row.try_get(1)?, first: place(&row, 2)?, next: place(&row, 3)? })
    }

    fn check_layout(&self, layout: i32) -> Result<(), PgFailure> {
        if layout == LAYOUT {
            return Ok(());
        }
        let schema = &self.settings.schema;
        let (age, remedy) = if layout > LAYOUT {
            ("a newer", "run the same version on all nodes")
        } else {
            ("an older", "let that version finish its work, then drop the schema")
        };
        Err(PgFailure::Refused(format!(
            "the log in schema `{schema}` was made by {age} version of Gatepost (layout {layout}, this \
             one has {LAYOUT}): {remedy}"
        )))
    }

    fn no_head(&self) -> PgFailure {
        let schema = &self.settings.schema;
        PgFailure::Refused(format!("table `{schema}.log_head` has lost its row: restore it"))
    }

    /// Which copy of the cluster answers: the system's identifier is the same on a standby, and the
    /// timeline is another one once a standby was promoted.
    async fn system(&self, connection: &mut PgConnection) -> Result<String, PgFailure> {
        // A standby cannot tell its present timeline otherwise.
        const TIMELINE: &str = "CASE WHEN pg_is_in_recovery() THEN 'standby' \
                                ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END";
        let sql = if self.knows_system.load(Ordering::Relaxed) {
            format!("SELECT system_identifier::text, {TIMELINE} FROM pg_control_system()")
        } else {
            format!("SELECT 'unknown', {TIMELINE}")
        };
        match sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(&mut *connection).await {
            Ok(row) => {
                let (system, timeline): (String, String) = (row.try_get(0)?, row.try_get(1)?);
                Ok(format!("{system}/{timeline}"))
            }
            // A managed server may forbid it, or not know it. The table's own id is then what is left.
            Err(sqlx::Error::Database(_)) => Ok("unknown/unknown".to_owned()),
            Err(err) => Err(err.into()),
        }
    }

    pub(super) async fn append(&self, unit: &Bytes) -> Result<u64, PgFailure> {
        loop {
            let mut connection = self.take(&self.appending).await?;
            let append = sqlx::query(AssertSqlSafe(self.statements.append.clone()));
            // Not kept under a name: a pooler may give the next statement another connection.
            let append = append.bind(unit.as_ref()).persistent(false);
            match append.fetch_optional(&mut *connection).await {
                Ok(Some(row)) => {
                    let sequence = place(&row, 0)?;
                    connection.give_back();
                    self.note_newest(sequence, unit);
                    return Ok(sequence);
                }
                // The head's row has another layout, or is gone.
                Ok(None) => {
                    self.read_head(&mut connection).await?;
                    return Err(self.no_head());
                }
                Err(err) => match PgFailure::from(err) {
                    // Nothing was done; the caller's time limit ends this.
                    PgFailure::Conflict(_) => {}
                    failure => return Err(failure),
                },
            }
        }
    }

    /// What stands at `from` and behind it, and what the head says.
    async fn try_read(&self, from: u64, bytes: usize, most: i64) -> Result<PgPage, PgFailure> {
        let mut connection = self.take(&self.reading).await?;
        let page = self.ask_page(&mut connection, from, bytes, most).await?;
        connection.give_back();
        if let Some(last) = page.units.last() {
            self.note_newest(last.sequence.0, &last.bytes);
        }
        Ok(page)
    }

    async fn ask_page(
        &self,
        connection: &mut PgConnection,
        from: u64,
        bytes: usize,
        most: i64,
    ) -> Result<PgPage, PgFailure> {
        let (from, bytes) = (signed(from), i64::try_from(bytes.max(1)).unwrap_or(i64::MAX));
        let read = sqlx::query(AssertSqlSafe(self.statements.read.clone())).persistent(false);
        let read = read.bind(from).bind(bytes).bind(most);
        let rows = read.fetch_all(connection).await?;
        let row = rows.first().ok_or_else(|| self.no_head())?;
        self.check_layout(row.try_get(0)?)?;
        let (first, next) = (place(row, 1)?, place(row, 2)?);
        let mut units = Vec::with_capacity(rows.len());
        for row in &rows {
            if row.try_get::<Option<i64>, _>(3)?.is_some() {
                let bytes = Bytes::from(row.try_get::<Vec<u8>, _>(4)?);
                units.push(StoredUnit { sequence: Sequence(place(row, 3)?), bytes });
            }
        }
        Ok(PgPage { first, next, units })
    }

    /// The same; where something cannot be read, the first unit alone says whether it is that one.
    pub(super) async fn read(&self, from: u64, bytes: usize) -> Result<PgPage, PgFailure> {
        match self.try_read(from, bytes, read_max()).await {
            Err(PgFailure::Corrupt(_)) => self.try_read(from, 1, 1).await,
            result => result,
        }
    }

    pub(super) async fn next(&self) -> Result<u64, PgFailure> {
        let mut connection = self.take(&self.reading).await?;
        let next = AssertSqlSafe(self.statements.next.clone());
        let row = sqlx::raw_sql(next).fetch_optional(&mut *connection).await?;
        let next = place(&row.ok_or_else(|| self.no_head())?, 0)?;
        connection.give_back();
        Ok(next)
    }

    pub(super) async fn move_first(&self, before: u64) -> Result<(), PgFailure> {
        let mut connection = self.take(&self.reading).await?;
        let update = sqlx::query(AssertSqlSafe(self.statements.move_first.clone()));
        update.bind(signed(before)).persistent(false).execute(&mut *connection).await?;
        connection.give_back();
        Ok(())
    }

    /// Removes some of what counts as gone; how many units.
    pub(super) async fn remove_some(&self) -> Result<u64, PgFailure> {
        let mut connection = self.take(&self.reading).await?;
        let remove = AssertSqlSafe(self.statements.remove.clone());
        let removed = sqlx::raw_sql(remove).execute(&mut *connection).await?.rows_affected();
        connection.give_back();
        Ok(removed)
    }

    /// What the log holds, and which life of it this is.
    pub(super) async fn head(&self) -> Result<PgHead, PgFailure> {
        let mut connection = self.take(&self.reading).await?;
        let mut head = self.read_head(&mut connection).await?;
        let system = self.system(&mut connection).await?;
        connection.give_back();
        head.lineage = format!("postgres {system}/{}", head.lineage);
        Ok(head)
    }

    /// What is known of the server, over a connection of its own.
    pub(super) async fn check(&self) -> Result<EngineReport, PgFailure> {
        let mut connection = self.reading.connect().await?;
        report::read(&mut connection, &self.statements, &self.settings.schema).await
    }
}

struct FoundTables {
    has_head: bool,
    has_units: bool,
    /// A letter each; `p` = survives a crash.
    persistence: String,
    may_know_system: bool,
}

/// What the log's head says.
pub(super) struct PgHead {
    pub(super) first: u64,
    pub(super) next: u64,
    pub(super) lineage: String,
}

/// Units, and what the head said at the same moment.
pub(super) struct PgPage {
    pub(super) first: u64,
    pub(super) next: u64,
    pub(super) units: Vec<StoredUnit>,
}

fn signed(place: u64) -> i64 {
    i64::try_from(place).unwrap_or(i64::MAX)
}

fn place(row: &PgRow, column: usize) -> Result<u64, PgFailure> {
    let place: i64 = row.try_get(column)?;
    u64::try_from(place).map_err(|_| {
        PgFailure::Refused(format!("{place} is no place in the log: restore its head"))
    })
}
