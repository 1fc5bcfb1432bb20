//! Nodes of one cluster in this process, on a shared log in memory which can be taken away, damaged and
//! made to lose its answers.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gatepost::clock::{Clock, SystemClock, Timestamp};
use gatepost::cluster::{
    ClusterAck, ClusterBackend, ClusterOptions, ClusterQueue, MemoryEngine, NodeName,
};
use gatepost::event::{Delivery, EventId, NewEvent, Outcome};
use gatepost::queue::embedded::Settings;
use gatepost::queue::{Queue, QueueError, Start, Subscription};

use crate::support::clock::BEGINNING;
use crate::support::events::{handler, new_event, settlement, tried};
use crate::support::folder::TestFolder;

mod broadcast;
mod disk;
mod engine_faults;
mod forwarding;
mod log_changes;
mod ownership;
mod rejoin;
mod shared;
mod steering;

/// Short, so that take-overs are soon; long beside what a loaded machine keeps a task waiting.
const LEASE: Duration = Duration::from_secs(2);
/// Far beyond anything that is waited for here.
const PATIENCE: Duration = Duration::from_secs(30);

/// A shared log and the folders of its nodes.
struct Cluster {
    lease: Duration,
    engine: MemoryEngine,
    folder: TestFolder,
}

impl Cluster {
    fn new() -> Self {
        Self::on(MemoryEngine::default())
    }

    fn on(engine: MemoryEngine) -> Self {
        Self { lease: LEASE, engine, folder: TestFolder::new() }
    }

    async fn node(&self, name: &str) -> Arc<ClusterQueue> {
        self.try_node(name, name, ClusterAck::Both).await.unwrap()
    }

    /// A node with a connection of its own, which can be cut.
    async fn node_apart(&self, name: &str) -> (Arc<ClusterQueue>, MemoryEngine) {
        let engine = self.engine.connection();
        let options = self.options((name, name), ClusterAck::Both, engine.clone());
        (ClusterQueue::open(options).await.unwrap(), engine)
    }

    /// A node that takes part in another way.
    async fn node_with(
        &self,
        name: &str,
        change: impl FnOnce(ClusterOptions) -> ClusterOptions,
    ) -> Arc<ClusterQueue> {
        let options = self.options((name, name), ClusterAck::Both, self.engine.clone());
        ClusterQueue::open(change(options)).await.unwrap()
    }

    /// Ends a node in order.
    async fn end(&self, node: Arc<ClusterQueue>, name: &str) {
        node.close().await.unwrap();
        drop(node);
        self.released(name).await;
    }

    /// Waits until a killed node has let go of its folders.
    async fn released(&self, node: &str) {
        let path = self.path(node);
        until("a killed node lets go of its folders", || {
            let mut locks = [path.join("lock"), path.join("spool/lock")].into_iter();
            locks.all(|lock| std::fs::File::open(lock).unwrap().try_lock().is_ok())
        })
        .await;
    }

    async fn try_node(
        &self,
        name: &str,
        folder: &str,
        ack: ClusterAck,
    ) -> Result<Arc<ClusterQueue>, QueueError> {
        ClusterQueue::open(self.options((name, folder), ack, self.engine.clone())).await
    }

    fn options(
        &self,
        (name, folder): (&str, &str),
        ack: ClusterAck,
        engine: MemoryEngine,
    ) -> ClusterOptions {
        ClusterOptions {
            backend: ClusterBackend::Postgres,
            name: NodeName::parse(name).unwrap(),
            ack,
            lease: self.lease,
            engine: Arc::new(engine),
            copy: Settings::new(self.path(folder)),
            clock: Arc::new(SystemClock::new()),
        }
    }

    fn path(&self, node: &str) -> std::path::PathBuf {
        Path::join(self.folder.path(), node)
    }
}

/// A clock whose wall time is another one than the system's.
#[derive(Debug)]
struct ShiftedClock {
    clock: SystemClock,
    by_seconds: i64,
}

impl ShiftedClock {
    fn by(by_seconds: i64) -> Self {
        Self { clock: SystemClock::new(), by_seconds }
    }
}

impl Clock for ShiftedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.clock.now().as_millis() + 1_000 * self.by_seconds)
    }

    fn steady(&self) -> Timestamp {
        self.clock.steady()
    }
}

fn event(event_type: &str) -> NewEvent {
    new_event(event_type, r#"{"n":1}"#, SystemClock::new().now())
}

async fn append(queue: &ClusterQueue, event_type: &str) -> EventId {
    queue.append(event(event_type)).await.unwrap().id()
}

async fn subscribe(queue: &ClusterQueue, name: &str) -> Box<dyn Subscription> {
    queue.subscribe(&handler(name), Start::Oldest).await.unwrap()
}

/// The next `n` deliveries, by type.
async fn take(subscription: &dyn Subscription, n: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    while taken.len() < n {
        let more = tokio::time::timeout(PATIENCE, subscription.next(n - taken.len())).await;
        let more = more.expect("something is due").unwrap();
        if more.is_empty() {
            assert!(taken.is_empty(), "the lease is over in the middle");
            subscription.begin_anew();
        }
        taken.extend(more);
    }
    taken
}

fn types(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|delivery| delivery.event.event_type.as_str().to_owned()).collect()
}

async fn deliver(subscription: &dyn Subscription, deliveries: Vec<Delivery>) {
    for delivery in deliveries {
        let end = tried(Outcome::Delivered, BEGINNING, "");
        subscription.settle(settlement(delivery, end)).await.unwrap();
    }
}

/// Waits until `holds` does: what one node has done is applied by the others a moment later.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("{what}"));
}

/// Waits until `queue` has this many events.
async fn until_stored(queue: &ClusterQueue, n_events: u64) {
    let stored = async {
        while queue.newest().0 < n_events {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let is_late = tokio::time::timeout(PATIENCE, stored).await.is_err();
    assert!(!is_late, "{} of {n_events} events: {:?}", queue.newest().0, queue.view());
    assert_eq!(queue.newest().0, n_events);
}
