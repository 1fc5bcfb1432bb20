//! Columns of bytes: in a text PostgreSQL reads a backslash as the beginning of one, and a strict table of
//! SQLite takes no text.

use serde_json::json;

use super::{Database, Engine};
use crate::support::kinds::delivery;

const BYTES: &str =
    "table = \"t\"\nkey = \"id\"\ncolumns = { id = \"data.id\", raw = \"data.raw\" }";

#[tokio::test]
async fn bytes_of_postgresql_are_those_of_the_text() {
    let Some(database) = Database::start(Engine::Postgres).await else { return };
    database.run("CREATE TABLE t (id bytea PRIMARY KEY, raw bytea)").await;
    let sql = database.handler(&format!("{BYTES}\ndelete_on = [\"hyvor:gone\"]"));
    for (number, data) in [
        (1, json!({"id": "a", "raw": "C:\\new\\101"})),
        (2, json!({"id": "\\", "raw": "grün\0"})),
        (3, json!({"id": "c", "raw": {"a": 5}})),
        // PostgreSQL's own form of bytes, and what only begins like it.
        (4, json!({"id": "d", "raw": "\\x00ff"})),
        (5, json!({"id": "e", "raw": "\\x0g"})),
        (6, json!({"id": "f", "raw": null})),
        (7, json!({"id": "g", "raw": ""})),
        (8, json!({"id": "\\", "raw": "two"})),
        (9, json!({"id": "gone\\", "raw": "x"})),
        (11, json!({"id": "h", "raw": "\\x00 ff\n41"})),
        (12, json!({"id": "i", "raw": "\\x0 0"})),
    ] {
        sql.handle(&[delivery(number, "x", &data)]).await.unwrap();
    }
    sql.handle(&[delivery(10, "gone", &json!({"id": "gone\\"}))]).await.unwrap();
    let rows =
        "SELECT concat_ws(' ', convert_from(id, 'UTF8'), encode(raw, 'escape')) FROM t ORDER BY id";
    let expected = [
        "\\ two",
        "a C:\\\\new\\\\101",
        "c {\"a\":5}",
        "d \\000\\377",
        "e \\\\x0g",
        "f",
        "g ",
        "h \\000\\377A",
        "i \\\\x0 0",
    ];
    assert_eq!(database.texts(rows).await, expected);

    database.run("CREATE TABLE parts (raw bytea, all_raw bytea[])").await;
    let own = "statements = [\"INSERT INTO parts VALUES ({{ data.raw }}, {{ data.all }})\"]";
    let data = json!({"raw": "a\\b", "all": ["\\", "\"", null]});
    database.handler(own).handle(&[delivery(13, "x", &data)]).await.unwrap();
    let rows = "SELECT concat_ws(' ', encode(raw, 'hex'), all_raw::text) FROM parts";
    assert_eq!(database.texts(rows).await, [r#"615c62 {"\\x5c","\\x22",NULL}"#]);
}

#[tokio::test]
async fn bytes_of_a_strict_table_of_sqlite_are_those_of_the_text() {
    let Some(database) = Database::start(Engine::Sqlite).await else { return };
    database.run("CREATE TABLE t (id blob PRIMARY KEY, raw BLOB, text TEXT) STRICT").await;
    database.run("CREATE TABLE free (id BLOB PRIMARY KEY, raw BLOB)").await;
    let values = [(json!("grün"), "6772C3BC6E"), (json!("\\x41"), "5C783431"), (json!(5), "35")];
    for (table, seen, first) in [("t", "blob", 10), ("free", "text", 20)] {
        let sql = database.handler(&BYTES.replace("\"t\"", &format!("\"{table}\"")));
        for (number, (raw, hex)) in (first..).zip(&values) {
            sql.handle(&[delivery(number, "x", &json!({"id": "a", "raw": raw}))]).await.unwrap();
            let row =
                format!("SELECT typeof(id) || ' ' || typeof(raw) || ' ' || hex(raw) FROM {table}");
            assert_eq!(database.texts(&row).await, [format!("{seen} {seen} {hex}")]);
        }
    }
    let own = "statements = [\"UPDATE t SET raw = {{ data.raw }} WHERE id = {{ data.id }}\"]";
    let data = json!({"id": "a", "raw": "b"});
    database.handler(own).handle(&[delivery(4, "x", &data)]).await.unwrap();
    assert_eq!(database.texts("SELECT typeof(raw) || hex(raw) FROM t").await, ["blob62"]);
}
