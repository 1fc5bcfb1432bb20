//! Dead letters, redrive and replay.

use gatepost::event::{ErrorText, Origin, Outcome, Position, SourceName};
use gatepost::queue::ReplayResult::{self, Gone, Pending, Restarted};
use gatepost::queue::{DeadFilter, DeadLetter, DeliveryState, Start};

use super::{Backend, World, settle, settle_all, take_one, take_types};
use crate::support::events::{handler, settlement};

async fn die<B: Backend>(world: &World<B>, name: &str, event_type: &str, error: &str) {
    let subscription = world.subscribe(name, Start::Oldest).await;
    let delivery = take_types(&*subscription, &[event_type]).await.remove(0);
    subscription.settle(settlement(delivery, world.dead(error))).await.unwrap();
}

pub(super) async fn a_dead_letter_says_what_it_was_and_why<B: Backend>(mut world: World<B>) {
    let subscription = world.oldest().await;
    let received_at = world.now();
    let id = world.append("a").await;
    for _ in 0..2 {
        let delivery = take_one(&*subscription).await;
        subscription.settle(settlement(delivery, world.retry(10))).await.unwrap();
        world.advance_secs(10);
    }
    let delivery = take_one(&*subscription).await;
    let event = delivery.event.clone();
    subscription.settle(settlement(delivery, world.dead("401 from the other side"))).await.unwrap();
    drop(subscription);
    for _ in 0..2 {
        let mut dead = world.queue.dead(DeadFilter::default()).await.unwrap();
        let letter = dead.pop().unwrap();
        assert!(dead.is_empty());
        // When a try that took 7 ms ended, by the wall clock.
        let late = letter.died_at.since(world.now()).as_millis();
        assert!(late <= 7, "{late}");
        assert!(letter.died_at >= world.now());
        let expected = DeadLetter {
            handler: handler("h"),
            id,
            position: event.position,
            source: SourceName::parse("shop").unwrap(),
            event_type: event.event_type.clone(),
            received_at,
            attempts: 3,
            died_at: letter.died_at,
            reason: ErrorText::new("401 from the other side"),
        };
        assert_eq!(letter, expected);
        world.reopen().await;
    }
}

pub(super) async fn a_dead_letter_does_not_come_back_by_itself<B: Backend>(mut world: World<B>) {
    world.append("a").await;
    die(&world, "h", "a", "no").await;
    world.reopen().await;
    world.advance_secs(86_400 * 365);
    let subscription = world.oldest().await;
    world.assert_nothing_due(&*subscription).await;
}

pub(super) async fn dead_letters_are_found_by_each_filter<B: Backend>(world: World<B>) {
    let mut times = Vec::new();
    for event_type in ["a", "b", "c"] {
        world.append(event_type).await;
        times.push(world.now());
        die(&world, "h", event_type, &format!("no {event_type} here")).await;
        world.advance_secs(10);
    }
    die(&world, "other", "a", "no a here").await;
    let all = DeadFilter::default;
    let check = async |filter: DeadFilter, expected: &[(&str, u64)]| {
        let found = world.queue.dead(filter.clone()).await.unwrap();
        let found: Vec<(&str, u64)> =
            found.iter().map(|letter| (letter.handler.as_str(), letter.position.0)).collect();
        assert_eq!(found, expected, "{filter:?}");
    };
    let (one, two, three, other) = (("h", 1), ("h", 2), ("h", 3), ("other", 1));
    check(all(), &[one, two, three, other]).await;
    check(DeadFilter { handler: Some(handler("h")), ..all() }, &[one, two, three]).await;
    check(DeadFilter { handler: Some(handler("nobody")), ..all() }, &[]).await;
    check(DeadFilter { position: Some(Position(1)), ..all() }, &[one, other]).await;
    check(DeadFilter { reason: Some("b here".to_owned()), ..all() }, &[two]).await;
    check(DeadFilter { since: Some(times[1]), ..all() }, &[two, three, other]).await;
    check(DeadFilter { until: Some(times[1]), ..all() }, &[one]).await;
    check(DeadFilter { limit: Some(2), ..all() }, &[one, two]).await;
    let both = DeadFilter { handler: Some(handler("h")), position: Some(Position(3)), ..all() };
    check(both, &[three]).await;
}

pub(super) async fn dead_letters_that_are_named_come_in_their_order<B: Backend>(world: World<B>) {
    for event_type in ["a", "b", "c"] {
        world.append(event_type).await;
        die(&world, "h", event_type, &format!("no {event_type} here")).await;
        world.advance_secs(10);
    }
    let all = world.queue.dead(DeadFilter::default()).await.unwrap();
    // One that is no dead letter, and one of nobody.
    let names = [("h", 3), ("h", 4), ("nobody", 1), ("h", 1)];
    let names = names.map(|(name, position)| (handler(name), Position(position)));
    let found = world.queue.dead_letters(names.to_vec()).await.unwrap();
    assert_eq!(found.letters, [all[2].clone(), all[0].clone()]);
    assert_eq!(found.unreadable, []);
    let third = DeadFilter { position: Some(Position(3)), ..DeadFilter::default() };
    assert_eq!(world.queue.drop_dead(third).await.unwrap(), 1);
    let found = world.queue.dead_letters(names.to_vec()).await.unwrap();
    assert_eq!(found.letters, [all[0].clone()]);
}

pub(super) async fn a_redriven_dead_letter_begins_at_attempt_1<B: Backend>(mut world: World<B>) {
    world.append("a").await;
    die(&world, "h", "a", "no").await;
    assert_eq!(world.queue.redrive(DeadFilter::default()).await.unwrap(), 1);
    for _ in 0..2 {
        assert_eq!(world.n_dead().await, 0);
        let subscription = world.oldest().await;
        let delivery = take_types(&*subscription, &["a"]).await.remove(0);
        assert_eq!((delivery.attempt, delivery.first_attempt_at), (1, None));
        assert_eq!(delivery.origin, Origin::Entry);
        drop(subscription);
        world.reopen().await;
    }
    let subscription = world.oldest().await;
    let taken = take_types(&*subscription, &["a"]).await;
    settle_all(&*subscription, taken, &Outcome::Delivered).await;
    assert_eq!(world.queue.redrive(DeadFilter::default()).await.unwrap(), 0);
    world.assert_nothing_due(&*subscription).await;
}

pub(super) async fn only_what_matches_is_redriven<B: Backend>(world: World<B>) {
    world.append_all(&["a", "b"]).await;
    die(&world, "h", "a", "no").await;
    die(&world, "h", "b", "never").await;
    let filter = DeadFilter { reason: Some("never".to_owned()), ..DeadFilter::default() };
    let subscription = world.oldest().await;
    // While it is subscribed and waiting, too.
    let (redriven, _) =
        tokio::join!(world.queue.redrive(filter), take_types(&*subscription, &["b"]));
    assert_eq!(redriven.unwrap(), 1);
    assert_eq!(world.n_dead().await, 1);
    world.assert_nothing_due(&*subscription).await;
}

pub(super) async fn a_dropped_dead_letter_is_gone<B: Backend>(mut world: World<B>) {
    world.append_all(&["a", "b"]).await;
    die(&world, "h", "a", "no").await;
    die(&world, "h", "b", "no").await;
    let filter = DeadFilter { position: Some(Position(1)), ..DeadFilter::default() };
    assert_eq!(world.queue.drop_dead(filter).await.unwrap(), 1);
    for _ in 0..2 {
        assert_eq!(world.n_dead().await, 1);
        world.reopen().await;
    }
    assert_eq!(world.queue.redrive(DeadFilter::default()).await.unwrap(), 1);
    let subscription = world.oldest().await;
    take_types(&*subscription, &["b"]).await;
    world.assert_nothing_due(&*subscription).await;
}

async fn replay<B: Backend>(world: &World<B>, name: &str, positions: &[u64]) -> Vec<ReplayResult> {
    let positions: Vec<Position> = positions.iter().copied().map(Position).collect();
    let expected = world.queue.would_replay(&handler(name), &positions);
    let became = world.queue.replay(&handler(name), &positions).await.unwrap();
    // What is gone is told by the log only, the second of two is pending by then, and the copy of a shared log
    // learns of a settlement later.
    for (n, (expected, became)) in expected.iter().zip(&became).enumerate() {
        if *became == Pending && !positions[..n].contains(&positions[n]) {
            assert_eq!(expected, became, "{:?}", positions[n]);
        }
    }
    became
}

pub(super) async fn a_replayed_event_is_a_new_delivery_for_one_handler<B: Backend>(
    world: World<B>,
) {
    world.append("a").await;
    let one = world.subscribe("one", Start::Oldest).await;
    let late = world.subscribe("late", Start::Now).await;
    let taken = take_types(&*one, &["a"]).await;
    settle_all(&*one, taken, &Outcome::Delivered).await;
    assert_eq!(replay(&world, "one", &[1]).await, [Restarted]);
    let again = take_types(&*one, &["a"]).await.remove(0);
    assert_eq!((again.attempt, again.first_attempt_at), (1, None));
    assert_eq!(again.origin, Origin::Entry);
    settle(&*one, again, Outcome::Delivered).await;
    world.assert_nothing_due(&*one).await;
    // From before the handler's own start.
    take_types(&*late, &["marker"]).await;
    assert_eq!(replay(&world, "late", &[1]).await, [Restarted]);
    take_types(&*late, &["a"]).await;
    // A dead letter.
    let history = world.queue.history(Position(1)).await.unwrap();
    let state = history.iter().find(|one| one.handler == handler("one")).unwrap().state;
    assert_eq!(state, DeliveryState::Delivered);
}

pub(super) async fn a_replay_survives_a_restart<B: Backend>(mut world: World<B>) {
    world.append_all(&["a", "b"]).await;
    let subscription = world.oldest().await;
    let mut taken = take_types(&*subscription, &["a", "b"]).await;
    settle(&*subscription, taken.remove(0), Outcome::Delivered).await;
    subscription.settle(settlement(taken.remove(0), world.dead("no"))).await.unwrap();
    drop(subscription);
    assert_eq!(replay(&world, "h", &[1]).await, [Restarted]);
    assert_eq!(replay(&world, "h", &[2]).await, [Restarted]);
    world.reopen().await;
    assert_eq!(world.n_dead().await, 0);
    let subscription = world.oldest().await;
    let taken = take_types(&*subscription, &["a", "b"]).await;
    settle_all(&*subscription, taken, &Outcome::Delivered).await;
    world.assert_nothing_due(&*subscription).await;
}

pub(super) async fn a_replay_of_what_is_pending_changes_nothing<B: Backend>(world: World<B>) {
    let subscription = world.oldest().await;
    world.append_all(&["a", "b", "c"]).await;
    let mut taken = take_types(&*subscription, &["a", "b"]).await;
    subscription.settle(settlement(taken.remove(0), world.retry(10))).await.unwrap();
    for position in 1..=3 {
        assert_eq!(replay(&world, "h", &[position]).await, [Pending]);
    }
    let third = take_types(&*subscription, &["c"]).await;
    settle_all(&*subscription, third, &Outcome::Delivered).await;
    settle_all(&*subscription, taken, &Outcome::Delivered).await;
    world.assert_nothing_due(&*subscription).await;
    world.advance_secs(10);
    let retry = take_types(&*subscription, &["a"]).await.remove(0);
    assert_eq!(retry.attempt, 2);
}

pub(super) async fn a_replay_for_nobody_or_of_nothing_says_so<B: Backend>(world: World<B>) {
    world.append("a").await;
    let _subscription = world.oldest().await;
    assert_eq!(replay(&world, "nobody", &[1]).await, [Gone]);
    assert_eq!(replay(&world, "h", &[2]).await, [Gone]);
    assert_eq!(replay(&world, "h", &[0]).await, [Gone]);
}

pub(super) async fn many_events_are_replayed_at_once_in_the_order_of_the_log<B: Backend>(
    world: World<B>,
) {
    world.append_all(&["a", "b", "c", "d"]).await;
    let subscription = world.oldest().await;
    let mut taken = take_types(&*subscription, &["a", "b", "c", "d"]).await;
    let pending = taken.remove(3);
    settle_all(&*subscription, taken, &Outcome::Delivered).await;
    // One that is gone, one twice, one that is not settled.
    let became = [Restarted, Gone, Restarted, Restarted, Pending, Pending];
    assert_eq!(replay(&world, "h", &[3, 9, 1, 2, 1, 4]).await, became);
    let again = take_types(&*subscription, &["a", "b", "c"]).await;
    settle_all(&*subscription, again, &Outcome::Delivered).await;
    settle(&*subscription, pending, Outcome::Delivered).await;
    world.assert_nothing_due(&*subscription).await;
}
