//! What is told, and that it is told once.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use super::*;
use crate::app::open_alerts::KeptAlerts;
use crate::clock::{Clock, ManualClock};
use crate::event::{Event, Headers, Outcome, Settlement};
use crate::ingest::testing::{self, InMemory};
use crate::metrics::Metrics;
use crate::queue::embedded::EmbeddedQueue;
use crate::queue::embedded::testing::{MemoryDisk, RefusingQueue};
use crate::queue::{Queue, Start};
use crate::secret::Secret;
use crate::source::{DedupePolicy, Source, SourceSettings};
use crate::trace::Traces;

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
/// HMAC-SHA256 of `content` by `secret` (see the vectors of `source`).
const SIGNATURE: &[u8] = b"230d8225fa8d7c42c0d16356ff175a660c11960fc035616023b8d22a8f36f03a";

/// A watch over one source, by a clock that is set by hand.
struct Rig {
    clock: Arc<ManualClock>,
    ingest: Arc<Ingest>,
    free: Arc<AtomicU64>,
    disk_max: Arc<AtomicU64>,
    watch: Watch,
}

/// `hyvor`, of which this is expected.
fn hyvor(expect_every: Option<Duration>) -> Source {
    let settings = SourceSettings::of_provider("hyvor-talk", Vec::new()).unwrap();
    let settings = SourceSettings { expect_every, dedupe: DedupePolicy::Off, ..settings };
    let name = SourceName::parse("hyvor").unwrap();
    Source::with_secrets(name, settings, vec![Secret::new("secret")]).unwrap()
}

/// A disk that has as much free as `free` says, and of which the queue may take `disk_max`.
fn disk(free: &Arc<AtomicU64>, disk_max: &Arc<AtomicU64>) -> LookAtDisk {
    let (seen, may_take) = (Arc::clone(free), Arc::clone(disk_max));
    Box::new(move || {
        let (free, queue_max) = (seen.load(Ordering::SeqCst), may_take.load(Ordering::SeqCst));
        Ok(Disk { path: "/queue".into(), free, reserve: 100, queue_max })
    })
}

impl Rig {
    fn new(expect_every: Option<Duration>) -> Self {
        Self::over(expect_every, |queue| Arc::new(queue))
    }

    /// The same; `wrap` may put something before the queue.
    fn over(
        expect_every: Option<Duration>,
        wrap: impl FnOnce(EmbeddedQueue) -> Arc<dyn Queue>,
    ) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_700_000_000_000)));
        let dynamic = Arc::clone(&clock) as Arc<dyn Clock>;
        let queue = wrap(MemoryDisk::new().open(Arc::clone(&dynamic)));
        let core =
            Core { queue, clock: dynamic, metrics: Metrics::new(), traces: Traces::default() };
        let source = hyvor(expect_every);
        let Core { queue, clock: at, metrics, traces: _ } = core.clone();
        let ingest = Arc::new(Ingest::new(queue, at, metrics, testing::limits(), vec![source]));
        let free = Arc::new(AtomicU64::new(1_000));
        let disk_max = Arc::new(AtomicU64::new(u64::MAX));
        let disk = disk(&free, &disk_max);
        let own = Arc::new(SystemSource::new(core.clone()));
        let watch = Watch::new(core, Arc::clone(&ingest), disk, own);
        Self { clock, ingest, free, disk_max, watch }
    }

    /// Another process goes on, which knows what the file in `folder` says.
    fn restart(&mut self, folder: &Path) {
        let core = self.watch.core.clone();
        let alerts = KeptAlerts::open(folder.join("open-alerts"));
        let own = Arc::new(SystemSource::with_alerts(core.clone(), alerts));
        let disk = disk(&self.free, &self.disk_max);
        self.watch = Watch::new(core, Arc::clone(&self.ingest), disk, own);
    }

    async fn post(&self, signature: &[u8]) {
        let headers = [("x-signature", signature)].into_iter().collect::<Headers>();
        let reader = InMemory { headers, body: "content".into() };
        let received = self.ingest.receive(testing::head("hyvor", "/hooks/hyvor"), reader).await;
        assert_eq!(received.is_ok(), signature == SIGNATURE);
    }

    /// Lets `time` pass and looks: the own events that come of it, by type.
    async fn after(&mut self, time: Duration) -> Vec<(String, Value)> {
        let before = self.system_events().await.len();
        // As when the watch begins.
        self.watch.recall_sources().await;
        self.clock.advance(time);
        self.watch.look().await;
        let events = self.system_events().await;
        let new = events.iter().take(events.len() - before);
        new.map(|event| {
            let payload = serde_json::from_slice(&event.body).unwrap();
            (event.event_type.to_string(), payload)
        })
        .collect()
    }

    /// Newest first.
    async fn system_events(&self) -> Vec<Event> {
        let source = Some(SourceName::parse("gatepost").unwrap());
        let query = EventQuery { source, limit: 100, ..EventQuery::default() };
        self.watch.core.queue.list(query).await.unwrap()
    }
}

#[tokio::test]
async fn a_source_that_falls_silent_is_told_of_as_often_as_it_should_send() {
    let mut rig = Rig::new(Some(DAY));
    rig.post(SIGNATURE).await;
    assert_eq!(rig.after(DAY).await, []);
    let told = rig.after(Duration::from_secs(1)).await;
    assert_eq!(told.len(), 1);
    let (event_type, payload) = &told[0];
    assert_eq!(event_type, "source.silent");
    assert_eq!(payload["source"], "hyvor");
    assert_eq!(payload["silent_seconds"], DAY.as_secs() + 1);
    assert_eq!(payload["expect_every_seconds"], DAY.as_secs());
    assert_eq!(payload["newest_at"], "2023-11-14T22:13:20.000Z");
    assert_eq!(rig.after(HOUR).await, []);
    assert_eq!(rig.after(HOUR * 23).await.len(), 1, "it is still silent");
    rig.post(SIGNATURE).await;
    let expected = serde_json::json!({ "source": "hyvor", "newest_at": rig.clock.now() });
    assert_eq!(rig.after(HOUR).await, [("source.back".to_owned(), expected)]);
    assert_eq!(rig.after(HOUR).await, [], "its end is told once");
    assert_eq!(rig.after(DAY).await[0].0, "source.silent", "and again");
}

#[tokio::test]
async fn what_was_told_before_a_restart_is_told_to_be_over_after_it_and_not_told_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(Some(DAY));
    rig.restart(folder.path());
    rig.post(SIGNATURE).await;
    rig.free.store(150, Ordering::SeqCst);
    let types = |told: Vec<(String, Value)>| -> Vec<String> {
        told.into_iter().map(|(event_type, _)| event_type).collect()
    };
    assert_eq!(types(rig.after(DAY + EVERY).await), ["disk.low", "source.silent"]);
    rig.restart(folder.path());
    assert_eq!(types(rig.after(EVERY).await), <[String; 0]>::default());
    rig.restart(folder.path());
    rig.post(SIGNATURE).await;
    rig.free.store(1_000, Ordering::SeqCst);
    assert_eq!(types(rig.after(EVERY).await), ["disk.back", "source.back"]);
    rig.restart(folder.path());
    assert_eq!(types(rig.after(EVERY).await), <[String; 0]>::default(), "its end is told once");
    // Nobody waits for a source that is gone.
    assert_eq!(types(rig.after(DAY).await), ["source.silent"]);
    rig.ingest.replace_sources(Vec::new());
    rig.after(EVERY).await;
    assert_eq!(rig.watch.own.alerts().all(), []);
}

#[tokio::test]
async fn a_source_that_never_sent_is_silent_from_the_start_on() {
    let mut rig = Rig::new(Some(HOUR));
    assert_eq!(rig.after(HOUR).await, []);
    let told = rig.after(Duration::from_secs(1)).await;
    assert_eq!((told[0].0.as_str(), &told[0].1["newest_at"]), ("source.silent", &Value::Null));
    // What cannot be verified breaks no silence.
    let mut rig = Rig::new(Some(HOUR));
    rig.post(b"00").await;
    let told = rig.after(HOUR * 2).await;
    assert!(told.iter().any(|(event_type, _)| event_type == "source.silent"), "{told:?}");
}

#[tokio::test]
async fn source_of_which_more_is_expected_since_a_reload_is_late_from_then_on() {
    let mut rig = Rig::new(None);
    assert_eq!(rig.after(DAY * 9).await, []);
    rig.ingest.replace_sources(vec![hyvor(Some(DAY))]);
    assert_eq!(rig.after(DAY).await, [], "nobody expected anything of it before");
    let told = rig.after(Duration::from_secs(1)).await;
    assert_eq!((told[0].0.as_str(), &told[0].1["newest_at"]), ("source.silent", &Value::Null));
    // Another reload is no excuse.
    rig.ingest.replace_sources(vec![hyvor(Some(DAY))]);
    assert_eq!(rig.after(DAY).await[0].0, "source.silent");
}

#[tokio::test]
async fn newest_event_is_looked_for_again_after_a_failure_but_not_for_ever() {
    for (n_failures, is_found) in [(RECALL_TRIES - 1, true), (RECALL_TRIES, false)] {
        let n_searches = Arc::new(AtomicU64::new(0));
        let asked = Arc::clone(&n_searches);
        let refuse = move || {
            let is_refused = asked.fetch_add(1, Ordering::SeqCst) < u64::from(n_failures);
            if is_refused { Err(QueueError::Closed) } else { Ok(()) }
        };
        let mut rig = Rig::over(None, |queue| Arc::new(RefusingQueue::of_searches(queue, refuse)));
        rig.post(SIGNATURE).await;
        let came_at = rig.clock.now();
        // As after a restart: nothing is known of what came before.
        rig.ingest.replace_sources(Vec::new());
        rig.ingest.replace_sources(vec![hyvor(None)]);
        let last = |rig: &Rig| rig.ingest.endpoint("hyvor").unwrap().course().get().last_event_at;
        for _ in 0..2 * RECALL_TRIES {
            assert!(last(&rig).is_none() || is_found);
            rig.after(EVERY).await;
        }
        assert_eq!(last(&rig), is_found.then_some(came_at), "after {n_failures} failures");
        assert_eq!(n_searches.load(Ordering::SeqCst), u64::from(RECALL_TRIES));
    }
}

#[tokio::test]
async fn newest_event_is_not_looked_for_once_one_came_and_only_while_there_is_time() {
    let n_searches = Arc::new(AtomicU64::new(0));
    let asked = Arc::clone(&n_searches);
    let refuse = move || {
        asked.fetch_add(1, Ordering::SeqCst);
        Err(QueueError::Closed)
    };
    let mut rig = Rig::over(None, |queue| Arc::new(RefusingQueue::of_searches(queue, refuse)));
    let n_searches = || n_searches.load(Ordering::SeqCst);
    rig.watch.recall_sources().await;
    assert_eq!(n_searches(), 1);
    let name = SourceName::parse("hyvor").unwrap();
    rig.watch.recall_within(Duration::ZERO).await;
    assert_eq!(n_searches(), 1, "its time was up");
    assert_eq!(rig.watch.recalls[&name].n_tries_left, RECALL_TRIES - 1, "which is no try");
    rig.post(SIGNATURE).await;
    rig.watch.recall_sources().await;
    assert_eq!(n_searches(), 1, "the newest is known");
    assert!(rig.watch.recalls.is_empty());
}

#[tokio::test]
async fn a_source_that_need_not_send_is_never_silent() {
    let mut rig = Rig::new(None);
    assert_eq!(rig.after(DAY * 100).await, []);
}

/// Where no handler has a place.
fn disk_with(free: u64) -> Value {
    serde_json::json!({
        "free_bytes": free, "reserve_bytes": 100, "path": "/queue",
        "unsettled_bytes": 0, "disk_max_bytes": u64::MAX, "waits_for": null,
    })
}

#[tokio::test]
async fn a_disk_that_fills_up_is_told_of_while_there_is_room_for_it() {
    let mut rig = Rig::new(None);
    rig.free.store(200, Ordering::SeqCst);
    assert_eq!(rig.after(HOUR).await, []);
    rig.free.store(199, Ordering::SeqCst);
    let expected = disk_with(199);
    assert_eq!(rig.after(HOUR).await, [("disk.low".to_owned(), expected)]);
    assert_eq!(rig.after(HOUR / 2).await, []);
    assert_eq!(rig.after(HOUR / 2).await.len(), 1);
    rig.free.store(224, Ordering::SeqCst);
    assert_eq!(rig.after(HOUR).await, [], "as much as that comes and goes with one file");
    rig.free.store(225, Ordering::SeqCst);
    let expected = disk_with(225);
    assert_eq!(rig.after(HOUR / 4).await, [("disk.back".to_owned(), expected)]);
    rig.free.store(150, Ordering::SeqCst);
    assert_eq!(rig.after(HOUR).await[0].0, "disk.low");
    rig.free.store(300, Ordering::SeqCst);
    assert_eq!(rig.after(HOUR / 4).await[0].0, "disk.back");
    rig.free.store(150, Ordering::SeqCst);
    assert_eq!(rig.after(HOUR / 4).await, [], "not more than once an hour");
    assert_eq!(rig.after(HOUR).await[0].0, "disk.low");
}

#[tokio::test]
async fn what_waits_for_a_handler_is_told_of_before_it_reaches_disk_max() {
    let mut rig = Rig::new(None);
    let name = HandlerName::parse("mail").unwrap();
    let queue = Arc::clone(&rig.watch.core.queue);
    let subscription = queue.subscribe(&name, Start::Oldest).await.unwrap();
    for _ in 0..10 {
        rig.post(SIGNATURE).await;
    }
    let bytes = queue.stats().bytes;
    rig.disk_max.store(bytes * 2, Ordering::SeqCst);
    assert_eq!(rig.after(HOUR).await, [], "half of it is left");
    rig.disk_max.store(bytes + bytes / 10, Ordering::SeqCst);
    let told = rig.after(HOUR).await;
    let [(kind, payload)] = &told[..] else { panic!("{told:?}") };
    assert_eq!((kind.as_str(), &payload["waits_for"]), ("disk.low", &serde_json::json!("mail")));
    assert!(payload["unsettled_bytes"].as_u64() > Some(bytes / 2), "{payload}");
    // What is settled may go before its time: it is in nobody's way.
    let mut n_left = queue.stats().events;
    while n_left > 0 {
        let taken = subscription.next(100).await.unwrap();
        n_left -= taken.len() as u64;
        for delivery in taken {
            let settlement = Settlement { delivery, outcome: Outcome::Skipped, attempt: None };
            subscription.settle(settlement).await.unwrap();
        }
    }
    let told = rig.after(HOUR / 4).await;
    assert_eq!(told.iter().map(|(kind, _)| kind.as_str()).collect::<Vec<_>>(), ["disk.back"]);
}

#[tokio::test]
async fn requests_that_fail_are_told_of_with_their_number() {
    let mut rig = Rig::new(None);
    rig.post(SIGNATURE).await;
    assert_eq!(rig.after(HOUR).await, []);
    rig.post(b"00").await;
    rig.post(b"zz").await;
    let expected = serde_json::json!({
        "source": "hyvor", "count": 2, "newest": 2, "reason": "the signature cannot be decoded",
    });
    assert_eq!(rig.after(HOUR).await, [("signature.rejected".to_owned(), expected)]);
    assert_eq!(rig.after(HOUR).await, [], "nothing more has failed");
    rig.post(b"00").await;
    assert_eq!(rig.after(HOUR).await[0].1["count"], 1);
    rig.post(b"00").await;
    assert_eq!(rig.after(HOUR / 2).await, []);
    assert_eq!(rig.after(HOUR / 2).await[0].1["count"], 1, "it was not forgotten meanwhile");
    // As the listener counts what it turns away.
    let endpoint = rig.ingest.endpoint("hyvor").unwrap();
    endpoint.metrics().request(RequestOutcome::UnverifiedLimited);
    endpoint.metrics().request(RequestOutcome::UnverifiedLimited);
    assert_eq!(rig.after(HOUR).await[0].1["count"], 2, "what was turned away has failed, too");
}
