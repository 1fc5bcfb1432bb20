//! One owner per handler.

use std::collections::BTreeMap;
use std::time::Duration;

use gatepost::cluster::{ClusterQueue, NodeName};
use gatepost::event::Outcome;
use gatepost::queue::{Queue, QueueError};

use super::{
    Cluster, LEASE, PATIENCE, append, deliver, subscribe, take, types, until, until_stored,
};
use crate::support::clock::BEGINNING;
use crate::support::events::{handler, settlement, tried};

/// Which node has each handler, as `queue` knows.
pub(super) fn owners(queue: &ClusterQueue) -> BTreeMap<String, Option<String>> {
    let handlers = queue.view().handlers.into_iter();
    let name = |owner: NodeName| owner.as_str().to_owned();
    handlers.map(|one| (one.handler.as_str().to_owned(), one.owner.map(name))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_given_out_by_one_node_only() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a").await, cluster.node("b").await);
    let (at_a, at_b) = (subscribe(&a, "web").await, subscribe(&b, "web").await);
    until("one node has the handler", || owners(&a).contains_key("web")).await;
    append(&a, "one").await;
    append(&b, "two").await;
    let mut n_given = 0;
    while n_given < 2 {
        let (subscription, given) = tokio::select! {
            given = at_a.next(10) => (&at_a, given.unwrap()),
            given = at_b.next(10) => (&at_b, given.unwrap()),
        };
        n_given += given.len();
        deliver(&**subscription, given).await;
    }
    until("both know that all is settled", || {
        let is_done = |queue: &dyn Queue| queue.stats().handlers.iter().all(|it| it.1.in_log == 0);
        is_done(&*a) && is_done(&*b)
    })
    .await;
    let nothing = tokio::time::timeout(LEASE * 2, async {
        tokio::select! {
            given = at_a.next(10) => given,
            given = at_b.next(10) => given,
        }
    });
    assert!(nothing.await.is_err(), "nothing is given out twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_are_spread_and_move_when_a_node_comes() {
    let cluster = Cluster::new();
    let a = cluster.node("a").await;
    let names: Vec<String> = (0..8).map(|n| format!("h{n}")).collect();
    let mut subscriptions = Vec::new();
    for name in &names {
        subscriptions.push(subscribe(&a, name).await);
    }
    // A subscription is looked after as soon as something asks it.
    let is_all_owned = |queue: &ClusterQueue| {
        let owners = owners(queue);
        owners.len() == names.len() && owners.values().all(Option::is_some)
    };
    until("the only node has all", || is_all_owned(&a)).await;
    let b = cluster.node("b").await;
    for name in &names {
        subscriptions.push(subscribe(&b, name).await);
    }
    until("each node has some", || {
        let owners = owners(&b);
        let n_of = |node: &str| owners.values().filter(|it| it.as_deref() == Some(node)).count();
        is_all_owned(&b) && n_of("a") > 0 && n_of("b") > 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_owner_had_is_delivered_by_another() {
    let cluster = Cluster::new();
    let a = cluster.node("a").await;
    let at_a = subscribe(&a, "web").await;
    for event_type in ["one", "two", "three"] {
        append(&a, event_type).await;
    }
    let mut taken = take(&*at_a, 2).await;
    deliver(&*at_a, vec![taken.remove(0)]).await;
    let b = cluster.node("b").await;
    until_stored(&b, 3).await;
    let at_b = subscribe(&b, "web").await;
    // Killed: it tells no one.
    drop((at_a, a));
    let rest = take(&*at_b, 2).await;
    assert_eq!(types(&rest), ["two", "three"], "what was settled does not come again");
    deliver(&*at_b, rest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_was_replaced_settles_nothing() {
    let cluster = Cluster::new();
    let (a, connection) = cluster.node_apart("a").await;
    let at_a = subscribe(&a, "web").await;
    append(&a, "one").await;
    append(&a, "two").await;
    let mut taken = take(&*at_a, 2).await;
    let b = cluster.node("b").await;
    until_stored(&b, 2).await;
    let at_b = subscribe(&b, "web").await;
    // Longer than the lease, with calls under way.
    connection.set_cut(true);
    let at_other = take(&*at_b, 2).await;
    assert_eq!(types(&at_other), ["one", "two"]);
    deliver(&*at_b, at_other).await;
    assert!(at_a.is_over(), "it knows without a word from the log");
    let dead = tried(Outcome::Dead { order_key: None }, BEGINNING, "too late");
    let too_late = settlement(taken.remove(0), dead);
    let (settled, ()) = tokio::join!(at_a.settle(too_late), async { connection.set_cut(false) });
    settled.unwrap();
    assert_eq!(a.view().void_settlements, 1);
    for queue in [&a, &b] {
        let is_settled = |backlog: &gatepost::queue::Backlog| {
            (backlog.dead, backlog.in_log, backlog.waiting) == (0, 0, 0)
        };
        until("both know that all is settled", || {
            queue.stats().handlers.iter().all(|(_, backlog)| is_settled(backlog))
        })
        .await;
    }
    // Whoever has it next gives out what is new only.
    at_a.begin_anew();
    append(&b, "three").await;
    let next = tokio::select! {
        taken = take(&*at_a, 1) => taken,
        taken = take(&*at_b, 1) => taken,
    };
    assert_eq!(types(&next), ["three"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_was_cut_off_and_not_replaced_goes_on() {
    let cluster = Cluster::new();
    let a = cluster.node("a").await;
    let at_a = subscribe(&a, "web").await;
    append(&a, "one").await;
    append(&a, "two").await;
    let mut taken = take(&*at_a, 2).await;
    cluster.engine.set_away(true);
    until("its lease is over", || at_a.is_over()).await;
    cluster.engine.set_away(false);
    deliver(&*at_a, vec![taken.remove(0)]).await;
    assert_eq!(a.view().void_settlements, 0, "nobody else has tried it");
    at_a.begin_anew();
    assert_eq!(types(&take(&*at_a, 1).await), ["two"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_delivered_while_the_log_was_away_does_not_come_to_the_next_subscription() {
    let cluster = Cluster { lease: Duration::from_hours(1), ..Cluster::new() };
    let a = cluster.node("a").await;
    let at_a = subscribe(&a, "web").await;
    append(&a, "one").await;
    append(&a, "two").await;
    let taken = take(&*at_a, 2).await;
    cluster.engine.set_away(true);
    deliver(&*at_a, taken).await;
    drop(at_a);
    let at_a = subscribe(&a, "web").await;
    // As a pause does, which drops what waits.
    let waits = tokio::time::timeout(Duration::from_millis(100), at_a.next(1)).await;
    assert!(waits.is_err(), "nothing is given out before it is known what is settled");
    cluster.engine.set_away(false);
    append(&a, "three").await;
    assert_eq!(types(&take(&*at_a, 1).await), ["three"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_node_hands_over_at_once() {
    // No lease runs out while the test waits.
    let cluster = Cluster { lease: Duration::from_hours(1), ..Cluster::new() };
    let (a, b) = (cluster.node("a").await, cluster.node("b").await);
    let at_a = subscribe(&a, "web").await;
    append(&a, "one").await;
    let taken = take(&*at_a, 1).await;
    deliver(&*at_a, taken).await;
    a.close().await.unwrap();
    drop(at_a);
    append(&b, "two").await;
    let at_b = subscribe(&b, "web").await;
    assert_eq!(types(&take(&*at_b, 1).await), ["two"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_another_node_delivers_to_is_not_forgotten() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a").await, cluster.node("b").await);
    let at_a = subscribe(&a, "web").await;
    append(&a, "one").await;
    let taken = take(&*at_a, 1).await;
    until_stored(&b, 1).await;
    let refused = b.forget(&handler("web")).await;
    assert!(matches!(refused, Err(QueueError::Busy(_))), "{refused:?}");
    deliver(&*at_a, taken).await;
    drop(at_a);
    until("its lease is given back", || owners(&b).values().all(Option::is_none)).await;
    assert!(b.forget(&handler("web")).await.unwrap());
    until("it is forgotten everywhere", || a.stats().handlers.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_was_forgotten_behind_an_owners_back_holds_up_no_node() {
    let cluster = Cluster::new();
    let (a, connection) = cluster.node_apart("a").await;
    let at_a = subscribe(&a, "web").await;
    append(&a, "one").await;
    let taken = take(&*at_a, 1).await.remove(0);
    let b = cluster.node("b").await;
    until_stored(&b, 1).await;
    connection.set_cut(true);
    let at_b = subscribe(&b, "web").await;
    until("the other node has it", || owners(&b)["web"].as_deref() == Some("b")).await;
    drop(at_b);
    until("its lease is given back", || owners(&b)["web"].is_none()).await;
    assert!(b.forget(&handler("web")).await.unwrap());
    // The call under way ends with a retry, which is waited for until it was applied.
    let retry = Outcome::Retry { at: BEGINNING, order_key: None };
    let too_late = settlement(taken, tried(retry, BEGINNING, "down"));
    let settled = async {
        let (settled, ()) = tokio::join!(at_a.settle(too_late), async {
            connection.set_cut(false);
        });
        settled
    };
    let settled = tokio::time::timeout(PATIENCE, settled).await;
    settled.expect("the log is applied while a call has hold of the handler").unwrap();
    assert!(at_a.is_over());
    at_a.begin_anew();
    assert_eq!(types(&take(&*at_a, 1).await), ["one"], "it is a new handler");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_on_every_node_and_over_a_take_over_and_a_restart() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a").await, cluster.node("b").await);
    let at_a = subscribe(&a, "web").await;
    append(&a, "one").await;
    let taken = take(&*at_a, 1).await;
    // By the node that does not have it.
    let web = handler("web");
    assert!(b.set_pause(&web, None, Some("by hand".to_owned())).await.unwrap());
    assert!(!b.set_pause(&web, None, Some("by hand".to_owned())).await.unwrap(), "it is so");
    until("its owner knows", || a.pause_of(&web).as_deref() == Some("by hand")).await;
    assert!(a.view().handlers.iter().all(|one| one.paused));
    append(&a, "two").await;
    until_stored(&b, 2).await;
    // What was given out is settled all the same.
    deliver(&*at_a, taken).await;
    let nothing = tokio::time::timeout(LEASE / 4, at_a.next(1)).await;
    assert!(nothing.is_err() || nothing.unwrap().unwrap().is_empty(), "it is paused");
    // Its owner is killed: the one that takes over has no more of it.
    drop((at_a, a));
    let at_b = subscribe(&b, "web").await;
    let given = async {
        loop {
            let given = at_b.next(1).await.unwrap();
            if !given.is_empty() {
                return given;
            }
            at_b.begin_anew();
        }
    };
    let is_given = tokio::time::timeout(LEASE * 2, given).await.is_ok();
    assert!(!is_given, "the pause is the handler's, not its owner's");
    assert_eq!(owners(&b)["web"].as_deref(), Some("b"), "it was taken over");
    // A node that knows nothing but its own copy has it too.
    cluster.released("a").await;
    cluster.engine.set_away(true);
    let a = cluster.node("a").await;
    assert_eq!(a.pause_of(&web).as_deref(), Some("by hand"));
    cluster.engine.set_away(false);
    // An end that was meant for another pause is not heard.
    assert!(!a.set_pause(&web, Some("another".to_owned()), None).await.unwrap());
    assert!(a.set_pause(&web, Some("by hand".to_owned()), None).await.unwrap());
    let at_a = subscribe(&a, "web").await;
    let next = tokio::select! {
        taken = take(&*at_a, 1) => taken,
        taken = take(&*at_b, 1) => taken,
    };
    assert_eq!(types(&next), ["two"]);
}

/// As with a disk that is full, or a long way behind: what it sends is taken, and it applies nothing.
#[tokio::test(flavor = "multi_thread")]
async fn gateway_that_does_not_get_on_with_the_log_keeps_and_takes_no_lease() {
    let cluster = Cluster::new();
    let b = cluster.node("b").await;
    let (a, engine) = cluster.node_apart("a").await;
    let mut at_b = Vec::new();
    let mut at_a = Vec::new();
    for name in ["web", "mail", "sheet", "chat"] {
        at_a.push(subscribe(&a, name).await);
        at_b.push(subscribe(&b, name).await);
    }
    until("both have some", || {
        let owners = owners(&b);
        ["a", "b"].iter().all(|node| owners.values().flatten().any(|owner| owner == node))
    })
    .await;
    engine.hold_reads(true);
    for round in 0..2 {
        append(&b, "event").await;
        for subscription in &at_b {
            let taken = take(&**subscription, 1).await;
            deliver(&**subscription, taken).await;
        }
        // As long as several signs of life take.
        let applied = b.view().applied;
        until("some time passes", || b.view().applied > applied + 8).await;
        let owners = owners(&b);
        assert!(owners.values().flatten().all(|owner| owner == "b"), "round {round}: {owners:?}");
    }
    drop(at_a);
}
