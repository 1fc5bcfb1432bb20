//! An engine that is away, loses its answers or its memory.

use std::time::Duration;

use bytes::Bytes;
use gatepost::clock::Stopwatch;
use gatepost::cluster::{ClusterAck, LogEngine as _, Sequence};
use gatepost::event::{Dedupe, DedupeKey, Position};
use gatepost::queue::{Appended, Queue, QueueError};

use crate::support::events::handler;

use super::{
    Cluster, LEASE, PATIENCE, append, deliver, event, subscribe, take, types, until, until_stored,
};

#[tokio::test(flavor = "multi_thread")]
async fn while_the_engine_is_away_events_are_kept_and_forwarded_in_order() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a").await, cluster.node("b").await);
    append(&a, "first").await;
    until_stored(&b, 1).await;
    cluster.engine.set_away(true);
    until("it is noticed", || !a.view().engine.up).await;
    let mut expected = vec!["first".to_owned()];
    for n in 0..20 {
        let event_type = format!("away-{n}");
        let id = append(&a, &event_type).await;
        assert!(a.get(id).await.unwrap().is_some(), "it can be looked up before it has a place");
        expected.push(event_type);
    }
    assert_eq!(a.view().spilled, 20);
    assert!(a.view().oldest_spilled_at.is_some());
    assert_eq!(a.newest().0, 1, "it has no place yet");
    cluster.engine.set_away(false);
    until_stored(&b, 21).await;
    until("nothing waits any more", || a.view().spilled == 0).await;
    let subscription = subscribe(&b, "web").await;
    assert_eq!(types(&take(&*subscription, 21).await), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_waits_for_room_and_nothing_behind_it_goes_before() {
    let cluster = Cluster::new();
    let a = cluster.node("a").await;
    let subscription = subscribe(&a, "web").await;
    append(&a, "first").await;
    // Room for a sign of life, for a small event too, and not for the large one before it.
    cluster.engine.set_room(2_000);
    let mut large = event("large");
    large.body = vec![b'x'; 4_000].into();
    a.append(large).await.unwrap();
    for event_type in ["behind-1", "behind-2"] {
        append(&a, event_type).await;
    }
    let (before, beats) = (a.newest(), a.view().applied);
    until("signs of life go on", || a.view().applied > beats + 1).await;
    assert_eq!((a.newest(), a.view().spilled), (before, 3));
    cluster.engine.set_room(usize::MAX);
    until_stored(&a, 4).await;
    assert_eq!(types(&take(&*subscription, 4).await), ["first", "large", "behind-1", "behind-2"]);
    until("nothing waits any more", || a.view().spilled == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_that_the_engine_refused_takes_part_again() {
    let cluster = Cluster::new();
    let a = cluster.node("a").await;
    append(&a, "first").await;
    until_stored(&a, 1).await;
    cluster.engine.set_away(true);
    until("it is noticed", || !a.view().engine.up).await;
    cluster.engine.set_refusing(true);
    cluster.engine.set_away(false);
    // The newest reason is told.
    let is_told = || a.view().engine.error.is_some_and(|why| why.contains("password"));
    until("it is told why", is_told).await;
    append(&a, "second").await;
    let b = cluster.node("b").await;
    until("one that starts says it as well", || b.view().engine.error.is_some()).await;
    cluster.engine.set_refusing(false);
    until_stored(&b, 2).await;
    until("it is back", || a.view().engine.up && a.view().spilled == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_of_life_that_the_engine_lost_is_followed_by_others() {
    let cluster = Cluster::new();
    let a = cluster.node("a").await;
    append(&a, "first").await;
    cluster.engine.set_kept(0);
    until("one is lost", || cluster.engine.n_lost_at_once() > 0).await;
    cluster.engine.set_kept(usize::MAX);
    let applied = a.view().applied;
    until("another one comes", || a.view().applied > applied).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_while_the_engine_was_away_survives_a_kill() {
    let cluster = Cluster::new();
    let a = cluster.node("a").await;
    cluster.engine.set_away(true);
    until("it is noticed", || !a.view().engine.up).await;
    let id = append(&a, "kept").await;
    drop(a);
    cluster.released("a").await;
    cluster.engine.set_away(false);
    let a = cluster.node("a").await;
    until_stored(&a, 1).await;
    assert_eq!(a.get(id).await.unwrap().unwrap().event_type.as_str(), "kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_engine_nothing_is_taken_in_where_it_must_have_all() {
    let cluster = Cluster::new();
    let a = cluster.try_node("a", "a", ClusterAck::Engine).await.unwrap();
    append(&a, "one").await;
    cluster.engine.set_away(true);
    until("it is noticed", || !a.view().engine.up).await;
    let refused = a.append(event("two")).await;
    assert!(matches!(refused, Err(QueueError::LogAway(_))), "{refused:?}");
    assert!(a.probe().await.is_err());
    cluster.engine.set_away(false);
    until("it is back", || a.view().engine.up).await;
    append(&a, "three").await;
    until_stored(&a, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_stores_nothing_twice() {
    // No sign of life is answered meanwhile, for longer than a short lease on a machine with more to do.
    let cluster = Cluster { lease: Duration::from_hours(1), ..Cluster::new() };
    let (a, b) = (cluster.node("a").await, cluster.node("b").await);
    let subscription = subscribe(&b, "web").await;
    cluster.engine.lose_answers(true);
    for n in 0..5 {
        append(&a, &format!("e{n}")).await;
    }
    cluster.engine.lose_answers(false);
    append(&a, "last").await;
    let taken = take(&*subscription, 6).await;
    assert_eq!(types(&taken), ["e0", "e1", "e2", "e3", "e4", "last"]);
    deliver(&*subscription, taken).await;
    until_stored(&a, 6).await;
    until_stored(&b, 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_that_took_the_same_event_in_during_an_outage_store_it_once() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a").await, cluster.node("b").await);
    cluster.engine.set_away(true);
    until("it is noticed", || !a.view().engine.up && !b.view().engine.up).await;
    let mut same = event("same");
    let window = Duration::from_hours(1);
    same.dedupe = Dedupe::Within { key: DedupeKey([9; 16]), window };
    for queue in [&a, &b] {
        let stored = queue.append(same.clone()).await.unwrap();
        assert!(matches!(stored, Appended::Stored(_)), "each node knows its own only");
    }
    cluster.engine.set_away(false);
    append(&a, "behind a").await;
    append(&b, "behind b").await;
    until_stored(&a, 3).await;
    until_stored(&b, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_or_missing_unit_stops_the_node_that_meets_it() {
    for is_missing in [true, false] {
        let cluster = Cluster::new();
        let a = cluster.node("a").await;
        append(&a, "one").await;
        append(&a, "two").await;
        if is_missing {
            cluster.engine.lose(Sequence(2));
        } else {
            cluster.engine.replace(Sequence(2), Bytes::from_static(b"flipped"));
        }
        let b = cluster.node("b").await;
        let why = b.failed().await;
        assert!(why.contains(if is_missing { "missing" } else { "unit 2" }), "{why}");
        let error = b.view().engine.error.unwrap();
        assert!(error.contains(&why), "people see it: {error}");
        append(&a, "three").await;
    }
}

/// As by a `DELETE` in PostgreSQL's tables, which leaves the log's beginning where it was.
#[tokio::test(flavor = "multi_thread")]
async fn units_that_are_gone_where_a_node_had_ended_are_told_when_it_starts() {
    let cluster = Cluster::new();
    let a = cluster.node("a").await;
    append(&a, "one").await;
    cluster.end(a, "a").await;
    let end = cluster.engine.head().await.unwrap().next;
    for sequence in 1..end.0 {
        cluster.engine.lose(Sequence(sequence));
    }
    let a = cluster.node("a").await;
    let why = a.failed().await;
    assert!(why.contains("were removed by hand"), "{why}");
    assert_eq!(a.view().failure(), Some(why.as_str()), "people see it");
    append(&a, "kept").await;
    assert_eq!((a.view().spilled, a.newest().0), (1, 1));
    // It is told that waiting is of no use, and neither is asked to wait.
    let asked = Stopwatch::start();
    drop(subscribe(&a, "web").await);
    for told in [
        a.try_elsewhere(&handler("web"), None).await,
        a.set_pause(&handler("web"), None, Some(String::new())).await.map(drop),
        a.replay(&handler("web"), &[Position(1)]).await.map(drop),
    ] {
        assert!(matches!(told, Err(QueueError::NoPart)), "{told:?}");
    }
    assert!(asked.elapsed() < LEASE / 2, "{:?}", asked.elapsed());
    // What it has settled would be said of other events, if the log went another way.
    assert_eq!(cluster.engine.head().await.unwrap().next, end, "nothing is appended");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_of_one_name_are_told_apart() {
    let cluster = Cluster::new();
    let first = cluster.node("a").await;
    append(&first, "one").await;
    // A copy of the configuration on another machine.
    let second = cluster.try_node("a", "other", ClusterAck::Both).await.unwrap();
    append(&second, "two").await;
    let why = first.failed().await;
    assert!(why.contains("called `a` too"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_lost_what_was_applied_is_told_of() {
    for n_others in [0, 1, 5] {
        let cluster = Cluster::new();
        let (a, connection) = cluster.node_apart("a").await;
        for event_type in ["one", "two", "three"] {
            append(&a, event_type).await;
        }
        connection.set_cut(true);
        until("it is noticed", || !a.view().engine.up).await;
        let applied = a.view().applied;
        cluster.engine.fail_over(Sequence(applied));
        for _ in 0..n_others {
            // Others have gone on meanwhile, another way; with five it is longer than before.
            cluster.engine.append(&Bytes::from_static(b"another")).await.unwrap();
        }
        connection.set_cut(false);
        let why = a.failed().await;
        let is_shorter = why.contains("ends before");
        assert_eq!(is_shorter, n_others == 0, "{why}");
        assert!(why.contains("restart this gateway"), "{why}");
        assert!(
            matches!(a.append(event("kept")).await, Ok(Appended::Stored(_))),
            "it is kept here"
        );
        let before = cluster.engine.head().await.unwrap().next;
        // Several signs of life long.
        tokio::time::sleep(LEASE).await;
        assert_eq!(cluster.engine.head().await.unwrap().next, before, "nothing is appended");
    }
}

/// As servers that restart from an older copy while nothing is asked of them.
#[tokio::test(flavor = "multi_thread")]
async fn change_of_history_that_no_call_was_told_of_is_found_before_anything_is_appended() {
    let cluster = Cluster::new();
    let a = cluster.node("a").await;
    for event_type in ["one", "two", "three"] {
        append(&a, event_type).await;
    }
    let before = cluster.engine.head().await.unwrap().next;
    let others = cluster.engine.read(Sequence(1), 1).await.unwrap().remove(0).bytes;
    // Two that the node has applied are others now, and more than it has seen.
    cluster.engine.restart_from(Sequence(before.0 - 2));
    for _ in 0..10 {
        cluster.engine.append(&others).await.unwrap();
    }
    let length = cluster.engine.head().await.unwrap().next;
    let appended = tokio::time::timeout(PATIENCE, async {
        tokio::join!(a.append(event("four")), a.failed()).1
    });
    let why = appended.await.expect("it is found out");
    assert!(why.contains("is another one than this gateway has applied"), "{why}");
    assert_eq!(cluster.engine.head().await.unwrap().next, length, "nothing was appended to it");
}

#[tokio::test(flavor = "multi_thread")]
async fn change_of_history_while_a_node_was_down_is_found_at_its_start() {
    let cluster = Cluster::new();
    let a = cluster.node("a").await;
    append(&a, "one").await;
    append(&a, "two").await;
    let applied = a.view().applied;
    cluster.end(a, "a").await;
    cluster.engine.fail_over(Sequence(applied));
    for _ in 0..5 {
        cluster.engine.append(&Bytes::from_static(b"another")).await.unwrap();
    }
    let a = cluster.node("a").await;
    let why = a.failed().await;
    assert!(why.contains("another one"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_log_lost_is_appended_again_by_the_gateway_that_had_answered_it() {
    let cluster = Cluster::new();
    let (mut a, mut b) = (cluster.node("a").await, cluster.node("b").await);
    let mut ids = Vec::new();
    for n in 0..10 {
        ids.push(append(if n % 2 == 0 { &a } else { &b }, &format!("e{n}")).await);
    }
    until_stored(&a, 10).await;
    until_stored(&b, 10).await;
    // A failover to a copy that lacks some of them. New ones come in before it is noticed.
    cluster.engine.fail_over(Sequence(a.view().applied.min(b.view().applied) / 2));
    ids.push(append(&a, "e10").await);
    ids.push(append(&b, "e11").await);
    for queue in [&a, &b] {
        let why = queue.failed().await;
        assert!(why.contains("restart this gateway"), "{why}");
    }
    ids.push(append(&a, "e12").await);
    drop((a, b));
    for node in ["a", "b"] {
        cluster.released(node).await;
    }
    (a, b) = (cluster.node("a").await, cluster.node("b").await);
    until_stored(&a, 13).await;
    until_stored(&b, 13).await;
    for queue in [&a, &b] {
        for id in &ids {
            assert!(queue.get(*id).await.unwrap().is_some(), "{id}");
        }
        until("nothing waits any more", || queue.view().spilled == 0).await;
        assert!(queue.view().failure().is_none());
    }
    for node in ["a", "b"] {
        assert!(cluster.path(&format!("{node}-before")).is_dir(), "the old copy is put aside");
    }
    // Events of one gateway keep their order.
    let subscription = subscribe(&a, "web").await;
    let taken = types(&take(&*subscription, 13).await);
    let of_a: Vec<_> =
        taken.iter().filter(|it| ["e0", "e2", "e4", "e6", "e8"].contains(&it.as_str())).collect();
    assert_eq!(of_a, ["e0", "e2", "e4", "e6", "e8"]);
    // Once is enough.
    a.close().await.unwrap();
    drop((subscription, a));
    cluster.released("a").await;
    let a = cluster.node("a").await;
    append(&a, "e13").await;
    until_stored(&a, 14).await;
}
