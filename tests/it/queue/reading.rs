//! What the admin side reads.

use std::time::Duration;

use bytes::Bytes;
use gatepost::event::{Event, EventId, Outcome, Position};
use gatepost::queue::{
    Backlog, DeliveryHistory, DeliveryState, EventQuery, ListOrder, Start, Subscription,
};
use uuid::Uuid;

use super::{Backend, World, settle, take, take_one, take_types};
use crate::support::events::{handler, key, new_event, settlement, source, tried, untried};

pub(super) async fn an_event_is_found_by_its_id<B: Backend>(world: World<B>) {
    let id = world.append("a").await;
    let event = world.queue.get(id).await.unwrap().unwrap();
    assert_eq!((event.id, event.position), (id, Position(1)));
    assert!(world.queue.get(EventId(Uuid::nil())).await.unwrap().is_none());
}

fn oldest(limit: usize) -> EventQuery {
    EventQuery { order: ListOrder::Oldest, limit, ..EventQuery::default() }
}

fn newest(limit: usize) -> EventQuery {
    EventQuery { limit, ..EventQuery::default() }
}

fn positions(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.position.0).collect()
}

async fn check<B: Backend>(world: &World<B>, query: EventQuery, expected: &[u64]) {
    let found = world.queue.list(query.clone()).await.unwrap();
    assert_eq!(positions(&found), expected, "{query:?}");
}

pub(super) async fn events_are_listed_from_either_end<B: Backend>(mut world: World<B>) {
    check(&world, newest(10), &[]).await;
    world.append_all(&["a", "b", "c"]).await;
    for _ in 0..2 {
        check(&world, newest(10), &[3, 2, 1]).await;
        check(&world, newest(2), &[3, 2]).await;
        check(&world, oldest(10), &[1, 2, 3]).await;
        check(&world, oldest(2), &[1, 2]).await;
        world.reopen().await;
    }
}

pub(super) async fn a_list_goes_on_where_the_last_page_ended<B: Backend>(world: World<B>) {
    world.append_all(&["a", "b", "c", "d", "e"]).await;
    for (first, expected) in [(newest(2), [5, 4, 3, 2, 1]), (oldest(2), [1, 2, 3, 4, 5])] {
        let (mut query, mut found) = (first, Vec::new());
        loop {
            let page = world.queue.list(query.clone()).await.unwrap();
            let Some(last) = page.last() else { break };
            query.cursor = Some(last.position);
            found.extend(positions(&page));
        }
        assert_eq!(found, expected);
    }
}

pub(super) async fn a_list_is_narrowed_by_source_type_and_time<B: Backend>(world: World<B>) {
    for (name, event_type) in [
        ("shop", "comment.create"),
        ("blog", "comment.create"),
        ("shop", "comment.delete"),
        ("shop", "vote"),
    ] {
        let mut event = new_event(event_type, "{}", world.now());
        event.source = source(name);
        world.queue.append(event).await.unwrap();
        world.advance_secs(10);
    }
    let since = world.now().before(Duration::from_secs(30));
    let until = world.now().before(Duration::from_secs(10));
    let of_type = |text: &str| EventQuery { event_type: Some(text.to_owned()), ..newest(10) };
    check(&world, EventQuery { source: Some(source("shop")), ..newest(10) }, &[4, 3, 1]).await;
    check(&world, EventQuery { source: Some(source("none")), ..newest(10) }, &[]).await;
    check(&world, of_type("comment.*"), &[3, 2, 1]).await;
    check(&world, of_type("*.create"), &[2, 1]).await;
    check(&world, of_type("*"), &[4, 3, 2, 1]).await;
    check(&world, of_type("vote"), &[4]).await;
    check(&world, of_type("vot"), &[]).await;
    check(&world, EventQuery { since: Some(since), ..newest(10) }, &[4, 3, 2]).await;
    check(&world, EventQuery { until: Some(until), ..newest(10) }, &[3, 2, 1]).await;
    let all = EventQuery {
        source: Some(source("shop")),
        event_type: Some("comment.*".to_owned()),
        since: Some(since),
        until: Some(until),
        ..oldest(10)
    };
    check(&world, all, &[3]).await;
    // The limit counts what matches, not what was looked at.
    check(&world, EventQuery { limit: 1, ..of_type("*.create") }, &[2]).await;
    check(&world, EventQuery { cursor: Some(Position(2)), ..of_type("*.create") }, &[1]).await;
}

pub(super) async fn a_list_has_at_least_one_place_and_at_most_the_limit<B: Backend>(
    world: World<B>,
) {
    let appends = (0..=EventQuery::LIMIT_MAX).map(|_| world.append("a"));
    futures_util::future::join_all(appends).await;
    assert_eq!(world.queue.list(newest(0)).await.unwrap().len(), 1);
    let all = world.queue.list(newest(usize::MAX)).await.unwrap();
    assert_eq!(all.len(), EventQuery::LIMIT_MAX);
}

pub(super) async fn a_list_ends_where_the_bodies_get_large<B: Backend>(world: World<B>) {
    for n_bytes in [10, 90, 1, 200, 10] {
        let mut event = new_event("a", "", world.now());
        event.body = Bytes::from(vec![b'x'; n_bytes]);
        world.queue.append(event).await.unwrap();
    }
    let within = |bytes_max, query| EventQuery { bytes_max: Some(bytes_max), ..query };
    check(&world, within(100, oldest(10)), &[1, 2]).await;
    check(&world, within(101, oldest(10)), &[1, 2, 3]).await;
    check(&world, within(0, oldest(10)), &[1]).await;
    check(&world, within(100, newest(10)), &[5, 4]).await;
    check(&world, within(100, EventQuery { cursor: Some(Position(2)), ..oldest(10) }), &[3, 4])
        .await;
    check(&world, within(1_000, oldest(2)), &[1, 2]).await;
    check(&world, within(1_000, oldest(10)), &[1, 2, 3, 4, 5]).await;
    // Whoever has a page knows by the same measure whether there may be more.
    let query = within(100, oldest(10));
    assert!(query.is_full(2, 100) && !query.is_full(2, 99) && query.is_full(10, 0));
}

async fn history<B: Backend>(world: &World<B>, name: &str) -> DeliveryHistory {
    let found = world.queue.history(Position(1)).await.unwrap();
    found.into_iter().find(|one| one.handler == handler(name)).unwrap()
}

pub(super) async fn history_tells_every_try_and_how_each_handler_stands<B: Backend>(
    world: World<B>,
) {
    let one = world.oldest().await;
    let _two = world.subscribe("two", Start::Oldest).await;
    let began = world.now();
    world.append("a").await;
    assert_eq!(history(&world, "h").await.state, DeliveryState::Pending);
    let delivery = take_one(&*one).await;
    one.settle(settlement(delivery, world.retry(10))).await.unwrap();
    assert_eq!(history(&world, "h").await.state, DeliveryState::Retry);
    world.advance_secs(10);
    let delivery = take_one(&*one).await;
    one.settle(settlement(delivery, untried(Outcome::Held { order_key: key(1) }))).await.unwrap();
    assert_eq!(history(&world, "h").await.state, DeliveryState::Held);
    one.release_key(key(1)).await.unwrap();
    let delivery = take_one(&*one).await;
    one.settle(settlement(delivery, world.dead("gone"))).await.unwrap();

    let told = history(&world, "h").await;
    assert_eq!(told.state, DeliveryState::Dead);
    assert_eq!(told.attempts.len(), 2);
    for (attempt, (number, error, led_to)) in told
        .attempts
        .iter()
        .zip([(1, "refused", DeliveryState::Retry), (2, "gone", DeliveryState::Dead)])
    {
        assert_eq!((attempt.number, attempt.error.as_str()), (number, error));
        assert_eq!(attempt.led_to, led_to);
        assert_eq!(attempt.duration.as_millis(), 7);
        assert_eq!(attempt.status, Some(503));
    }
    assert_eq!(told.attempts[0].started_at, began);
    assert_eq!(told.attempts[1].started_at, world.now());

    let other = history(&world, "two").await;
    assert_eq!((other.state, other.attempts.len()), (DeliveryState::Pending, 0));
    assert!(world.queue.history(Position(2)).await.unwrap().is_empty());
}

pub(super) async fn history_survives_a_restart<B: Backend>(mut world: World<B>) {
    let subscription = world.oldest().await;
    world.append("a").await;
    let delivery = take_one(&*subscription).await;
    subscription.settle(settlement(delivery, world.retry(10))).await.unwrap();
    world.advance_secs(10);
    let delivery = take_one(&*subscription).await;
    settle(&*subscription, delivery, Outcome::Delivered).await;
    drop(subscription);
    // What each try said may be there a moment after its outcome, and that once a shared log has it.
    let told = async {
        loop {
            let told = history(&world, "h").await;
            if (told.state, told.attempts.len()) == (DeliveryState::Delivered, 2) {
                return told;
            }
            tokio::task::yield_now().await;
        }
    };
    let before = tokio::time::timeout(Duration::from_secs(30), told).await.expect("it is told");
    world.reopen().await;
    assert_eq!(history(&world, "h").await, before);
}

pub(super) async fn stats_count_what_waits_and_what_is_dead<B: Backend>(mut world: World<B>) {
    let subscription = world.oldest().await;
    world.append_all(&["a", "b", "c", "d", "e", "f"]).await;
    let mut taken = take_types(&*subscription, &["a", "b", "c", "d", "e"]).await;
    settle(&*subscription, taken.remove(0), Outcome::Delivered).await;
    subscription.settle(settlement(taken.remove(0), world.retry(10))).await.unwrap();
    let held = untried(Outcome::Held { order_key: key(1) });
    subscription.settle(settlement(taken.remove(0), held)).await.unwrap();
    subscription.settle(settlement(taken.remove(0), world.dead("no"))).await.unwrap();
    let oldest_pending_at = Some(world.now());
    let expected = Backlog { in_log: 2, waiting: 2, dead: 1, oldest_pending_at };
    until_backlog(&*subscription, expected).await;
    assert_eq!(world.backlog("h"), expected);
    // What is taken counts, and one that is dead counts nowhere else.
    settle(&*subscription, taken.remove(0), Outcome::Skipped).await;
    until_backlog(&*subscription, Backlog { in_log: 1, ..expected }).await;
    drop(subscription);
    world.reopen().await;
    let stats = world.queue.stats();
    assert_eq!((stats.events, stats.last), (6, Position(6)));
    assert!(stats.damage.is_empty());
    let backlog = world.backlog("h");
    assert_eq!((backlog.in_log + backlog.waiting, backlog.dead), (3, 1));
}

pub(super) async fn many_settled_at_once_are_each_settled<B: Backend>(mut world: World<B>) {
    let subscription = world.oldest().await;
    world.append_all(&["event"; 200]).await;
    let mut settled = Vec::new();
    for (index, delivery) in take(&*subscription, 200).await.into_iter().enumerate() {
        let outcome = match index % 4 {
            0 => world.retry(10),
            1 => world.dead("no"),
            2 => tried(Outcome::Delivered, world.now(), ""),
            _ => untried(Outcome::Skipped),
        };
        settled.push(settlement(delivery, outcome));
    }
    subscription.settle_all(settled).await.unwrap();
    world.assert_nothing_due(&*subscription).await;
    drop(subscription);
    world.reopen().await;
    let subscription = world.oldest().await;
    let oldest_pending_at = Some(world.now());
    let expected = Backlog { in_log: 0, waiting: 50, dead: 50, oldest_pending_at };
    assert_eq!(subscription.backlog(), expected);
    world.advance_secs(10);
    let again = take(&*subscription, 50).await;
    let positions: Vec<u64> = again.iter().map(|delivery| delivery.event.position.0).collect();
    assert_eq!(positions, (0..50).map(|n| 4 * n + 1).collect::<Vec<u64>>());
}

pub(super) async fn the_oldest_pending_event_is_the_oldest_not_settled<B: Backend>(
    world: World<B>,
) {
    let subscription = world.oldest().await;
    assert_eq!(subscription.backlog(), Backlog::default());
    let mut times = Vec::new();
    for event_type in ["a", "b", "c"] {
        world.append(event_type).await;
        times.push(world.now());
        world.advance_secs(10);
    }
    let oldest = || subscription.backlog().oldest_pending_at;
    assert_eq!(oldest(), Some(times[0]));
    let mut taken = take_types(&*subscription, &["a", "b"]).await;
    settle(&*subscription, taken.remove(1), Outcome::Delivered).await;
    assert_eq!(oldest(), Some(times[0]));
    subscription.settle(settlement(taken.remove(0), world.retry(60))).await.unwrap();
    assert_eq!(oldest(), Some(times[0]));
    world.advance_secs(60);
    let delivery = take_types(&*subscription, &["a"]).await.remove(0);
    subscription.settle(settlement(delivery, world.dead("no"))).await.unwrap();
    assert_eq!(oldest(), Some(times[2]));
    let delivery = take_types(&*subscription, &["c"]).await.remove(0);
    settle(&*subscription, delivery, Outcome::Delivered).await;
    until_backlog(&*subscription, Backlog { dead: 1, ..Backlog::default() }).await;
}

/// Waits until that is the backlog: a log that is shared counts what is delivered a moment later.
async fn until_backlog(subscription: &dyn Subscription, expected: Backlog) {
    let waited = tokio::time::timeout(Duration::from_mins(1), async {
        while subscription.backlog() != expected {
            tokio::task::yield_now().await;
        }
    });
    let is_late = waited.await.is_err();
    assert!(!is_late, "{:?}, not {expected:?}", subscription.backlog());
}
