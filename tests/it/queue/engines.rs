//! The suite over a node of a cluster whose shared log real servers keep: PostgreSQL, and three of NATS.
//!
//! All promises share the servers, each has a log of its own. So they are one test for each engine: to start
//! three servers of NATS and let them choose a leader takes longer than a promise.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use async_trait::async_trait;
use gatepost::clock::Clock;
use gatepost::cluster::ClusterBackend;
use gatepost::queue::Queue;

use super::{Backend, World, cluster};
use crate::cluster::engines::once_available;
use crate::cluster::engines::rigs::Rig;

/// How many promises are looked at side by side: they wait for servers and disks most of the time.
const AT_ONCE: usize = 4;

/// A node alone on a log of its own.
pub(crate) struct OnServers {
    backend: ClusterBackend,
    rig: Arc<Rig>,
    log: String,
}

#[async_trait]
impl Backend for OnServers {
    async fn open(&self, folder: &Path, clock: Arc<dyn Clock>) -> Arc<dyn Queue> {
        let engine = self.rig.engine(&self.log);
        // A stream has no leader in its first moment, and a node would begin without its log.
        once_available(|| engine.head()).await;
        cluster::open(self.backend, engine, folder, clock).await
    }
}

super::conformance!(together OnServers);

#[test]
fn node_on_postgres_keeps_every_promise() {
    let Some(rig) = Rig::postgres() else { return };
    keep_all(ClusterBackend::Postgres, rig);
}

#[test]
fn node_on_three_nats_servers_keeps_every_promise() {
    let Some(rig) = Rig::nats(3) else { return };
    keep_all(ClusterBackend::Nats, rig);
}

fn keep_all(backend: ClusterBackend, rig: Rig) {
    let (rig, next, broken) = (Arc::new(rig), AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(promise) = PROMISES.get(number) else { return };
                    let log = format!("promise_{number}");
                    let node = OnServers { backend, rig: rig.clone(), log };
                    // A thread of its own, by whose name a panic is told and with which its folder goes.
                    let named = thread::Builder::new().name(promise.name.to_owned());
                    let kept = named.spawn(|| keep(promise, node)).unwrap().join();
                    if kept.is_err() {
                        broken.lock().unwrap().push(promise.name);
                    }
                }
            });
        }
    });
    let broken = broken.into_inner().unwrap();
    assert!(broken.is_empty(), "{} of {}: {broken:?}", broken.len(), PROMISES.len());
}

/// As `#[tokio::test]` does. Its log goes with it: 75 streams on three servers keep a busy machine from answering.
fn keep(promise: &super::Promise<OnServers>, node: OnServers) {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (rig, log) = (node.rig.clone(), node.log.clone());
    runtime().block_on(async { (promise.keep)(World::on(node).await).await });
    runtime().block_on(rig.drop_log(&log));
}
