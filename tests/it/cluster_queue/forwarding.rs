//! What a gateway has answered for gets into the log once and in its order, whatever the engine does with it.

use std::time::Duration;

use gatepost::clock::{Clock as _, SystemClock};
use gatepost::cluster::{ClusterAck, ClusterQueue, LogEngine as _};
use gatepost::event::{NewEvent, Position};
use gatepost::queue::{Queue, QueueError};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

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

/// As where an event could not be read when its turn came, and can be now.
#[tokio::test(flavor = "multi_thread")]
async fn event_of_the_spool_whose_place_the_log_has_passed_is_not_taken_for_known() {
    let (cluster, other) = (Cluster::new(), Cluster::new());
    let a = cluster.node("a").await;
    for event_type in ["one", "two"] {
        append(&a, event_type).await;
    }
    until("nothing waits any more", || a.view().spilled == 0).await;
    drop(a);
    other.engine.set_away(true);
    let a = other.node("a").await;
    for event_type in ["three", "four", "five"] {
        append(&a, event_type).await;
    }
    drop(a);
    for cluster in [&cluster, &other] {
        cluster.released("a").await;
    }
    let spool = cluster.path("a").join("spool");
    std::fs::remove_dir_all(&spool).unwrap();
    std::fs::rename(other.path("a").join("spool"), &spool).unwrap();
    for n_more in 0..2 {
        let a = cluster.node("a").await;
        until_stored(&a, 5 + n_more).await;
        until("nothing waits any more", || a.view().spilled == 0).await;
        until("all is sorted out", || !cluster.path("a").join("republish").exists()).await;
        append(&a, "behind").await;
        until_stored(&a, 6 + n_more).await;
        drop(a);
        cluster.released("a").await;
    }
    let a = cluster.node("a").await;
    let subscription = subscribe(&a, "web").await;
    let expected = ["one", "two", "three", "four", "five", "behind", "behind"];
    assert_eq!(types(&take(&*subscription, 7).await), expected);
}

/// Has the engine do something else, or the gateway begin anew.
async fn change_something(
    cluster: &Cluster,
    a: std::sync::Arc<ClusterQueue>,
    random: &mut StdRng,
) -> std::sync::Arc<ClusterQueue> {
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
        // What the next start makes of the log is the same.
        let end = cluster.engine.head().await.unwrap().next;
        drop((subscription, a));
        cluster.released("a").await;
        let a = cluster.node("a").await;
        until("it has applied that", || a.view().applied > end.0).await;
        assert_eq!(a.newest().0, expected.len() as u64, "seed {seed}");
    }
}
