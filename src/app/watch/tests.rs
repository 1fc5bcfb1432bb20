use bytes::Bytes;
use serde_json::Value;

use super::super::handlers::Handlers;
use super::super::parts;
use super::super::paused::Paused;
use super::*;
use crate::clock::{Clock, ManualClock};
use crate::event::{DataRoot, Dedupe, EventType, Headers, NewEvent};
use crate::metrics::Metrics;
use crate::queue::sled::{Settings, SledQueue};
use crate::queue::{ListOrder, Queue};

/// A server without listeners, and what looks after it.
struct Site {
    _folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
    core: Core,
    watch: Watch,
}

impl Site {
    /// `queue` goes into `[queue]`.
    fn new(queue: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "[queue]\n{queue}\n[source.shop]\nprovider = \"hyvor-talk\"\n\
             secrets = [{{ file = \"secret\" }}]\nexpect_every = \"1h\"\n\
             [source.blog]\nprovider = \"hyvor-talk\"\nsecrets = [{{ file = \"secret\" }}]\n"
        );
        std::fs::write(folder.path().join("secret"), "the-secret-of-the-tests").unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        let (config, _warnings) = crate::config::load(&path).unwrap();
        std::fs::create_dir_all(&config.queue.path).unwrap();

        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_700_000_000_000)));
        let any = Arc::clone(&clock) as Arc<dyn Clock>;
        let settings = Settings { disk_reserve: 0, ..Settings::new(&config.queue.path) };
        let store = Arc::new(SledQueue::open(settings, Arc::clone(&any)).unwrap());
        let queue = Arc::clone(&store) as Arc<dyn Queue>;
        let core = Core { queue, clock: any, metrics: Metrics::new() };
        let own = Arc::new(OwnSource::new(core.clone()));
        let paused = Paused::new(folder.path().join("paused"));
        let handlers = Handlers::new(core.clone(), Arc::clone(&own), paused);
        let sources = parts::sources(&config).unwrap();
        let server = Server::new(core.clone(), store, handlers, sources, config, &path);
        let watch = Watch::new(core.clone(), Arc::new(server), own);
        Self { _folder: folder, clock, core, watch }
    }

    async fn look_after(&mut self, mins: u64) {
        self.clock.advance(Duration::from_mins(mins));
        self.watch.look().await;
    }

    /// The payloads of the own events of a type, oldest first.
    async fn told(&self, event_type: &str) -> Vec<Value> {
        let query = EventQuery {
            source: Some(SourceName::parse("gatepost").unwrap()),
            event_type: Some(event_type.to_owned()),
            order: ListOrder::Oldest,
            limit: 100,
            ..EventQuery::default()
        };
        let events = self.core.queue.list(query).await.unwrap();
        events.iter().map(|event| serde_json::from_slice(&event.body).unwrap()).collect()
    }

    async fn append(&self, source: &str) {
        let event = NewEvent {
            source: SourceName::parse(source).unwrap(),
            event_type: EventType::unknown(),
            received_at: self.clock.now(),
            data_root: DataRoot::Payload,
            headers: Headers::default(),
            body: Bytes::new(),
            dedupe: Dedupe::Off,
        };
        self.core.queue.append(event).await.unwrap();
    }
}

#[tokio::test]
async fn a_source_that_falls_silent_is_told_of_once_an_hour() {
    let mut site = Site::new("");
    site.look_after(59).await;
    site.append("shop").await;
    site.look_after(59).await;
    assert!(site.told("*").await.is_empty());
    site.look_after(2).await;
    site.look_after(30).await;
    let told = site.told("source.silent").await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((&told[0]["source"], &told[0]["silent_seconds"]), (&"shop".into(), &3_660.into()));
    site.look_after(31).await;
    assert_eq!(site.told("source.silent").await.len(), 2);
    site.append("shop").await;
    site.look_after(59).await;
    assert_eq!(site.told("*").await.len(), 2);
}

#[tokio::test]
async fn requests_that_fail_verification_are_told_of_together() {
    let mut site = Site::new("");
    let reject = |site: &Site| {
        let door = site.watch.server.ingest.door("blog").unwrap();
        door.metrics().request(RequestOutcome::Rejected);
    };
    reject(&site);
    reject(&site);
    site.look_after(1).await;
    reject(&site);
    site.look_after(1).await;
    let told = site.told("signature.rejected").await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((&told[0]["source"], &told[0]["count"]), (&"blog".into(), &2.into()));
    site.look_after(60).await;
    let told = site.told("signature.rejected").await;
    assert_eq!(told[1]["count"], 1, "what came in the meantime is not forgotten");
    site.look_after(60).await;
    assert_eq!(site.told("signature.rejected").await.len(), 2);
}

#[tokio::test]
async fn a_disk_that_fills_up_is_told_of() {
    let mut site = Site::new("disk_reserve = \"512TiB\"");
    site.look_after(1).await;
    let told = site.told("*").await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0]["free_bytes"].as_u64() < told[0]["reserve_bytes"].as_u64());
    assert_eq!(site.told("disk.low").await.len(), 1);
}
