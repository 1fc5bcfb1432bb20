//! Tables, files and poolers that their owner has made: what is theirs stays as it is, and what a
//! value does not fit is named.

use gatepost::event::Delivery;
use serde_json::{Value, json};
use sqlx::Connection;

use super::{Database, Engine};
use crate::support::gateway::Gateway;
use crate::support::kinds::{assert_permanent, assert_transient, context, delivery, settings};
use crate::support::pooler::Pooler;

fn row(number: u64, data: &Value) -> Delivery {
    delivery(number, "x", data)
}

const PLAIN: &str =
    "table = \"t\"\nkey = \"id\"\ncolumns = { id = \"data.id\", slug = \"data.slug\" }";

#[tokio::test]
async fn another_unique_index_of_mariadb_is_an_objection_and_overwrites_nothing() {
    let Some(database) = Database::start(Engine::MySql).await else { return };
    database.run("CREATE TABLE t (id int PRIMARY KEY, slug varchar(50), UNIQUE (slug))").await;
    let sql = database.handler(PLAIN);
    let post = |number, id: u64| row(number, &json!({"id": id, "slug": "same"}));
    let failure = sql.handle(&[post(1, 1)]).await.unwrap_err();
    assert_transient(&failure);
    let told = failure.text.as_str();
    assert!(told.contains("the unique index over (slug) of table `t` is not `key`"), "{told}");
    database.run("ALTER TABLE t DROP INDEX slug").await;
    sql.handle(&[post(1, 1), post(2, 2)]).await.unwrap();
    assert_eq!(database.count("t").await, 2);
}

#[tokio::test]
async fn unique_indexes_of_mariadb_in_which_no_new_row_meets_another_are_none_to_object_to() {
    let Some(database) = Database::start(Engine::MySql).await else { return };
    for (number, columns, is_good) in [
        // More than the key tells apart no more rows.
        (1, "id int UNIQUE, slug varchar(50), UNIQUE (slug, id)", true),
        (2, "no int AUTO_INCREMENT PRIMARY KEY, id int UNIQUE, slug varchar(50)", true),
        (3, "id int PRIMARY KEY, slug varchar(50), note int, UNIQUE (slug, note)", true),
        (4, "id int PRIMARY KEY, slug varchar(50), site int DEFAULT 1, UNIQUE (slug, site)", false),
        (5, "id int PRIMARY KEY, slug varchar(50), UNIQUE (slug(3))", false),
        (
            6,
            "id int PRIMARY KEY, slug varchar(50), low varchar(50) AS (lower(slug)) VIRTUAL, \
             UNIQUE (low)",
            false,
        ),
    ] {
        database.run(&format!("CREATE TABLE t ({columns})")).await;
        let text = format!("url = \"{}\"\n{}", database.url, PLAIN.replace("\"id\"\n", "\"ID\"\n"));
        let text = text.replace("{ id =", "{ ID =");
        let online = settings("sql", &text, database.folder.path());
        let online = online.check_online(&context(database.folder.path())).await;
        assert_eq!(online.is_ok(), is_good, "{columns}: {online:?}");
        let post = |id: u64, slug| row(number * 10 + id, &json!({"id": id, "slug": slug}));
        let handled = database.handler(PLAIN).handle(&[post(1, "abc1"), post(2, "abc2")]).await;
        assert_eq!(handled.is_ok(), is_good, "{columns}: {handled:?}");
        database.run("DROP TABLE t").await;
    }
}

#[tokio::test]
async fn sqlite_file_keeps_its_journal_mode() {
    let Some(database) = Database::start(Engine::Sqlite).await else { return };
    database.run("CREATE TABLE t (id int PRIMARY KEY, slug text)").await;
    let mode = "PRAGMA journal_mode";
    assert_eq!(database.texts(mode).await, ["delete"]);
    for create_table in ["", "create_table = true\n"] {
        let text = format!("url = \"{}\"\n{create_table}{PLAIN}", database.url);
        let checked = settings("sql", &text, database.folder.path());
        checked.check_online(&context(database.folder.path())).await.unwrap();
        assert_eq!(database.texts(mode).await, ["delete"], "checked");
        let sql = database.handler(&format!("{create_table}{PLAIN}"));
        sql.handle(&[row(1, &json!({"id": 1}))]).await.unwrap();
        sql.close().await;
        assert_eq!(database.texts(mode).await, ["delete"], "written");
    }
    assert_eq!(database.count("t").await, 1);
}

async fn through_a_pooler(more: &str) {
    let Some(database) = Database::start(Engine::Postgres).await else { return };
    let Some(pooler) = Pooler::start(database.server.as_ref().unwrap(), more) else { return };
    let text =
        format!("create_table = true\nnewer_by = \"data.v\"\nstatement_timeout = \"10s\"\n{PLAIN}");
    let sql = database.handler_at(&pooler.url("site"), &text);
    for number in 1..=3 {
        let data = json!({"id": number, "v": number, "slug": "a"});
        sql.handle(&[row(number, &data)]).await.unwrap();
    }
    assert_eq!(database.count("t").await, 3);
    let failure = sql.handle(&[row(4, &json!({"id": 5, "v": "soon"}))]).await.unwrap_err();
    assert_permanent(&failure);
    // The timeouts are not left behind for other users of the same connection.
    let options: sqlx::postgres::PgConnectOptions = pooler.url("site").parse().unwrap();
    let options = options.extra_float_digits(None);
    let mut other = sqlx::PgConnection::connect_with(&options).await.unwrap();
    let timeout: String = sqlx::query_scalar("SHOW statement_timeout")
        .persistent(false)
        .fetch_one(&mut other)
        .await
        .unwrap();
    assert_eq!(timeout, "0");
    sql.close().await;
}

#[tokio::test]
async fn pgbouncer_with_its_defaults_is_passed() {
    through_a_pooler("").await;
}

#[tokio::test]
async fn pgbouncer_that_pools_by_transaction_is_passed() {
    through_a_pooler("pool_mode = transaction\ndefault_pool_size = 1").await;
}

#[tokio::test]
async fn refused_value_of_postgresql_names_its_column() {
    let Some(database) = Database::start(Engine::Postgres).await else { return };
    database
        .run(
            "CREATE TYPE mood AS ENUM ('good'); CREATE DOMAIN mail AS text CHECK (VALUE LIKE '%@%'); \
             CREATE TABLE t (id int PRIMARY KEY, \
             name varchar(5), price numeric(4, 2), small smallint, ref uuid, mood mood, \
             tags varchar(3)[], ip inet, at timestamp, mail mail, CHECK (id <> 8))",
        )
        .await;
    let columns = ["id", "name", "price", "small", "ref", "mood", "tags", "ip", "at", "mail"];
    let columns: Vec<String> =
        columns.iter().map(|name| format!("{name} = \"data.{name}\"")).collect();
    let text = format!("table = \"t\"\nkey = \"id\"\ncolumns = {{ {} }}", columns.join(", "));
    let sql = database.handler(&text);
    for (number, column, value, expected) in [
        (1, "name", json!("too long"), "`name`: it does not fit `character varying(5)` (22001)"),
        (2, "price", json!(1234.5), "`price`: it does not fit `numeric(4,2)` (22003)"),
        (3, "small", json!(70_000), "`small`: it does not fit `smallint` (22003)"),
        (4, "ref", json!("secretive"), "`ref`: it does not fit `uuid` (22P02)"),
        (5, "mood", json!("secretive"), "`mood`: it does not fit `mood` (22P02)"),
        (
            6,
            "tags",
            json!(["abc", "secretive"]),
            "`tags`: it does not fit `character varying(3)[]` (22001)",
        ),
        (7, "ip", json!("secretive"), "`ip`: it does not fit `inet` (22P02)"),
        (9, "mail", json!("secretive"), "`mail`: it does not fit `mail` (23514)"),
    ] {
        let data = json!({"id": number, column: value});
        let failure = sql.handle(&[row(number, &data)]).await.unwrap_err();
        assert_permanent(&failure);
        let expected = format!("PostgreSQL refused the value for column {expected}");
        assert_eq!(failure.text.as_str(), expected);
    }
    let failure = sql.handle(&[row(8, &json!({"id": 8, "mail": "a@b"}))]).await.unwrap_err();
    assert_eq!(
        failure.text.as_str(),
        "PostgreSQL refused the row: new row for relation \"t\" violates check constraint \"t_id_check\" (23514)"
    );
    let key = json!({"id": 5_000_000_000_u64});
    let failure = sql.handle(&[row(10, &key)]).await.unwrap_err();
    assert!(failure.text.as_str().contains("column `id`: it does not fit `integer`"), "{failure}");
    // Spaces at the end are no reason to refuse a text.
    sql.handle(&[row(11, &json!({"id": 9, "name": "abc      "}))]).await.unwrap();
}

#[tokio::test]
async fn arrays_of_postgresql_take_lists() {
    let Some(database) = Database::start(Engine::Postgres).await else { return };
    database
        .run(
            "CREATE TABLE t (id int PRIMARY KEY, tags text[], ns int[], oks bool[], \
             ats timestamptz[], raws jsonb[], sums numeric[])",
        )
        .await;
    let columns = ["id", "tags", "ns", "oks", "ats", "raws", "sums"];
    let columns: Vec<String> =
        columns.iter().map(|name| format!("{name} = \"data.{name}\"")).collect();
    let text = format!("table = \"t\"\nkey = \"id\"\ncolumns = {{ {} }}", columns.join(", "));
    let sql = database.handler(&text);
    let odd = ["a,b", "{}", "\"q\"", "back\\slash", "NULL", "", "ü\u{0}"];
    let full = json!({
        "id": 1, "tags": odd, "ns": [1, "2", null], "oks": [true, 0], "ats": [0, "2026-01-02"],
        "raws": [{"a": "\"{"}, 1], "sums": [12_345_678_901_234_567_890_u64, 1.5],
    });
    let empty = json!({"id": 2, "tags": [], "ns": null, "raws": [[]]});
    let single = json!({"id": 3, "tags": "one", "ns": 7});
    sql.handle(&[row(1, &full), row(2, &empty), row(3, &single)]).await.unwrap();
    let tags = database.texts("SELECT to_json(tags)::text FROM t ORDER BY id").await;
    let mut expected = odd.map(str::to_owned);
    expected[6] = "ü\u{fffd}".to_owned();
    assert_eq!(serde_json::from_str::<Value>(&tags[0]).unwrap(), json!(expected));
    assert_eq!(tags[1..], ["[]", "[\"one\"]"]);
    assert_eq!(
        database.texts("SELECT ns::text FROM t ORDER BY id").await,
        ["{1,2,NULL}", "-", "{7}"]
    );
    let rest =
        "SELECT concat(oks, ' ', ats[2] = '2026-01-02Z', ' ', raws[1]->>'a', ' ', sums) FROM t";
    let rest = database.texts(&format!("{rest} WHERE id = 1")).await;
    assert_eq!(rest, ["{t,f} t \"{ {12345678901234567890,1.5}"]);
    let failure = sql.handle(&[row(4, &json!({"id": 4, "ns": [1, "x"]}))]).await.unwrap_err();
    assert_eq!(failure.text.as_str(), "column `ns`: a string is no integer");
}

/// As the recipe has it: nothing says what `id` is.
async fn made_by_the_samples(engine: Engine) {
    let Some(database) = Database::start(engine).await else { return };
    let url = match engine {
        Engine::Sqlite => format!("sqlite:{}/site.db", database.folder.path().display()),
        Engine::Postgres | Engine::MySql => database.url.clone(),
    };
    let table = format!(
        "[handler.rows]\non = [\"hyvor:comment.*\"]\norder_by = \"data.comment.id\"\n\
         [handler.rows.sql]\nurl = \"{url}\"\ntable = \"made\"\ncreate_table = true\nkey = \"id\"\n\
         columns = {{ id = \"data.comment.id\", body = \"data.comment.body\", \
         own = \"data.comment.own\" }}\n"
    );
    let gateway = Gateway::with("", &table);
    for id in [1, 100, 101, 2] {
        let comment = json!({"id": id, "body": "b", "own": 1});
        let body = json!({"event": "comment.create", "data": {"comment": comment}}).to_string();
        assert_eq!(gateway.send(body.as_bytes()).status, 200);
    }
    gateway.wait_until_delivered("rows", 4);
    let text = if engine == Engine::MySql { "char" } else { "text" };
    let ids =
        database.texts(&format!("SELECT CAST(id AS {text}) FROM made ORDER BY made.id")).await;
    assert_eq!(ids, ["1", "2", "100", "101"], "by number");
    assert_eq!(database.texts("SELECT body FROM made WHERE id = 100").await, ["b"]);
    assert_eq!(database.texts("SELECT own FROM made WHERE id = 100").await, ["1"], "text");
    gateway.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn made_columns_of_sqlite_have_the_types_of_the_samples() {
    made_by_the_samples(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn made_columns_of_postgresql_have_the_types_of_the_samples() {
    made_by_the_samples(Engine::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn made_columns_of_mariadb_have_the_types_of_the_samples() {
    made_by_the_samples(Engine::MySql).await;
}

/// Numbers and times that no float and no clock has, into columns that could hold them.
async fn exact_values(engine: Engine) {
    let Some(database) = Database::start(engine).await else { return };
    let (decimal, moment) = match engine {
        Engine::Sqlite => ("TEXT", "DATETIME"),
        Engine::Postgres => ("numeric", "timestamptz"),
        Engine::MySql => ("decimal(40, 10)", "datetime"),
    };
    database.run(&format!("CREATE TABLE t (id int PRIMARY KEY, n {decimal}, at {moment})")).await;
    let text = "table = \"t\"\nkey = \"id\"\n\
                columns = { id = \"data.id\", n = \"data.n\", at = \"data.at\" }";
    let sql = database.handler(text);
    let digits = [
        "18446744073709551617",
        "123456789012345678901234567890",
        "0.1234567891",
        "1234567890123456789.0123456789",
    ];
    for (n, id) in digits.into_iter().zip(1_u64..) {
        // As they are in the body, not as a test's JSON would have them.
        let body = format!(r#"{{"data":{{"id":{id},"n":{n},"at":"0000-00-00 00:00:00"}}}}"#);
        sql.handle(&[crate::support::kinds::raw(id, "x", &body)]).await.unwrap();
    }
    for (n, id) in digits.into_iter().zip(1_u64..) {
        // A number by itself has all its digits in SQL.
        let n = if engine == Engine::Sqlite { format!("'{n}'") } else { n.to_owned() };
        let same = if engine == Engine::MySql { "CAST(id AS char)" } else { "CAST(id AS text)" };
        let found = database.texts(&format!("SELECT {same} FROM t WHERE n = {n}")).await;
        assert_eq!(found, [id.to_string()], "{n}");
    }
    let ats = database.texts("SELECT at FROM t WHERE at IS NULL").await;
    assert_eq!(ats.len(), digits.len(), "no date is NULL");
}

#[tokio::test]
async fn unsigned_numbers_of_mariadb_are_exact() {
    let Some(database) = Database::start(Engine::MySql).await else { return };
    database.run("CREATE TABLE u (id bigint unsigned PRIMARY KEY)").await;
    let sql = database.handler("table = \"u\"\nkey = \"id\"\ncolumns = { id = \"data.id\" }");
    let send = |number: u64, id: &str| {
        crate::support::kinds::raw(number, "x", &format!(r#"{{"data":{{"id":{id}}}}}"#))
    };
    let good = [
        "9223372036854775807",
        "9223372036854775808",
        "\"18446744073709551614\"",
        "18446744073709551615",
    ];
    for (id, number) in good.into_iter().zip(1_u64..) {
        sql.handle(&[send(number, id)]).await.unwrap();
    }
    let found = database.texts("SELECT CAST(id AS char) FROM u ORDER BY id").await;
    assert_eq!(found, good.map(|id| id.trim_matches('"').to_owned()));
    for (bad, number) in ["18446744073709551616", "-1", "1.5"].into_iter().zip(9_u64..) {
        assert_permanent(&sql.handle(&[send(number, bad)]).await.unwrap_err());
    }
    database.run("CREATE TABLE s (id bigint PRIMARY KEY)").await;
    let sql = database.handler("table = \"s\"\nkey = \"id\"\ncolumns = { id = \"data.id\" }");
    assert_permanent(&sql.handle(&[send(1, "9223372036854775808")]).await.unwrap_err());
}

#[tokio::test]
async fn numbers_keep_their_digits_and_no_date_is_null_in_sqlite() {
    exact_values(Engine::Sqlite).await;
}

#[tokio::test]
async fn numbers_keep_their_digits_and_no_date_is_null_in_postgresql() {
    exact_values(Engine::Postgres).await;
}

#[tokio::test]
async fn numbers_keep_their_digits_and_no_date_is_null_in_mariadb() {
    exact_values(Engine::MySql).await;
}
