//! How the server ends, and what it looks after meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::health::{OpenAlerts, RETRY_EVERY, look_once};
use super::*;
use crate::api::ActionsAsk;
use crate::clock::Timestamp;
use crate::event::HandlerName;
use crate::queue::embedded::testing::{MemoryDisk, RefusingQueue};

/// Told to end from within the process, as by a test or `init`, the listeners may be gone before the
/// loop beside them has its turn, on a machine that is busy. It looks every second, as connections are
/// swept: what waits for a sweep and then stops the server is always near.
#[tokio::test]
async fn listeners_that_end_as_they_are_told_to_are_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let application = application(folder.path(), "").await;
    application.stop_token().cancel();
    while !application.listeners.is_finished() {
        tokio::task::yield_now().await;
    }
    application.check_listeners().unwrap();
    application.run_until_stopped().await.unwrap();
}

/// A handler whose secret is not there.
const WITHOUT_SECRET: &str =
    "[handler.crm.http]\nurl = 'http://127.0.0.1:9/'\nsecret = { file = 'later' }\n";

/// The loop looks every 5 s: here the looks are made at once.
#[tokio::test]
async fn handler_that_could_not_be_built_runs_a_minute_after_its_secret_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let application = application(folder.path(), WITHOUT_SECRET).await;
    let server = &application.server;
    let own = SystemSource::new(server.core.clone());
    let n_failed = || server.handlers.failed().len();
    let mut alerts = OpenAlerts::default();
    look_once(server, &own, &mut alerts, RETRY_EVERY).await;
    assert_eq!(n_failed(), 1, "there is no secret");
    std::fs::write(folder.path().join("later"), "whsec_c2VjcmV0IG9mIHRoZSB0ZXN0cw==").unwrap();
    look_once(server, &own, &mut alerts, 2 * RETRY_EVERY - 1).await;
    assert_eq!(n_failed(), 1, "it is not tried at each look");
    look_once(server, &own, &mut alerts, 2 * RETRY_EVERY).await;
    assert_eq!(n_failed(), 0);
    application.stop_token().cancel();
    application.run_until_stopped().await.unwrap();
}

/// What waits for room in the queue is gone with the process: it must not be known as told by then.
#[tokio::test]
async fn alert_that_is_not_stored_is_told_again_by_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let application = application(folder.path(), WITHOUT_SECRET).await;
    let server = &application.server;
    let is_full = Arc::new(AtomicBool::new(true));
    let refuses = Arc::clone(&is_full);
    let queue = MemoryDisk::new().open(Arc::clone(&server.core.clock));
    let queue = Arc::new(RefusingQueue::new(queue, move || {
        let full = || QueueError::Full("the disk is full".to_owned());
        if refuses.load(Ordering::SeqCst) { Err(full()) } else { Ok(()) }
    }));
    let own = SystemSource::new(Core { queue, ..server.core.clone() });
    let mut alerts = OpenAlerts::default();
    look_once(server, &own, &mut alerts, 1).await;
    assert!(server.handlers.records().alerts().is_empty());
    is_full.store(false, Ordering::SeqCst);
    look_once(server, &own, &mut alerts, 2).await;
    assert_eq!(server.handlers.records().alerts()[&crm()].event_type, "handler.failed");
    application.stop_token().cancel();
    application.run_until_stopped().await.unwrap();
}

/// The receiver may have been restarted with this machine, and answer the first call.
#[tokio::test]
async fn handler_that_failed_before_a_restart_is_told_as_down_once_a_call_fails_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let since = SystemClock::new().now().before(Duration::from_hours(1));
    let failing = json!({ "crm": { "health": { "failing_since": since, "n_failures": 2 } } });
    std::fs::create_dir(folder.path().join("data")).unwrap();
    std::fs::write(records_in(folder.path()), failing.to_string()).unwrap();
    let application = application(folder.path(), &handler("127.0.0.1:9")).await;
    let server = &application.server;
    let own = SystemSource::new(server.core.clone());
    let failures = || server.handlers.list().first().map(|one| one.health.n_failures);
    assert_eq!(failures(), Some(2), "shown at once");
    let mut alerts = OpenAlerts::default();
    look_once(server, &own, &mut alerts, 1).await;
    assert!(server.handlers.records().alerts().is_empty(), "no call was made yet");
    append(&own, since).await;
    while failures() != Some(3) {
        tokio::task::yield_now().await;
    }
    look_once(server, &own, &mut alerts, 1).await;
    let told = server.handlers.records().alerts().remove(&crm()).unwrap();
    assert!(told.since.as_millis().abs_diff(since.as_millis()) < 1_000, "{told:?}");
    application.stop_token().cancel();
    application.run_until_stopped().await.unwrap();
    // It is still open in the next process.
    let records = HandlerRecords::open(records_in(folder.path()));
    assert_eq!(records.alerts().remove(&crm()), Some(told));
}

#[tokio::test]
async fn delivery_that_is_made_while_the_server_stops_is_known_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let handler = handler(&receiver.local_addr().unwrap().to_string());
    let application = application(folder.path(), &handler).await;
    let (server, stop) = (Arc::clone(&application.server), application.stop_token());
    append(&SystemSource::new(server.core.clone()), Timestamp::from_millis(0)).await;
    let answers = async {
        let mut call = receiver.accept().await.unwrap().0;
        let mut request = [0; 64];
        assert!(call.read(&mut request).await.unwrap() > 0);
        stop.cancel();
        while !server.handlers.list().is_empty() {
            tokio::task::yield_now().await;
        }
        call.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        call
    };
    let (ended, _call) = tokio::join!(application.run_until_stopped(), answers);
    ended.unwrap();
    let record = HandlerRecords::open(records_in(folder.path())).take(&crm());
    assert!(record.is_some_and(|record| record.last_success_at.is_some()));
}

/// What nobody did by hand is told of where everything else is that was changed.
#[tokio::test]
async fn dead_letters_that_are_dropped_by_age_stand_in_the_action_log() {
    let folder = tempfile::tempdir().unwrap();
    let handler = "[handler.crm]\non = ['gatepost:*']\n[handler.crm.command]\n\
        run = ['sh', '-c', 'exit 65']\n";
    let application = application(folder.path(), handler).await;
    let (server, now) = (&application.server, SystemClock::new().now());
    append(&SystemSource::new(server.core.clone()), now).await;
    while server.core.queue.stats().handlers.iter().all(|(_, backlog)| backlog.dead == 0) {
        tokio::task::yield_now().await;
    }
    let api = application.by_signal.by(Actor::Retention);
    assert_eq!(api.drop_expired(now.before(Duration::from_hours(1))).await.unwrap(), 0);
    let ask = ActionsAsk { action: Some("drop".to_owned()), ..ActionsAsk::default() };
    assert!(api.actions(&ask).unwrap().actions.is_empty(), "nothing was old");
    assert!(api.drop_expired(now.after(Duration::from_hours(1))).await.unwrap() > 0);
    let dropped = api.actions(&ask).unwrap().actions.remove(0);
    assert_eq!((dropped.actor.name(), dropped.is_done), ("retention", true));
    assert!(dropped.target.starts_with("dead letters that died before 2"), "{dropped:?}");
    application.stop_token().cancel();
    application.run_until_stopped().await.unwrap();
}

/// A page must not wait for what hundreds of ways to sign are tried on.
#[tokio::test]
async fn explanation_of_a_group_takes_no_longer_than_its_time_and_is_there_a_little_later() {
    let folder = tempfile::tempdir().unwrap();
    let application = application(folder.path(), "").await;
    let mut call = tokio::net::TcpStream::connect(application.public()[0]).await.unwrap();
    let head =
        "POST /hooks/s HTTP/1.1\r\nHost: a\r\nX-Signature: 00\r\nContent-Length: 2\r\n\r\n{}";
    call.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    call.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 401");
    let (api, explanations) =
        (&application.by_signal, application.server.ingest.rejected().explanations());
    let number = api.rejected(1).unwrap()[0].number;
    let explained = async |time| api.explain_one_of(&[number], time).await.unwrap().is_some();
    assert!(!explained(Duration::ZERO).await);
    let turn = explanations.turn().await;
    let hour = Duration::from_hours(1);
    assert!(!explained(hour).await, "another one is being worked out: nobody waits for it");
    drop(turn);
    assert!(explained(hour).await);
    assert!(explained(Duration::ZERO).await, "it is known");
    application.stop_token().cancel();
    application.run_until_stopped().await.unwrap();
}

fn crm() -> HandlerName {
    HandlerName::parse("crm").unwrap()
}

/// A handler that gets Gatepost's own events.
fn handler(address: &str) -> String {
    format!("[handler.crm]\non = ['gatepost:*']\n[handler.crm.http]\nurl = 'http://{address}/'\n")
}

fn records_in(folder: &Path) -> std::path::PathBuf {
    folder.join("data/handler-records")
}

async fn append(own: &SystemSource, down_since: Timestamp) {
    let payload =
        json!({ "handler": "other", "kind": "http", "down_since": down_since, "down_seconds": 9 });
    own.append("handler.back", "other", &payload).await;
}

/// A server with one source, and what `handlers` says.
async fn application(folder: &Path, handlers: &str) -> Application {
    crate::handler::testing::install_tls();
    let path = folder.join("config.toml");
    let text = "[server]\nlisten = '127.0.0.1:0'\n[queue]\ndisk_reserve = '1MiB'\n\
                [admin]\nlisten = '127.0.0.1:0'\n[source.s]\nprovider = 'hyvor-talk'\n\
                secrets = [{ file = 'secret' }]\n";
    std::fs::write(&path, format!("{text}{handlers}")).unwrap();
    std::fs::write(folder.join("secret"), "the-secret-of-the-tests").unwrap();
    let (config, _warnings) = crate::config::load_to_run(&path).unwrap();
    Application::build(config, &path).await.unwrap()
}
