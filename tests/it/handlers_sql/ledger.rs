//! Old rows of Gatepost's own two tables.

use std::sync::Arc;
use std::time::Duration;

use gatepost::clock::ManualClock;
use serde_json::json;

use super::{Database, Engine};
use crate::support::kinds::{self, delivery};

const NEWEST: &str = r#"
table = "newest"
create_table = true
key = ["n"]
newer_by = "data.at"
delete_on = ["hyvor:gone"]
columns = { n = "data.n" }
"#;

/// More rows than one step goes through.
fn old_rows(table: &str, key: impl Fn(u32) -> String, more: &str) -> String {
    let rows = (1..=12_000).map(|n| format!("('test', '{}', '1970-01-02')", key(n)));
    let rows: Vec<String> = rows.collect();
    format!("INSERT INTO {table} VALUES {}{more}", rows.join(", "))
}

async fn old_rows_go(engine: Engine) {
    let Some(database) = Database::start(engine).await else { return };
    let clock = Arc::new(ManualClock::new(kinds::NOW));
    let context = kinds::context_with(database.folder.path(), Arc::clone(&clock) as _);
    let text = format!("url = \"{}\"\n{NEWEST}", database.url);
    let sql = kinds::settings("sql", &text, database.folder.path()).build(&context).unwrap();
    let event = |n: u64, kind| [delivery(n, kind, &json!({"n": n, "at": 1_700_000_000 + n}))];
    sql.handle(&event(1, "x")).await.unwrap();
    let id = |n| format!("00000000-0000-7000-8000-{n:012}");
    database.run(&old_rows("gatepost_ledger", id, "")).await;
    let version = |n| format!("k{n}', '1");
    let there = ", ('test', 'other', '1', NULL)";
    database.run(&old_rows("gatepost_versions", version, there)).await;
    assert_eq!(database.count("gatepost_ledger").await, 12_001);
    clock.advance(Duration::from_hours(1));
    sql.handle(&event(2, "gone")).await.unwrap();
    // The rows that are there, and the one that went just now, are known still.
    for (table, n_rows) in [("gatepost_ledger", 2), ("gatepost_versions", 3)] {
        while database.count(table).await != n_rows {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    let others = "SELECT handler FROM gatepost_versions WHERE row_key = 'other'";
    assert_eq!(database.texts(others).await, ["test"]);
    sql.close().await;
}

#[tokio::test]
async fn old_rows_go_from_postgresql() {
    old_rows_go(Engine::Postgres).await;
}

#[tokio::test]
async fn old_rows_go_from_mariadb() {
    old_rows_go(Engine::MySql).await;
}

#[tokio::test]
async fn old_rows_go_from_sqlite() {
    old_rows_go(Engine::Sqlite).await;
}
