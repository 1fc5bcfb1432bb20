//! Columns of JSON, without a word on their type in the configuration.

use serde_json::Value;

use super::{Database, Engine};
use crate::support::kinds::raw;

/// What an event has, and what the column holds then.
const DOCUMENTS: [(&str, &str); 12] = [
    (r#"{"a":{"b":[1,2]},"c":null}"#, r#"{"a":{"b":[1,2]},"c":null}"#),
    (r#"[{"a":"ü"},"x",[]]"#, r#"[{"a":"ü"},"x",[]]"#),
    ("{}", "{}"),
    ("[]", "[]"),
    (r#""text""#, r#""text""#),
    (r#""""#, r#""""#),
    (r#""it's \"quoted\" \\ and\nbroken""#, r#""it's \"quoted\" \\ and\nbroken""#),
    // A text that is JSON is a text all the same.
    (r#""{\"a\":1}""#, r#""{\"a\":1}""#),
    ("42", "42"),
    ("true", "true"),
    ("-1.5", "-1.5"),
    ("null", "-"),
];

async fn documents_of(engine: Engine, column: &str) {
    let Some(database) = Database::start(engine).await else { return };
    let text = if engine == Engine::MySql { "char" } else { "text" };
    let sql = format!("CREATE TABLE t (id int PRIMARY KEY, doc {column}, first {column})");
    database.run(&sql).await;
    let handler = database.handler(
        "table = \"t\"\nkey = \"id\"\nkeep = [\"first\"]\ndelete_on = [\"*:gone\"]\n\
         columns = { id = \"data.id\", doc = \"data.doc\", first = \"data.doc\" }",
    );
    let event = |number: u64, kind: &str, id: usize, doc: &str| {
        raw(number, kind, &format!(r#"{{"data":{{"id":{id},"doc":{doc}}}}}"#))
    };
    // Each replaces what another one left, but for what is kept.
    let n_documents = DOCUMENTS.len();
    let calls: Vec<_> = (0..n_documents)
        .map(|id| event(id as u64 + 1, "x", id, DOCUMENTS[(id + 1) % n_documents].0))
        .chain((0..n_documents).map(|id| event(id as u64 + 101, "x", id, DOCUMENTS[id].0)))
        .collect();
    for call in &calls {
        handler.handle(std::slice::from_ref(call)).await.unwrap();
    }
    let read = |text: &String| match text.as_str() {
        "-" => None,
        text => Some(serde_json::from_str::<Value>(text).unwrap_or_else(|_| panic!("{text}"))),
    };
    for (name, shift) in [("doc", 0), ("first", 1)] {
        let sql = format!("SELECT CAST({name} AS {text}) FROM t ORDER BY id");
        for (id, found) in database.texts(&sql).await.iter().enumerate() {
            let (given, expected) = DOCUMENTS[(id + shift) % n_documents];
            assert_eq!(read(found), read(&expected.to_owned()), "{column}.{name} of {given}");
        }
    }
    // And a batch of them, and the end of one.
    let batch: Vec<_> =
        (0..n_documents).map(|id| event(id as u64 + 201, "x", id, DOCUMENTS[0].0)).collect();
    handler.handle(&batch).await.unwrap();
    handler.handle(&[event(301, "gone", 3, r#"{"why":[]}"#)]).await.unwrap();
    assert_eq!(database.count("t").await, n_documents - 1, "{column}");
}

#[tokio::test]
async fn documents_go_into_json_of_sqlite() {
    documents_of(Engine::Sqlite, "JSON").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_go_into_json_of_postgresql() {
    documents_of(Engine::Postgres, "json").await;
    documents_of(Engine::Postgres, "jsonb").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_go_into_json_of_mariadb() {
    documents_of(Engine::MySql, "JSON").await;
}

/// A text column is no JSON: there a text is what it is, and only lists and maps are written as JSON.
#[tokio::test(flavor = "multi_thread")]
async fn documents_become_texts_in_columns_of_text() {
    for (engine, column) in [
        (Engine::Sqlite, "TEXT"),
        (Engine::Postgres, "text"),
        (Engine::MySql, "longtext CHARACTER SET utf8mb4"),
    ] {
        let Some(database) = Database::start(engine).await else { continue };
        database.run(&format!("CREATE TABLE t (id int PRIMARY KEY, doc {column})")).await;
        let columns = "columns = { id = \"data.id\", doc = \"data.doc\" }";
        let handler = database.handler(&format!("table = \"t\"\nkey = \"id\"\n{columns}"));
        for (doc, id) in [r#"{"a":[1]}"#, r#""text""#, "[]", "true"].into_iter().zip(1_u64..) {
            let body = format!(r#"{{"data":{{"id":{id},"doc":{doc}}}}}"#);
            handler.handle(&[raw(id, "x", &body)]).await.unwrap();
        }
        let found = database.texts("SELECT doc FROM t ORDER BY id").await;
        assert_eq!(found, [r#"{"a":[1]}"#, "text", "[]", "true"], "{engine:?}");
    }
}
