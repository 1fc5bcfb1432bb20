//! Statements of the owner's own: values that fit, exactly once, and refusals that name the expression.

use gatepost::event::{Delivery, Failure, Origin};
use gatepost::handler::Handler;
use serde_json::{Value, json};

use super::{Database, Engine};
use crate::support::gateway::{Folder, Gateway};
use crate::support::kinds::{assert_permanent, assert_transient, context, delivery, raw, settings};
use crate::support::program::{printed, run};

pub(super) const STATEMENTS: &str = r#"
statements = [
    """UPDATE orders SET paid_at = {{ data.paid_at }}, is_paid = {{ data.paid }}, note = {{ data.note }},
       amount = {{ data.amount }}, raw = {{ data.raw }} WHERE id = {{ data.order }}""",
    "INSERT INTO log (n, said) VALUES ({{ data.n }}, {{ 'order ' ~ data.order }})",
]
"#;

/// Two orders whose numbers are the same as floats, and the table of what happened.
pub(super) async fn make_tables(database: &Database) {
    let (moment, number, json) = match database.engine {
        Engine::Sqlite => ("timestamp", "text", "json"),
        Engine::Postgres => ("timestamp with time zone", "numeric(40,2)", "jsonb"),
        Engine::MySql => ("datetime(3)", "decimal(40,2)", "json"),
    };
    let orders = format!(
        "CREATE TABLE orders (id bigint PRIMARY KEY, paid_at {moment}, is_paid boolean, note varchar(20), \
         amount {number}, raw {json})"
    );
    database.run(&orders).await;
    database.run("CREATE TABLE log (n int NOT NULL, said varchar(40))").await;
    database
        .run("INSERT INTO orders (id) VALUES (7), (9007199254740993), (9007199254740992)")
        .await;
}

async fn order(database: &Database, id: u64) -> String {
    let row = match database.engine {
        Engine::Sqlite => {
            "coalesce(paid_at, '-') || ' ' || coalesce(is_paid, '-') || ' ' || \
                           coalesce(note, '-') || ' ' || coalesce(amount, '-') || ' ' || coalesce(raw, '-')"
        }
        Engine::Postgres => {
            "concat_ws(' ', coalesce(to_char(paid_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.MS'), \
                             '-'), coalesce(is_paid::text, '-'), coalesce(note, '-'), coalesce(amount::text, '-'), \
                             coalesce(raw::text, '-'))"
        }
        Engine::MySql => {
            "cast(concat_ws(' ', coalesce(paid_at, '-'), coalesce(is_paid, '-'), coalesce(note, '-'), \
                          coalesce(amount, '-'), coalesce(raw, '-')) AS char)"
        }
    };
    database.texts(&format!("SELECT {row} FROM orders WHERE id = {id}")).await.remove(0)
}

async fn log(database: &Database) -> Vec<String> {
    database.texts("SELECT said FROM log ORDER BY n").await
}

fn paid(number: u64, data: &Value) -> Delivery {
    delivery(number, "order.paid", data)
}

fn replay(delivery: Delivery, replay: u32) -> Delivery {
    Delivery { origin: Origin::Entry, replay, ..delivery }
}

async fn over_all_promises(engine: Engine) {
    let Some(database) = Database::start(engine).await else { return };
    make_tables(&database).await;
    let sql = database.handler(STATEMENTS);
    values_fit_their_columns(&database, sql.as_ref()).await;
    each_event_counts_once(&database, sql.as_ref()).await;
    batch_keeps_its_order(&database, sql.as_ref()).await;
    refused_value_names_its_expression(&database, sql.as_ref()).await;
    what_the_owner_can_mend_is_tried_again(&database, sql.as_ref()).await;
    sql.close().await;
    large_numbers_are_compared_exactly(&database).await;
}

#[tokio::test]
async fn statements_of_the_owner_run_in_sqlite() {
    over_all_promises(Engine::Sqlite).await;
}

#[tokio::test]
async fn statements_of_the_owner_run_in_postgresql() {
    over_all_promises(Engine::Postgres).await;
}

#[tokio::test]
async fn statements_of_the_owner_run_in_mariadb() {
    over_all_promises(Engine::MySql).await;
}

async fn values_fit_their_columns(database: &Database, sql: &dyn Handler) {
    let body = r#"{"data":{"order":7,"paid_at":"2026-01-02T05:04:05+02:00","paid":true,"note":42,
                   "amount":12345678901234567890123.45,"raw":{"a":[1]},"n":1}}"#;
    sql.handle(&[raw(1, "order.paid", body)]).await.unwrap();
    let expected = match database.engine {
        Engine::Sqlite => "2026-01-02T03:04:05.000Z 1 42 12345678901234567890123.45 {\"a\":[1]}",
        Engine::Postgres => {
            "2026-01-02 03:04:05.000 true 42 12345678901234567890123.45 {\"a\": [1]}"
        }
        Engine::MySql => "2026-01-02 03:04:05.000 1 42 12345678901234567890123.45 {\"a\":[1]}",
    };
    assert_eq!(order(database, 7).await, expected);

    // Unix time, a word that is false, a number as text, what is missing.
    let data = json!({"order": "9007199254740993", "paid_at": 1_767_323_045, "paid": "no",
                      "note": "'); DROP TABLE log; -- {{ data.n }} ?", "amount": null, "n": "2"});
    let failure = sql.handle(&[paid(2, &data)]).await;
    if database.engine == Engine::Sqlite {
        failure.unwrap();
    } else {
        // It has 20 characters of room.
        assert!(failure.unwrap_err().to_string().ends_with("(at `data.note`)"));
    }
    let data = json!({"order": "9007199254740993", "paid_at": 1_767_323_045, "paid": "no",
                      "note": "'); DELETE FROM log", "amount": null, "n": "2"});
    sql.handle(&[replay(paid(2, &data), 1)]).await.unwrap();
    let expected = match database.engine {
        Engine::Sqlite => "2026-01-02T03:04:05.000Z 0 '); DELETE FROM log - -",
        Engine::Postgres => "2026-01-02 03:04:05.000 false '); DELETE FROM log - -",
        Engine::MySql => "2026-01-02 03:04:05.000 0 '); DELETE FROM log - -",
    };
    assert_eq!(order(database, 9_007_199_254_740_993).await, expected);
    assert_eq!(order(database, 9_007_199_254_740_992).await, "- - - - -", "its neighbour");
    database.run("DELETE FROM log").await;
}

async fn each_event_counts_once(database: &Database, sql: &dyn Handler) {
    let event = || paid(11, &json!({"order": 7, "n": 1}));
    for (number, expected) in [(0, 1), (0, 1), (1, 2), (1, 2), (0, 2), (2, 3)] {
        sql.handle(&[replay(event(), number)]).await.unwrap();
        assert_eq!(database.count("log").await, expected, "replay {number}");
    }
    sql.handle(&[replay(event(), 3), replay(event(), 3), event()]).await.unwrap();
    assert_eq!(database.count("log").await, 4, "each replay once in one batch, too");
    sql.handle(&[Delivery::by_hand(event().event)]).await.unwrap();
    sql.handle(&[Delivery::by_hand(event().event)]).await.unwrap();
    assert_eq!(database.count("log").await, 6, "by hand, each time");
    database.run("DELETE FROM log").await;
}

async fn batch_keeps_its_order(database: &Database, sql: &dyn Handler) {
    let says =
        |number: u64, note: &str| paid(number, &json!({"order": 7, "note": note, "n": number}));
    sql.handle(&[says(21, "first"), says(22, "second"), says(23, "third")]).await.unwrap();
    assert_eq!(order(database, 7).await, "- - third - -");
    assert_eq!(log(database).await, ["order 7"; 3]);
    database.run("DELETE FROM log").await;
}

async fn refused(sql: &dyn Handler, number: u64, data: &Value) -> Failure {
    let failure = sql.handle(&[paid(number, data)]).await.unwrap_err();
    assert_permanent(&failure);
    failure
}

async fn refused_value_names_its_expression(database: &Database, sql: &dyn Handler) {
    let before = database.count("gatepost_ledger").await;
    let data = json!({"order": 7, "note": "not this", "n": "many"});
    let failure = refused(sql, 31, &data).await;
    assert_eq!(failure.text.as_str(), "statement 2: a string is no integer (at `data.n`)");
    // What the database refuses: NULL, and with types that have an end what is beyond that.
    let failure = refused(sql, 32, &json!({"order": 7, "note": "not this"})).await;
    let told = failure.text.as_str();
    assert!(told.starts_with("statement 2: ") && told.ends_with(" (at `data.n`)"), "{told}");
    if database.engine != Engine::Sqlite {
        let failure = refused(sql, 33, &json!({"order": 7, "n": 99_999_999_999_u64})).await;
        let told = failure.text.as_str();
        assert!(told.starts_with("statement 2: ") && told.ends_with(" (at `data.n`)"), "{told}");
        let long = "x".repeat(21);
        let failure = refused(sql, 34, &json!({"order": 7, "n": 1, "note": long})).await;
        let told = failure.text.as_str();
        assert!(told.starts_with("statement 1: ") && told.ends_with(" (at `data.note`)"), "{told}");
        assert!(!told.contains("xxx"), "{told}");
    }
    assert_eq!(order(database, 7).await, "- - third - -", "nothing of a refused event is in");
    assert_eq!(database.count("gatepost_ledger").await, before);
    // All of a batch or none.
    let good = || paid(35, &json!({"order": 7, "note": "good", "n": 1}));
    sql.handle(&[good(), paid(36, &data)]).await.unwrap_err();
    assert_eq!(order(database, 7).await, "- - third - -");
    sql.handle(&[good()]).await.unwrap();
    assert_eq!(order(database, 7).await, "- - good - -");
}

async fn what_the_owner_can_mend_is_tried_again(database: &Database, sql: &dyn Handler) {
    let event = [paid(41, &json!({"order": 7, "note": "mended", "n": 1}))];
    database.run("DROP TABLE log").await;
    for _ in 0..2 {
        let failure = sql.handle(&event).await.unwrap_err();
        assert_transient(&failure);
        let told = failure.text.as_str();
        assert!(told.starts_with("statement 2: ") && told.contains("log"), "{told}");
    }
    assert_eq!(order(database, 7).await, "- - good - -");
    database.run("CREATE TABLE log (n int, said varchar(40))").await;
    sql.handle(&event).await.unwrap();
    assert_eq!(order(database, 7).await, "- - mended - -");
}

/// As a float the number equals its neighbours.
async fn large_numbers_are_compared_exactly(database: &Database) {
    let (number, text) = match database.engine {
        // It has no such numbers: they are texts.
        Engine::Sqlite => ("text", "text"),
        Engine::Postgres => ("numeric", "text"),
        Engine::MySql => ("decimal(30)", "char"),
    };
    database.run(&format!("CREATE TABLE large (id {number}, seen varchar(60))")).await;
    database
        .run("INSERT INTO large (id) VALUES ('18446744073709551617'), ('18446744073709551618')")
        .await;
    let sql = database
        .handler("statements = \"UPDATE large SET seen = {{ data.id }} WHERE {{ data.id }} = id\"");
    sql.handle(&[raw(51, "x", r#"{"data":{"id":18446744073709551617}}"#)]).await.unwrap();
    let seen = format!("SELECT cast(id AS {text}) FROM large WHERE seen = '18446744073709551617'");
    assert_eq!(database.texts(&seen).await, ["18446744073709551617"]);
    // MariaDB reads one text by the column that it is compared with, and makes floats of several.
    let sql = database.handler(
        "statements = \"DELETE FROM large WHERE id IN ({{ data.id }}, {{ data.other }})\"",
    );
    let body = r#"{"data":{"id":18446744073709551617,"other":18446744073709551619}}"#;
    sql.handle(&[raw(52, "x", body)]).await.unwrap();
    let left = format!("SELECT cast(id AS {text}) FROM large");
    assert_eq!(database.texts(&left).await, ["18446744073709551618"]);
    // And of what is added.
    if database.engine != Engine::Sqlite {
        let sql = database.handler("statements = \"UPDATE large SET id = id + {{ data.more }}\"");
        let body = r#"{"data":{"more":10000000000000000000001}}"#;
        sql.handle(&[raw(53, "x", body)]).await.unwrap();
        assert_eq!(database.texts(&left).await, ["10018446744073709551619"]);
    }
}

#[tokio::test]
async fn types_of_postgresql_are_those_that_it_infers() {
    let Some(database) = Database::start(Engine::Postgres).await else { return };
    for sql in [
        "CREATE TYPE state AS ENUM ('open', 'paid')",
        "CREATE TABLE t (id uuid PRIMARY KEY, tags text[], s state, c char(3), b bit(3), d date, took interval)",
        "CREATE FUNCTION close_order(uuid, state) RETURNS void LANGUAGE sql AS 'UPDATE t SET s = $2 WHERE id = $1'",
        "CREATE PROCEDURE open_order(uuid) LANGUAGE sql AS 'UPDATE t SET took = ''1 s'' WHERE id = $1'",
    ] {
        database.run(sql).await;
    }
    let text = r#"
    statements = [
        """INSERT INTO t (id, tags, s, c, b, d) VALUES ({{ data.id }}, {{ data.tags }}, {{ data.s }}, {{ data.c }},
           {{ data.b }}, {{ data.d }}) ON CONFLICT (id) DO UPDATE SET c = EXCLUDED.c""",
        "SELECT close_order({{ data.id }}, {{ data.next }})",
        "CALL open_order({{ data.id }}::uuid)",
        "UPDATE t SET tags = tags || {{ data.more }} WHERE {{ 'x' }} = ANY (tags) AND c IN ({{ 'abd' }}, {{ data.c }})",
        "UPDATE t SET tags[1] = ({{ data.tags }}::text[])[1] || (ARRAY['!', '?'])[{{ data.n }}] WHERE id = {{ data.id }}",
    ]
    "#;
    let sql = database.handler(text);
    let data = json!({"id": "0190a000-0000-7000-8000-000000000000", "tags": ["x", "y"], "s": "open", "c": "abc",
                      "b": 5, "d": "2024-02-29T23:30:00-05:00", "next": "paid", "more": ["z"], "n": 2});
    sql.handle(&[paid(1, &data)]).await.unwrap();
    let row = "SELECT concat_ws(' ', tags, s, c, b, d, took) FROM t";
    assert_eq!(database.texts(row).await, ["{x?,y,z} paid abc 101 2024-02-29 00:00:01"]);
    let failure = refused(sql.as_ref(), 2, &json!({"id": "none", "n": 1})).await;
    let expected = "statement 1: PostgreSQL refused a value: it does not fit its column (22P02) (at `data.id`)";
    assert_eq!(failure.text.as_str(), expected);
}

#[tokio::test]
async fn what_a_value_of_mysql_is_beside_says_its_type() {
    let Some(database) = Database::start(Engine::MySql).await else { return };
    database.run("CREATE TABLE t (id bigint unsigned PRIMARY KEY, at datetime, day date, took time, s set('a','b'))").await;
    let text = r#"
    statements = [
        "INSERT INTO t (id, at, day, took, s) VALUES ({{ data.id }}, {{ data.at }}, {{ data.at }}, {{ data.took }}, {{ data.s }})",
        "UPDATE t SET at = CAST({{ data.at }} AS DATETIME) + INTERVAL 1 DAY WHERE at = {{ data.at }} AND id IN ({{ data.id }})",
    ]
    "#;
    let sql = database.handler(text);
    let data = json!({"id": u64::MAX, "at": "2026-01-02T03:04:05Z", "took": 130, "s": ["a", "b"]});
    sql.handle(&[paid(1, &data)]).await.unwrap();
    let row = "SELECT cast(concat_ws(' ', id, at, day, took, s) AS char) FROM t";
    let expected = format!("{} 2026-01-03 03:04:05 2026-01-02 00:02:10 a,b", u64::MAX);
    assert_eq!(database.texts(row).await, [expected]);
}

#[tokio::test]
async fn value_that_a_function_of_sqlite_refuses_is_a_dead_letter() {
    let Some(database) = Database::start(Engine::Sqlite).await else { return };
    make_tables(&database).await;
    let sql = database.handler(
        "statements = \"UPDATE orders SET note = json_extract({{ data.note }}, '$.a') WHERE id = 7\"",
    );
    sql.handle(&[paid(1, &json!({"note": {"a": "good"}}))]).await.unwrap();
    assert_eq!(order(&database, 7).await, "- - good - -");
    let failure = refused(sql.as_ref(), 2, &json!({"note": "{"})).await;
    let expected = "statement 1: SQLite refused the row: malformed JSON (1) (at `data.note`)";
    assert_eq!(failure.text.as_str(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_runs_statements_for_what_when_lets_through() {
    let Some(database) = Database::start(Engine::Sqlite).await else { return };
    database.run("CREATE TABLE seen (id integer)").await;
    let handler = format!(
        "[handler.rows]\non = ['hyvor:comment.*']\nwhen = 'data.comment.status == \"published\"'\n\
         [handler.rows.sql]\nurl = 'sqlite:{}'\nstatements = 'INSERT INTO seen VALUES ({{{{ data.comment.id }}}})'\n",
        database.file_path().display()
    );
    let gateway = Gateway::with("", &handler);
    for (id, status) in [(1, "published"), (2, "pending"), (3, "published")] {
        let comment = json!({"id": id, "status": status});
        let body = json!({"event": "comment.create", "data": {"comment": comment}}).to_string();
        assert_eq!(gateway.send(body.as_bytes()).status, 200);
    }
    gateway.wait_until_delivered("rows", 2);
    let seen = "SELECT cast(id AS text) FROM seen ORDER BY id";
    assert_eq!(database.texts(seen).await, ["1", "3"]);
    let again = ["events", "replay", "--handler", "rows", "--source", "hyvor", "--restart"];
    printed(&run(&gateway.folder, &again), 0);
    gateway.wait_until_delivered("rows", 4);
    assert_eq!(database.texts(seen).await, ["1", "1", "3", "3"], "a replay runs them once more");
    gateway.stop();
}

#[tokio::test]
async fn plan_shows_each_statement_with_its_values() {
    let folder = tempfile::tempdir().unwrap();
    let of = |url: &str| {
        let text = format!(
            "url = \"{url}\"\nstatements = \"UPDATE t SET a = {{{{ data.a }}}} WHERE id = {{{{ data.id }}}}\""
        );
        let event = paid(1, &json!({"a": "it's", "id": 5}));
        let plan = settings("sql", &text, folder.path()).plan(&context(folder.path()), &[event]);
        serde_json::to_value(plan.unwrap()).unwrap()
    };
    let step = |statement: &str, id: &Value| json!([{ "does": "sql", "statement": statement, "values": ["it's", id] }]);
    assert_eq!(of("sqlite:a.db"), step("UPDATE t SET a = ? WHERE id = ?", &json!(5)));
    assert_eq!(of("mysql://localhost/a"), step("UPDATE t SET a = ? WHERE id = ?", &json!(5)));
    // As text it is cast, to what the server says when it runs.
    assert_eq!(
        of("postgres://localhost/a"),
        step("UPDATE t SET a = $1 WHERE id = $2", &json!("5"))
    );
}

#[test]
fn check_reads_statements_and_their_values() {
    let told = |more: &str, rc: i32| {
        let handler = format!(
            "[handler.rows]\non = ['hyvor:comment.*']\n[handler.rows.sql]\nurl = \"postgres://localhost/site\"\n{more}\n"
        );
        let output = run(&Folder::new("", &handler), &["check"]);
        let told = String::from_utf8(output.stderr.clone()).unwrap();
        printed(&output, rc);
        told
    };
    let good = "statements = ['UPDATE t SET a = {{ data.comment.body }} WHERE id = {{ data.comment.id }}']";
    assert!(!told(good, 0).contains("statements"), "nothing to say");
    let misspelt = told(&good.replace("comment.body", "comment.bodyy"), 0);
    assert!(misspelt.contains("did you mean `data.comment.body`?"), "{misspelt}");
    let fails = told(&good.replace("data.comment.body", "data.comment.body + 1"), 0);
    assert!(fails.contains("this handler fails: statement 1: "), "{fails}");
    let quoted = told("statements = \"UPDATE t SET a = '{{ data.comment.body }}'\"", 3);
    assert!(quoted.contains("`{{ data.comment.body }}` stands in quotation marks"), "{quoted}");
    assert!(
        quoted.contains("write `{{ data.comment.body }}` without the quotation marks"),
        "{quoted}"
    );
    for (key, help) in [
        ("table = 't'", "each statement names its table"),
        ("create_table = true", "make the tables before"),
        ("key = ['id']", "a `WHERE` says which rows"),
        ("columns = { a = 'data.a' }", "write each value as `{{ data.id }}`"),
        ("newer_by = 'data.at'", "compare in the statement"),
        ("delete_on = ['hyvor:comment.delete']", "another handler whose `on` names them"),
        ("delete_when = 'data.a'", "as its `when`"),
        ("keep = ['a']", "a statement changes the columns that it names"),
        ("on_conflict = 'ignore'", "an `INSERT` says it itself"),
    ] {
        let told = told(&format!("{good}\n{key}"), 3);
        let name = key.split(' ').next().unwrap();
        assert!(told.contains(&format!("`{name}` has no meaning beside `statements`")), "{told}");
        assert!(told.contains(help), "{told}");
    }
    assert!(told("statements = []", 3).contains("expected 1 to 50 statements"));
    assert!(told("", 3).contains("`table` is missing"));
}
