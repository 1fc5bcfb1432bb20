//! A node whose own disk is full, or gives back other bytes than were written.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use gatepost::cluster::ClusterOptions;
use gatepost::event::{NewEvent, Position};
use gatepost::queue::Queue;
use gatepost::queue::embedded::testing::{Call, Faults, MemoryStorage, Verdict};
use gatepost::queue::embedded::{IndexIn, Settings};

use super::{Cluster, PATIENCE, append, deliver, event, subscribe, take, types, until};
use crate::support::events::handler;

/// What a disk without room says.
const ENOSPC: i32 = 28;

/// While it is full nothing can be written to one log.
#[derive(Debug, Default)]
struct FullLog {
    is_full: AtomicBool,
    n_refused: AtomicU64,
}

impl Faults for FullLog {
    fn before(&self, call: Call, path: &Path, _offset: u64, _len: usize) -> Verdict {
        let is_of_copy = path.parent().is_some_and(|folder| folder.ends_with("a/log"));
        if call == Call::Write && is_of_copy && self.is_full.load(Ordering::SeqCst) {
            self.n_refused.fetch_add(1, Ordering::SeqCst);
            return Verdict::Errno(ENOSPC);
        }
        Verdict::Ok
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn change_by_hand_is_applied_once_the_full_disk_of_a_copy_has_room() {
    // No sign of life comes before it: then the mark of that would wait for room, and not the change.
    let cluster = Cluster { lease: Duration::from_hours(1), ..Cluster::new() };
    let (storage, faults) = (MemoryStorage::new(), Arc::new(FullLog::default()));
    storage.set_faults(Arc::<FullLog>::clone(&faults));
    // What is no part of its queues is in real files.
    std::fs::create_dir_all(cluster.path("a").join("spool")).unwrap();
    let a = cluster
        .node_with("a", |options| {
            let storage = Arc::new(storage);
            let copy =
                Settings { storage, index: IndexIn::Memory, ..Settings::new(cluster.path("a")) };
            ClusterOptions { copy, ..options }
        })
        .await;
    let subscription = subscribe(&a, "web").await;
    append(&a, "one").await;
    let taken = take(&*subscription, 1).await;
    deliver(&*subscription, taken).await;
    until("it is settled", || a.stats().handlers[0].1.in_log == 0).await;
    faults.is_full.store(true, Ordering::SeqCst);
    let web = handler("web");
    let replayed = async { tokio::time::timeout(PATIENCE, a.replay(&web, &[Position(1)])).await };
    let room = async {
        until("it is tried again and again", || {
            assert_eq!(a.view().failure(), None);
            faults.n_refused.load(Ordering::SeqCst) > 2
        })
        .await;
        faults.is_full.store(false, Ordering::SeqCst);
    };
    let (replayed, ()) = tokio::join!(replayed, room);
    replayed.expect("it is applied").unwrap();
    assert_eq!(types(&take(&*subscription, 1).await), ["one"]);
}

/// Changes the byte in front of a text in a node's copy.
fn flip_in_copy(cluster: &Cluster, node: &str, text: &str) {
    let mut n_flipped = 0;
    for file in std::fs::read_dir(cluster.path(node).join("log")).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let Some(at) = memchr::memmem::find(&bytes, text.as_bytes()) else { continue };
        bytes[at - 1] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        n_flipped += 1;
    }
    assert_eq!(n_flipped, 1, "{text} is in one file of the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn event_that_its_owner_cannot_read_is_delivered_by_another_gateway() {
    let cluster = Cluster::new();
    let a = cluster.node("a").await;
    append(&a, "one").await;
    let marked = NewEvent { body: "\"a text that is nowhere else\"".into(), ..event("two") };
    a.append(marked).await.unwrap();
    append(&a, "three").await;
    drop(a);
    cluster.released("a").await;
    // Its newest commits are not in memory any more.
    let a = cluster.node("a").await;
    flip_in_copy(&cluster, "a", "a text that is nowhere else");
    let at_a = subscribe(&a, "web").await;
    assert_eq!(types(&take(&*at_a, 2).await), ["one", "three"]);
    let b = cluster.node("b").await;
    let at_b = subscribe(&b, "web").await;
    until("it takes no part any more", || a.view().failure().is_some()).await;
    let why = a.view().failure().map(ToOwned::to_owned).unwrap();
    assert!(why.contains("has a fault") && why.contains("log"), "{why}");
    // What comes in there is kept, and is no sign of life.
    append(&a, "four").await;
    assert_eq!(types(&take(&*at_b, 3).await), ["one", "two", "three"]);
    assert_eq!(a.view().spilled, 1);
}
