//! Nodes that come new, come back from before, or make their copy anew.

use std::path::Path;
use std::sync::Arc;

use gatepost::api::{Api, ExportedEvent, SenderSecrets};
use gatepost::clock::SystemClock;
use gatepost::cluster::{ClusterAck, ClusterOptions, LogEngine as _, Sequence};
use gatepost::event::EventId;
use gatepost::queue::Queue;

use crate::support::folder::TestFolder;

use super::{Cluster, ShiftedClock, append, deliver, subscribe, take, types, until, until_stored};

/// What is a node's own and not its copy's.
const OWN: [&str; 2] = ["spool", "node.json"];

/// Copies a folder, but for what `leaves` names.
pub(super) fn copy(from: &Path, to: &Path, leaves: &[&str]) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if leaves.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target, &[]);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Removes all of a node's copy, but not what is its own.
fn remove_copy(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if OWN.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            std::fs::remove_dir_all(entry.path()).unwrap();
        } else {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
}

async fn assert_once(queue: &dyn Queue, ids: &[EventId]) {
    for id in ids {
        assert!(queue.get(*id).await.unwrap().is_some(), "{id}");
    }
    assert_eq!(queue.newest().0, ids.len() as u64, "each is there once");
}

#[tokio::test(flavor = "multi_thread")]
async fn node_that_comes_new_to_a_log_without_its_beginning_says_so_and_begins_with_a_copy() {
    let cluster = Cluster::new();
    let a = cluster.node("a").await;
    let at_a = subscribe(&a, "web").await;
    for event_type in ["one", "two", "three", "four"] {
        append(&a, event_type).await;
    }
    let taken = take(&*at_a, 2).await;
    deliver(&*at_a, taken).await;
    until("it is settled", || a.stats().handlers[0].1.in_log == 2).await;
    cluster.engine.trim(Sequence(a.view().applied)).await.unwrap();
    let b = cluster.node("b").await;
    let why = b.failed().await;
    assert!(why.contains("begins with unit") && why.contains("another gateway's folder"), "{why}");
    assert_eq!(b.view().failure(), Some(why.as_str()), "people see it");
    // What it answers meanwhile is kept.
    append(&b, "at b").await;
    assert_eq!((b.view().spilled, b.newest().0), (1, 0));
    drop(b);
    a.close().await.unwrap();
    drop((at_a, a));
    for node in ["a", "b"] {
        cluster.released(node).await;
    }
    remove_copy(&cluster.path("b"));
    copy(&cluster.path("a"), &cluster.path("b"), &OWN);
    let b = cluster.node("b").await;
    until_stored(&b, 5).await;
    let at_b = subscribe(&b, "web").await;
    let rest = take(&*at_b, 3).await;
    assert_eq!(types(&rest), ["three", "four", "at b"], "all that was not delivered, and no more");
    deliver(&*at_b, rest).await;
    let a = cluster.node("a").await;
    until_stored(&a, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_whose_folder_is_one_from_before_loses_nothing_that_it_answers_then() {
    let cluster = Cluster::new();
    let b = cluster.node("b").await;
    let a = cluster.node("a").await;
    let at_a = subscribe(&a, "web").await;
    let mut ids = vec![append(&a, "one").await, append(&a, "two").await];
    let taken = take(&*at_a, 1).await;
    deliver(&*at_a, taken).await;
    a.close().await.unwrap();
    drop((at_a, a));
    cluster.released("a").await;
    copy(&cluster.path("a"), &cluster.path("before"), &[]);

    let a = cluster.node("a").await;
    for event_type in ["three", "four", "five"] {
        ids.push(append(&a, event_type).await);
    }
    let at_a = subscribe(&a, "web").await;
    let taken = take(&*at_a, 2).await;
    deliver(&*at_a, taken).await;
    a.close().await.unwrap();
    drop((at_a, a));
    cluster.released("a").await;
    std::fs::remove_dir_all(cluster.path("a")).unwrap();
    std::fs::rename(cluster.path("before"), cluster.path("a")).unwrap();

    for round in 0..2 {
        let a = cluster.node("a").await;
        // The spool gives these the places that others had, which the log knows.
        for n in 0..2 {
            ids.push(append(&a, &format!("after-{round}-{n}")).await);
        }
        until_stored(&a, ids.len() as u64).await;
        until_stored(&b, ids.len() as u64).await;
        assert_once(&*a, &ids).await;
        assert_once(&*b, &ids).await;
        until("nothing waits any more", || a.view().spilled == 0).await;
        drop(a);
        cluster.released("a").await;
    }
    let at_b = subscribe(&b, "web").await;
    let rest = types(&take(&*at_b, 6).await);
    let expected = ["four", "five", "after-0-0", "after-0-1", "after-1-0", "after-1-1"];
    assert_eq!(rest, expected, "what was settled since stays settled");
}

/// It takes in more than it lacks while it cannot see that it lacks something.
#[tokio::test(flavor = "multi_thread")]
async fn folder_from_before_is_known_for_one_after_a_start_without_the_engine() {
    let cluster = Cluster::new();
    let a = cluster.node("a").await;
    let mut ids = vec![append(&a, "one").await];
    cluster.end(a, "a").await;
    copy(&cluster.path("a"), &cluster.path("before"), &[]);
    let a = cluster.node("a").await;
    ids.push(append(&a, "two").await);
    ids.push(append(&a, "three").await);
    until_stored(&a, 3).await;
    drop(a);
    cluster.released("a").await;
    std::fs::remove_dir_all(cluster.path("a")).unwrap();
    std::fs::rename(cluster.path("before"), cluster.path("a")).unwrap();

    cluster.engine.set_away(true);
    for round in 0..2 {
        let a = cluster.node("a").await;
        for n in 0..2 {
            ids.push(append(&a, &format!("away-{round}-{n}")).await);
        }
        drop(a);
        cluster.released("a").await;
    }
    cluster.engine.set_away(false);
    let a = cluster.node("a").await;
    until_stored(&a, ids.len() as u64).await;
    until("nothing waits any more", || a.view().spilled == 0).await;
    assert_once(&*a, &ids).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_that_is_made_anew_is_gone_on_with_wherever_that_was_broken_off() {
    for is_killed_late in [false, true] {
        let cluster = Cluster::new();
        let a = cluster.node("a").await;
        let mut ids = Vec::new();
        for n in 0..6 {
            ids.push(append(&a, &format!("e{n}")).await);
        }
        until_stored(&a, 6).await;
        cluster.engine.fail_over(Sequence(a.view().applied / 2));
        ids.push(append(&a, "unknown to the log").await);
        let why = a.failed().await;
        assert!(why.contains("restart this gateway"), "{why}");
        drop(a);
        cluster.released("a").await;
        if is_killed_late {
            // The old copy is aside, the log was not read, and nothing was appended again.
            cluster.engine.set_away(true);
            let a = cluster.node("a").await;
            ids.push(append(&a, "while it is read").await);
            drop(a);
            cluster.released("a").await;
            cluster.engine.set_away(false);
        } else {
            // Killed between two of the moves.
            let aside = cluster.path("a-before");
            std::fs::create_dir(&aside).unwrap();
            for name in ["FORMAT", "log"] {
                std::fs::rename(cluster.path("a").join(name), aside.join(name)).unwrap();
            }
        }
        let a = cluster.node("a").await;
        until_stored(&a, ids.len() as u64).await;
        until("nothing waits any more", || a.view().spilled == 0).await;
        assert_once(&*a, &ids).await;
        drop(a);
        cluster.released("a").await;
        let a = cluster.node("a").await;
        ids.push(append(&a, "last").await);
        until_stored(&a, ids.len() as u64).await;
        assert_once(&*a, &ids).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_log_without_its_beginning_lost_goes_into_a_new_one_from_a_copy() {
    let cluster = Cluster::new();
    let a = cluster.node("a").await;
    let at_a = subscribe(&a, "web").await;
    for event_type in ["one", "two", "three", "four"] {
        append(&a, event_type).await;
    }
    let taken = take(&*at_a, 2).await;
    deliver(&*at_a, taken).await;
    until("it is settled", || a.stats().handlers[0].1.in_log == 2).await;
    let applied = a.view().applied;
    cluster.engine.trim(Sequence(3)).await.unwrap();
    cluster.engine.fail_over(Sequence(applied - 1));
    let why = a.failed().await;
    assert!(why.contains("its beginning was let go") && why.contains("queue export"), "{why}");
    assert!(!cluster.path("a").join("rebuild").exists(), "it could not be read anew");
    // Taken in since: it is in the spool only, which goes on to the new log.
    append(&a, "five").await;
    let offline = |queue: Arc<dyn Queue>| Api::offline(queue, Arc::new(SystemClock::new()));
    let exported: Vec<ExportedEvent> =
        offline(a.clone()).export(None, 100, SenderSecrets::Given).await.unwrap();
    assert_eq!(exported.len(), 4, "its copy has all that it had applied");
    drop((at_a, a));
    cluster.released("a").await;

    let new = Cluster { folder: TestFolder::new(), ..Cluster::new() };
    std::fs::rename(cluster.path("a"), new.path("a")).unwrap();
    remove_copy(&new.path("a"));
    let a = new.node("a").await;
    // Its handlers are there, and paused.
    let at_a = subscribe(&a, "web").await;
    until_stored(&a, 1).await;
    assert_eq!(offline(a.clone()).import(exported).await.unwrap().count, 4);
    let rest = take(&*at_a, 3).await;
    assert_eq!(types(&rest), ["five", "three", "four"], "what was delivered is not again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_appends_counts_where_the_log_has_later_sessions_of_its_name() {
    let cluster = Cluster::new();
    let a = cluster.node("a").await;
    append(&a, "one").await;
    cluster.end(a, "a").await;
    // What tells how late its session was is gone, and its clock was set back meanwhile.
    std::fs::remove_file(cluster.path("a").join("node.json")).unwrap();
    let clock = Arc::new(ShiftedClock::by(-24 * 3_600));
    let a = cluster.node_with("a", |options| ClusterOptions { clock, ..options }).await;
    append(&a, "two").await;
    until_stored(&a, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_in_a_new_folder_whose_clock_is_behind_its_own_units_says_so() {
    let cluster = Cluster::new();
    let a = cluster.node("a").await;
    append(&a, "one").await;
    cluster.end(a, "a").await;
    std::fs::rename(cluster.path("a"), cluster.path("before")).unwrap();
    let clock = Arc::new(ShiftedClock::by(-24 * 3_600));
    let a = cluster.node_with("a", |options| ClusterOptions { clock, ..options }).await;
    let why = a.failed().await;
    assert!(why.contains("clock has not come to yet"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_renamed_node_had_forwarded_under_its_old_name_is_not_appended_again() {
    let cluster = Cluster::new();
    let (a, connection) = cluster.node_apart("a").await;
    let mut ids = vec![append(&a, "one").await];
    until("nothing waits", || a.view().spilled == 0).await;
    connection.hold_reads(true);
    let before = cluster.engine.head().await.unwrap().next;
    // In the log, and not applied here: it is given up waiting for that.
    ids.push(append(&a, "two").await);
    assert!(cluster.engine.head().await.unwrap().next > before);
    assert_eq!(a.view().spilled, 1);
    drop(a);
    cluster.released("a").await;
    let renamed = cluster.try_node("b", "a", ClusterAck::Both).await.unwrap();
    ids.push(append(&renamed, "three").await);
    until("nothing waits any more", || renamed.view().spilled == 0).await;
    assert_once(&*renamed, &ids).await;
}
