//! What every node has the same.

use std::time::Duration;

use gatepost::event::{Dedupe, DedupeKey, Outcome};
use gatepost::queue::{Appended, DeadFilter, EventQuery, ListOrder, Queue, ReplayResult};

use super::{Cluster, append, deliver, event, subscribe, take, types, until, until_stored};
use crate::support::clock::BEGINNING;
use crate::support::events::{handler, settlement, tried};

async fn listed(queue: &dyn Queue) -> Vec<(u64, String)> {
    let query = EventQuery { order: ListOrder::Oldest, limit: 1_000, ..EventQuery::default() };
    let events = queue.list(query).await.unwrap();
    events.iter().map(|event| (event.position.0, event.id.to_string())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_all_nodes_stand_in_one_order_on_each() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a").await, cluster.node("b").await);
    let appends = (0..40).map(|n| {
        let queue = if n % 2 == 0 { &a } else { &b };
        append(queue, "x")
    });
    let ids = futures_util::future::join_all(appends).await;
    let mut ids: Vec<String> = ids.into_iter().map(|id| id.to_string()).collect();
    until_stored(&a, 40).await;
    until_stored(&b, 40).await;
    let order = listed(&*a).await;
    assert_eq!(order, listed(&*b).await);
    let mut stored: Vec<String> = order.into_iter().map(|(_, id)| id).collect();
    stored.sort();
    ids.sort();
    assert_eq!(stored, ids, "each event is there once");
    for id in ids {
        assert!(b.get(id.parse().unwrap()).await.unwrap().is_some(), "found by its id everywhere");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_at_another_node_is_the_same_event() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a").await, cluster.node("b").await);
    let within = Dedupe::Within { key: DedupeKey([7; 16]), window: Duration::from_hours(1) };
    let mut first = event("x");
    first.dedupe = within;
    let stored = a.append(first.clone()).await.unwrap();
    assert_eq!(b.append(first.clone()).await.unwrap(), Appended::Duplicate(stored.id()));
    assert_eq!(a.append(first).await.unwrap(), Appended::Duplicate(stored.id()));
    append(&b, "y").await;
    until_stored(&a, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_comes_later_makes_the_same_of_the_log() {
    let cluster = Cluster::new();
    let a = cluster.node("a").await;
    let subscription = subscribe(&a, "web").await;
    for event_type in ["one", "two", "three"] {
        append(&a, event_type).await;
    }
    let mut taken = take(&*subscription, 3).await;
    let dead = tried(Outcome::Dead { order_key: None }, BEGINNING, "no");
    subscription.settle(settlement(taken.remove(2), dead)).await.unwrap();
    deliver(&*subscription, taken).await;

    let b = cluster.node("b").await;
    until_stored(&b, 3).await;
    until("outcomes are applied", || {
        let stats = b.stats();
        stats.handlers.iter().any(|(_, backlog)| backlog.dead == 1 && backlog.in_log == 0)
    })
    .await;
    let dead = b.dead(DeadFilter::default()).await.unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].reason.as_str(), "no");
    // Not the owner, and it changes them all the same.
    assert_eq!(b.redrive(DeadFilter::default()).await.unwrap(), 1);
    let again = take(&*subscription, 1).await;
    assert_eq!(types(&again), ["three"]);
    deliver(&*subscription, again).await;
    let first = listed(&*a).await[0].0;
    let position = gatepost::event::Position(first);
    let replayed = b.replay(&handler("web"), &[position]).await.unwrap();
    assert_eq!(replayed, [ReplayResult::Restarted]);
    assert_eq!(types(&take(&*subscription, 1).await), ["one"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_event_goes_in_parts() {
    let cluster = Cluster::on(gatepost::cluster::MemoryEngine::new(4 << 10));
    let (a, b) = (cluster.node("a").await, cluster.node("b").await);
    let mut large = event("large");
    large.body = bytes::Bytes::from(vec![b'x'; 100 << 10]);
    let id = a.append(large.clone()).await.unwrap().id();
    append(&b, "small").await;
    until_stored(&b, 2).await;
    assert_eq!(b.get(id).await.unwrap().unwrap().body, large.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_goes_on_where_it_was_killed() {
    let cluster = Cluster::new();
    let mut order = Vec::new();
    for round in 1..=4 {
        let a = cluster.node("a").await;
        for _ in 0..10 {
            append(&a, "x").await;
        }
        until_stored(&a, round * 10).await;
        let listed = listed(&*a).await;
        assert!(listed.starts_with(&order), "what was there stands where it stood");
        order = listed;
        drop(a);
        cluster.released("a").await;
    }
    let b = cluster.node("b").await;
    until_stored(&b, 40).await;
    assert_eq!(listed(&*b).await, order);
}
