//! The connections: a pool for each kind of database, and a transaction on one of its connections.

use std::io;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::mysql::{
    MySqlConnectOptions, MySqlConnection, MySqlPool, MySqlPoolOptions, MySqlSslMode,
};
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{
    AssertSqlSafe, ColumnIndex, Connection, Database, Decode, Encode, Executor, MySql, Postgres,
    Row, SqlSafeStr, Sqlite, Type,
};

use super::Settings;
use super::file::OpenedFile;
use super::statement::{Param, Statement};
use super::transaction::Transaction;
use super::url::{DatabaseUrl, postgres_options};
use crate::secret::Secret;

/// The most connections of one handler. Its transactions run one after the other; the second
/// connection is for when the first is being given up, the third for housekeeping.
const CONNECTIONS_MAX: u32 = 3;
/// How long to wait for a connection, unless a statement may not even take as long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long is asked why there is no connection.
const CAUSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the connections may take to close: as long as sqlx gives each of them.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may stand idle: servers and routers in between drop those that stand
/// long.
const IDLE_TIMEOUT: Duration = Duration::from_mins(2);

/// The connections of one handler. Connecting is left to the first use: a handler can be built
/// while its database is down.
#[derive(Clone, Debug)]
pub(super) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PostgresPool),
    MySql(MySqlPool),
}

#[derive(Clone, Debug)]
pub(super) struct PostgresPool {
    pool: PgPool,
    /// How a transaction begins.
    begin: String,
}

impl Pool {
    /// A pool that has not connected yet.
    pub(super) fn new(settings: &Settings, password: Option<&Secret>) -> Result<Self, sqlx::Error> {
        let timeout = settings.statement_timeout;
        Ok(match &settings.url {
            DatabaseUrl::Sqlite(path) => {
                // SQLite has one writer anyway.
                let options = SqlitePoolOptions::new().max_connections(1);
                let options =
                    options.acquire_timeout(timeout).idle_timeout(None).max_lifetime(None);
                // SQLite does not notice that its file was removed: what is written goes with it.
                let file = Arc::new(OpenedFile::new(path));
                let opened = Arc::clone(&file);
                let options = options.after_connect(move |_, _| {
                    opened.note();
                    Box::pin(async { Ok(()) })
                });
                let options = options.before_acquire(move |_, _| {
                    let is_usable = file.is_there();
                    Box::pin(async move { Ok(is_usable) })
                });
                let mut connect = SqliteConnectOptions::new()
                    .filename(path)
                    .create_if_missing(settings.create_table)
                    .synchronous(SqliteSynchronous::Full)
                    .busy_timeout(timeout);
                // The mode is written into the file: one that is there stays as its owner has it,
                // for other programs may read it that cannot write beside it.
                if !path.exists() {
                    connect = connect.journal_mode(SqliteJournalMode::Wal);
                }
                Self::Sqlite(options.connect_lazy_with(connect))
            }
            DatabaseUrl::Postgres { url, default_tls } => {
                let connect = postgres_options(url, *default_tls, password)?;
                Self::Postgres(PostgresPool {
                    pool: pool_options::<Postgres>(timeout).connect_lazy_with(connect),
                    begin: begin_postgres(timeout),
                })
            }
            DatabaseUrl::MySql { url, default_tls } => {
                let mut connect = MySqlConnectOptions::from_str(url)?;
                if *default_tls {
                    connect = connect.ssl_mode(MySqlSslMode::Required);
                }
                if let Some(password) = password {
                    connect = connect.password(&String::from_utf8_lossy(password.expose()));
                }
                let options: MySqlPoolOptions = pool_options(timeout);
                let options = options.after_connect(move |connection, _| {
                    Box::pin(async move { set_up_mysql(connection, timeout).await })
                });
                Self::MySql(options.connect_lazy_with(connect))
            }
        })
    }

    /// Connects once, to learn why it fails: the pool tries until its time is over, and says only that.
    pub(super) async fn try_connect(&self) -> Result<(), sqlx::Error> {
        match self {
            // It is opened, or says at once why not.
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(PostgresPool { pool, .. }) => {
                PgConnection::connect_with(&pool.connect_options()).await?.close().await
            }
            Self::MySql(pool) => {
                MySqlConnection::connect_with(&pool.connect_options()).await?.close().await
            }
        }
    }

    /// Why no connection was had in time: the pool says only that there was none.
    pub(super) async fn cause(&self) -> sqlx::Error {
        if matches!(self, Self::Sqlite(_)) {
            // The only connection waits for the file's lock, or writes.
            let text = "its connection was in use for all of `statement_timeout`";
            return sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        match tokio::time::timeout(CAUSE_TIMEOUT, self.try_connect()).await {
            Ok(Err(err)) => err,
            Ok(Ok(())) | Err(_) => sqlx::Error::PoolTimedOut,
        }
    }

    /// Begins a transaction that writes.
    pub(super) async fn begin(&self) -> Result<Session, sqlx::Error> {
        Ok(match self {
            // A deferred transaction begins as a reader, and fails where another one writes first.
            Self::Sqlite(pool) => {
                Session::Sqlite(Transaction::begin(pool, "BEGIN IMMEDIATE").await?)
            }
            Self::Postgres(_) | Self::MySql(_) => self.begin_reading().await?,
        })
    }

    /// Begins a transaction that only reads: in SQLite it takes no lock that writes.
    pub(super) async fn begin_reading(&self) -> Result<Session, sqlx::Error> {
        Ok(match self {
            Self::Sqlite(pool) => Session::Sqlite(Transaction::begin(pool, "BEGIN").await?),
            Self::Postgres(PostgresPool { pool, begin }) => {
                let begin = AssertSqlSafe(begin.clone());
                Session::Postgres(Transaction::begin(pool, begin).await?)
            }
            Self::MySql(pool) => Session::MySql(Transaction::begin(pool, "BEGIN").await?),
        })
    }

    /// Closes the connections, each as soon as it is at rest.
    pub(super) async fn close(&self) {
        let closed = async {
            match self {
                Self::Sqlite(pool) => pool.close().await,
                Self::Postgres(PostgresPool { pool, .. }) => pool.close().await,
                Self::MySql(pool) => pool.close().await,
            }
        };
        // One that a dead network keeps from it goes with the process.
        drop(tokio::time::timeout(CLOSE_TIMEOUT, closed).await);
    }
}

/// `BEGIN` with its timeouts, in one round trip. They are the transaction's own: behind a pooler a
/// session's settings would reach its other users.
fn begin_postgres(timeout: Duration) -> String {
    let millis = timeout.as_millis();
    format!(
        "BEGIN; SET LOCAL statement_timeout = {millis}; \
         SET LOCAL idle_in_transaction_session_timeout = {millis}"
    )
}

fn pool_options<DB: Database>(timeout: Duration) -> sqlx::pool::PoolOptions<DB> {
    sqlx::pool::PoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .acquire_timeout(timeout.min(CONNECT_TIMEOUT))
        .idle_timeout(IDLE_TIMEOUT)
}

/// Strictness and timeouts of a session: without the first, MySQL cuts what does not fit.
async fn set_up_mysql(
    connection: &mut MySqlConnection,
    timeout: Duration,
) -> Result<(), sqlx::Error> {
    let seconds = timeout.as_secs().max(1);
    let sql = format!(
        "SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES'), \
         innodb_lock_wait_timeout = {seconds}"
    );
    sqlx::query(AssertSqlSafe(sql)).execute(&mut *connection).await?;
    // MariaDB's own; MySQL has nothing like it for statements that write, and says so with an
    // error.
    let sql = format!("SET SESSION max_statement_time = {seconds}");
    match sqlx::query(AssertSqlSafe(sql)).execute(connection).await {
        Ok(_) | Err(sqlx::Error::Database(_)) => Ok(()),
        Err(err) => Err(err),
    }
}

/// A transaction; one that is dropped is rolled back, and costs its connection.
pub(super) enum Session {
    Sqlite(Transaction<Sqlite>),
    Postgres(Transaction<Postgres>),
    MySql(Transaction<MySql>),
}

/// One row as text.
pub(super) type TextRow = Vec<Option<String>>;

impl Session {
    /// Lets one transaction at a time do what `name` stands for, in this whole database. SQLite has
    /// one writer anyway; MySQL's locking reads of the ledger do the same.
    pub(super) async fn lock(&mut self, name: &str) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(_) | Self::MySql(_) => Ok(()),
            Self::Postgres(transaction) => {
                // Without a parameter it is one round trip. The name is a handler's.
                let name = name.replace('\'', "''");
                let sql =
                    format!("SELECT pg_advisory_xact_lock(hashtextextended('gatepost {name}', 0))");
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut **transaction).await.map(drop)
            }
        }
    }

    /// Runs a statement that gives no rows.
    pub(super) async fn execute(&mut self, statement: Statement) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(transaction) => {
                bind::<Sqlite>(statement)?.execute(&mut **transaction).await.map(drop)
            }
            Self::Postgres(transaction) => {
                bind_postgres(statement).execute(&mut **transaction).await.map(drop)
            }
            Self::MySql(transaction) => {
                bind::<MySql>(statement)?.execute(&mut **transaction).await.map(drop)
            }
        }
    }

    /// Runs a statement that gives rows of text.
    pub(super) async fn fetch(
        &mut self,
        statement: Statement,
    ) -> Result<Vec<TextRow>, sqlx::Error> {
        match self {
            Self::Sqlite(transaction) => {
                let rows = bind::<Sqlite>(statement)?.fetch_all(&mut **transaction).await?;
                rows.iter().map(text_row).collect()
            }
            Self::Postgres(transaction) => {
                let rows = bind_postgres(statement).fetch_all(&mut **transaction).await?;
                rows.iter().map(text_row).collect()
            }
            Self::MySql(transaction) => {
                let rows = bind::<MySql>(statement)?.fetch_all(&mut **transaction).await?;
                rows.iter().map(text_row).collect()
            }
        }
    }

    /// The type of each placeholder of a statement, as PostgreSQL infers it; none of the other engines.
    pub(super) async fn parameter_types(&mut self, sql: &str) -> Result<Vec<String>, sqlx::Error> {
        let Self::Postgres(transaction) = self else { return Ok(Vec::new()) };
        // By SQL, under a name of its own: behind a pooler other clients get the connection with what a
        // transaction that broke off has left on it.
        let name = format!("gatepost_{:016x}", rand::random::<u64>());
        let prepare = AssertSqlSafe(format!("PREPARE {name} AS {sql}"));
        sqlx::raw_sql(prepare).execute(&mut **transaction).await?;
        let of_name = "SELECT format_type(p.t::oid, -1)::text FROM pg_catalog.pg_prepared_statements, \
                       unnest(parameter_types) WITH ORDINALITY AS p(t, n) WHERE name = $1 ORDER BY p.n";
        let types = self.fetch(Statement::new(of_name, vec![Param::Text(name.clone())])).await?;
        self.execute(Statement::new(format!("DEALLOCATE {name}"), Vec::new())).await?;
        Ok(types.into_iter().flatten().flatten().collect())
    }

    /// Lets MySQL or SQLite read a statement, without running it.
    pub(super) async fn read(&mut self, sql: String) -> Result<(), sqlx::Error> {
        let sql = AssertSqlSafe(sql).into_sql_str();
        match self {
            Self::Sqlite(transaction) => transaction.prepare(sql).await.map(drop),
            Self::Postgres(_) => Ok(()),
            Self::MySql(transaction) => transaction.prepare(sql).await.map(drop),
        }
    }

    /// Ends it without a change. Its connection is used again where the error is the database's own word: then
    /// nothing is owed.
    pub(super) async fn roll_back_after(self, err: &sqlx::Error) {
        if err.as_database_error().is_none() {
            return;
        }
        let rolled_back = match self {
            Self::Sqlite(transaction) => transaction.roll_back().await,
            Self::Postgres(transaction) => transaction.roll_back().await,
            Self::MySql(transaction) => transaction.roll_back().await,
        };
        // Where that failed, its connection is gone, and with it what it had begun.
        drop(rolled_back);
    }

    /// Commits the transaction.
    pub(super) async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(transaction) => transaction.commit().await,
            Self::Postgres(transaction) => transaction.commit().await,
            Self::MySql(transaction) => transaction.commit().await,
        }
    }
}

/// A query whose arguments are owned.
type BoundQuery<DB> = sqlx::query::Query<'static, DB, <DB as Database>::Arguments>;

/// For the engines without lists: one is an error, or the value would be lost.
fn bind<DB: Database>(statement: Statement) -> Result<BoundQuery<DB>, sqlx::Error>
where
    Option<String>: Encode<'static, DB> + Type<DB>,
    String: Encode<'static, DB> + Type<DB>,
    i64: Encode<'static, DB> + Type<DB>,
    f64: Encode<'static, DB> + Type<DB>,
    Vec<u8>: Encode<'static, DB> + Type<DB>,
{
    let query = sqlx::query::<DB>(AssertSqlSafe(statement.sql));
    statement.params.into_iter().try_fold(query, |query, param| match param {
        Param::Null => Ok(query.bind(None::<String>)),
        Param::Text(text) => Ok(query.bind(text)),
        Param::Integer(number) => Ok(query.bind(number)),
        Param::Real(number) => Ok(query.bind(number)),
        Param::Bytes(bytes) => Ok(query.bind(bytes)),
        Param::Texts(_) => Err(sqlx::Error::Encode("a list cannot be bound here".into())),
    })
}

fn bind_postgres(statement: Statement) -> BoundQuery<Postgres> {
    // Not kept under a name: behind a pooler the next transaction may have a connection on which
    // another client has given the same name to another statement.
    let query = sqlx::query::<Postgres>(AssertSqlSafe(statement.sql)).persistent(false);
    statement.params.into_iter().fold(query, |query, param| match param {
        Param::Null => query.bind(None::<String>),
        Param::Text(text) => query.bind(text),
        Param::Integer(number) => query.bind(number),
        Param::Real(number) => query.bind(number),
        Param::Bytes(bytes) => query.bind(bytes),
        Param::Texts(texts) => query.bind(texts),
    })
}

fn text_row<'r, R: Row>(row: &'r R) -> Result<TextRow, sqlx::Error>
where
    usize: ColumnIndex<R>,
    Option<String>: Decode<'r, R::Database> + Type<R::Database>,
{
    (0..row.len()).map(|index| row.try_get(index)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn list_is_an_error_where_there_are_none_and_never_a_null() {
        let pool = Pool::Sqlite(SqlitePool::connect("sqlite::memory:").await.unwrap());
        let mut session = pool.begin().await.unwrap();
        let list = Statement::new("SELECT ?", vec![Param::Texts(vec![Some("a".to_owned())])]);
        let rows = session.fetch(list).await;
        assert!(rows.is_err(), "{rows:?}");
    }
}
