//! What becomes of events, the same over every engine.

use gatepost::event::Delivery;
use serde_json::json;

use super::{Database, Engine};
use crate::support::kinds::{assert_permanent, assert_transient, delivery};

const COMMENTS: &str = r#"
table = "comments"
create_table = true
key = ["id"]
delete_on = ["hyvor:comment.delete"]
columns = { id = "data.id", author = "data.author", body = "data.body" }
"#;

#[tokio::test]
async fn events_become_rows_in_sqlite() {
    over_all_promises(Engine::Sqlite).await;
}

#[tokio::test]
async fn events_become_rows_in_postgresql() {
    over_all_promises(Engine::Postgres).await;
}

#[tokio::test]
async fn events_become_rows_in_mariadb() {
    over_all_promises(Engine::MySql).await;
}

/// One server for all of them: starting it takes longer than the tests do.
async fn over_all_promises(engine: Engine) {
    let Some(database) = Database::start(engine).await else { return };
    a_row_is_written_once(&database).await;
    every_type_is_made_and_filled(&database).await;
    a_table_of_the_owners_own_is_filled_by_its_types(&database).await;
    older_versions_change_nothing(&database).await;
    a_key_of_two_columns_is_one_key(&database).await;
    hostile_names_and_values_are_harmless(&database).await;
    a_row_that_no_table_takes_is_permanent(&database).await;
    a_large_batch_is_one_transaction(&database).await;
}

fn comment(number: u64, comment_id: u64, body: &str) -> Delivery {
    delivery(number, "comment.create", &json!({"id": comment_id, "author": "Ann", "body": body}))
}

fn removal(number: u64, comment_id: u64) -> Delivery {
    delivery(number, "comment.delete", &json!({ "id": comment_id }))
}

async fn a_row_is_written_once(database: &Database) {
    let sql = database.handler(COMMENTS);
    sql.handle(&[comment(1, 5, "first")]).await.unwrap();
    sql.handle(&[comment(2, 5, "second"), comment(3, 6, "other"), removal(4, 6)]).await.unwrap();
    sql.handle(&[removal(5, 7), comment(6, 7, "back"), comment(1, 5, "first")]).await.unwrap();
    let bodies = "SELECT concat(id, ' ', author, ' ', body) FROM comments ORDER BY id";
    let bodies = bodies.replace("concat(id, ' ', author, ' ', body)", &joined(database));
    assert_eq!(database.texts(&bodies).await, ["5 Ann second", "7 Ann back"]);
    assert_eq!(database.count("gatepost_ledger").await, 6);

    let sql = database.handler(COMMENTS);
    sql.handle(&[comment(2, 5, "again"), removal(7, 5), removal(8, 99)]).await.unwrap();
    assert_eq!(database.texts(&bodies).await, ["7 Ann back"], "known to a new process, too");
    let failure = sql.handle(&[delivery(9, "comment.create", &json!({}))]).await.unwrap_err();
    assert_permanent(&failure);
    assert_eq!(failure.text.as_str(), "key column `id` would be NULL");
    sql.close().await;
}

fn joined(database: &Database) -> String {
    match database.engine {
        Engine::Sqlite | Engine::Postgres => "id || ' ' || author || ' ' || body",
        Engine::MySql => "concat(id, ' ', author, ' ', body)",
    }
    .to_owned()
}

const TYPED: &str = r#"
table = "typed"
create_table = true
key = "n"
columns.n = { value = "data.n", type = "integer" }
columns.price = { value = "data.price", type = "real" }
columns.good = { value = "data.good", type = "bool" }
columns.raw = { value = "data.raw", type = "json" }
columns.at = { value = "data.at", type = "timestamp" }
columns.note = { value = "data.note", type = "text" }
"#;

async fn every_type_is_made_and_filled(database: &Database) {
    let sql = database.handler(TYPED);
    let data = json!({
        "n": "9007199254740993", "price": 1.5, "good": true, "raw": {"a": [1, null, "ü"]},
        "at": "2014-04-25T06:17:38.306+02:00", "note": "Grüße 😀",
    });
    let unix = json!({ "n": 2, "at": 1_398_399_458, "price": 3, "good": 0, "raw": null });
    sql.handle(&[delivery(101, "x", &data), delivery(102, "x", &unix)]).await.unwrap();
    let (text, json_text) = match database.engine {
        Engine::Sqlite => ("n || '|' || price || '|' || good || '|' || at", "raw"),
        Engine::Postgres => (
            "n || '|' || price || '|' || good::int || '|' || to_char(at AT TIME ZONE 'UTC', \
             'YYYY-MM-DD HH24:MI:SS.MS')",
            "raw->'a'->>2",
        ),
        Engine::MySql => (
            "concat(n, '|', price, '|', good, '|', date_format(at, '%Y-%m-%d %H:%i:%s.%f'))",
            "json_value(raw, '$.a[2]')",
        ),
    };
    let expected = match database.engine {
        Engine::Sqlite => {
            ["2|3.0|0|2014-04-25T04:17:38.000Z", "9007199254740993|1.5|1|2014-04-25T04:17:38.306Z"]
        }
        Engine::Postgres => {
            ["2|3|0|2014-04-25 04:17:38.000", "9007199254740993|1.5|1|2014-04-25 04:17:38.306"]
        }
        Engine::MySql => [
            "2|3|0|2014-04-25 04:17:38.000000",
            "9007199254740993|1.5|1|2014-04-25 04:17:38.306000",
        ],
    };
    assert_eq!(database.texts(&format!("SELECT {text} FROM typed ORDER BY n")).await, expected);
    let json_text = database.texts(&format!("SELECT {json_text} FROM typed ORDER BY n")).await;
    let expected = if database.engine == Engine::Sqlite { r#"{"a":[1,null,"ü"]}"# } else { "ü" };
    assert_eq!(json_text, ["-", expected]);
    let notes = database.texts("SELECT note FROM typed ORDER BY n").await;
    assert_eq!(notes, ["-", "Grüße 😀"]);

    // A column more, and the old rows stay.
    let sql = database.handler(&format!("{TYPED}columns.more = \"data.more\""));
    sql.handle(&[delivery(103, "x", &json!({"n": 3, "more": true}))]).await.unwrap();
    assert_eq!(database.texts("SELECT more FROM typed ORDER BY n").await, ["-", "true", "-"]);
}

async fn a_table_of_the_owners_own_is_filled_by_its_types(database: &Database) {
    let columns = match database.engine {
        Engine::Sqlite => "id INTEGER PRIMARY KEY, name VARCHAR(20), at DATETIME, extra TEXT",
        Engine::Postgres => {
            "id int PRIMARY KEY, name varchar(20), at timestamp, extra text DEFAULT 'x'"
        }
        Engine::MySql => "id int PRIMARY KEY, name varchar(20), at datetime, extra text",
    };
    database.run(&format!("CREATE TABLE own ({columns})")).await;
    let text = "table = \"own\"\nkey = \"id\"\n\
                columns = { id = \"data.id\", name = \"data.name\", at = \"data.at\" }";
    let sql = database.handler(text);
    let at = "2014-04-25T06:17:38+02:00";
    let row = |number, id: &str, name: &str| {
        delivery(number, "x", &json!({"id": id, "name": name, "at": at}))
    };
    sql.handle(&[row(201, "7", "Ann")]).await.unwrap();
    let hour = match database.engine {
        Engine::Sqlite => "SELECT substr(at, 12, 2) FROM own",
        Engine::Postgres => "SELECT to_char(at, 'HH24') FROM own",
        Engine::MySql => "SELECT date_format(at, '%H') FROM own",
    };
    assert_eq!(database.texts(hour).await, ["04"], "a column without a zone is UTC");
    if database.engine != Engine::Sqlite {
        let failure = sql.handle(&[row(202, "8", "a name of more than 20")]).await.unwrap_err();
        assert_permanent(&failure);
        assert!(!failure.text.as_str().contains("more than"), "no value in {failure}");
    }
    let failure = sql.handle(&[row(203, "seven", "Ann")]).await.unwrap_err();
    assert_eq!(failure.text.as_str(), "column `id`: a string is no integer");

    let sql = database.handler(&text.replace("data.at\"", "data.at\", gone = \"data.id\""));
    let failure = sql.handle(&[row(204, "9", "Ann")]).await.unwrap_err();
    assert_transient(&failure);
    assert_eq!(failure.text.as_str(), "table `own` has no column `gone`");
    database.run("ALTER TABLE own ADD COLUMN gone int").await;
    sql.handle(&[row(204, "9", "Ann")]).await.unwrap();
}

async fn older_versions_change_nothing(database: &Database) {
    let text = COMMENTS.replace("\"comments\"", "\"versioned\"");
    let sql = database.handler(&format!("{text}newer_by = \"data.version\""));
    let at = |number, event_type, version: u64| {
        let data = json!({"id": 1, "author": "A", "body": version.to_string(), "version": version});
        delivery(number, event_type, &data)
    };
    sql.handle(&[at(301, "new", 5), at(302, "edit", 9), at(303, "edit", 7)]).await.unwrap();
    let bodies = "SELECT body FROM versioned";
    assert_eq!(database.texts(bodies).await, ["9"]);
    sql.handle(&[at(304, "edit", 8)]).await.unwrap();
    assert_eq!(database.texts(bodies).await, ["9"]);
    sql.handle(&[at(305, "comment.delete", 11)]).await.unwrap();
    sql.handle(&[at(306, "edit", 10)]).await.unwrap();
    assert_eq!(database.texts(bodies).await, [""; 0]);
    sql.handle(&[at(307, "edit", 12)]).await.unwrap();
    assert_eq!(database.texts(bodies).await, ["12"]);
}

async fn a_key_of_two_columns_is_one_key(database: &Database) {
    let text = r#"
        table = "pairs"
        create_table = true
        key = ["a", "b"]
        delete_on = ["hyvor:gone"]
        columns = { a = "data.a", b = "data.b" }
    "#;
    let sql = database.handler(text);
    let pair = |number, event_type, a: &str, b: &str| {
        delivery(number, event_type, &json!({"a": a, "b": b}))
    };
    let batch = [
        pair(401, "x", "1", "1"),
        pair(402, "x", "1", "2"),
        pair(403, "x", "1", "1"),
        pair(404, "x", "A", "1"),
        pair(405, "x", "a", "1"),
    ];
    sql.handle(&batch).await.unwrap();
    assert_eq!(database.count("pairs").await, 4, "a key tells upper case from lower");
    let gone =
        [pair(406, "gone", "1", "1"), pair(407, "gone", "A", "1"), pair(408, "gone", "x", "")];
    sql.handle(&gone).await.unwrap();
    let left = database.texts("SELECT a FROM pairs ORDER BY a").await;
    assert_eq!(left, ["1", "a"]);
}

async fn hostile_names_and_values_are_harmless(database: &Database) {
    let text = r#"
        table = "co\"mm`; DROP TABLE x; --"
        create_table = true
        key = ["i\"d`"]
        columns = { "i\"d`" = "data.id", "sel'ect" = "data.body", raw = { value = "data", type = "json" } }
    "#;
    let sql = database.handler(text);
    let hostile = "'); DROP TABLE gatepost_ledger; -- \\' \u{1f600} $1 ? \0";
    let data = json!({"id": "a'b\\", "body": hostile});
    sql.handle(&[delivery(501, "x", &data)]).await.unwrap();
    let select = match database.engine {
        Engine::Sqlite | Engine::Postgres => r#"SELECT "sel'ect" FROM "co""mm`; DROP TABLE x; --""#,
        Engine::MySql => "SELECT `sel'ect` FROM `co\"mm``; DROP TABLE x; --`",
    };
    let expected = match database.engine {
        Engine::Postgres => hostile.replace('\0', "\u{fffd}"),
        Engine::Sqlite | Engine::MySql => hostile.to_owned(),
    };
    assert_eq!(database.texts(select).await, [expected]);
}

async fn a_row_that_no_table_takes_is_permanent(database: &Database) {
    database.run("CREATE TABLE strict_one (id varchar(50) PRIMARY KEY, n int NOT NULL)").await;
    let text = "table = \"strict_one\"\nkey = \"id\"\n\
                columns = { id = \"data.id\", n = \"data.n\" }";
    let sql = database.handler(text);
    let row = |number, id: &str, n: Option<i64>| delivery(number, "x", &json!({"id": id, "n": n}));
    let batch = [row(601, "good", Some(1)), row(602, "secretive", None)];
    let failure = sql.handle(&batch).await.unwrap_err();
    assert_permanent(&failure);
    assert!(!failure.text.as_str().contains("secretive"), "no value in {failure}");
    assert_eq!(database.count("strict_one").await, 0, "all of a batch or none");
    sql.handle(&batch[..1]).await.unwrap();
    assert_eq!(database.count("strict_one").await, 1);

    database.run("DROP TABLE strict_one").await;
    assert_transient(&sql.handle(&[row(603, "gone", Some(1))]).await.unwrap_err());
    database.run("CREATE TABLE strict_one (id varchar(50) PRIMARY KEY, n int NOT NULL)").await;
    sql.handle(&[row(603, "gone", Some(1))]).await.unwrap();
}

async fn a_large_batch_is_one_transaction(database: &Database) {
    let text = COMMENTS.replace("\"comments\"", "\"large\"");
    let sql = database.handler(&text);
    let batch: Vec<Delivery> =
        (0..1_000).map(|n| comment(10_000 + n, n % 700, &format!("body {n}"))).collect();
    sql.handle(&batch).await.unwrap();
    assert_eq!(database.count("large").await, 700);
    let body = database.texts("SELECT body FROM large WHERE id = '250'").await;
    assert_eq!(body, ["body 950"], "the last one about a row counts");
    sql.handle(&batch).await.unwrap();
    let gone: Vec<Delivery> = (0..700).map(|n| removal(20_000 + n, n)).collect();
    sql.handle(&gone).await.unwrap();
    assert_eq!(database.count("large").await, 0);
}

async fn days_and_never(engine: Engine, columns: &str, shown: &str) {
    let Some(database) = Database::start(engine).await else { return };
    database.run(&format!("CREATE TABLE t ({columns})")).await;
    let sql = database
        .handler("table = \"t\"\nkey = \"day\"\ncolumns = { day = \"data.at\", at = \"data.at\" }");
    let row = |number: u64, at: &str| delivery(number, "x", &json!({ "at": at }));
    // Of one day where they were sent, and so one row.
    let late = [row(1, "2024-02-29T10:00:00-05:00"), row(2, "2024-02-29T23:30:00-05:00")];
    sql.handle(&late).await.unwrap();
    sql.handle(&[row(3, "9999-12-31T23:59:59.9999999Z")]).await.unwrap();
    let rows = database.texts(&format!("SELECT {shown} FROM t ORDER BY day")).await;
    assert_eq!(rows, ["2024-02-29 2024-03-01 04:30:00", "9999-12-31 9999-12-31 23:59:59"]);
}

#[tokio::test]
async fn a_postgresql_date_is_the_day_that_was_sent() {
    let shown = "day::text || ' ' || to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')";
    days_and_never(Engine::Postgres, "day date PRIMARY KEY, at timestamptz", shown).await;
}

#[tokio::test]
async fn a_mariadb_date_is_the_day_that_was_sent() {
    let shown = "CAST(CONCAT(day, ' ', at) AS CHAR)";
    days_and_never(Engine::MySql, "day date PRIMARY KEY, at datetime", shown).await;
}
