//! What people tell a handler on any node.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gatepost::cluster::{ClusterAck, ClusterOptions, ClusterQueue};

use super::ownership::owners;
use super::{Cluster, PATIENCE, append, subscribe, until, until_stored};
use crate::support::clock::TokioClock;
use crate::support::events::handler;

/// How often a node is told something while it is asked: each time it looks at its leases.
const TIMES_TOLD: usize = 300;

/// Has `told` told about its handler by `by`, and asks it all the while what it is to try.
async fn tell_and_ask(by: Arc<ClusterQueue>, told: Arc<ClusterQueue>) {
    let web = handler("web");
    by.try_elsewhere(&web, None).await.unwrap();
    until("it is asked for", || !told.tries().is_empty()).await;
    let is_told = Arc::new(AtomicBool::new(false));
    let asker = std::thread::spawn({
        let (is_told, told) = (Arc::clone(&is_told), Arc::clone(&told));
        move || {
            while !is_told.load(Ordering::Relaxed) {
                drop(told.tries());
            }
        }
    });
    for _ in 0..TIMES_TOLD {
        by.try_elsewhere(&web, None).await.unwrap();
    }
    is_told.store(true, Ordering::Relaxed);
    asker.join().unwrap();
    append(&told, "behind it").await;
}

/// A node that looks at its leases and at what it is to try, both at once, comes to an end of both.
#[test]
fn a_node_goes_on_while_it_is_asked_what_to_try() {
    let cluster = Arc::new(Cluster::new());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (done, is_done) = std::sync::mpsc::channel();
    runtime.spawn({
        let cluster = Arc::clone(&cluster);
        async move {
            let (a, b) = (cluster.node("a").await, cluster.node("b").await);
            let _at_b = subscribe(&b, "web").await;
            tell_and_ask(Arc::clone(&a), Arc::clone(&b)).await;
            done.send(()).unwrap();
        }
    });
    if is_done.recv_timeout(2 * PATIENCE).is_err() {
        // Threads that wait for each other are not waited for.
        runtime.shutdown_background();
        panic!("the node stands still");
    }
    // The nodes are let go before the folder that they write in.
    drop(runtime);
}

/// A node that comes to it late, as one that was stopped, has nothing to do any more: who asked is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_try_that_was_asked_for_is_remembered_until_it_is_made_and_not_for_long() {
    for is_late in [false, true] {
        let cluster = Cluster::new();
        let clocks = [(); 2].map(|()| TokioClock::new());
        if is_late {
            clocks[1].set_forward(Duration::from_hours(1));
        }
        let [a, b] = ["a", "b"]
            .map(|name| cluster.options((name, name), ClusterAck::Both, cluster.engine.clone()));
        let [at_a, at_b] = clocks;
        let a = ClusterQueue::open(ClusterOptions { clock: at_a, ..a }).await.unwrap();
        let b = ClusterQueue::open(ClusterOptions { clock: at_b, ..b }).await.unwrap();
        let _at_b = subscribe(&b, "web").await;
        until("it has its lease", || owners(&b).get("web") == Some(&Some("b".to_owned()))).await;
        a.try_elsewhere(&handler("web"), None).await.unwrap();
        append(&a, "behind it").await;
        until_stored(&b, 1).await;
        if is_late {
            assert!(b.tries().is_empty());
            continue;
        }
        // One that is paused just then is asked again.
        assert_eq!((b.tries(), b.tries()), (vec![handler("web")], vec![handler("web")]));
        b.end_try(&handler("web"));
        assert!(b.tries().is_empty());
        assert!(a.tries().is_empty(), "it has no lease of it");
    }
}

/// What a node was told before it had the lease may have come to nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_took_the_lease_while_it_was_told_is_told_again() {
    let cluster = Cluster::new();
    let a = cluster.node("a").await;
    let web = handler("web");
    let before = a.try_epoch(&web);
    let _at_a = subscribe(&a, "web").await;
    until("it has its lease", || a.try_epoch(&web).is_some()).await;
    a.try_elsewhere(&web, before).await.unwrap();
    assert_eq!(a.tries(), std::slice::from_ref(&web));
    a.end_try(&web);
    a.try_elsewhere(&web, a.try_epoch(&web)).await.unwrap();
    assert!(a.tries().is_empty(), "it was told under this lease");
}
