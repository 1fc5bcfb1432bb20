//! `sql` into SQLite and into a PostgreSQL server of its own.

use std::time::Instant;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};

use super::{BATCH, Bench, Rate, batches, words};

#[path = "../../tests/it/support/servers.rs"]
#[expect(dead_code, reason = "a measurement needs less of it than the tests")]
mod servers;

/// The columns and what goes into them.
const COLUMNS: &str = r#"
table = "comments"
create_table = true
key = ["id"]

[columns]
id = { value = "data.comment.id", type = "integer" }
author = "data.comment.user.name"
body = "data.comment.body"
created_at = { value = "data.comment.created_at", type = "timestamp" }
"#;

/// Rows of one statement of the limit for SQLite.
const ROWS: usize = 250;

/// The same row as the expressions make of event `number`.
type Row = (i64, String, String, &'static str);

fn rows(n_events: usize) -> Vec<Row> {
    let row = |number: usize| {
        let id = i64::try_from(number).unwrap();
        (id, format!("Ann {number}"), words(), "2023-11-14T22:13:20.000Z")
    };
    (0..n_events).map(row).collect()
}

pub(super) async fn sqlite(bench: &Bench) {
    let limit = sqlite_limit(bench).await;
    let text = format!("url = \"sqlite:site.db\"\n{COLUMNS}");
    let rate = bench.run("sqlite", "sql", &text, batches(BATCH)).await;
    let path = bench.folder.path().join("site.db");
    let mut file = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
    let count = sqlx::query_as("SELECT count(*) FROM comments").fetch_one(&mut file);
    assert_all(bench, count.await.unwrap());
    Bench::show("sql into SQLite, batches of 1,000", limit, rate, 10_000);
}

fn assert_all(bench: &Bench, (count,): (i64,)) {
    assert_eq!(usize::try_from(count).unwrap(), bench.n_events);
}

async fn sqlite_limit(bench: &Bench) -> Rate {
    let mut connection: SqliteConnection = SqliteConnectOptions::new()
        .filename(bench.folder.path().join("limit.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .connect()
        .await
        .unwrap();
    sqlx::raw_sql(
        "CREATE TABLE comments (id INTEGER NOT NULL, author TEXT, body TEXT, created_at TEXT, \
         PRIMARY KEY (id))",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let insert = |n_rows: usize| {
        let values = vec!["(?, ?, ?, ?)"; n_rows].join(", ");
        AssertSqlSafe(format!(
            "INSERT INTO comments VALUES {values} ON CONFLICT (id) DO UPDATE SET author = \
             excluded.author, body = excluded.body, created_at = excluded.created_at"
        ))
    };
    let rows = rows(bench.n_events);
    let began = Instant::now();
    for batch in rows.chunks(BATCH) {
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.unwrap();
        for part in batch.chunks(ROWS) {
            let mut query = sqlx::query(insert(part.len()));
            for (id, author, body, at) in part {
                query = query.bind(id).bind(author).bind(body).bind(at);
            }
            query.execute(&mut *transaction).await.unwrap();
        }
        transaction.commit().await.unwrap();
    }
    Rate::of(bench.n_events, began.elapsed())
}

pub(super) async fn postgres(bench: &Bench) {
    let Some(server) = servers::Server::postgres() else {
        return;
    };
    let url = server.url("postgres");
    let options: PgConnectOptions = url.parse().unwrap();
    let mut connection = options.connect().await.unwrap();
    let limit = postgres_limit(bench, &mut connection).await;
    let text = format!("url = \"{url}\"\n{COLUMNS}");
    let rate = bench.run("postgres", "sql", &text, batches(BATCH)).await;
    let count = sqlx::query_as("SELECT count(*) FROM comments").fetch_one(&mut connection);
    assert_all(bench, count.await.unwrap());
    Bench::show("sql into PostgreSQL, batches of 1,000", limit, rate, 5_000);
}

async fn postgres_limit(bench: &Bench, connection: &mut PgConnection) -> Rate {
    sqlx::raw_sql(
        "CREATE TABLE bare (id bigint PRIMARY KEY, author text, body text, created_at timestamptz)",
    )
    .execute(&mut *connection)
    .await
    .unwrap();
    let rows = rows(bench.n_events);
    let began = Instant::now();
    for batch in rows.chunks(BATCH) {
        let ids: Vec<i64> = batch.iter().map(|row| row.0).collect();
        let authors: Vec<&str> = batch.iter().map(|row| &*row.1).collect();
        let bodies: Vec<&str> = batch.iter().map(|row| &*row.2).collect();
        let ats: Vec<&str> = batch.iter().map(|row| row.3).collect();
        let mut transaction = connection.begin().await.unwrap();
        sqlx::query(
            "INSERT INTO bare SELECT i, a, b, t::timestamptz FROM unnest($1::bigint[], \
             $2::text[], $3::text[], $4::text[]) AS u(i, a, b, t) ON CONFLICT (id) DO UPDATE SET \
             author = excluded.author, body = excluded.body, created_at = excluded.created_at",
        )
        .bind(ids)
        .bind(authors)
        .bind(bodies)
        .bind(ats)
        .execute(&mut *transaction)
        .await
        .unwrap();
        transaction.commit().await.unwrap();
    }
    Rate::of(bench.n_events, began.elapsed())
}
