//! The power goes, or the process is killed, between any two calls to the file system.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gatepost::event::{EventId, Outcome, Position};
use gatepost::queue::{DeadFilter, Queue, QueueError};

use super::disk::Disk;
use super::{
    DEAD, SEGMENT_BYTES, Site, all_events, append, body, event, positions, record, subscribe,
    take_due,
};
use crate::support::events::{handler, settlement, tried};

/// What the queue has promised by the time the power goes.
#[derive(Default)]
struct Promised {
    /// What each acknowledged event was made of.
    stored: BTreeMap<EventId, u64>,
    /// Ended for good, recorded.
    ended: BTreeSet<u64>,
    /// Dead, recorded.
    dead: BTreeSet<u64>,
    /// Settled, perhaps not recorded.
    uncertain: BTreeSet<u64>,
    n: u64,
}

/// Large events, so that segments are rolled quickly.
const BODY_BYTES: usize = 9_000;

/// Appends, settles in every way, rolls and prunes, until the power goes.
async fn live(site: &Site, promised: &mut Promised) -> Result<(), QueueError> {
    let mut settings = site.settings();
    settings.retention = Duration::ZERO;
    let queue = site.try_open_inline(settings)?;
    let subscription = queue.subscribe(&handler("h"), gatepost::queue::Start::Oldest).await?;
    let (mut ended, mut dead) = (BTreeSet::new(), BTreeSet::new());
    for round in 0..7_u64 {
        for _ in 0..4 {
            promised.n += 1;
            let id = queue.append(event(promised.n, BODY_BYTES)).await?.id();
            promised.stored.insert(id, promised.n);
        }
        for (i, delivery) in take_due(&*subscription).into_iter().enumerate() {
            let position = delivery.event.position.0;
            promised.uncertain.insert(position);
            let outcome = match i {
                0 => Outcome::Retry {
                    at: delivery.event.received_at.after(Duration::from_hours(9)),
                    order_key: None,
                },
                1 if round % 2 == 0 => DEAD,
                _ => Outcome::Delivered,
            };
            match outcome {
                Outcome::Delivered => ended.insert(position),
                DEAD => dead.insert(position),
                _ => true,
            };
            let end = tried(outcome, delivery.event.received_at, "refused");
            subscription.settle(settlement(delivery, end)).await?;
        }
        if round != 5 {
            record(&queue).await?;
            promised.ended.append(&mut ended);
            promised.dead.append(&mut dead);
            promised.uncertain.clear();
        }
        queue.clean().await?;
    }
    drop(subscription);
    queue.close().await
}

/// Everything that was promised is kept, and the queue goes on.
async fn assert_kept(site: &Site, promised: &Promised, context: &str) {
    let queue = site.open_inline();
    assert_eq!(queue.stats().damage, Vec::<String>::new(), "{context}");
    site.advance_secs(100 * 3_600);
    let subscription = subscribe(&queue, "h").await;
    let due = take_due(&*subscription);
    let dead = queue.dead(DeadFilter::default()).await.unwrap();
    let events = all_events(&queue).await;

    let mut alive: BTreeMap<u64, EventId> = BTreeMap::new();
    let mut again = BTreeSet::new();
    for delivery in &due {
        let position = delivery.event.position.0;
        assert!(again.insert(position), "{context}: {position} came twice");
        assert!(!promised.ended.contains(&position), "{context}: {position} came again");
        assert!(!promised.dead.contains(&position), "{context}: {position} is dead");
        alive.insert(position, delivery.event.id);
    }
    alive.extend(dead.iter().map(|letter| (letter.position.0, letter.id)));
    let by_id: BTreeMap<EventId, u64> = alive.iter().map(|(p, id)| (*id, *p)).collect();
    for (id, n) in &promised.stored {
        let position = *n;
        let found = queue.get(*id).await.unwrap();
        if let Some(found) = &found {
            assert_eq!(found.body, body(*n, BODY_BYTES), "{context}: event {n}");
        }
        let may_be_gone =
            promised.ended.contains(&position) || promised.uncertain.contains(&position);
        assert!(found.is_some() || may_be_gone, "{context}: event {n} is gone");
        let may_not_come = may_be_gone || promised.dead.contains(&position);
        assert!(by_id.contains_key(id) || may_not_come, "{context}: event {n} never comes");
    }
    for position in &promised.dead {
        let is_dead = dead.iter().any(|letter| letter.position.0 == *position);
        assert!(is_dead, "{context}: dead letter {position} is gone");
    }
    assert!(events.is_sorted_by(|a, b| a.position < b.position && a.id < b.id), "{context}");

    let last = promised.stored.len() as u64;
    let id = append(&queue, event(1_000, BODY_BYTES)).await;
    let next = queue.get(id).await.unwrap().unwrap();
    assert!(next.position > Position(last), "{context}: {} was used before", next.position.0);
    assert_eq!(queue.stats().damage, Vec::<String>::new(), "{context}");
    let mut expected = positions(&due);
    expected.push(next.position.0);
    expected.sort_unstable();
    drop(subscription);
    queue.close().await.unwrap();

    // And once more, after an end as it should be.
    let queue = site.open_inline();
    assert_eq!(queue.opened().torn_bytes, 0, "{context}");
    assert_eq!(queue.opened().rebuilt, None, "{context}");
    let subscription = subscribe(&queue, "h").await;
    let mut due = positions(&take_due(&*subscription));
    due.sort_unstable();
    assert_eq!(due, expected, "{context}");
    drop(subscription);
    queue.close().await.unwrap();
}

/// How many calls the whole life takes, about: threads make it vary a little.
async fn n_changes() -> u64 {
    let site = Site::new();
    live(&site, &mut Promised::default()).await.unwrap();
    site.disk.n_changes()
}

async fn cut_at_every(n_th: u64, of: u64, after: impl Fn(&Disk, u64) -> Disk) {
    let n_calls = n_changes().await;
    assert!(n_calls > 100, "{n_calls} calls of {SEGMENT_BYTES} byte segments");
    for cut in (1..=n_calls).filter(|cut| cut % of == n_th) {
        let mut site = Site::new();
        let mut promised = Promised::default();
        site.disk.cut_at(cut);
        let lived = live(&site, &mut promised).await;
        assert!(lived.is_err() || cut > n_calls - 20, "nothing fails although the power is gone");
        site.disk = after(&site.disk, cut);
        // A start that ends in the same way.
        if cut % 3 == 0 {
            site.disk.cut_at(1 + cut % 11);
            drop(site.try_open_inline(site.settings()));
            site.disk = after(&site.disk, cut + 1);
        }
        if cut % 4 == 0 {
            site.remove_snapshots();
        }
        assert_kept(&site, &promised, &format!("cut at call {cut} of {n_calls}")).await;
    }
}

#[tokio::test]
async fn a_power_cut_at_any_call_loses_nothing_1() {
    cut_at_every(0, 3, Disk::power_cut).await;
}

#[tokio::test]
async fn a_power_cut_at_any_call_loses_nothing_2() {
    cut_at_every(1, 3, Disk::power_cut).await;
}

#[tokio::test]
async fn a_power_cut_at_any_call_loses_nothing_3() {
    cut_at_every(2, 3, Disk::power_cut).await;
}

#[tokio::test]
async fn a_kill_at_any_call_loses_nothing() {
    cut_at_every(1, 4, |disk, _| disk.killed()).await;
}

#[tokio::test]
async fn what_a_killed_process_left_unsynced_is_synced_before_it_counts() {
    let mut site = Site::new();
    let queue = site.open_inline();
    // Written, and killed before the sync.
    site.disk.fail(gatepost::queue::embedded::testing::Call::Sync, std::io::ErrorKind::Other);
    assert!(queue.append(event(1, 100)).await.is_err());
    drop(queue);
    site.disk = site.disk.killed();
    let queue = site.open_inline();
    let n_found = all_events(&queue).await.len();
    drop(queue);
    // What one start has shown, the next one shows too, whatever the disk forgets.
    for seed in 0..5 {
        let disk = site.disk.clone();
        site.disk = disk.power_cut(seed);
        let queue = site.open_inline();
        assert_eq!(all_events(&queue).await.len(), n_found);
        drop(queue);
    }
}

#[tokio::test]
async fn a_torn_commit_of_many_events_is_no_damage() {
    for seed in 0..40 {
        let mut site = Site::new();
        let queue = site.open_inline();
        append(&queue, event(1, 300)).await;
        let calls = site.disk.n_changes();
        // The first commit or the second, which has what came meanwhile.
        site.disk.cut_at(calls + 1 + 2 * (seed % 2));
        let appends = (2..30).map(|n| queue.append(event(n, 700)));
        let appended = futures_util::future::join_all(appends).await;
        let n_acknowledged = 1 + appended.iter().filter(|appended| appended.is_ok()).count();
        drop(queue);
        site.disk = site.disk.power_cut(seed);
        if seed % 2 == 0 {
            site.remove_snapshots();
        }
        for _ in 0..2 {
            let queue = site.open_inline();
            let subscription = subscribe(&queue, "h").await;
            assert!(take_due(&*subscription).len() >= n_acknowledged);
            assert_eq!(queue.stats().damage, Vec::<String>::new(), "seed {seed}");
            drop(subscription);
            append(&queue, event(99, 700)).await;
            queue.close().await.unwrap();
        }
    }
}
