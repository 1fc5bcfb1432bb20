//! A shared log that is another one than before while the connection stays, that lacks units for a moment, or
//! has no room.

use std::sync::Arc;
use std::time::Duration;

use gatepost::cluster::{ClusterOptions, LogEngine as _, MemoryEngine, NodeView, Sequence};
use gatepost::event::NewEvent;
use gatepost::queue::Queue;

use super::{Cluster, PATIENCE, ShiftedClock, append, event, subscribe, until, until_stored};
use crate::support::events::handler;

/// Its last part is read, and what it asks for is not done yet: somebody has hold of the subscription.
#[tokio::test(flavor = "multi_thread")]
async fn large_unit_is_applied_by_a_node_that_was_killed_at_its_last_part() {
    // Every unit comes in parts; and no sign of life comes between them.
    let engine = MemoryEngine::new(136);
    let cluster = Cluster { lease: Duration::from_hours(1), ..Cluster::on(engine) };
    let a = cluster.node("a").await;
    let (b, connection) = cluster.node_apart("b").await;
    let (at_a, web) = (subscribe(&a, "web").await, handler("web"));
    let has_lease = || a.view().handlers.iter().any(|it| it.owner.is_some());
    until("it has the lease", has_lease).await;
    drop(at_a);
    until("its lease is given back", || !has_lease()).await;
    until("it is subscribed here too", || b.copy().has_subscription(&web)).await;
    let session = b.copy().attach(&web).unwrap();
    connection.hold_reads(true);
    assert!(a.forget(&web).await.unwrap());
    let last = cluster.engine.head().await.unwrap().next.0 - 1;
    until("nothing comes behind it", || a.view().applied == last).await;
    connection.hold_reads(false);
    until("all but the last part is applied", || b.view().applied == last - 1).await;
    drop(b);
    cluster.released("b").await;
    drop(session);
    let b = cluster.node("b").await;
    until("it is forgotten here too", || !b.copy().has_subscription(&web)).await;
}

/// As where the leader of a stream is another one, and has others of the newest units.
#[tokio::test(flavor = "multi_thread")]
async fn change_of_history_under_a_connection_that_stays_is_found_by_every_unit_since() {
    let cluster = Cluster::new();
    let (a, connection) = cluster.node_apart("a").await;
    append(&a, "one").await;
    // A unit that counts nowhere any more.
    let others = cluster.engine.read(Sequence(1), 1).await.unwrap().remove(0).bytes;
    let end = a.view().applied;
    append(&a, "two").await;
    let lost = a.view().applied;
    assert!(end < lost);
    connection.hold_reads(true);
    cluster.engine.fail_over(Sequence(lost));
    cluster.engine.append(&others).await.unwrap();
    cluster.engine.append(&others).await.unwrap();
    connection.hold_reads(false);
    let why = tokio::time::timeout(PATIENCE, a.failed()).await.expect("it is found out");
    assert!(why.contains(&format!("unit {lost} of the shared log is another one")), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn unit_that_is_missing_for_a_moment_ends_no_node() {
    let cluster = Cluster::new();
    let a = cluster.node("a").await;
    append(&a, "one").await;
    append(&a, "two").await;
    let (b, connection) = cluster.node_apart("b").await;
    until_stored(&b, 2).await;
    connection.hold_reads(true);
    append(&a, "three").await;
    let last = a.view().applied;
    let bytes = cluster.engine.read(Sequence(last), 1).await.unwrap().remove(0).bytes;
    cluster.engine.lose(Sequence(last));
    connection.hold_reads(false);
    let is_told = || b.view().engine.error.is_some_and(|why| why.contains("cannot be read"));
    until("it is told", is_told).await;
    cluster.engine.replace(Sequence(last), bytes);
    until_stored(&b, 3).await;
    until("it is as before", || b.view().engine.up && b.view().engine.error.is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn log_without_room_for_events_counts_as_away_until_it_has_room() {
    let cluster = Cluster::new();
    let a = cluster.node("a").await;
    append(&a, "first").await;
    // Room for a sign of life, and not for the event.
    cluster.engine.set_room(2_000);
    a.append(NewEvent { body: vec![b'x'; 4_000].into(), ..event("large") }).await.unwrap();
    until("it is told", || !a.view().engine.up).await;
    let (since, applied) = (a.view().engine.since, a.view().applied);
    until("signs of life go on", || {
        let engine = a.view().engine;
        assert!(!engine.up && engine.error.is_some_and(|why| why.contains("no room")));
        assert_eq!(engine.since, since, "it does not come and go");
        a.view().applied > applied + 2
    })
    .await;
    cluster.engine.set_room(usize::MAX);
    until_stored(&a, 2).await;
    until("it is as before", || a.view().engine.up && a.view().engine.error.is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn log_is_trimmed_where_gateways_are_restarted_every_day() {
    let cluster = Cluster::new();
    let b = cluster.node("b").await;
    until("it has given signs of life", || b.view().nodes.iter().any(|it| it.applied > 1)).await;
    // Never stopped in order: it is waited for for a day.
    drop(b);
    cluster.released("b").await;
    let end_of_b = cluster.engine.head().await.unwrap().next;
    for days in [0, 1, 2, 3] {
        let end = cluster.engine.head().await.unwrap().next;
        let clock = Arc::new(ShiftedClock::by(days * 25 * 3_600));
        let a = cluster.node_with("a", |options| ClusterOptions { clock, ..options }).await;
        append(&a, "one").await;
        until("it has tidied", || a.view().engine.durability.is_some()).await;
        let is_told = |it: &NodeView| it.name.as_str() == "a" && it.applied >= end.0;
        until("it has told how far it is", || a.view().nodes.iter().any(is_told)).await;
        let first = cluster.engine.head().await.unwrap().first;
        match days {
            0 | 1 => assert_eq!(first, Sequence(1)),
            2 => assert!(first > Sequence(1), "as far as both had it"),
            _ => assert!(first >= end_of_b, "as far as the other had it: {first}"),
        }
        cluster.end(a, "a").await;
    }
}
