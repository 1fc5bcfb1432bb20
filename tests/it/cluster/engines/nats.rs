//! What is JetStream's own: streams of another shape, permissions, a majority that is gone, messages that
//! are lost at the front.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gatepost::cluster::{
    EngineAppendError, EngineError, EngineReadError, NatsEngine, NatsLogin, NatsSettings, Sequence,
};
use gatepost::secret::SecretRef;
use serde_json::json;
use tempfile::TempDir;
use tokio::time::Instant;

use super::rigs::{api, make_stream, nats_settings};
use super::{ALL, SharedEngine, append, once_available, read_texts};
use crate::support::nats::NatsServers;

fn engine(servers: &NatsServers, stream: &str) -> SharedEngine {
    Arc::new(NatsEngine::new(nats_settings(servers, stream)).unwrap())
}

fn secret(folder: &TempDir, text: &str) -> SecretRef {
    let path = folder.path().join(text);
    std::fs::write(&path, text).unwrap();
    SecretRef::File { path, create: false }
}

async fn refusal(engine: &SharedEngine) -> String {
    match engine.append(&Bytes::from_static(b"x")).await {
        Err(EngineAppendError::Refused(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_another_shape_is_refused_and_said() {
    let Some(servers) = NatsServers::start(1, "") else { return };
    for (stream, changes, expected) in [
        ("older", json!({ "metadata": { "gatepost-layout": "0" } }), "layout 0, this one has 1"),
        ("short", json!({ "max_age": 3_600_000_000_000_u64 }), "max_age is 3600000000000"),
        ("drops", json!({ "discard": "old", "max_msgs": 9 }), "discard is \"old\" instead of new"),
        ("memory", json!({ "storage": "memory" }), "storage is \"memory\" instead of file"),
        ("wide", json!({ "subjects": ["wide.>"] }), "subjects is [\"wide.>\"] instead of"),
        ("closed", json!({ "deny_purge": true }), "deny_purge is true instead of false"),
    ] {
        make_stream(&servers, stream, &changes).await;
        let engine = engine(&servers, stream);
        let why = refusal(&engine).await;
        assert!(why.contains(expected), "{why}");
        let problems = engine.check().await.unwrap().problems;
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{problems:?}");
        assert!(matches!(engine.head().await, Err(EngineError::Refused(_))));
    }
    // One that is edited while it is in use.
    let first = engine(&servers, "edited");
    append(&first, "first").await;
    let config = json!({
        "name": "edited", "subjects": ["edited.units"], "storage": "file", "discard": "new",
        "num_replicas": 1, "allow_direct": true, "deny_delete": true, "max_msgs_per_subject": 1,
    });
    api(&servers, "STREAM.UPDATE.edited", &config).await;
    assert!(matches!(first.head().await, Err(EngineError::Refused(_))));
    // One that is gone is not made anew behind its nodes' backs.
    api(&servers, "STREAM.DELETE.edited", &json!(null)).await;
    assert!(matches!(first.head().await, Err(EngineError::Refused(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_of_the_owner_is_a_full_log() {
    let Some(servers) = NatsServers::start(1, "") else { return };
    make_stream(&servers, "quota", &json!({ "max_msgs": 3 })).await;
    let engine = engine(&servers, "quota");
    for text in ["1", "2", "3"] {
        append(&engine, text).await;
    }
    let full = engine.append(&Bytes::from_static(b"4")).await;
    assert!(matches!(full, Err(EngineAppendError::Full(_))), "{full:?}");
    assert_eq!(read_texts(&engine, 1).await, ["1", "2", "3"], "nothing was dropped for it");
    once_available(|| engine.trim(Sequence(3))).await;
    assert_eq!(append(&engine, "4").await, Sequence(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_is_refused_and_said() {
    let users = "authorization { users: [\n\
        { user: all, password: hunter1 }\n\
        { user: mute, password: hunter2, permissions: { publish: { deny: \"gatepost.units\" } } }\n\
        { user: blind, password: hunter3, permissions: { publish: { deny: \"$JS.>\" } } }\n\
        ] }";
    let Some(servers) = NatsServers::start(1, users) else { return };
    let folder = tempfile::tempdir().unwrap();
    let engine_of = |user: &str, password: &str| {
        let login = NatsLogin::User(user.to_owned(), secret(&folder, password));
        let engine =
            NatsEngine::new(NatsSettings { login, ..nats_settings(&servers, "gatepost") }).unwrap();
        assert!(!format!("{engine:?}").contains("hunter"));
        Arc::new(engine) as SharedEngine
    };
    append(&engine_of("all", "hunter1"), "first").await;
    let mute = engine_of("mute", "hunter2");
    assert_eq!(read_texts(&mute, 1).await, ["first"], "what it may do, it does");
    // No try waits for an answer that does not come; a busy machine is late now and then.
    let mut delays = Vec::new();
    for _ in 0..3 {
        let began = Instant::now();
        let why = refusal(&mute).await;
        assert!(why.contains("gatepost.units"), "{why}");
        assert!(why.to_lowercase().contains("permissions"), "{why}");
        delays.push(began.elapsed());
    }
    assert!(delays.iter().any(|delay| *delay < Duration::from_secs(2)), "{delays:?}");
    let why = refusal(&engine_of("blind", "hunter3")).await;
    assert!(why.contains("allow this user to publish to gatepost.units"), "{why}");
    let problems = engine_of("blind", "hunter3").check().await.unwrap().problems;
    assert!(problems.iter().any(|problem| problem.contains("allow this user")), "{problems:?}");
    let why = refusal(&engine_of("all", "hunter2")).await;
    assert!(why.contains("authorization violation") && !why.contains("hunter"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_unavailable_in_time() {
    let Some(servers) = NatsServers::start(1, "") else { return };
    let engine = engine(&servers, "gatepost");
    append(&engine, "first").await;
    servers.freeze(0, true);
    // Before the first sender gives up, after 10 s.
    let within = |began: Instant| began.elapsed() < Duration::from_secs(9);
    for _ in 0..2 {
        let began = Instant::now();
        let failed = engine.append(&Bytes::from_static(b"second")).await;
        assert!(matches!(failed, Err(EngineAppendError::Unavailable(_))), "{failed:?}");
        assert!(within(began), "{:?}", began.elapsed());
    }
    let began = Instant::now();
    let failed = engine.read(Sequence(1), 1).await;
    assert!(matches!(failed, Err(EngineReadError::Unavailable(_))) && within(began), "{failed:?}");
    let began = Instant::now();
    let failed = engine.head().await;
    assert!(matches!(failed, Err(EngineError::Unavailable(_))) && within(began), "{failed:?}");
    let began = Instant::now();
    let failed = engine.check().await;
    assert!(matches!(failed, Err(EngineError::Unavailable(_))) && within(began), "{failed:?}");
    let began = Instant::now();
    engine.wait(Sequence(5), Duration::from_secs(1)).await;
    assert!(began.elapsed() >= Duration::from_secs(1) && within(began));
    servers.freeze(0, false);
    append(&engine, "third").await;
    let texts = read_texts(&engine, 1).await;
    assert_eq!((texts[0].as_str(), texts.last().unwrap().as_str()), ("first", "third"));
}

/// Any server is asked: what goes to the one that hangs is lost without a word.
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_hangs_holds_up_no_read() {
    let Some(servers) = NatsServers::start(3, "") else { return };
    let first = engine(&servers, "gatepost");
    append(&first, "first").await;
    let leading = once_some(|| servers.leader("gatepost")).await;
    let hanging = (leading + 1) % 3;
    let mut settings = nats_settings(&servers, "gatepost");
    settings.servers = vec![settings.servers.swap_remove(leading)];
    let engine: SharedEngine = Arc::new(NatsEngine::new(settings).unwrap());
    assert_eq!(read_texts(&engine, 1).await, ["first"]);
    servers.freeze(hanging, true);
    for _ in 0..20 {
        let units = engine.read(Sequence(1), ALL).await;
        assert_eq!(units.map(|units| units.len()), Ok(1));
    }
    servers.freeze(hanging, false);
}

/// What there is once there is something.
async fn once_some<T, F: Future<Output = Option<T>>>(mut ask: impl FnMut() -> F) -> T {
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_nothing_is_acknowledged_and_nothing_is_lost() {
    let Some(mut servers) = NatsServers::start(3, "") else { return };
    let engine = engine(&servers, "gatepost");
    for number in 1..=5 {
        append(&engine, &number.to_string()).await;
    }
    let report = engine.check().await.unwrap();
    assert!(report.durability.contains("with 2 of 3 servers"), "{report:?}");
    assert!(report.version.starts_with("nats-server 2."), "{report:?}");
    servers.crash(0);
    assert_eq!(append(&engine, "6").await, Sequence(6), "one of three may be down");
    let offline = once_available(|| engine.check()).await.problems;
    assert!(offline.iter().any(|problem| problem.contains("server `n0` ")), "{offline:?}");
    servers.crash(1);
    let began = Instant::now();
    for _ in 0..3 {
        let failed = engine.append(&Bytes::from_static(b"lost?")).await;
        assert!(matches!(failed, Err(EngineAppendError::Unavailable(_))), "{failed:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(3 * 9), "{:?}", began.elapsed());
    servers.restart(0);
    servers.restart(1);
    append(&engine, "last").await;
    let texts = read_texts(&engine, 1).await;
    assert_eq!(texts[..6], ["1", "2", "3", "4", "5", "6"]);
    assert_eq!(texts.last().unwrap(), "last");
}

#[tokio::test(flavor = "multi_thread")]
async fn units_lost_at_the_front_are_damage_and_not_trimmed() {
    let Some(servers) = NatsServers::start(1, "") else { return };
    let engine = engine(&servers, "gatepost");
    for number in 1..=9 {
        append(&engine, &number.to_string()).await;
    }
    once_available(|| engine.trim(Sequence(3))).await;
    // As if the first block of the file were gone.
    api(&servers, "STREAM.PURGE.gatepost", &json!({ "seq": 6 })).await;
    let trimmed = Err(EngineReadError::Trimmed { first: Sequence(3) });
    assert_eq!(engine.read(Sequence(2), ALL).await, trimmed);
    let damaged = |from| Err(EngineReadError::Damaged { from: Sequence(from), to: Sequence(6) });
    assert_eq!(engine.read(Sequence(3), ALL).await, damaged(3));
    assert_eq!(engine.read(Sequence(5), ALL).await, damaged(5));
    assert_eq!(read_texts(&engine, 6).await, ["6", "7", "8", "9"]);
    let problems = engine.check().await.unwrap().problems;
    let expected = "units 3 up to and without 6 of stream `gatepost` were removed by hand";
    assert!(problems.iter().any(|problem| problem.contains(expected)), "{problems:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_need_servers() {
    let Some(servers) = NatsServers::start(1, "") else { return };
    let settings = NatsSettings { replicas: 3, ..nats_settings(&servers, "gatepost") };
    let engine: SharedEngine = Arc::new(NatsEngine::new(settings).unwrap());
    let why = refusal(&engine).await;
    assert!(why.contains("write `replicas = 1`"), "{why}");
    assert!(engine.check().await.unwrap().problems.contains(&why));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_not_talked_to_where_tls_is_needed() {
    let Some(servers) = NatsServers::start(1, "") else { return };
    let settings = NatsSettings { requires_tls: true, ..nats_settings(&servers, "gatepost") };
    let engine: SharedEngine = Arc::new(NatsEngine::new(settings).unwrap());
    let why = refusal(&engine).await;
    assert!(why.contains("does not speak TLS"), "{why}");
}
