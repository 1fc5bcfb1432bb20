//! Databases that crash and connections that break: afterwards every event is there exactly once.
//! The table has no key, so that an event that is written twice shows.

#![expect(clippy::disallowed_methods, reason = "tests start tasks of their own")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gatepost::clock::ManualClock;
use gatepost::event::{Delivery, FailureClass, HandlerName};
use gatepost::handler::{BuildContext, Handler};
use serde_json::json;
use sqlx::Connection;

use super::{Database, Engine};
use crate::support::gateway::Gateway;
use crate::support::kinds::{self, assert_transient, delivery, until_taken};
use crate::support::proxy::{Direction, Proxy, Upstream};

pub(super) const LOG: &str = r#"
table = "log"
create_table = true
columns = { n = "data.n" }
"#;

/// The same by a statement of the owner's own, whose table the test makes.
const STATEMENT: &str = "statements = \"INSERT INTO log (n) VALUES ({{ data.n | string }})\"";

pub(super) fn numbered(numbers: impl IntoIterator<Item = u64>) -> Vec<Delivery> {
    numbers.into_iter().map(|n| delivery(n, "x", &json!({ "n": n }))).collect()
}

pub(super) async fn assert_each_once(database: &Database, n_events: u64) {
    let rows = database.texts("SELECT n FROM log").await;
    let mut numbers: Vec<u64> = rows.iter().map(|row| row.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=n_events).collect::<Vec<_>>());
}

async fn cut_at_any_byte(engine: Engine, text: &str) {
    let Some(database) = Database::start(engine).await else { return };
    if text == STATEMENT {
        database.run("CREATE TABLE log (n varchar(20))").await;
    }
    let server = database.server.as_ref().unwrap();
    let proxy = Proxy::start(Upstream::Unix(server.socket())).await;
    let sql = database.handler_at(&server.url_through("site", proxy.address), text);
    let mut n_events = 0;
    let mut n_cuts = 0;
    for direction in [Direction::ToServer, Direction::ToClient] {
        // Odd steps: what is sent comes in pieces of like sizes. The log-in, the first look at the
        // tables and the transaction itself all lie within the first bytes; where a cut comes about
        // no more, a whole transaction fits in front of it.
        for n_bytes in (0..).step_by(19) {
            let batch = numbered(n_events + 1..=n_events + 3);
            n_events += 3;
            proxy.cut_after(direction, n_bytes);
            n_cuts += until_taken(sql.as_ref(), &batch).await;
            if proxy.is_uncut(direction) {
                break;
            }
        }
    }
    assert!(n_cuts > 20, "{n_cuts} cuts prove little");
    assert_each_once(&database, n_events).await;
    sql.close().await;
}

#[tokio::test]
async fn a_connection_to_postgresql_cut_at_any_byte_loses_and_doubles_nothing() {
    cut_at_any_byte(Engine::Postgres, LOG).await;
    cut_at_any_byte(Engine::Postgres, STATEMENT).await;
}

#[tokio::test]
async fn a_connection_to_mariadb_cut_at_any_byte_loses_and_doubles_nothing() {
    cut_at_any_byte(Engine::MySql, LOG).await;
    cut_at_any_byte(Engine::MySql, STATEMENT).await;
}

/// Crashes the server twice while batches go in without a pause.
async fn crash_in_mid_transaction(engine: Engine) {
    let Some(mut database) = Database::start(engine).await else { return };
    let sql: Arc<dyn Handler> = database.handler(LOG).into();
    sql.handle(&numbered([1])).await.unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let writer = {
        let (sql, is_over) = (Arc::clone(&sql), Arc::clone(&is_over));
        tokio::spawn(async move {
            let mut n_events = 1;
            while !is_over.load(Ordering::SeqCst) {
                until_taken(sql.as_ref(), &numbered(n_events + 1..=n_events + 20)).await;
                n_events += 20;
            }
            n_events
        })
    };
    for _ in 0..2 {
        let before = database.count("log").await;
        // Not before the writer is at it again.
        while database.count("log").await < before + 40 {
            assert!(!writer.is_finished(), "the writer gave up");
        }
        let server = database.server.take().unwrap();
        let restarted = tokio::task::spawn_blocking(move || {
            let mut server = server;
            server.crash_and_restart();
            server
        });
        database.server = Some(restarted.await.unwrap());
    }
    is_over.store(true, Ordering::SeqCst);
    let n_events = writer.await.unwrap();
    assert_each_once(&database, n_events).await;
    sql.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_of_postgresql_in_mid_transaction_loses_and_doubles_nothing() {
    crash_in_mid_transaction(Engine::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_of_mariadb_in_mid_transaction_loses_and_doubles_nothing() {
    crash_in_mid_transaction(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_of_postgresql_behind_a_gateway_loses_and_doubles_nothing() {
    let Some(mut database) = Database::start(Engine::Postgres).await else { return };
    let policy = "[handler.rows]\nbatch = { max = 7, wait = \"10ms\" }\n\
                  retry = { attempts = 10000, min = \"10ms\", max = \"50ms\" }\n\
                  breaker = { failures = 3, probe_interval = \"20ms\" }\n";
    let table = format!("{policy}[handler.rows.sql]\nurl = \"{}\"{LOG}", database.url);
    let gateway = Gateway::with("", &table);
    let send = |numbers: std::ops::RangeInclusive<u64>| {
        for n in numbers {
            let body = format!(r#"{{"event":"x","data":{{"n":{n}}}}}"#);
            assert_eq!(gateway.send(body.as_bytes()).status, 200);
        }
    };
    for round in 0..3 {
        send(round * 100 + 1..=round * 100 + 50);
        gateway.wait_until_delivered("rows", round * 100 + 1);
        let mut server = database.server.take().unwrap();
        server.crash();
        send(round * 100 + 51..=round * 100 + 100);
        server.restart();
        database.server = Some(server);
    }
    gateway.wait_until_delivered("rows", 300);
    gateway.stop();
    assert_each_once(&database, 300).await;
}

/// Two processes, or the old and the new one at a reload: both have every event.
async fn two_writers(engine: Engine) {
    let Some(database) = Database::start(engine).await else { return };
    let writers = [0, 1].map(|_| database.handler(LOG));
    writers[0].handle(&numbered([1])).await.unwrap();
    let write = async |writer: usize| {
        for first in (2..200).step_by(6) {
            until_taken(writers[writer].as_ref(), &numbered(first..first + 6)).await;
        }
    };
    tokio::join!(write(0), write(1));
    assert_each_once(&database, 199).await;
}

#[tokio::test]
async fn two_writers_of_sqlite_write_each_event_once() {
    two_writers(Engine::Sqlite).await;
}

#[tokio::test]
async fn two_writers_of_postgresql_write_each_event_once() {
    two_writers(Engine::Postgres).await;
}

#[tokio::test]
async fn two_writers_of_mariadb_write_each_event_once() {
    two_writers(Engine::MySql).await;
}

#[tokio::test]
async fn a_statement_that_waits_too_long_is_given_up() {
    let Some(database) = Database::start(Engine::Postgres).await else { return };
    let sql = database.handler(&format!("{LOG}statement_timeout = \"3s\""));
    sql.handle(&numbered([1])).await.unwrap();
    let holder = sqlx::PgPool::connect(&database.url).await.unwrap();
    let mut lock = holder.begin().await.unwrap();
    sqlx::query("LOCK TABLE log").execute(&mut *lock).await.unwrap();
    let failure = sql.handle(&numbered([2])).await.unwrap_err();
    assert_transient(&failure);
    assert!(failure.text.as_str().contains("57014"), "{failure}");
    assert_eq!(failure.class, Some(FailureClass::Timeout));
    drop(lock);
    until_taken(sql.as_ref(), &numbered([2])).await;
    assert_each_once(&database, 2).await;
}

#[tokio::test]
async fn a_table_that_mariadb_keeps_locked_is_not_waited_for_for_ever() {
    let Some(database) = Database::start(Engine::MySql).await else { return };
    let sql = database.handler(&format!("{LOG}statement_timeout = \"5s\""));
    sql.handle(&numbered([1])).await.unwrap();
    let mut holder = sqlx::MySqlConnection::connect(&database.url).await.unwrap();
    sqlx::raw_sql("LOCK TABLES log WRITE").execute(&mut holder).await.unwrap();
    let failure = sql.handle(&numbered([2])).await.unwrap_err();
    assert_transient(&failure);
    assert_eq!(failure.class, Some(FailureClass::Timeout), "{failure}");
    sqlx::raw_sql("UNLOCK TABLES").execute(&mut holder).await.unwrap();
    until_taken(sql.as_ref(), &numbered([2])).await;
    assert_each_once(&database, 2).await;
}

#[tokio::test]
async fn a_sqlite_file_that_somebody_keeps_locked_is_not_waited_for_for_ever() {
    let Some(database) = Database::start(Engine::Sqlite).await else { return };
    let sql = database.handler(&format!("{LOG}statement_timeout = \"3s\""));
    sql.handle(&numbered([1])).await.unwrap();
    let mut holder = sqlx::SqliteConnection::connect(&database.file_url()).await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut holder).await.unwrap();
    let failure = sql.handle(&numbered([2])).await.unwrap_err();
    assert_transient(&failure);
    assert_eq!(failure.class, Some(FailureClass::Timeout), "{failure}");
    sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.unwrap();
    until_taken(sql.as_ref(), &numbered([2])).await;
    assert_each_once(&database, 2).await;
}

#[tokio::test]
async fn a_database_that_is_away_is_transient() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let folder = tempfile::tempdir().unwrap();
    for scheme in ["postgres", "mysql"] {
        let text =
            format!("url = \"{scheme}://u@{address}/d\"\n{LOG}statement_timeout = \"200ms\"");
        let sql = kinds::build("sql", &text, folder.path());
        let failure = sql.handle(&numbered([1])).await.unwrap_err();
        assert_transient(&failure);
        assert_eq!(failure.class, Some(FailureClass::Connection), "{failure}");
    }
}

/// A child is told of before its parent: what refers to a row that is on its way is tried again.
async fn child_before_its_parent(engine: Engine) {
    let Some(database) = Database::start(engine).await else { return };
    database.run("CREATE TABLE parents (n BIGINT PRIMARY KEY)").await;
    let child = "CREATE TABLE children (n BIGINT, FOREIGN KEY (n) REFERENCES parents (n))";
    database.run(child).await;
    let sql = database.handler("table = \"children\"\ncolumns = { n = \"data.n\" }");
    let failure = sql.handle(&numbered([1])).await.unwrap_err();
    assert_transient(&failure);
    assert!(failure.to_string().contains("refused the row for now"), "{failure}");
    database.run("INSERT INTO parents VALUES (1)").await;
    sql.handle(&numbered([1])).await.unwrap();
    assert_eq!(database.count("children").await, 1);
    sql.close().await;
}

#[tokio::test]
async fn child_before_its_parent_is_tried_again_in_sqlite() {
    child_before_its_parent(Engine::Sqlite).await;
}

#[tokio::test]
async fn child_before_its_parent_is_tried_again_in_postgresql() {
    child_before_its_parent(Engine::Postgres).await;
}

#[tokio::test]
async fn child_before_its_parent_is_tried_again_in_mariadb() {
    child_before_its_parent(Engine::MySql).await;
}

/// SQLite goes on with a file that is in no folder any more.
#[tokio::test]
async fn sqlite_file_that_was_removed_is_made_again() {
    let Some(database) = Database::start(Engine::Sqlite).await else { return };
    let sql = database.handler(LOG);
    sql.handle(&numbered([1])).await.unwrap();
    let path = database.file_path();
    for end in ["", "-wal", "-shm"] {
        let file = format!("{}{end}", path.display());
        drop(std::fs::remove_file(file));
    }
    until_taken(sql.as_ref(), &numbered([2])).await;
    assert_eq!(database.texts("SELECT n FROM log").await, ["2"]);
    sql.close().await;
}

/// The handler `name` with this table's text behind the URL.
fn named(database: &Database, name: &str, text: &str) -> Box<dyn Handler> {
    let folder = database.folder.path();
    let text = format!("url = \"{}\"\n{text}", database.url);
    let handler = HandlerName::parse(name).unwrap();
    let context = BuildContext { handler, ..kinds::context(folder) };
    kinds::settings("sql", &text, folder).build(&context).unwrap()
}

/// Two handlers whose statements lock two rows in opposite orders.
async fn deadlock_is_no_failure(engine: Engine) {
    let Some(database) = Database::start(engine).await else { return };
    database.run("CREATE TABLE sums (id integer PRIMARY KEY, n integer)").await;
    database.run("INSERT INTO sums VALUES (1, 0), (2, 0)").await;
    let slowly = match engine {
        Engine::Postgres => "pg_sleep(0.2) IS NOT NULL",
        Engine::MySql | Engine::Sqlite => "sleep(0.2) = 0",
    };
    let handler = |name, [first, second]: [u64; 2]| {
        let add = |id| {
            format!("\"UPDATE sums SET n = n + {{{{ data.n }}}} WHERE id = {id} AND {slowly}\"")
        };
        let text = format!("statements = [{}, {}]", add(first), add(second));
        named(&database, name, &text)
    };
    let (one, other) = (handler("one", [1, 2]), handler("other", [2, 1]));
    for n in 1..=3 {
        let event = [delivery(n, "x", &json!({"n": 1}))];
        let (by_one, by_other) = tokio::join!(one.handle(&event), other.handle(&event));
        by_one.unwrap();
        by_other.unwrap();
    }
    let sums = if engine == Engine::MySql { "CAST(n AS CHAR)" } else { "n::text" };
    assert_eq!(database.texts(&format!("SELECT {sums} FROM sums")).await, ["6", "6"]);
}

#[tokio::test]
async fn deadlock_is_no_failure_in_postgresql() {
    deadlock_is_no_failure(Engine::Postgres).await;
}

#[tokio::test]
async fn deadlock_is_no_failure_in_mariadb() {
    deadlock_is_no_failure(Engine::MySql).await;
}

#[tokio::test]
async fn ledger_that_cannot_be_pruned_keeps_no_delivery_waiting() {
    let Some(database) = Database::start(Engine::Postgres).await else { return };
    let clock = Arc::new(ManualClock::new(kinds::NOW));
    let context = kinds::context_with(database.folder.path(), Arc::clone(&clock) as _);
    let text = format!("url = \"{}\"\n{LOG}", database.url);
    let sql = kinds::settings("sql", &text, database.folder.path()).build(&context).unwrap();
    sql.handle(&numbered([1])).await.unwrap();
    let old = "INSERT INTO gatepost_ledger VALUES ('test', '00000000-0000-7000-8000-000000000000', 'epoch')";
    database.run(old).await;
    let holder = sqlx::PgPool::connect(&database.url).await.unwrap();
    let mut lock = holder.begin().await.unwrap();
    sqlx::query("SELECT * FROM gatepost_ledger FOR UPDATE").execute(&mut *lock).await.unwrap();
    clock.advance(Duration::from_hours(1));
    // Less than a statement may take.
    let written = tokio::time::timeout(Duration::from_secs(20), sql.handle(&numbered([2]))).await;
    written.expect("it waits for no housekeeping").unwrap();
    sql.handle(&numbered([3])).await.unwrap();
    drop(lock);
    while database.count("gatepost_ledger").await != 3 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_each_once(&database, 3).await;
    sql.close().await;
}
