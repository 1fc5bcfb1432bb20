//! What a gateway has answered for gets into the log once and in its order, whatever the engine does with it.

use std::sync::Arc;
use std::time::Duration;

use gatepost::clock::{Clock as _, SystemClock};
use gatepost::cluster::{ClusterAck, ClusterQueue, LogEngine as _};
use gatepost::event::{NewEvent, Position};
use gatepost::queue::{EventQuery, ListOrder, Queue, QueueError};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::rejoin::copy;
use super::{Cluster, PATIENCE, append, event, subscribe, take, types, until, until_stored};
use crate::support::events::{handler, new_event};

fn large(event_type: &str) -> NewEvent {
    NewEvent { body: vec![b'x'; 4_000].into(), ..event(event_type) }
}

/// As by servers that had not synced it when they were killed.
#[tokio::test(flavor = "multi_thread")]
async fn event_that_the_engine_acknowledged_and_lost_is_appended_again_and_none_passes_it() {
    for is_killed in [false, true] {
        let cluster = Cluster::new();
        let mut a = cluster.node("a").await;
        append(&a, "first").await;
        // A sign of life is kept, and so is a small event behind the large one.
        cluster.engine.set_kept(2_000);
        tokio::join!(async { a.append(large("large")).await.unwrap() }, async {
            until("it is on its way", || a.view().spilled > 0).await;
            tokio::join!(append(&a, "behind"), append(&a, "behind"))
        });
        let applied = a.view().applied;
        until("signs of life go on", || a.view().applied > applied + 1).await;
        assert_eq!((a.newest(), a.view().spilled), (Position(1), 3), "nothing passes it");
        if is_killed {
            drop(a);
            cluster.released("a").await;
            cluster.engine.set_kept(usize::MAX);
            a = cluster.node("a").await;
        }
        cluster.engine.set_kept(usize::MAX);
        until_stored(&a, 4).await;
        let subscription = subscribe(&a, "web").await;
        assert_eq!(types(&take(&*subscription, 4).await), ["first", "large", "behind", "behind"]);
        until("nothing waits any more", || a.view().spilled == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_what_the_engine_lost_is_told_so() {
    let cluster = Cluster::new();
    let a = cluster.node("a").await;
    append(&a, "first").await;
    // More than a sign of life has.
    let positions: Vec<Position> = (1..=1_000).map(Position).collect();
    cluster.engine.set_kept(500);
    let replayed = tokio::time::timeout(PATIENCE, a.replay(&handler("web"), &positions)).await;
    let replayed = replayed.expect("it is told");
    assert!(matches!(replayed, Err(QueueError::LogAway(_))), "{replayed:?}");
}

/// It says nothing by itself for an hour, and others go on.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_what_the_engine_lost_is_told_so_where_another_node_took_its_place() {
    let cluster = Cluster { lease: Duration::from_hours(1), ..Cluster::new() };
    let (a, b) = (cluster.node("a").await, cluster.node("b").await);
    until("both have begun", || a.view().nodes.len() == 2).await;
    let positions: Vec<Position> = (1..=1_000).map(Position).collect();
    cluster.engine.set_kept(500);
    let web = handler("web");
    let others = async {
        until("it is lost", || cluster.engine.n_lost_at_once() > 0).await;
        cluster.engine.set_kept(usize::MAX);
        append(&b, "behind").await;
    };
    let replayed = tokio::time::timeout(PATIENCE, a.replay(&web, &positions));
    let (replayed, ()) = tokio::join!(replayed, others);
    let replayed = replayed.expect("it is told");
    assert!(matches!(replayed, Err(QueueError::LogAway(_))), "{replayed:?}");
}

/// The types of all events of a node's copy, in their order.
async fn all_types(queue: &ClusterQueue) -> Vec<String> {
    let query = EventQuery { order: ListOrder::Oldest, limit: 1_000_000, ..EventQuery::default() };
    let events = queue.list(query).await.unwrap();
    events.iter().map(|event| event.event_type.as_str().to_owned()).collect()
}

/// Changes the byte in front of a text wherever it stands in a node's spool; a second time it is as before.
fn flip_in_spool(cluster: &Cluster, text: &str) {
    let mut n_flipped = 0;
    for file in std::fs::read_dir(cluster.path("a").join("spool/log")).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let found: Vec<usize> = memchr::memmem::find_iter(&bytes, text).collect();
        n_flipped += found.len();
        for at in found {
            bytes[at - 1] ^= 1;
        }
        std::fs::write(&path, bytes).unwrap();
    }
    assert!(n_flipped > 0, "{text} is in the spool");
}

/// Ends a node as a kill does, and begins it anew.
async fn restarted(cluster: &Cluster, node: Arc<ClusterQueue>) -> Arc<ClusterQueue> {
    drop(node);
    cluster.released("a").await;
    cluster.node("a").await
}

#[tokio::test(flavor = "multi_thread")]
async fn event_of_the_spool_that_cannot_be_read_at_its_turn_is_appended_once_it_can() {
    let cluster = Cluster::new();
    let a = cluster.node("a").await;
    append(&a, "zero").await;
    cluster.engine.set_away(true);
    append(&a, "one").await;
    let marked = NewEvent { body: "\"a text that is nowhere else\"".into(), ..event("two") };
    a.append(marked).await.unwrap();
    append(&a, "three").await;
    drop(a);
    cluster.released("a").await;
    flip_in_spool(&cluster, "a text that is nowhere else");
    cluster.engine.set_away(false);
    let mut a = cluster.node("a").await;
    for round in 0..2 {
        // What the log has is known by its place, and what it lacks is left out.
        until("nothing else waits", || a.view().spilled == 0).await;
        assert_eq!(all_types(&a).await, ["zero", "one", "three"], "round {round}");
        a = restarted(&cluster, a).await;
    }
    drop(a);
    cluster.released("a").await;
    flip_in_spool(&cluster, "a text that is nowhere else");
    let mut a = cluster.node("a").await;
    until_stored(&a, 4).await;
    for _ in 0..2 {
        a = restarted(&cluster, a).await;
        until("nothing waits any more", || a.view().spilled == 0).await;
    }
    append(&a, "behind").await;
    until_stored(&a, 5).await;
    assert_eq!(all_types(&a).await, ["zero", "one", "three", "two", "behind"]);
}

/// What it came in with and the log has it behind is hours apart: a search by its id does not find it.
#[tokio::test(flavor = "multi_thread")]
async fn event_that_was_forwarded_after_an_outage_is_not_appended_again_by_a_restart() {
    let cluster = Cluster::new();
    let b = cluster.node("b").await;
    let (a, engine) = cluster.node_apart("a").await;
    append(&a, "first").await;
    engine.set_cut(true);
    for event_type in ["one", "two", "three"] {
        append(&a, event_type).await;
    }
    // More than are looked through on either side.
    for _ in 0..3 {
        b.append_all(vec![event("at b"); 4_096]).await.unwrap();
    }
    let (spool, before) = (cluster.path("a").join("spool"), cluster.path("before"));
    copy(&spool, &before, &[]);
    let stored = 4 + 3 * 4_096;
    engine.set_cut(false);
    until_stored(&a, stored).await;
    drop(a);
    cluster.released("a").await;
    // As by a kill that takes what was recorded of them last.
    std::fs::remove_dir_all(&spool).unwrap();
    std::fs::rename(&before, &spool).unwrap();
    let a = cluster.node("a").await;
    until("nothing waits any more", || a.view().spilled == 0).await;
    append(&a, "behind").await;
    until_stored(&a, stored + 1).await;
}

/// A copy of the spool from before is looked through once, and not with each start.
#[tokio::test(flavor = "multi_thread")]
async fn look_for_what_the_log_may_lack_ends_with_the_last_event() {
    let cluster = Cluster::new();
    let a = cluster.node("a").await;
    append(&a, "one").await;
    let (folder, before) = (cluster.path("a"), cluster.path("before"));
    cluster.end(a, "a").await;
    copy(&folder.join("spool"), &before, &[]);
    let a = cluster.node("a").await;
    append(&a, "two").await;
    until("nothing waits any more", || a.view().spilled == 0).await;
    drop(a);
    cluster.released("a").await;
    std::fs::remove_dir_all(folder.join("spool")).unwrap();
    std::fs::rename(&before, folder.join("spool")).unwrap();
    let a = cluster.node("a").await;
    append(&a, "three").await;
    until_stored(&a, 3).await;
    until("all is sorted out", || !folder.join("republish").exists()).await;
    let a = restarted(&cluster, a).await;
    append(&a, "four").await;
    until_stored(&a, 4).await;
    assert_eq!(all_types(&a).await, ["one", "two", "three", "four"]);
}

/// Has the engine do something else, or the gateway begin anew.
async fn change_something(
    cluster: &Cluster,
    a: Arc<ClusterQueue>,
    random: &mut StdRng,
) -> Arc<ClusterQueue> {
    let size = if random.random() { 700 } else { usize::MAX };
    match random.random_range(0..6) {
        0 => cluster.engine.set_away(random.random()),
        1 => cluster.engine.lose_answers(random.random()),
        2 => cluster.engine.set_room(size),
        3 => cluster.engine.set_kept(size),
        4 => tokio::time::sleep(Duration::from_millis(random.random_range(0..300))).await,
        _ => {
            drop(a);
            cluster.released("a").await;
            return cluster.try_node("a", "a", ClusterAck::Local).await.unwrap();
        }
    }
    a
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_engine_does_each_event_is_there_once_and_in_its_order() {
    for seed in 0..4 {
        let mut random = StdRng::seed_from_u64(seed);
        let cluster = Cluster::new();
        let mut a = cluster.try_node("a", "a", ClusterAck::Local).await.unwrap();
        let mut expected = Vec::new();
        for n in 0..40 {
            a = change_something(&cluster, a, &mut random).await;
            for m in 0..random.random_range(1..6) {
                let body = format!("\"{}\"", "x".repeat(random.random_range(0..1_500)));
                let event_type = format!("e{n}-{m}");
                let event = new_event(&event_type, &body, SystemClock::new().now());
                a.append(event).await.unwrap();
                expected.push(event_type);
            }
        }
        cluster.engine.set_away(false);
        cluster.engine.lose_answers(false);
        cluster.engine.set_room(usize::MAX);
        cluster.engine.set_kept(usize::MAX);
        until_stored(&a, expected.len() as u64).await;
        until("nothing waits any more", || a.view().spilled == 0).await;
        let subscription = subscribe(&a, "web").await;
        assert_eq!(types(&take(&*subscription, expected.len()).await), expected, "seed {seed}");
        // What another one makes of the log, which it reads from its beginning, is the same.
        let end = cluster.engine.head().await.unwrap().next;
        let b = cluster.node("b").await;
        until("it has applied that", || b.view().applied > end.0).await;
        assert_eq!(all_types(&b).await, expected, "seed {seed}");
    }
}
