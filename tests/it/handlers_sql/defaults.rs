//! Columns that take no NULL and have a default.

use serde_json::json;

use super::{Database, Engine};
use crate::support::kinds::delivery;

/// In a batch and alone, in a new row and in one that is updated.
async fn what_is_missing_is_the_default(engine: Engine) {
    let Some(database) = Database::start(engine).await else { return };
    let table = "CREATE TABLE t (id int PRIMARY KEY, name varchar(20) NOT NULL DEFAULT 'it''s', n int \
                 NOT NULL DEFAULT -1, at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP, note \
                 varchar(20) DEFAULT 'x')";
    database.run(table).await;
    let columns = "columns = { id = \"data.id\", name = \"data.name\", n = \"data.n\", at = \
                   \"data.at\", note = \"data.note\" }";
    let sql = database.handler(&format!("table = \"t\"\nkey = \"id\"\n{columns}"));
    let at = "2026-01-02T03:04:05Z";
    let batch = [
        delivery(1, "x", &json!({"id": 1})),
        delivery(2, "x", &json!({"id": 2, "name": "B", "n": 2, "at": at, "note": "b"})),
        delivery(3, "x", &json!({"id": 3, "name": null, "n": 3})),
    ];
    sql.handle(&batch).await.unwrap();
    let rows = || async {
        let text = "SELECT CONCAT(id, ' ', name, ' ', n, ' ', COALESCE(note, '-')) FROM t \
                    WHERE at IS NOT NULL ORDER BY id";
        database.texts(text).await
    };
    assert_eq!(rows().await, ["1 it's -1 -", "2 B 2 b", "3 it's 3 -"]);
    sql.handle(&[delivery(4, "x", &json!({"id": 2, "n": 5}))]).await.unwrap();
    assert_eq!(rows().await, ["1 it's -1 -", "2 it's 5 -", "3 it's 3 -"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_the_default_in_sqlite() {
    what_is_missing_is_the_default(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_the_default_in_postgresql() {
    what_is_missing_is_the_default(Engine::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_the_default_in_mariadb() {
    what_is_missing_is_the_default(Engine::MySql).await;
}
