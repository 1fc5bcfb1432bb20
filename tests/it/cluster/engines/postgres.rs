//! What is PostgreSQL's own: permissions, tables of another shape, what a commit waits for, poolers, pages
//! that cannot be read.

#![expect(clippy::disallowed_methods, reason = "tasks end with their test")]

use std::io::{Seek, SeekFrom, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gatepost::cluster::{
    EngineAppendError, EngineError, EngineReadError, PostgresEngine, PostgresSettings, Sequence,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use tokio::time::Instant;

use super::rigs::{postgres_at, postgres_settings, sql};
use super::{ALL, SharedEngine, append, once_available, read_texts};
use crate::support::pooler::Pooler;
use crate::support::servers::Server;

fn engine(server: &Server) -> SharedEngine {
    Arc::new(PostgresEngine::new(postgres_settings(server, "gatepost")).unwrap())
}

/// As another role.
fn engine_of(server: &Server, role: &str) -> SharedEngine {
    let url = server.url("postgres").replace("postgres@", &format!("{role}@"));
    Arc::new(PostgresEngine::new(postgres_at(&[&url], "gatepost")).unwrap())
}

async fn ask(server: &Server, text: &str) -> String {
    let mut connection = PgConnection::connect(&server.url("postgres")).await.unwrap();
    let row = sqlx::raw_sql(AssertSqlSafe(text.to_owned())).fetch_one(&mut connection).await;
    row.unwrap().get(0)
}

/// Why an append is refused.
async fn refusal(engine: &SharedEngine) -> String {
    match engine.append(&Bytes::from_static(b"x")).await {
        Err(EngineAppendError::Refused(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_waits_for_standbys_whatever_the_role_says() {
    let Some(server) = Server::postgres() else { return };
    sql(&server, "ALTER ROLE postgres SET synchronous_commit = off").await;
    let engine = engine(&server);
    append(&engine, "first").await;
    sql(&server, "ALTER SYSTEM SET synchronous_standby_names = 'absent'").await;
    sql(&server, "SELECT pg_reload_conf()").await;
    let is_waiting = || async { ask(&server, "SHOW synchronous_standby_names").await == "absent" };
    while !is_waiting().await {}
    let report = engine.check().await.unwrap();
    assert!(report.durability.contains("standbys `absent` (synchronous_commit is off here"));
    // The server's processes take the new setting between two statements.
    let mut n_unavailable = 0;
    while n_unavailable < 3 {
        let began = Instant::now();
        match engine.append(&Bytes::from_static(b"x")).await {
            Ok(_) => assert_eq!(n_unavailable, 0, "acknowledged without the standby"),
            Err(EngineAppendError::Unavailable(_)) => n_unavailable += 1,
            Err(err) => panic!("{err:?}"),
        }
        assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    }
    // Those that were given up: the one that waits for the standby, and what waits behind it at most 2 s.
    let n_connections = ask(
        &server,
        "SELECT count(*)::text FROM pg_stat_activity WHERE application_name = 'gatepost'",
    )
    .await;
    assert!(n_connections.parse::<u32>().unwrap() <= 4, "{n_connections} connections");
    sql(&server, "ALTER SYSTEM RESET synchronous_standby_names").await;
    sql(&server, "SELECT pg_reload_conf()").await;
    append(&engine, "last").await;
    assert_eq!(read_texts(&engine, 1).await.last().map(String::as_str), Some("last"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_unavailable_in_time() {
    let Some(server) = Server::postgres() else { return };
    let engine = engine(&server);
    append(&engine, "first").await;
    assert_eq!(read_texts(&engine, 1).await, ["first"]);
    server.freeze(true);
    // Before the first sender gives up, after 10 s.
    let within = |began: Instant| began.elapsed() < Duration::from_secs(9);
    let began = Instant::now();
    let failed = engine.append(&Bytes::from_static(b"second")).await;
    assert!(matches!(failed, Err(EngineAppendError::Unavailable(_))) && within(began));
    let began = Instant::now();
    let failed = engine.read(Sequence(1), 1).await;
    assert!(matches!(failed, Err(EngineReadError::Unavailable(_))) && within(began));
    let began = Instant::now();
    let failed = engine.head().await;
    assert!(matches!(failed, Err(EngineError::Unavailable(_))) && within(began));
    let began = Instant::now();
    assert!(matches!(engine.check().await, Err(EngineError::Unavailable(_))) && within(began));
    let began = Instant::now();
    engine.wait(Sequence(5), Duration::from_secs(1)).await;
    assert!(began.elapsed() >= Duration::from_secs(1) && within(began));
    server.freeze(false);
    append(&engine, "third").await;
    let texts = read_texts(&engine, 1).await;
    assert_eq!((texts[0].as_str(), texts.last().unwrap().as_str()), ("first", "third"));
}

/// The last look is asked in the moment that is left, in which no server answers for sure.
#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_ends_is_no_lost_connection() {
    let Some(server) = Server::postgres() else { return };
    let engine = engine(&server);
    append(&engine, "first").await;
    assert_eq!(read_texts(&engine, 1).await, ["first"]);
    for n in 0..300 {
        engine.wait(Sequence(2), Duration::from_micros(10_050 + n)).await;
        engine.wait(Sequence(2), Duration::from_micros(1 + n)).await;
    }
    assert_eq!(engine.n_lost(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_is_refused_and_said() {
    let Some(server) = Server::postgres() else { return };
    sql(&server, "CREATE ROLE gatepost LOGIN").await;
    let role = engine_of(&server, "gatepost");
    let why = refusal(&role).await;
    assert!(why.contains("cannot be made in schema `gatepost`"), "{why}");
    let problems = role.check().await.unwrap().problems;
    assert!(problems[0].contains("CREATE SCHEMA IF NOT EXISTS gatepost"), "{problems:?}");
    // Tables that are made by another role.
    append(&engine(&server), "first").await;
    let why = refusal(&role).await;
    assert!(why.contains("permission denied"), "{why}");
    let problems = role.check().await.unwrap().problems;
    assert!(problems[0].contains("GRANT USAGE ON SCHEMA gatepost"), "{problems:?}");
    sql(&server, "GRANT USAGE ON SCHEMA gatepost TO gatepost").await;
    sql(&server, "GRANT SELECT, UPDATE ON ALL TABLES IN SCHEMA gatepost TO gatepost").await;
    let why = refusal(&role).await;
    assert!(why.contains("permission denied for table log_units"), "{why}");
    let problems = role.check().await.unwrap().problems;
    assert!(problems[0].contains("GRANT SELECT, INSERT, UPDATE, DELETE"), "{problems:?}");
    assert_eq!(read_texts(&role, 1).await, ["first"], "what it may do, it does");
    sql(&server, "GRANT INSERT, DELETE ON ALL TABLES IN SCHEMA gatepost TO gatepost").await;
    assert_eq!(append(&role, "second").await, Sequence(2));
    once_available(|| role.trim(Sequence(2))).await;
    assert_eq!(role.check().await.unwrap().problems, Vec::<String>::new());
    let lineage = role.head().await.unwrap().lineage;
    assert_eq!(engine(&server).head().await.unwrap().lineage, lineage, "for each role the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_another_shape_are_refused_and_said() {
    let Some(server) = Server::postgres() else { return };
    let first = engine(&server);
    append(&first, "first").await;
    for (change, undo, expected) in [
        (
            "UPDATE gatepost.log_head SET layout = 2",
            "UPDATE gatepost.log_head SET layout = 1",
            "a newer version of Gatepost (layout 2, this one has 1)",
        ),
        (
            "ALTER TABLE gatepost.log_units RENAME TO other",
            "ALTER TABLE gatepost.other RENAME TO log_units",
            "log_units",
        ),
        (
            "ALTER TABLE gatepost.log_units SET UNLOGGED",
            "ALTER TABLE gatepost.log_units SET LOGGED",
            "SET LOGGED",
        ),
        (
            "ALTER TABLE gatepost.log_head RENAME next TO after",
            "ALTER TABLE gatepost.log_head RENAME after TO next",
            "next",
        ),
        (
            "CREATE TABLE other AS SELECT * FROM gatepost.log_head; DELETE FROM gatepost.log_head",
            "INSERT INTO gatepost.log_head SELECT * FROM other",
            "has lost its row",
        ),
    ] {
        sql(&server, change).await;
        let why = refusal(&engine(&server)).await;
        assert!(why.contains(expected), "{change}: {why}");
        // What is stored is as safe as before for those who were connected; the others are refused.
        if !change.contains("UNLOGGED") {
            let why = refusal(&first).await;
            assert!(why.contains(expected), "{change}: {why}");
        }
        sql(&server, undo).await;
    }
    assert_eq!(read_texts(&engine(&server), 1).await.first().unwrap(), "first");
    sql(&server, "DROP SCHEMA gatepost CASCADE").await;
    let why = refusal(&first).await;
    assert!(why.contains("does not exist"), "a log that vanishes is not made anew: {why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_server_is_said() {
    let Some(server) = Server::postgres() else { return };
    let engine = engine(&server);
    let report = engine.check().await.unwrap();
    assert!(report.version.starts_with("PostgreSQL 1"), "{report:?}");
    assert!(report.durability.contains("the disk of this one server"), "{report:?}");
    assert_eq!(report.problems, Vec::<String>::new());
    let schemas = "SELECT count(*)::text FROM pg_namespace WHERE nspname = 'gatepost'";
    assert_eq!(ask(&server, schemas).await, "0", "a check makes nothing");
    sql(&server, "ALTER SYSTEM SET full_page_writes = off").await;
    sql(&server, "SELECT pg_reload_conf()").await;
    sql(&server, "ALTER ROLE postgres SET default_transaction_read_only = on").await;
    while ask(&server, "SHOW full_page_writes").await != "off" {}
    let problems = engine.check().await.unwrap().problems;
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("default_transaction_read_only = off"), "{problems:?}");
    assert!(problems[1].contains("full_page_writes = on"), "{problems:?}");
    let failed = engine.append(&Bytes::from_static(b"x")).await;
    let Err(EngineAppendError::Unavailable(why)) = failed else { panic!("{failed:?}") };
    assert!(why.contains("takes no writes"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_database_is_refused_without_a_word_of_the_password() {
    let Some(server) = Server::postgres() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("password");
    std::fs::write(&path, "hunter2").unwrap();
    let password = Some(gatepost::secret::SecretRef::File { path, create: false });
    let settings = postgres_at(&[&server.url("nowhere")], "gatepost");
    let engine = PostgresEngine::new(PostgresSettings { password, ..settings }).unwrap();
    let shown = format!("{engine:?}");
    let engine: SharedEngine = Arc::new(engine);
    let why = refusal(&engine).await;
    assert!(why.contains("database \"nowhere\" does not exist"), "{why}");
    assert!(!shown.contains("hunter2") && !why.contains("hunter2"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_may_give_each_statement_another_connection() {
    let Some(server) = Server::postgres() else { return };
    let more = "pool_mode = transaction\ndefault_pool_size = 3";
    let Some(pooler) = Pooler::start(&server, more) else { return };
    let engines: Vec<SharedEngine> = (0..4)
        .map(|_| {
            let settings = postgres_at(&[&pooler.url("postgres")], "gatepost");
            Arc::new(PostgresEngine::new(settings).unwrap()) as SharedEngine
        })
        .collect();
    let mut appends = Vec::new();
    for engine in engines.clone() {
        appends.push(tokio::spawn(async move {
            for number in 0..20 {
                append(&engine, &number.to_string()).await;
                once_available(|| engine.read(Sequence(1), 100)).await;
            }
        }));
    }
    for append in appends {
        append.await.unwrap();
    }
    assert_eq!(read_texts(&engines[0], 1).await.len(), 80);
    // What was set for a transaction of ours reaches no other client of the pooler.
    // A parameter that sqlx sets by itself, and a pooler knows not.
    let options: sqlx::postgres::PgConnectOptions = pooler.url("postgres").parse().unwrap();
    let options = options.extra_float_digits(None);
    let mut connection = PgConnection::connect_with(&options).await.unwrap();
    let shown = sqlx::raw_sql("SHOW lock_timeout").fetch_one(&mut connection).await.unwrap();
    assert_eq!(shown.get::<String, _>(0), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_cannot_be_read_is_damage_of_its_units() {
    let Some(mut server) = Server::postgres() else { return };
    let engine = engine(&server);
    // Some eight units on a page of 8 KiB.
    for number in 0..40 {
        append(&engine, &format!("{number:0>1000}")).await;
    }
    sql(&server, "CHECKPOINT").await;
    let file = ask(&server, "SELECT pg_relation_filepath('gatepost.log_units')").await;
    server.crash();
    let mut file = std::fs::OpenOptions::new().write(true).open(server.data().join(file)).unwrap();
    // The head of the third page.
    file.seek(SeekFrom::Start(2 * 8_192)).unwrap();
    file.write_all(&[0xff; 64]).unwrap();
    drop(file);
    server.restart();
    let (mut read, mut damaged, mut from) = (Vec::new(), Vec::new(), Sequence(1));
    while from < Sequence(41) {
        let found = once_available(|| async {
            match engine.read(from, ALL).await {
                Err(EngineReadError::Damaged { from: first, to }) => {
                    Ok((Vec::new(), Some((first, to))))
                }
                result => result.map(|units| (units, None)),
            }
        });
        let (units, gap) = found.await;
        if let Some((first, to)) = gap {
            assert_eq!(first, from);
            damaged.extend(first.0..to.0);
            from = to;
        }
        for unit in units {
            assert_eq!(unit.sequence, from);
            assert_eq!(unit.bytes, format!("{:0>1000}", from.0 - 1));
            read.push(from.0);
            from = from.next();
        }
    }
    let expected: Vec<u64> = (damaged[0]..).take(damaged.len()).collect();
    assert_eq!(damaged, expected, "one page, one stretch");
    assert!((5..=9).contains(&damaged.len()) && read.len() + damaged.len() == 40, "{damaged:?}");
}

/// As behind a name or an address that leads elsewhere by now, without a word to what is connected.
#[tokio::test(flavor = "multi_thread")]
async fn connection_that_is_new_and_leads_to_another_copy_of_the_log_takes_nothing() {
    let (Some(before), Some(behind)) = (Server::postgres(), Server::postgres()) else { return };
    let folder = tempfile::TempDir::new().unwrap();
    let link = folder.path().join("server");
    let lead_to = |server: &Server| {
        let next = folder.path().join("next");
        std::os::unix::fs::symlink(server.socket().parent().unwrap(), &next).unwrap();
        std::fs::rename(next, &link).unwrap();
    };
    // Two copies that had the same once: the other lacks the newest, or went on another way.
    for text in ["one", "two"] {
        append(&engine(&before), text).await;
        append(&engine(&behind), text).await;
    }
    let url = format!("postgres://postgres@localhost/postgres?host={}", link.display());
    for n_others in [0, 3] {
        lead_to(&before);
        let moved: SharedEngine =
            Arc::new(PostgresEngine::new(postgres_at(&[&url], "gatepost")).unwrap());
        append(&engine(&before), "three").await;
        // It reads, which makes no connection to append by.
        let length = read_texts(&moved, 1).await.len() as u64;
        assert_eq!(moved.n_lost(), 0);
        lead_to(&behind);
        for _ in 0..n_others {
            append(&engine(&behind), "another").await;
        }
        let length_behind = engine(&behind).head().await.unwrap().next;
        let refused = moved.append(&Bytes::from_static(b"four")).await;
        let Err(EngineAppendError::Unavailable(why)) = refused else { panic!("{refused:?}") };
        assert!(why.contains(&format!("unit {length} is not there")), "{why}");
        assert_eq!(moved.n_lost(), 1, "whoever asks looks at the log");
        assert_eq!(engine(&behind).head().await.unwrap().next, length_behind, "nothing is there");
        // It is asked again by one that looked: then it is the log.
        assert_eq!(moved.head().await.unwrap().next, length_behind);
        append(&moved, "four").await;
    }
    // One that has everything is the same log, whichever server answers.
    lead_to(&before);
    let moved: SharedEngine =
        Arc::new(PostgresEngine::new(postgres_at(&[&url], "gatepost")).unwrap());
    read_texts(&moved, 1).await;
    append(&moved, "five").await;
    assert_eq!(moved.n_lost(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn units_deleted_at_the_front_are_told_and_trimmed_ones_are_not() {
    let Some(server) = Server::postgres() else { return };
    let engine = engine(&server);
    for number in 1..=6 {
        append(&engine, &number.to_string()).await;
    }
    once_available(|| engine.trim(Sequence(3))).await;
    assert_eq!(engine.check().await.unwrap().problems, Vec::<String>::new());
    for (units, end) in [("sequence < 5", 5), ("true", 7)] {
        sql(&server, &format!("DELETE FROM gatepost.log_units WHERE {units}")).await;
        let problems = engine.check().await.unwrap().problems;
        let expected = format!("units 3 up to and without {end} of schema `gatepost` were removed");
        assert!(problems.len() == 1 && problems[0].starts_with(&expected), "{problems:?}");
        let to = Sequence(end);
        let damaged = Err(EngineReadError::Damaged { from: Sequence(3), to });
        assert_eq!(engine.read(Sequence(3), ALL).await, damaged);
    }
}
