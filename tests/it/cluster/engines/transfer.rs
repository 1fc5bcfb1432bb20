//! Events that move from one machine's queue into a cluster and back, with how their deliveries stand.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gatepost::api::{Api, ExportedEvent, ImportView, SenderSecrets};
use gatepost::clock::{Clock as _, SystemClock, Timestamp};
use gatepost::cluster::{ClusterAck, ClusterBackend, ClusterOptions, ClusterQueue, NodeName};
use gatepost::event::{Dedupe, DedupeKey, EventId, NewEvent, Outcome, Position};
use gatepost::queue::embedded::{EmbeddedQueue, Settings};
use gatepost::queue::{Appended, DeadFilter, EventQuery, ListOrder, Queue, Start, Subscription};
use tempfile::TempDir;

use super::rigs::Rig;
use super::{PATIENCE, SharedEngine};
use crate::support::events::{handler, key, new_event, settlement, tried, untried};

const HOUR: Duration = Duration::from_hours(1);

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_stand_in_a_cluster_in_memory_as_they_did_before() {
    there_and_back(&Rig::memory()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_stand_in_a_cluster_on_postgres_as_they_did_before() {
    let Some(rig) = Rig::postgres() else { return };
    there_and_back(&rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_stand_in_a_cluster_on_nats_as_they_did_before() {
    let Some(rig) = Rig::nats(1) else { return };
    there_and_back(&rig).await;
}

async fn there_and_back(rig: &Rig) {
    let folder = TempDir::new().unwrap();
    let before = machine(&folder.path().join("before"));
    make_deliveries(&before).await;
    let expected = standing(&*before).await;
    assert_eq!(expected.dead, [("web".to_owned(), "410 Gone".to_owned(), 1)]);

    let (a, b) = (
        node(rig.engine("moved"), folder.path(), "a").await,
        node(rig.engine("moved"), folder.path(), "b").await,
    );
    // A node that has its handler's place already, as one that was started with it has.
    drop(a.subscribe(&handler("web"), Start::Now).await.unwrap());
    let old_ids = ids(&*before).await;
    let again = move_all(before, a.clone()).await;
    assert_eq!((again.count, again.other_ids), (6, Vec::new()));
    until_stands(&*a, &expected).await;
    until_stands(&*b, &expected).await;

    let after = machine(&folder.path().join("after"));
    move_all(b.clone(), after.clone()).await;
    assert_eq!(standing(&*after).await, expected);
    for moved in [&*a as &dyn Queue, &*b, &*after] {
        assert_eq!(ids(moved).await, old_ids);
    }
    // Once more changes nothing, whatever was done since.
    let web = after.subscribe(&handler("web"), Start::Now).await.unwrap();
    deliver_the_rest(&*web).await;
    let done = standing(&*after).await;
    assert_ne!(done, expected);
    move_all(b.clone(), after.clone()).await;
    assert_eq!(standing(&*after).await, done);
    // Every try is counted, and what was settled does not come again.
    assert!(web.hasten().await.unwrap());
    let again = web.next(10).await.unwrap();
    assert_eq!(types(&again), ["waits"]);
    assert_eq!(again[0].attempt, 2);
    let mail = after.subscribe(&handler("mail"), Start::Now).await.unwrap();
    let rest = mail.next(10).await.unwrap();
    assert_eq!(types(&rest), ["skipped", "waits", "behind it", "dead", "new"]);
    assert_repeats_are_known(&*after, &old_ids).await;
    assert_repeats_are_known(&*b, &old_ids).await;
    for node in [a, b] {
        node.close().await.unwrap();
    }
}

fn machine(path: &Path) -> Arc<EmbeddedQueue> {
    let opened = EmbeddedQueue::open(Settings::new(path), Arc::new(SystemClock::new()));
    Arc::new(opened.unwrap())
}

async fn node(engine: SharedEngine, folder: &Path, name: &str) -> Arc<ClusterQueue> {
    let options = ClusterOptions {
        backend: ClusterBackend::Postgres,
        name: NodeName::parse(name).unwrap(),
        ack: ClusterAck::Both,
        lease: Duration::from_secs(3),
        engine,
        copy: Settings::new(folder.join(name)),
        clock: Arc::new(SystemClock::new()),
    };
    ClusterQueue::open(options).await.unwrap()
}

/// An event whose sender's repeats are known by what it is called.
fn sent(event_type: &'static str) -> NewEvent {
    let mut key = [0; 16];
    key.iter_mut().zip(event_type.bytes()).for_each(|(to, byte)| *to = byte);
    let dedupe = Dedupe::Within { key: DedupeKey(key), window: HOUR };
    NewEvent { dedupe, ..new_event(event_type, "{}", SystemClock::new().now()) }
}

/// All ids, in the order of the log.
async fn ids(queue: &dyn Queue) -> Vec<EventId> {
    let query = EventQuery { order: ListOrder::Oldest, limit: 100, ..EventQuery::default() };
    queue.list(query).await.unwrap().into_iter().map(|event| event.id).collect()
}

/// What a sender repeats is what it was before, and what is new is behind it.
async fn assert_repeats_are_known(queue: &dyn Queue, ids: &[EventId]) {
    for (event_type, id) in [("delivered", ids[0]), ("dead", ids[4])] {
        assert_eq!(queue.append(sent(event_type)).await.unwrap(), Appended::Duplicate(id));
        assert_eq!(queue.get(id).await.unwrap().unwrap().event_type.as_str(), event_type);
    }
    let newer = queue.append(sent("newer")).await.unwrap();
    assert!(matches!(newer, Appended::Stored(id) if id > ids[5]), "{newer:?}");
}

/// One delivery of each kind.
async fn make_deliveries(queue: &EmbeddedQueue) {
    let clock = SystemClock::new();
    for event_type in ["delivered", "skipped", "waits", "behind it", "dead", "new"] {
        queue.append(sent(event_type)).await.unwrap();
    }
    let web = queue.subscribe(&handler("web"), Start::Oldest).await.unwrap();
    let mail = queue.subscribe(&handler("mail"), Start::Oldest).await.unwrap();
    let retry_at = clock.steady().after(HOUR);
    let began = clock.now();
    let ends = [
        tried(Outcome::Delivered, began, ""),
        untried(Outcome::Skipped),
        tried(Outcome::Retry { at: retry_at, order_key: Some(key(1)) }, began, "503"),
        untried(Outcome::Held { order_key: key(1) }),
        tried(Outcome::Dead { order_key: Some(key(2)) }, began, "410 Gone"),
    ];
    for (delivery, end) in web.next(5).await.unwrap().into_iter().zip(ends) {
        web.settle(settlement(delivery, end)).await.unwrap();
    }
    for delivery in mail.next(1).await.unwrap() {
        mail.settle(settlement(delivery, tried(Outcome::Delivered, began, ""))).await.unwrap();
    }
}

async fn move_all(from: Arc<dyn Queue>, to: Arc<dyn Queue>) -> ImportView {
    let clock = || Arc::new(SystemClock::new());
    let exported =
        Api::offline(from, clock()).export(None, 100, SenderSecrets::Given).await.unwrap();
    let lines = exported.iter().map(|event| serde_json::to_string(event).unwrap());
    let read: Vec<ExportedEvent> = lines.map(|line| serde_json::from_str(&line).unwrap()).collect();
    Api::offline(to, clock()).import(read).await.unwrap()
}

/// How the deliveries stand.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Standing {
    /// Of each handler: what is open, waits and is dead.
    backlogs: Vec<(String, u64, u64, u64)>,
    /// Handler, reason and tries.
    dead: Vec<(String, String, u32)>,
    died_at: Vec<Timestamp>,
    /// When the one that waits is tried next and was tried first, in minutes from now.
    tries: Option<(u64, Option<u64>)>,
}

async fn standing(queue: &dyn Queue) -> Standing {
    let dead = queue.dead(DeadFilter::default()).await.unwrap();
    let backlogs = queue.stats().handlers.into_iter().map(|(name, backlog)| {
        (name.as_str().to_owned(), backlog.in_log, backlog.waiting, backlog.dead)
    });
    let next_try = queue.next_try(&handler("web"), Position(3));
    let now = SystemClock::new().steady();
    // Rounded: the clocks of two queues are read at two moments.
    let minutes = |time: Duration| (time.as_secs() + 30) / 60;
    Standing {
        backlogs: backlogs.collect(),
        died_at: dead.iter().map(|letter| letter.died_at).collect(),
        dead: dead
            .into_iter()
            .map(|it| (it.handler.as_str().to_owned(), it.reason.as_str().to_owned(), it.attempts))
            .collect(),
        tries: next_try.map(|it| {
            (minutes(it.due.since(now)), it.first_attempt_at.map(|at| minutes(now.since(at))))
        }),
    }
}

async fn until_stands(queue: &dyn Queue, expected: &Standing) {
    let stands = tokio::time::timeout(PATIENCE, async {
        while standing(queue).await != *expected {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let is_late = stands.await.is_err();
    assert!(!is_late, "{:?}, not {expected:?}", standing(queue).await);
}

/// Delivers what is open, but for what waits behind another of its key.
async fn deliver_the_rest(web: &dyn Subscription) {
    let open = web.next(10).await.unwrap();
    assert_eq!(types(&open), ["behind it", "new"]);
    for delivery in open {
        let position = delivery.event.position;
        let is_behind = web.is_key_waiting(key(1), position).await.unwrap();
        let end = if is_behind && position == Position(4) {
            untried(Outcome::Held { order_key: key(1) })
        } else {
            tried(Outcome::Delivered, SystemClock::new().now(), "")
        };
        web.settle(settlement(delivery, end)).await.unwrap();
    }
    assert!(web.is_key_waiting(key(2), Position(6)).await.unwrap(), "a dead letter holds its key");
}

fn types(deliveries: &[gatepost::event::Delivery]) -> Vec<&str> {
    deliveries.iter().map(|delivery| delivery.event.event_type.as_str()).collect()
}
