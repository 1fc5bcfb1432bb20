//! Letting segments go beside deliveries: a dead letter stays dead, a retry waits, no line is
//! stranded.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use gatepost::clock::{Clock, SystemClock};
use gatepost::event::{Attempt, ErrorText, Outcome, Position, Settlement};
use gatepost::queue::{DeadFilter, Queue, Subscription};

use super::{Site, append_all, settle, subscribe, take};
use crate::support::events::{key, new_event};

#[tokio::test]
async fn dead_letter_outlives_its_segment_with_its_reason() {
    let site = Site::new();
    let queue = site.open(Duration::ZERO);
    let subscription = subscribe(&queue, "h").await;
    append_all(&queue, 40, 9_000).await;
    for delivery in take(&*subscription, 40).await {
        let outcome = match delivery.event.position.0 {
            7 => Outcome::Dead { order_key: None },
            _ => Outcome::Delivered,
        };
        let attempt = Attempt {
            started_at: site.clock.now(),
            duration: Duration::from_millis(1),
            error: ErrorText::new("no such user"),
            status: None,
            ..Attempt::default()
        };
        let settlement = Settlement { delivery, outcome, attempt: Some(attempt) };
        subscription.settle(settlement).await.unwrap();
    }
    let n_before = site.segments().len();
    queue.clean().await.unwrap();
    assert!(site.segments().len() < n_before, "segments went");
    for is_reopened in [false, true] {
        let dead = queue.dead(DeadFilter::default()).await.unwrap();
        let [letter] = &dead[..] else { panic!("{dead:?} (reopened: {is_reopened})") };
        assert_eq!(letter.position, Position(7));
        assert_eq!(letter.reason.as_str(), "no such user");
        let event = queue.get(letter.id).await.unwrap().expect("its event was kept");
        assert!(event.body.starts_with(b"6x"));
    }
    drop(subscription);
    queue.close().await.unwrap();
    let queue = site.open(Duration::ZERO);
    let dead = queue.dead(DeadFilter::default()).await.unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!(queue.redrive(DeadFilter::default()).await.unwrap(), 1);
    let subscription = subscribe(&queue, "h").await;
    let again = take(&*subscription, 1).await.remove(0);
    assert_eq!((again.event.position, again.attempt), (Position(7), 1));
}

/// A clock's trust takes 10 minutes, and nothing is asked of a clock here.
#[tokio::test]
async fn what_is_kept_for_no_time_goes_soon_after_a_start_too() {
    let site = Site::new();
    let queue = site.open_with_system_clock(Duration::from_hours(1));
    let subscription = subscribe(&queue, "h").await;
    append_all(&queue, 40, 9_000).await;
    for delivery in take(&*subscription, 40).await {
        settle(&*subscription, delivery, Outcome::Delivered).await;
    }
    drop(subscription);
    queue.close().await.unwrap();
    drop(queue);
    let n_before = site.segments().len();
    assert!(n_before > 3, "{n_before} segments");

    let queue = site.open_with_system_clock(Duration::ZERO);
    let gone = async {
        while site.segments().len() > n_before / 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), gone).await.expect("the segments go");
    queue.close().await.unwrap();
}

/// Runs a load that dies and retries while segments go without pause; gives how often each
/// delivery was taken after it was settled as dead.
async fn load(
    subscription: &dyn Subscription,
    is_ordered: bool,
    n_events: u64,
) -> (BTreeMap<Position, u32>, u64, u64) {
    let (mut dead, mut revived, mut early) = (BTreeMap::new(), 0_u64, 0_u64);
    let mut due: BTreeMap<Position, gatepost::clock::Timestamp> = BTreeMap::new();
    let clock = SystemClock::new();
    let mut n_settled = 0;
    while n_settled < n_events {
        let next = tokio::time::timeout(Duration::from_secs(30), subscription.next(64)).await;
        let taken = next.expect("nothing is stranded").unwrap();
        for delivery in taken {
            let position = delivery.event.position;
            let order_key = is_ordered.then(|| key((position.0 % 7) as u8));
            if let Some(order_key) = order_key
                && subscription.is_key_waiting(order_key, position).await.unwrap()
            {
                settle(subscription, delivery, Outcome::Held { order_key }).await;
                continue;
            }
            revived += u64::from(dead.contains_key(&position));
            early += u64::from(due.remove(&position).is_some_and(|due| clock.steady() < due));
            let outcome = match (position.0 % 10, delivery.attempt) {
                (3, 1..=3) => {
                    let at = clock.steady().after(Duration::from_millis(30));
                    // Both clocks began within some milliseconds of each other.
                    due.insert(position, clock.steady().after(Duration::from_millis(20)));
                    Outcome::Retry { at, order_key }
                }
                (3, _) => {
                    dead.insert(position, delivery.attempt);
                    Outcome::Dead { order_key: None }
                }
                _ => Outcome::Delivered,
            };
            n_settled += u64::from(!matches!(outcome, Outcome::Retry { .. }));
            settle(subscription, delivery, outcome).await;
            if let Some(order_key) = order_key {
                subscription.release_key(order_key).await.unwrap();
            }
        }
    }
    (dead, revived, early)
}

async fn cleaning_beside_deliveries(is_ordered: bool) {
    const EVENTS: u64 = 3_000;
    let site = Site::new();
    let queue = Arc::new(site.open_with_system_clock(Duration::ZERO));
    let subscription = subscribe(&queue, "h").await;
    let is_done = Arc::new(AtomicBool::new(false));
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn({
        let queue = Arc::clone(&queue);
        async move {
            for number in 0..EVENTS {
                let mut event = new_event("a", "", SystemClock::new().now());
                event.body = vec![b'x'; 2_000 + (number % 100) as usize].into();
                queue.append(event).await.unwrap();
            }
        }
    });
    let n_looks = Arc::new(AtomicU64::new(0));
    tasks.spawn({
        let (queue, is_done) = (Arc::clone(&queue), Arc::clone(&is_done));
        let n_looks = Arc::clone(&n_looks);
        async move {
            while !is_done.load(Ordering::Relaxed) {
                queue.clean().await.unwrap();
                n_looks.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        }
    });
    let (dead, revived, early) = load(&*subscription, is_ordered, EVENTS).await;
    is_done.store(true, Ordering::Relaxed);
    tasks.join_all().await;
    assert!(n_looks.load(Ordering::Relaxed) > 3);
    queue.clean().await.unwrap();
    assert_eq!((revived, early), (0, 0), "of {} dead letters", dead.len());
    assert_eq!(dead.len() as u64, EVENTS / 10);
    assert!(site.segments().len() < 20, "segments went: {}", site.segments().len());
    let backlog = subscription.backlog();
    assert_eq!((backlog.in_log, backlog.waiting, backlog.dead), (0, 0, EVENTS / 10));
    assert_eq!(queue.dead(DeadFilter::default()).await.unwrap().len() as u64, EVENTS / 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cleaning_revives_no_dead_letter_and_fires_no_retry_early() {
    cleaning_beside_deliveries(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cleaning_strands_no_line() {
    cleaning_beside_deliveries(true).await;
}
