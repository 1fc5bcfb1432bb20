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

/// A default of another type than its column has does not lend it to the values.
#[tokio::test(flavor = "multi_thread")]
async fn default_of_another_type_keeps_values_as_they_were_sent_in_postgresql() {
    let Some(database) = Database::start(Engine::Postgres).await else { return };
    let table = "CREATE TABLE t (id int PRIMARY KEY, price money NOT NULL DEFAULT 0, made text NOT NULL \
                 DEFAULT gen_random_uuid(), n bigint NOT NULL DEFAULT date_part('day', now()), at \
                 timestamp NOT NULL DEFAULT now(), doc jsonb NOT NULL DEFAULT json_build_object())";
    database.run(table).await;
    let names = ["id", "price", "made", "n", "at", "doc"];
    let columns = names.map(|name| format!("{name} = \"data.{name}\"")).join(", ");
    let sql = database.handler(&format!("table = \"t\"\nkey = \"id\"\ncolumns = {{ {columns} }}"));
    let full = json!({
        "id": 1, "price": "1.50", "made": "m", "n": 12_345_678_901_234_567_i64,
        "at": "2026-01-02T03:04:05Z", "doc": {"a": 1},
    });
    let batch = [delivery(1, "x", &full), delivery(2, "x", &json!({"id": 2}))];
    sql.handle(&batch).await.unwrap();
    let text = "SELECT CONCAT_WS(' ', price::numeric, made, n, at, doc) FROM t WHERE id = 1";
    let sent = r#"1.50 m 12345678901234567 2026-01-02 03:04:05 {"a": 1}"#;
    assert_eq!(database.texts(text).await, [sent]);
    let text = "SELECT CONCAT_WS(' ', price::numeric, length(made), n BETWEEN 1 AND 31, doc) FROM t \
                WHERE id = 2";
    assert_eq!(database.texts(text).await, ["0.00 36 t {}"]);
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
