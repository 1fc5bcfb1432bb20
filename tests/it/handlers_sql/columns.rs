//! Columns of types that only one engine has.

use serde_json::{Value, json};

use super::{Database, Engine};
use crate::support::kinds::{assert_permanent, delivery};

/// What `v` becomes in a column of this type, as text; `None` = the event is a dead letter.
async fn stored(
    database: &Database,
    number: u64,
    (column, v): (&str, &Value),
    text: &str,
) -> Option<String> {
    database.run("DROP TABLE IF EXISTS t").await;
    database.run(&format!("CREATE TABLE t (id int PRIMARY KEY, v {column})")).await;
    let columns = "columns = { id = \"data.id\", v = \"data.v\" }";
    let sql = database.handler(&format!("table = \"t\"\nkey = \"id\"\n{columns}"));
    let event = delivery(number, "x", &json!({"id": 1, "v": v}));
    if let Err(failure) = sql.handle(&[event]).await {
        assert_permanent(&failure);
        return None;
    }
    let rows = format!("SELECT COALESCE(CAST(v AS {text}), 'NULL') FROM t");
    database.texts(&rows).await.pop()
}

async fn check(engine: Engine, cases: &[(&str, Value, Option<&str>)]) {
    let Some(database) = Database::start(engine).await else { return };
    if engine == Engine::Postgres {
        database.run("CREATE TYPE sprint_state AS ENUM ('open', '1')").await;
        database.run("CREATE DOMAIN interest AS text").await;
    }
    let text = if engine == Engine::MySql { "char" } else { "text" };
    for ((column, value, expected), number) in cases.iter().zip(1..) {
        let found = stored(&database, number, (column, value), text).await;
        assert_eq!(found.as_deref(), *expected, "{value} into {column}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_and_types_of_the_owners_own_of_postgresql_take_their_texts() {
    check(
        Engine::Postgres,
        &[
            ("int4range", json!("[1,5)"), Some("[1,5)")),
            ("int4range", json!([1, 5]), Some("[1,6)")),
            ("int4range", json!(""), Some("NULL")),
            ("int4range", json!(5), None),
            ("numrange", json!("(,1.5]"), Some("(,1.5]")),
            ("daterange", json!(["2026-01-01", "2026-02-01"]), Some("[2026-01-01,2026-02-02)")),
            ("tstzrange", json!("empty"), Some("empty")),
            ("int8multirange", json!("{[1,3),[5,7)}"), Some("{[1,3),[5,7)}")),
            ("sprint_state", json!("open"), Some("open")),
            ("sprint_state", json!(1), Some("1")),
            ("sprint_state", json!("closed"), None),
            ("interest", json!("golf"), Some("golf")),
            ("point", json!(""), Some("NULL")),
            ("boolean", json!("y"), Some("true")),
            ("boolean", json!("f"), Some("false")),
            ("time", json!("12:34"), Some("12:34:00")),
            ("time", json!(130), Some("00:02:10")),
            ("time with time zone", json!("90"), Some("00:01:30+00")),
            ("time(3)[]", json!([130, "01:02:03", 1.25]), Some("{00:02:10,01:02:03,00:00:01.25}")),
            ("time", json!(100_000), None),
            ("interval", json!(130), Some("00:02:10")),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn arrays_of_arrays_of_postgresql_keep_their_shape() {
    check(
        Engine::Postgres,
        &[
            ("int[][]", json!([[1, 2], [3, 4]]), Some("{{1,2},{3,4}}")),
            ("int[]", json!([[1, 2], [3, null]]), Some("{{1,2},{3,NULL}}")),
            ("int[]", json!([1, 2]), Some("{1,2}")),
            (
                "text[][]",
                json!([["a,b", "c"], ["d\"", ""]]),
                Some("{{\"a,b\",c},{\"d\\\"\",\"\"}}"),
            ),
            // In an array of texts a list is a text of JSON.
            ("text[]", json!([["a"], "b"]), Some("{\"[\\\"a\\\"]\",b}")),
            ("jsonb[]", json!([[1, 2], {"a": 1}]), Some("{\"[1, 2]\",\"{\\\"a\\\": 1}\"}")),
            (
                "timestamptz[]",
                json!([["2026-01-02T03:04:05Z"], [null]]),
                Some("{{\"2026-01-02 03:04:05+00\"},{NULL}}"),
            ),
            ("boolean[]", json!([["yes"], ["n"]]), Some("{{t},{f}}")),
            // Not of one length.
            ("int[]", json!([[1], [2, 3]]), None),
            ("int[]", json!([[[[[[[1]]]]]]]), None),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sets_enums_years_and_times_of_mariadb_take_what_they_are() {
    check(
        Engine::MySql,
        &[
            ("SET('a','b','c')", json!(["a", "c"]), Some("a,c")),
            ("SET('a','b','c')", json!("b,a"), Some("a,b")),
            ("SET('a','b','c')", json!([]), Some("")),
            ("SET('a','b','c')", json!(["a", "x"]), None),
            ("SET('a','b','c')", json!("3"), None),
            ("ENUM('int','json','it''s')", json!("json"), Some("json")),
            ("ENUM('int','json','it''s')", json!("it's"), Some("it's")),
            ("ENUM('int','json')", json!(1), None),
            ("ENUM('int','json')", json!("2"), None),
            ("ENUM('10','20')", json!(20), Some("20")),
            ("ENUM('int','json')", json!("other"), None),
            ("ENUM('int','json')", json!(""), Some("NULL")),
            ("YEAR", json!(2026), Some("2026")),
            ("YEAR", json!("2026"), Some("2026")),
            ("YEAR", json!(""), Some("NULL")),
            ("TIME", json!("12:34:56"), Some("12:34:56")),
            ("TIME", json!("12:34"), Some("12:34:00")),
            // A number is seconds; the server would read its digits as those of a clock.
            ("TIME", json!(130), Some("00:02:10")),
            ("TIME", json!("90"), Some("00:01:30")),
            ("TIME", json!(-3600), Some("-01:00:00")),
            ("TIME(3)", json!(1.25), Some("00:00:01.250")),
            ("TIME", json!(10_000_000), None),
            ("TIME", json!(""), Some("NULL")),
            ("TIME(3)", json!(""), Some("NULL")),
            ("BOOLEAN", json!("t"), Some("1")),
            ("BOOLEAN", json!("N"), Some("0")),
        ],
    )
    .await;
}
