//! Promises 1 to 3: what is stored, where, and once.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use gatepost::event::{DataRoot, Dedupe, DedupeKey, EventId, EventType, NewEvent, Position};
use gatepost::queue::{APPEND_ALL_MAX, Appended, EventQuery, ListOrder, Start};

use super::{Backend, World, take};
use crate::support::events::{new_event, source};

async fn stored<B: Backend>(world: &World<B>) -> Vec<(Position, EventId)> {
    let query = EventQuery { order: ListOrder::Oldest, limit: 1_000, ..EventQuery::default() };
    let events = world.queue.list(query).await.unwrap();
    events.iter().map(|event| (event.position, event.id)).collect()
}

#[track_caller]
fn assert_in_order(stored: &[(Position, EventId)], n: u64) {
    let positions: Vec<Position> = stored.iter().map(|(position, _)| *position).collect();
    assert_eq!(positions, (1..=n).map(Position).collect::<Vec<_>>());
    assert!(stored.is_sorted_by(|(_, one), (_, next)| one < next), "ids ascend");
    assert!(stored.iter().all(|(_, id)| id.0.get_version_num() == 7));
}

pub(super) async fn positions_ascend_by_one_and_ids_with_them<B: Backend>(world: World<B>) {
    world.append_all(&["a", "b"]).await;
    world.advance_secs(1);
    world.append("c").await;
    assert_in_order(&stored(&world).await, 3);
    assert_eq!(world.queue.stats().last, Position(3));
}

pub(super) async fn ids_ascend_when_the_clock_is_set_back<B: Backend>(world: World<B>) {
    world.append("a").await;
    world.clock.jump_to(world.now().before(Duration::from_hours(1)));
    world.append_all(&["b", "c"]).await;
    assert_in_order(&stored(&world).await, 3);
}

pub(super) async fn an_event_comes_back_byte_for_byte<B: Backend>(mut world: World<B>) {
    let subscription = world.oldest().await;
    drop(subscription);
    let mut events = Vec::new();
    for body in [&b""[..], br#"{"a":"\/\u00e9"}"#, b"\xff\x00\n", &vec![b'x'; 300_000]] {
        let mut event = new_event("t\u{e9}", "", world.now());
        event.body = Bytes::copy_from_slice(body);
        event.data_root = DataRoot::Data;
        event.is_json = body.starts_with(b"{");
        let id = world.queue.append(event.clone()).await.unwrap().id();
        events.push((id, event));
    }
    for _ in 0..2 {
        for (id, event) in &events {
            let found = world.queue.get(*id).await.unwrap().unwrap();
            assert_same(&found, event);
        }
        let subscription = world.oldest().await;
        for (delivery, (id, event)) in take(&*subscription, 4).await.iter().zip(&events) {
            assert_eq!(delivery.event.id, *id);
            assert_same(&delivery.event, event);
        }
        drop(subscription);
        world.reopen().await;
    }
}

#[track_caller]
fn assert_same(found: &gatepost::event::Event, event: &NewEvent) {
    assert_eq!(found.source, event.source);
    assert_eq!(found.event_type, event.event_type);
    assert_eq!(found.received_at, event.received_at);
    assert_eq!(found.data_root, event.data_root);
    assert_eq!(found.is_json, event.is_json);
    assert!(found.headers == event.headers);
    assert!(found.body == event.body);
}

pub(super) async fn appends_at_once_each_get_a_place_of_their_own<B: Backend>(world: World<B>) {
    let appends = (0..100).map(|_| world.append("a"));
    let mut ids = join_all(appends).await;
    ids.sort();
    let stored = stored(&world).await;
    assert_in_order(&stored, 100);
    assert_eq!(ids, stored.iter().map(|(_, id)| *id).collect::<Vec<_>>());
}

pub(super) async fn positions_and_ids_go_on_after_a_restart<B: Backend>(mut world: World<B>) {
    world.append_all(&["a", "b"]).await;
    world.reopen().await;
    world.append("c").await;
    world.clock.jump_to(world.now().before(Duration::from_hours(1)));
    world.reopen().await;
    world.append("d").await;
    assert_in_order(&stored(&world).await, 4);
}

const WINDOW: Duration = Duration::from_mins(1);

fn keyed<B: Backend>(world: &World<B>, n: u8) -> NewEvent {
    let dedupe = Dedupe::Within { key: DedupeKey([n; 16]), window: WINDOW };
    NewEvent { dedupe, ..new_event("a", "{}", world.now()) }
}

pub(super) async fn a_copy_within_the_window_answers_the_first_id<B: Backend>(world: World<B>) {
    let subscription = world.subscribe("h", Start::Oldest).await;
    let Appended::Stored(first) = world.queue.append(keyed(&world, 1)).await.unwrap() else {
        panic!("nothing was there before it");
    };
    world.advance_secs(40);
    let mut copy = keyed(&world, 1);
    copy.event_type = EventType::new("other");
    copy.source = source("other");
    assert_eq!(world.queue.append(copy).await.unwrap(), Appended::Duplicate(first));
    // The window begins with the event that was stored, not with its copies.
    world.advance_secs(19);
    let copy = world.queue.append(keyed(&world, 1)).await.unwrap();
    assert_eq!(copy, Appended::Duplicate(first));
    let other = world.queue.append(keyed(&world, 2)).await.unwrap();
    assert!(matches!(other, Appended::Stored(_)));
    assert_eq!(world.queue.stats().events, 2);
    let taken = take(&*subscription, 2).await;
    assert_eq!(taken.iter().map(|one| one.event.id).collect::<Vec<_>>(), [first, other.id()]);
}

pub(super) async fn a_copy_after_the_window_is_a_new_event<B: Backend>(world: World<B>) {
    let first = world.queue.append(keyed(&world, 1)).await.unwrap().id();
    world.advance_secs(61);
    let second = world.queue.append(keyed(&world, 1)).await.unwrap();
    assert!(matches!(second, Appended::Stored(id) if id > first));
    // The newer one is the one that is remembered.
    let third = world.queue.append(keyed(&world, 1)).await.unwrap();
    assert_eq!(third, Appended::Duplicate(second.id()));
}

pub(super) async fn two_copies_at_once_are_one_event<B: Backend>(world: World<B>) {
    let appends = (0..20).map(|n| world.queue.append(keyed(&world, n / 2)));
    let appended: Vec<Appended> = join_all(appends).await.into_iter().map(Result::unwrap).collect();
    for pair in appended.chunks(2) {
        let n_stored = pair.iter().filter(|one| matches!(one, Appended::Stored(_))).count();
        assert_eq!(n_stored, 1);
        assert_eq!(pair[0].id(), pair[1].id());
    }
    assert_in_order(&stored(&world).await, 10);
}

pub(super) async fn a_key_is_remembered_across_a_restart<B: Backend>(mut world: World<B>) {
    let first = world.queue.append(keyed(&world, 1)).await.unwrap().id();
    world.reopen().await;
    world.advance_secs(59);
    let copy = world.queue.append(keyed(&world, 1)).await.unwrap();
    assert_eq!(copy, Appended::Duplicate(first));
    world.reopen().await;
    world.advance_secs(2);
    let second = world.queue.append(keyed(&world, 1)).await.unwrap();
    assert!(matches!(second, Appended::Stored(_)));
}

pub(super) async fn without_a_key_equal_events_are_two<B: Backend>(world: World<B>) {
    let ids = [world.append("a").await, world.append("a").await];
    assert!(ids[0] < ids[1]);
    assert_eq!(world.queue.stats().events, 2);
}

pub(super) async fn events_of_one_call_are_stored_in_order_each_with_its_own_key<B: Backend>(
    world: World<B>,
) {
    let event = |n| keyed(&world, n);
    let first = world.queue.append(event(2)).await.unwrap();
    let all = [event(1), event(2), event(3), event(1)];
    let all = world.queue.append_all(all.to_vec()).await.unwrap();
    let [one, two, three, again] = all.as_slice() else { panic!("{all:?}") };
    assert!(matches!((one, three), (Appended::Stored(_), Appended::Stored(_))), "{all:?}");
    assert_eq!(*two, Appended::Duplicate(first.id()));
    assert_eq!(*again, Appended::Duplicate(one.id()));
    let stored: Vec<EventId> = stored(&world).await.into_iter().map(|(_, id)| id).collect();
    assert_eq!(stored, [first.id(), one.id(), three.id()]);
    assert!(world.queue.append_all(Vec::new()).await.unwrap().is_empty());
}

/// As many as a sender's list may have, and others at the same time: what is between them is not
/// cut.
pub(super) async fn events_of_one_call_are_one_commit<B: Backend>(world: World<B>) {
    let list = |n: usize| (0..n).map(|_| new_event("item", "{}", world.now())).collect::<Vec<_>>();
    let (one, other, single) = tokio::join!(
        world.queue.append_all(list(3_000)),
        world.queue.append_all(list(APPEND_ALL_MAX)),
        world.queue.append(new_event("single", "{}", world.now())),
    );
    let positions = |all: &[Appended]| {
        let ids: Vec<EventId> = all.iter().map(|appended| appended.id()).collect();
        assert!(ids.is_sorted());
        ids.len()
    };
    assert_eq!(positions(&one.unwrap()), 3_000);
    assert_eq!(positions(&other.unwrap()), APPEND_ALL_MAX);
    single.unwrap();
    assert_eq!(world.queue.stats().last, Position(3_000 + APPEND_ALL_MAX as u64 + 1));
    let too_many = world.queue.append_all(list(APPEND_ALL_MAX + 1)).await;
    assert!(too_many.is_err());
}
