//! What goes, when, and what stays although its segment goes.

use std::time::Duration;

use gatepost::event::{Outcome, Position};
use gatepost::queue::embedded::EmbeddedQueue;
use gatepost::queue::{Appended, DeadFilter, DeliveryState, Queue, QueueError, ReplayResult};

use super::{
    DEAD, SEGMENT_BYTES, Site, all_positions, append, append_all, body, deliver_all, event, keyed,
    positions, record, settle, subscribe, take_due,
};

fn keeping(site: &Site, retention: Duration) -> EmbeddedQueue {
    let mut settings = site.settings();
    settings.retention = retention;
    site.try_open(settings).unwrap()
}

const DAY: u64 = 24 * 3_600;

#[tokio::test]
async fn settled_segments_go_after_the_retention_and_not_before() {
    let site = Site::new();
    let queue = keeping(&site, Duration::from_secs(2 * DAY));
    let subscription = subscribe(&queue, "h").await;
    append_all(&queue, 20, 9_000).await;
    deliver_all(&*subscription).await;
    record(&queue).await.unwrap();
    queue.clean().await.unwrap();
    assert_eq!(all_positions(&queue).await.len(), 20);
    site.advance_secs(2 * DAY + 1);
    queue.clean().await.unwrap();
    let left = all_positions(&queue).await;
    assert!(left.len() < 10 && left.ends_with(&[20]), "{left:?}");
    assert_eq!(queue.stats().events, left.len() as u64);
}

#[tokio::test]
async fn what_somebody_has_not_settled_stays_though_its_segment_goes() {
    let site = Site::new();
    let queue = keeping(&site, Duration::ZERO);
    let (fast, slow) = (subscribe(&queue, "fast").await, subscribe(&queue, "slow").await);
    append_all(&queue, 20, 9_000).await;
    deliver_all(&*fast).await;
    let mut taken = take_due(&*slow);
    let first = taken.remove(0);
    for delivery in taken {
        settle(&*slow, delivery, Outcome::Delivered).await;
    }
    record(&queue).await.unwrap();
    queue.clean().await.unwrap();
    // Its segment went, and it did not.
    assert!(all_positions(&queue).await.len() < 10);
    let id = first.event.id;
    assert_eq!(queue.get(id).await.unwrap().unwrap().body, body(1, 9_000));
    drop((first, slow));
    let slow = subscribe(&queue, "slow").await;
    assert_eq!(positions(&take_due(&*slow)), [1]);
}

#[tokio::test]
async fn with_no_retention_a_drained_queue_is_small() {
    let site = Site::new();
    let queue = keeping(&site, Duration::ZERO);
    let subscription = subscribe(&queue, "h").await;
    for _ in 0..5 {
        append_all(&queue, 30, 9_000).await;
        deliver_all(&*subscription).await;
        record(&queue).await.unwrap();
        queue.clean().await.unwrap();
    }
    let segments = site.disk.segments();
    assert!(segments.len() <= 4, "the live one, the next and a spare: {segments:?}");
    drop(subscription);
    queue.close().await.unwrap();
    let queue = keeping(&site, Duration::ZERO);
    assert_eq!(queue.opened().torn_bytes, 0, "a recycled file looks torn");
    let subscription = subscribe(&queue, "h").await;
    assert_eq!(take_due(&*subscription).len(), 0);
    append_all(&queue, 30, 9_000).await;
    assert_eq!(deliver_all(&*subscription).await, 30);
    assert_eq!(queue.stats().damage, Vec::<String>::new());
}

/// 2 dead after two tries, 5 a retry in 90 days after one try; the rest of 1 to 20 delivered.
async fn with_stragglers(site: &Site, queue: &EmbeddedQueue) {
    let subscription = subscribe(queue, "h").await;
    append_all(queue, 20, 9_000).await;
    let far = site.clock_steady().after(Duration::from_secs(90 * DAY));
    for delivery in take_due(&*subscription) {
        let outcome = match delivery.event.position.0 {
            2 => Outcome::Retry { at: site.clock_steady(), order_key: None },
            5 => Outcome::Retry { at: far, order_key: None },
            _ => Outcome::Delivered,
        };
        settle(&*subscription, delivery, outcome).await;
    }
    for delivery in take_due(&*subscription) {
        assert_eq!((delivery.event.position, delivery.attempt), (Position(2), 2));
        settle(&*subscription, delivery, DEAD).await;
    }
    record(queue).await.unwrap();
}

async fn assert_stragglers(queue: &EmbeddedQueue, context: &str) {
    assert!(queue.is_indexed(Duration::from_secs(30)).await, "{context}");
    let dead = queue.dead(DeadFilter::default()).await.unwrap();
    assert_eq!(dead.len(), 1, "{context}");
    assert_eq!((dead[0].position, dead[0].attempts), (Position(2), 2), "{context}");
    assert_eq!(dead[0].reason.as_str(), "gone for good", "{context}");
    let event = queue.get(dead[0].id).await.unwrap().expect(context);
    assert_eq!(event.body, body(2, 9_000), "{context}");
    for (position, state, n_attempts) in [(2, DeliveryState::Dead, 2), (5, DeliveryState::Retry, 1)]
    {
        let history = queue.history(Position(position)).await.unwrap();
        assert_eq!(history.len(), 1, "{context}");
        assert_eq!(history[0].state, state, "{context}");
        assert_eq!(history[0].attempts.len(), n_attempts, "{context}: {history:?}");
    }
}

#[tokio::test]
async fn what_still_waits_is_carried_forward_again_and_again() {
    let site = Site::new();
    let queue = keeping(&site, Duration::ZERO);
    with_stragglers(&site, &queue).await;
    queue.clean().await.unwrap();
    assert_stragglers(&queue, "carried once").await;
    queue.close().await.unwrap();
    for round in 0..4 {
        let context = format!("round {round}");
        let queue = keeping(&site, Duration::ZERO);
        assert_stragglers(&queue, &context).await;
        let subscription = subscribe(&queue, "h").await;
        append_all(&queue, 20, 9_000).await;
        assert_eq!(deliver_all(&*subscription).await, 20, "{context}");
        record(&queue).await.unwrap();
        queue.clean().await.unwrap();
        let left = all_positions(&queue).await;
        assert!(left.len() < 10, "{context}: {left:?}");
        assert_stragglers(&queue, &context).await;
        assert_eq!(queue.stats().damage, Vec::<String>::new(), "{context}");
        drop(subscription);
        queue.close().await.unwrap();
        if round % 2 == 1 {
            site.remove_index();
        }
    }
    site.advance_secs(91 * DAY);
    let queue = keeping(&site, Duration::ZERO);
    let subscription = subscribe(&queue, "h").await;
    let due = take_due(&*subscription);
    assert_eq!(positions(&due), [5]);
    assert_eq!((due[0].attempt, &due[0].event.body), (2, &body(5, 9_000)));
    assert_eq!(queue.redrive(DeadFilter::default()).await.unwrap(), 1);
    let due = take_due(&*subscription);
    assert_eq!(positions(&due), [2]);
    for delivery in due {
        settle(&*subscription, delivery, Outcome::Delivered).await;
    }
    record(&queue).await.unwrap();
}

#[tokio::test]
async fn what_leaves_segments_half_empty_is_not_carried_for_ever() {
    for n_bytes in [9_000, 24_000, 36_000] {
        let site = Site::new();
        let queue = keeping(&site, Duration::ZERO);
        let subscription = subscribe(&queue, "h").await;
        append_all(&queue, 30, n_bytes).await;
        for delivery in take_due(&*subscription) {
            settle(&*subscription, delivery, DEAD).await;
        }
        record(&queue).await.unwrap();
        for _ in 0..5 {
            queue.clean().await.unwrap();
        }
        let n_calls = site.disk.n_changes();
        queue.clean().await.unwrap();
        assert_eq!(site.disk.n_changes(), n_calls, "{n_bytes}");
    }
}

#[tokio::test]
async fn what_is_no_longer_waited_for_is_not_carried_on() {
    let site = Site::new();
    let queue = keeping(&site, Duration::ZERO);
    with_stragglers(&site, &queue).await;
    queue.clean().await.unwrap();
    let id = queue.dead(DeadFilter::default()).await.unwrap()[0].id;
    queue.drop_dead(DeadFilter::default()).await.unwrap();
    let subscription = subscribe(&queue, "h").await;
    for _ in 0..2 {
        append_all(&queue, 20, 9_000).await;
        deliver_all(&*subscription).await;
        record(&queue).await.unwrap();
        queue.clean().await.unwrap();
    }
    assert!(queue.get(id).await.unwrap().is_none());
    assert_eq!(
        queue.replay(&crate::support::events::handler("h"), &[Position(2)]).await.unwrap(),
        [ReplayResult::Gone]
    );
}

#[tokio::test]
async fn a_key_outlives_its_event() {
    let window = Duration::from_secs(30 * DAY);
    let site = Site::new();
    let queue = keeping(&site, Duration::ZERO);
    let mut first_ids = Vec::new();
    for n in 1..=60 {
        first_ids.push(append(&queue, keyed(n, 9_000, window)).await);
        if n % 10 == 0 {
            queue.clean().await.unwrap();
        }
    }
    // Nobody is subscribed: what is old enough goes. Key records go from segment to segment.
    append_all(&queue, 60, 9_000).await;
    queue.clean().await.unwrap();
    let oldest = all_positions(&queue).await[0];
    assert!(oldest > 60, "{oldest}");
    assert_seen(&queue, &first_ids, window, "as it was").await;
    queue.close().await.unwrap();
    let queue = keeping(&site, Duration::ZERO);
    assert_seen(&queue, &first_ids, window, "after a restart").await;
    append_all(&queue, 40, 9_000).await;
    queue.clean().await.unwrap();
    queue.close().await.unwrap();
    site.remove_index();
    let queue = keeping(&site, Duration::ZERO);
    assert_seen(&queue, &first_ids, window, "without the index").await;
    append_all(&queue, 40, 9_000).await;
    queue.clean().await.unwrap();
    assert_seen(&queue, &first_ids, window, "carried again").await;
}

async fn assert_seen(
    queue: &EmbeddedQueue,
    first_ids: &[gatepost::event::EventId],
    window: Duration,
    context: &str,
) {
    for (n, id) in (1..).zip(first_ids) {
        let copy = queue.append(keyed(n, 9_000, window)).await.unwrap();
        assert_eq!(copy, Appended::Duplicate(*id), "{context}: event {n}");
    }
}

fn capped(site: &Site, disk_max: u64) -> EmbeddedQueue {
    let mut settings = site.settings();
    settings.disk_max = disk_max;
    site.try_open(settings).unwrap()
}

#[tokio::test]
async fn near_the_cap_the_oldest_settled_events_go_early() {
    let site = Site::new();
    let index = capped(&site, u64::MAX).stats().bytes;
    let queue = capped(&site, index + 12 * u64::from(SEGMENT_BYTES));
    let subscription = subscribe(&queue, "h").await;
    for n in 1..=120 {
        append(&queue, event(n, 9_000)).await;
        deliver_all(&*subscription).await;
        record(&queue).await.unwrap();
        queue.clean().await.unwrap();
    }
    let left = all_positions(&queue).await;
    assert!(left.len() < 100 && left.ends_with(&[120]), "{left:?}");
}

#[tokio::test]
async fn with_only_unsettled_events_left_the_cap_refuses_until_some_are_settled() {
    let site = Site::new();
    let index = capped(&site, u64::MAX).stats().bytes;
    let queue = capped(&site, index + 8 * u64::from(SEGMENT_BYTES));
    let subscription = subscribe(&queue, "h").await;
    let mut n_stored = 0;
    loop {
        match queue.append(event(n_stored + 1, 9_000)).await {
            Ok(_) => n_stored += 1,
            Err(QueueError::Full(_)) => break,
            Err(err) => panic!("{err}"),
        }
        queue.clean().await.unwrap();
        assert!(n_stored < 500);
    }
    assert!(matches!(queue.probe().await, Err(QueueError::Full(_))));
    assert_eq!(deliver_all(&*subscription).await as u64, n_stored);
    // The cleaner's own pass may have made room already.
    let recorded = record(&queue).await;
    assert!(matches!(recorded, Ok(()) | Err(QueueError::Full(_))), "{recorded:?}");
    queue.clean().await.unwrap();
    append(&queue, event(1_000, 9_000)).await;
    assert_eq!(deliver_all(&*subscription).await, 1);
    queue.probe().await.unwrap();
}

#[tokio::test]
async fn a_replay_is_never_lost_to_a_prune() {
    let site = Site::new();
    for n in 0..10 {
        let queue = keeping(&site, Duration::ZERO);
        let subscription = subscribe(&queue, "h").await;
        append_all(&queue, 20, 9_000).await;
        deliver_all(&*subscription).await;
        record(&queue).await.unwrap();
        let oldest = Position(all_positions(&queue).await[n % 3]);
        let name = crate::support::events::handler("h");
        let wanted = [oldest];
        let (replayed, tidied) = tokio::join!(queue.replay(&name, &wanted), queue.clean());
        let due = take_due(&*subscription);
        if replayed.unwrap() == [ReplayResult::Restarted] {
            assert_eq!(positions(&due), [oldest.0]);
        }
        assert!(tidied.is_ok() || matches!(tidied, Err(QueueError::Behind(_))), "{tidied:?}");
        for delivery in due {
            settle(&*subscription, delivery, Outcome::Delivered).await;
        }
        drop(subscription);
        queue.close().await.unwrap();
    }
}

#[tokio::test]
async fn copies_may_use_the_reserve_so_that_a_full_disk_gets_room() {
    let site = Site::new();
    let mut settings = site.settings();
    settings.retention = Duration::ZERO;
    settings.disk_reserve = 10 << 20;
    let queue = site.try_open(settings).unwrap();
    let subscription = subscribe(&queue, "h").await;
    append_all(&queue, 60, 9_000).await;
    // A third of it stays for long; not most of any segment.
    for delivery in take_due(&*subscription) {
        let outcome = if delivery.event.position.0 % 3 == 0 { DEAD } else { Outcome::Delivered };
        settle(&*subscription, delivery, outcome).await;
    }
    record(&queue).await.unwrap();
    site.disk.set_free(9 << 20);
    let full = loop {
        match queue.append(event(1, 9_000)).await {
            Ok(_) => {}
            Err(err) => break err,
        }
    };
    assert!(matches!(full, QueueError::Full(_)), "{full}");
    deliver_all(&*subscription).await;
    // Settled, whether or not there is room for more events.
    queue.history(Position(1)).await.unwrap();
    queue.clean().await.unwrap();
    let left = all_positions(&queue).await;
    assert!(left.len() < 40, "{left:?}");
    assert_eq!(queue.dead(DeadFilter::default()).await.unwrap().len(), 20);
}

#[tokio::test]
async fn many_keys_are_remembered_across_restarts_and_prunes() {
    const N: u64 = 6_000;
    let window = Duration::from_secs(DAY);
    let site = Site::new();
    let mut settings = site.settings();
    settings.memtable_keys = 500;
    let queue = site.try_open(settings).unwrap();
    let mut n = 0;
    while n < N {
        let some = (n + 1..=n + 1_000).map(|n| queue.append(keyed(n, 10, window)));
        for appended in futures_util::future::join_all(some).await {
            assert!(matches!(appended.unwrap(), Appended::Stored(_)));
        }
        n += 1_000;
    }
    assert_all_seen(&queue, N, window, "as it is").await;
    queue.close().await.unwrap();
    let mut settings = site.settings();
    settings.memtable_keys = 500;
    settings.retention = Duration::ZERO;
    let queue = site.try_open(settings).unwrap();
    assert_all_seen(&queue, N, window, "after a start").await;
    append_all(&queue, 120, 9_000).await;
    queue.clean().await.unwrap();
    assert_all_seen(&queue, N, window, "pruned").await;
    queue.close().await.unwrap();
    site.remove_index();
    let queue = site.open();
    assert_all_seen(&queue, N, window, "without the index").await;
    site.advance_secs(DAY + 1);
    let received_at = site.clock_steady();
    let late = gatepost::event::NewEvent { received_at, ..keyed(5, 10, window) };
    assert!(matches!(queue.append(late).await.unwrap(), Appended::Stored(_)));
}

async fn assert_all_seen(queue: &EmbeddedQueue, n: u64, window: Duration, context: &str) {
    for n in (1..=n).step_by(71) {
        let copy = queue.append(keyed(n, 10, window)).await.unwrap();
        assert!(matches!(copy, Appended::Duplicate(_)), "{context}: {n}");
    }
}
