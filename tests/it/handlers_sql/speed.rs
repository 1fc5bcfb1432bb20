//! How fast batches go in: the figure is printed, the rows are checked.

#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a figure for people")]

use std::time::{Duration, Instant};

use gatepost::event::Delivery;
use serde_json::json;

use super::{Database, Engine};
use crate::support::kinds::delivery;

const N_EVENTS: u64 = 10_000;
/// As in `batch = { max = 1000 }`.
const BATCH: usize = 1_000;

async fn measure(engine: Engine) {
    let Some(database) = Database::start(engine).await else { return };
    let text = r#"
        table = "comments"
        create_table = true
        key = "id"
        columns = { id = "data.id", author = "data.user.name", body = "data.body" }
    "#;
    let sql = database.handler(text);
    let body = "A comment of a few words, as they are. ".repeat(5);
    let events: Vec<Delivery> = (1..=N_EVENTS)
        .map(|n| delivery(n, "x", &json!({"id": n, "user": {"name": "Ann"}, "body": body})))
        .collect();
    let started = Instant::now();
    for batch in events.chunks(BATCH) {
        sql.handle(batch).await.unwrap();
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("{engine:?}: {:.0} events/s", f64::from(u32::try_from(N_EVENTS).unwrap()) / seconds);
    assert_eq!(database.count("comments").await, usize::try_from(N_EVENTS).unwrap());
    assert_eq!(database.count("gatepost_ledger").await, usize::try_from(N_EVENTS).unwrap());
}

#[tokio::test]
async fn batches_go_into_sqlite() {
    measure(Engine::Sqlite).await;
}

#[tokio::test]
async fn batches_go_into_postgresql() {
    measure(Engine::Postgres).await;
}

#[tokio::test]
async fn batches_go_into_mariadb() {
    measure(Engine::MySql).await;
}

/// A batch looks its own events up, and does not read what went in before it: of a ledger of a million
/// rows that took longer than everything else.
#[tokio::test]
async fn batches_read_no_rows_of_the_ledger_but_their_own() {
    let Some(database) = Database::start(Engine::Postgres).await else { return };
    let table = "table = \"numbers\"\ncreate_table = true\ncolumns = { n = \"data.n\" }";
    let sql = database.handler(table);
    let events: Vec<Delivery> = (1..=3_000).map(|n| delivery(n, "x", &json!({"n": n}))).collect();
    for batch in events.chunks(100) {
        sql.handle(batch).await.unwrap();
    }
    // A connection tells what it did at its end.
    sql.close().await;
    drop(sql);
    let figures = "SELECT n_tup_ins || ' ' || seq_tup_read + coalesce(idx_tup_fetch, 0) FROM \
                   pg_stat_user_tables WHERE relname = 'gatepost_ledger'";
    let told = async {
        loop {
            let rows = database.texts(figures).await;
            if let Some(n_read) = rows.iter().find_map(|row| row.strip_prefix("3000 ")) {
                return n_read.parse::<u64>().unwrap();
            }
        }
    };
    let n_read = tokio::time::timeout(Duration::from_mins(1), told).await.unwrap();
    assert!(n_read <= 3_000, "{n_read} rows were read");
}
