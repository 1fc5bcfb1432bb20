//! Promise 8: lines of events with the same order key.

use gatepost::event::{Delivery, Origin, Outcome};
use gatepost::queue::{DeadFilter, Subscription};

use super::{Backend, World, settle, settle_all, take, take_one, take_types, types};
use crate::support::events::{key, settlement, tried, untried};

async fn hold(subscription: &dyn Subscription, delivery: Delivery, n: u8) {
    let held = untried(Outcome::Held { order_key: key(n) });
    subscription.settle(settlement(delivery, held)).await.unwrap();
}

/// Appends the events and settles: the first to be tried again in 10 s, the others held behind it.
async fn line<B: Backend>(world: &World<B>, subscription: &dyn Subscription, types: &[&str]) {
    world.append_all(types).await;
    let mut taken = take_types(subscription, types).await.into_iter();
    let retry = Outcome::Retry { at: world.in_secs(10), order_key: Some(key(1)) };
    let retry = tried(retry, world.now(), "refused");
    subscription.settle(settlement(taken.next().unwrap(), retry)).await.unwrap();
    for delivery in taken {
        hold(subscription, delivery, 1).await;
    }
}

pub(super) async fn a_held_delivery_waits_until_it_is_let_go<B: Backend>(world: World<B>) {
    let subscription = world.oldest().await;
    world.append_all(&["a", "b"]).await;
    let mut taken = take_types(&*subscription, &["a", "b"]).await;
    hold(&*subscription, taken.remove(1), 1).await;
    world.advance_secs(86_400);
    world.assert_nothing_due(&*subscription).await;
    settle_all(&*subscription, taken, &Outcome::Delivered).await;
    assert!(subscription.release_key(key(1)).await.unwrap());
    let held = take_types(&*subscription, &["b"]).await.remove(0);
    assert_eq!((held.attempt, held.origin), (1, Origin::Log));
    settle(&*subscription, held, Outcome::Delivered).await;
    assert!(!subscription.release_key(key(1)).await.unwrap());
    world.assert_nothing_due(&*subscription).await;
}

pub(super) async fn only_the_first_of_a_line_is_let_go<B: Backend>(world: World<B>) {
    let subscription = world.oldest().await;
    world.append_all(&["a", "b", "c"]).await;
    let mut taken = take_types(&*subscription, &["a", "b", "c"]).await;
    hold(&*subscription, taken.pop().unwrap(), 1).await;
    hold(&*subscription, taken.pop().unwrap(), 1).await;
    settle_all(&*subscription, taken, &Outcome::Delivered).await;
    assert!(subscription.release_key(key(1)).await.unwrap());
    assert!(!subscription.release_key(key(1)).await.unwrap());
    let _first = take_types(&*subscription, &["b"]).await;
    assert!(!subscription.release_key(key(1)).await.unwrap());
    world.assert_nothing_due(&*subscription).await;
}

pub(super) async fn other_keys_go_on<B: Backend>(world: World<B>) {
    let subscription = world.oldest().await;
    line(&world, &*subscription, &["a", "b"]).await;
    world.append_all(&["x", "y"]).await;
    let mut taken = take_types(&*subscription, &["x", "y"]).await;
    let position = taken[1].event.position;
    assert!(subscription.is_key_waiting(key(1), position).await.unwrap());
    assert!(!subscription.is_key_waiting(key(2), position).await.unwrap());
    hold(&*subscription, taken.remove(1), 2).await;
    settle_all(&*subscription, taken, &Outcome::Delivered).await;
    assert!(subscription.release_key(key(2)).await.unwrap());
    take_types(&*subscription, &["y"]).await;
}

pub(super) async fn letting_go_does_not_pass_a_retry<B: Backend>(world: World<B>) {
    let subscription = world.oldest().await;
    line(&world, &*subscription, &["a", "b"]).await;
    assert!(!subscription.release_key(key(1)).await.unwrap());
    world.assert_nothing_due(&*subscription).await;
    world.advance_secs(10);
    take_types(&*subscription, &["a"]).await;
    assert!(!subscription.release_key(key(1)).await.unwrap());
    world.assert_nothing_due(&*subscription).await;
}

pub(super) async fn a_key_waits_for_earlier_entries_that_are_not_taken<B: Backend>(
    world: World<B>,
) {
    let subscription = world.oldest().await;
    line(&world, &*subscription, &["a", "b"]).await;
    world.append("c").await;
    let third = take_types(&*subscription, &["c"]).await.remove(0).event.position;
    let is_waiting = |position| subscription.is_key_waiting(key(1), position);
    assert!(is_waiting(third).await.unwrap());
    world.advance_secs(10);
    let first = take_types(&*subscription, &["a"]).await.remove(0);
    let second = first.event.position.next();
    assert!(!is_waiting(first.event.position).await.unwrap(), "nothing is before the first");
    assert!(!is_waiting(second).await.unwrap(), "the first is taken");
    assert!(is_waiting(third).await.unwrap(), "the second is held");
    settle(&*subscription, first, Outcome::Delivered).await;
    assert!(is_waiting(third).await.unwrap(), "the second is due");
    let held = take_types(&*subscription, &["b"]).await.remove(0);
    assert!(!is_waiting(third).await.unwrap(), "the second is taken");
    settle(&*subscription, held, Outcome::Delivered).await;
    assert!(!is_waiting(third).await.unwrap());
}

pub(super) async fn a_settled_entry_lets_the_next_one_go<B: Backend>(world: World<B>) {
    let subscription = world.oldest().await;
    line(&world, &*subscription, &["a", "b", "c", "d"]).await;
    world.advance_secs(10);
    for (event_type, outcome) in
        [("a", Outcome::Delivered), ("b", Outcome::Skipped), ("c", Outcome::Delivered)]
    {
        let taken = take_types(&*subscription, &[event_type]).await;
        world.assert_nothing_due(&*subscription).await;
        settle_all(&*subscription, taken, &outcome).await;
    }
    // One that changes to another line leaves its own.
    let last = take_types(&*subscription, &["d"]).await.remove(0);
    hold(&*subscription, last, 2).await;
    world.append("e").await;
    let behind = take_types(&*subscription, &["e"]).await.remove(0);
    assert!(!subscription.is_key_waiting(key(1), behind.event.position).await.unwrap());
    assert!(subscription.is_key_waiting(key(2), behind.event.position).await.unwrap());
}

pub(super) async fn a_dead_letter_that_lets_go_frees_its_line<B: Backend>(world: World<B>) {
    let subscription = world.oldest().await;
    line(&world, &*subscription, &["a", "b"]).await;
    world.advance_secs(10);
    let first = take_types(&*subscription, &["a"]).await.remove(0);
    subscription.settle(settlement(first, world.dead("no"))).await.unwrap();
    take_types(&*subscription, &["b"]).await;
}

/// A dead letter `a` that holds key 1, with `b` and `c` behind it.
async fn dead_line<B: Backend>(world: &World<B>, subscription: &dyn Subscription) {
    line(world, subscription, &["a", "b", "c"]).await;
    world.advance_secs(10);
    let first = take_types(subscription, &["a"]).await.remove(0);
    let dead = tried(Outcome::Dead { order_key: Some(key(1)) }, world.now(), "no");
    subscription.settle(settlement(first, dead)).await.unwrap();
    world.assert_nothing_due(subscription).await;
    assert!(!subscription.release_key(key(1)).await.unwrap());
}

pub(super) async fn a_dead_letter_that_holds_keeps_its_line_until_it_is_dropped<B: Backend>(
    mut world: World<B>,
) {
    let subscription = world.oldest().await;
    dead_line(&world, &*subscription).await;
    drop(subscription);
    world.reopen().await;
    let subscription = world.oldest().await;
    hold_again(&world, &*subscription, &["b", "c"]).await;
    world.append("d").await;
    let last = take_types(&*subscription, &["d"]).await.remove(0);
    assert!(subscription.is_key_waiting(key(1), last.event.position).await.unwrap());
    assert_eq!(world.queue.drop_dead(DeadFilter::default()).await.unwrap(), 1);
    let second = take_types(&*subscription, &["b"]).await;
    settle_all(&*subscription, second, &Outcome::Delivered).await;
    take_types(&*subscription, &["c"]).await;
}

pub(super) async fn a_redriven_dead_letter_stays_in_front_of_its_line<B: Backend>(world: World<B>) {
    let subscription = world.oldest().await;
    dead_line(&world, &*subscription).await;
    assert_eq!(world.queue.redrive(DeadFilter::default()).await.unwrap(), 1);
    let first = take_types(&*subscription, &["a"]).await;
    world.assert_nothing_due(&*subscription).await;
    settle_all(&*subscription, first, &Outcome::Delivered).await;
    take_types(&*subscription, &["b"]).await;
}

pub(super) async fn a_line_keeps_its_order_across_a_restart<B: Backend>(mut world: World<B>) {
    let subscription = world.oldest().await;
    line(&world, &*subscription, &["a", "b", "c"]).await;
    drop(subscription);
    world.reopen().await;
    let subscription = world.oldest().await;
    hold_again(&world, &*subscription, &["b", "c"]).await;
    world.append("d").await;
    let last = take_types(&*subscription, &["d"]).await.remove(0);
    assert!(subscription.is_key_waiting(key(1), last.event.position).await.unwrap());
    hold(&*subscription, last, 1).await;
    world.advance_secs(10);
    for event_type in ["a", "b", "c", "d"] {
        let taken = take_types(&*subscription, &[event_type]).await;
        world.assert_nothing_due(&*subscription).await;
        settle_all(&*subscription, taken, &Outcome::Delivered).await;
    }
}

pub(super) async fn the_first_of_a_line_goes_after_a_restart_when_nothing_is_before_it<
    B: Backend,
>(
    mut world: World<B>,
) {
    let subscription = world.oldest().await;
    world.append_all(&["a", "b", "c"]).await;
    let mut taken = take_types(&*subscription, &["a", "b", "c"]).await;
    hold(&*subscription, taken.pop().unwrap(), 1).await;
    hold(&*subscription, taken.pop().unwrap(), 1).await;
    // The process dies before it can let the next one go.
    settle_all(&*subscription, taken, &Outcome::Delivered).await;
    drop(subscription);
    world.reopen().await;
    let subscription = world.oldest().await;
    let taken = take(&*subscription, 1).await;
    assert_eq!(types(&taken), ["b"]);
    // What was held comes again from the log: its taker knows whom it waits for.
    hold_again(&world, &*subscription, &["c"]).await;
    settle_all(&*subscription, taken, &Outcome::Delivered).await;
    // As every taker does; where "b" was an entry of its own the queue has done it.
    subscription.release_key(key(1)).await.unwrap();
    take_types(&*subscription, &["c"]).await;
}

/// Holds again what a backend gives out again after a start because being held is not recorded:
/// some of `event_types`, which are held behind an earlier delivery.
async fn hold_again<B: Backend>(
    world: &World<B>,
    subscription: &dyn Subscription,
    event_types: &[&str],
) {
    world.append("marker").await;
    loop {
        let delivery = take_one(subscription).await;
        let event_type = delivery.event.event_type.as_str().to_owned();
        if event_type == "marker" {
            return settle(subscription, delivery, Outcome::Delivered).await;
        }
        assert!(event_types.contains(&event_type.as_str()), "{event_type} was not held");
        hold(subscription, delivery, 1).await;
    }
}

pub(super) async fn a_held_delivery_does_not_overtake_the_log_after_a_restart<B: Backend>(
    mut world: World<B>,
) {
    let subscription = world.oldest().await;
    world.append_all(&["a", "b", "c", "d"]).await;
    let mut taken = take_types(&*subscription, &["a", "b", "c"]).await;
    hold(&*subscription, taken.pop().unwrap(), 1).await;
    hold(&*subscription, taken.pop().unwrap(), 1).await;
    drop((taken, subscription));
    world.reopen().await;
    let subscription = world.oldest().await;
    let taken = take_types(&*subscription, &["a", "b", "c", "d"]).await;
    let last = taken.last().unwrap().event.position;
    assert!(!subscription.is_key_waiting(key(1), last).await.unwrap());
    drop((taken, subscription));
    let subscription = world.oldest().await;
    let first = take_one(&*subscription).await;
    assert_eq!(first.event.event_type.as_str(), "a");
}
