//! sled is derived: whatever becomes of it, the log has everything.

use std::path::Path;
use std::time::Duration;

use gatepost::event::{Outcome, Position};
use gatepost::queue::embedded::EmbeddedQueue;
use gatepost::queue::{Appended, DeadFilter, Queue};

use super::{
    DEAD, Site, all_positions, append, append_all, deliver_all, event, keyed, positions, record,
    settle, subscribe, take_due,
};
use crate::support::events::handler;

const WINDOW: Duration = Duration::from_hours(1);

/// 1 to 3 delivered, 4 dead, 5 a retry in an hour, 6 retried once and delivered, 7 to 10 not yet.
async fn written(site: &Site) {
    let queue = site.open();
    let subscription = subscribe(&queue, "h").await;
    for n in 1..=10 {
        append(&queue, keyed(n, 500, WINDOW)).await;
    }
    let later =
        Outcome::Retry { at: super::BEGINNING.after(Duration::from_hours(1)), order_key: None };
    let again = Outcome::Retry { at: super::BEGINNING, order_key: None };
    for delivery in take_due(&*subscription).into_iter().take(6) {
        let outcome = match delivery.event.position.0 {
            4 => DEAD,
            5 => later.clone(),
            6 => again.clone(),
            _ => Outcome::Delivered,
        };
        settle(&*subscription, delivery, outcome).await;
    }
    let retried = take_due(&*subscription);
    assert_eq!(positions(&retried), [6]);
    for delivery in retried {
        settle(&*subscription, delivery, Outcome::Delivered).await;
    }
    record(&queue).await.unwrap();
    drop(subscription);
    queue.close().await.unwrap();
}

/// Waits until the index says what the log does, and compares.
async fn assert_as_written(queue: &EmbeddedQueue, site: &Site, context: &str) {
    assert!(queue.is_indexed(Duration::from_secs(30)).await, "{context}");
    assert_eq!(all_positions(queue).await, (1..=10).collect::<Vec<u64>>(), "{context}");
    let subscription = subscribe(queue, "h").await;
    let due = take_due(&*subscription);
    assert_eq!(positions(&due), [7, 8, 9, 10], "{context}");
    let dead = queue.dead(DeadFilter::default()).await.unwrap();
    assert_eq!(dead.len(), 1, "{context}");
    assert_eq!((dead[0].position, dead[0].reason.as_str()), (Position(4), "gone for good"));
    let history = queue.history(Position(6)).await.unwrap();
    assert_eq!(history[0].attempts.len(), 2, "{context}");
    for n in 1..=10 {
        let copy = queue.append(keyed(n, 500, WINDOW)).await.unwrap();
        assert!(matches!(copy, Appended::Duplicate(_)), "{context}: {n}");
    }
    site.advance_secs(3_600);
    assert_eq!(positions(&take_due(&*subscription)), [5], "{context}");
    assert_eq!(queue.stats().damage, Vec::<String>::new(), "{context}");
    assert_eq!(queue.stats().handlers.len(), 1);
}

async fn check(context: &str, spoil: impl Fn(&Path)) {
    let site = Site::new();
    written(&site).await;
    spoil(&site.folder.path().join("queue/sled"));
    let queue = site.open();
    assert_as_written(&queue, &site, context).await;
    queue.close().await.unwrap();
}

#[tokio::test]
async fn an_index_that_is_as_it_was_left_is_used() {
    check("untouched", |_| {}).await;
}

#[tokio::test]
async fn an_index_that_is_gone_is_made_anew() {
    check("gone", |sled| std::fs::remove_dir_all(sled).unwrap()).await;
    check("empty", |sled| {
        std::fs::remove_dir_all(sled).unwrap();
        std::fs::create_dir(sled).unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_file_in_the_place_of_the_index_is_moved_aside() {
    check("a file", |sled| {
        std::fs::remove_dir_all(sled).unwrap();
        std::fs::write(sled, b"garbage").unwrap();
    })
    .await;
    check("a file of nothing", |sled| {
        std::fs::remove_dir_all(sled).unwrap();
        std::fs::write(sled, b"").unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_database_of_garbage_is_made_anew() {
    let garbage: Vec<u8> = super::body(1, 300_000).to_vec();
    check("garbage", |sled| std::fs::write(sled.join("db"), &garbage).unwrap()).await;
    check("zeros", |sled| std::fs::write(sled.join("db"), vec![0; 600_000]).unwrap()).await;
    check("no bytes", |sled| std::fs::write(sled.join("db"), b"").unwrap()).await;
}

/// Damage of which sled may notice nothing until what is damaged is read. Whatever it gives then,
/// nothing is lost and nothing that is settled comes back.
async fn survives(context: &str, spoil: impl Fn(&mut Vec<u8>)) {
    let site = Site::new();
    written(&site).await;
    let path = site.folder.path().join("queue/sled/db");
    let mut bytes = std::fs::read(&path).unwrap();
    spoil(&mut bytes);
    std::fs::write(&path, bytes).unwrap();
    let queue = site.open();
    assert_as_written(&queue, &site, context).await;
    queue.close().await.unwrap();
}

#[tokio::test]
async fn a_cut_database_is_made_anew() {
    for part in [2, 3, 7] {
        survives(&format!("cut to 1/{part}"), |bytes| bytes.truncate(bytes.len() / part)).await;
    }
}

#[tokio::test]
async fn a_database_with_flipped_bits_loses_nothing() {
    for place in [3, 50, 900, 4_000, 20_000, 60_000] {
        survives(&format!("bit at {place}"), |bytes| {
            let place = place % bytes.len();
            bytes[place] ^= 4;
        })
        .await;
    }
}

#[tokio::test]
async fn a_database_with_a_zeroed_page_loses_nothing() {
    for part in [0, 1, 2] {
        survives(&format!("zeros in part {part}"), |bytes| {
            let begin = bytes.len() / 3 * part;
            let end = (begin + 4_096).min(bytes.len());
            bytes[begin..end].fill(0);
        })
        .await;
    }
}

#[tokio::test]
async fn an_index_that_was_open_when_the_machine_went_down_is_made_anew() {
    check("another boot", |sled| {
        std::fs::write(sled.join("state"), "open another-boot 1\n").unwrap();
    })
    .await;
    check("nobody knows", |sled| std::fs::remove_file(sled.join("state")).unwrap()).await;
    let site = Site::new();
    written(&site).await;
    let state = site.folder.path().join("queue/sled/state");
    assert_eq!(std::fs::read_to_string(&state).unwrap(), "clean\n");
    let queue = site.open();
    assert!(queue.is_indexed(Duration::from_secs(30)).await);
    assert!(std::fs::read_to_string(&state).unwrap().starts_with("open "));
    // Killed: what was written is there.
    let site = Site { disk: site.disk.killed(), ..site };
    drop(queue);
    let queue = site.open();
    assert_as_written(&queue, &site, "killed").await;
}

#[tokio::test]
async fn an_index_that_cannot_be_marked_as_in_use_holds_up_nothing() {
    let site = Site::new();
    written(&site).await;
    let sled = site.folder.path().join("queue/sled");
    // As on a full disk: nothing can be written where the mark is made.
    let in_the_way = sled.join("state.new");
    std::fs::create_dir(&in_the_way).unwrap();
    let queue = site.open();
    assert_eq!(all_positions(&queue).await, (1..=10).collect::<Vec<u64>>());
    let subscription = subscribe(&queue, "h").await;
    assert_eq!(positions(&take_due(&*subscription)), [7, 8, 9, 10]);
    drop(subscription);
    queue.close().await.unwrap();
    if in_the_way.exists() {
        std::fs::remove_dir(&in_the_way).unwrap();
    }
    let queue = site.open();
    assert_as_written(&queue, &site, "there is room again").await;
    queue.close().await.unwrap();
}

#[tokio::test]
async fn an_older_index_is_brought_up_to_date() {
    let site = Site::new();
    let queue = site.open();
    let subscription = subscribe(&queue, "h").await;
    append_all(&queue, 3, 500).await;
    deliver_all(&*subscription).await;
    record(&queue).await.unwrap();
    drop(subscription);
    queue.close().await.unwrap();
    let sled = site.folder.path().join("queue/sled");
    let kept = site.folder.path().join("kept");
    std::fs::create_dir(&kept).unwrap();
    for name in ["db", "conf", "state"] {
        std::fs::copy(sled.join(name), kept.join(name)).unwrap();
    }
    let queue = site.open();
    let subscription = subscribe(&queue, "h").await;
    append_all(&queue, 30, 9_000).await;
    deliver_all(&*subscription).await;
    queue.forget(&handler("nobody")).await.unwrap();
    drop(subscription);
    queue.close().await.unwrap();
    std::fs::remove_dir_all(&sled).unwrap();
    std::fs::rename(&kept, &sled).unwrap();
    let queue = site.open();
    let subscription = subscribe(&queue, "h").await;
    assert_eq!(take_due(&*subscription).len(), 0);
    assert_eq!(all_positions(&queue).await.len(), 33);
    queue.append(event(9, 9)).await.unwrap();
    assert_eq!(positions(&take_due(&*subscription)), [34]);
}

#[tokio::test]
async fn an_index_whose_compaction_was_cut_short_is_used() {
    let site = Site::new();
    written(&site).await;
    let new = site.folder.path().join("queue/sled.new");
    std::fs::create_dir(&new).unwrap();
    let queue = site.open();
    assert_as_written(&queue, &site, "a copy was begun").await;
    assert!(!new.exists());
    queue.close().await.unwrap();
}
