//! What cannot be read is named, what can be read is served, and nothing is dropped in silence.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gatepost::clock::{Clock, SystemClock};
use gatepost::event::{Outcome, Position};
use gatepost::queue::embedded::EmbeddedQueue;
use gatepost::queue::tools::check;
use gatepost::queue::{DeadFilter, EventQuery, ListOrder, Queue};

use super::{Site, append_all, settle, subscribe, take};

const LONG: Duration = Duration::from_hours(1);

fn flip(path: &std::path::Path, offset: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[offset] ^= 1;
    std::fs::write(path, &bytes).unwrap();
}

#[tokio::test]
async fn events_around_a_rotten_one_are_delivered_and_it_is_named() {
    let site = Site::new();
    let queue = site.open(LONG);
    append_all(&queue, 20, 9_000).await;
    queue.close().await.unwrap();
    flip(&site.segments()[1], 30_000);
    let queue = site.open(LONG);
    let subscription = subscribe(&queue, "h").await;
    let taken = take(&*subscription, 19).await;
    let positions: Vec<u64> = taken.iter().map(|delivery| delivery.event.position.0).collect();
    let missing: Vec<u64> = (1..=20).filter(|position| !positions.contains(position)).collect();
    assert_eq!(missing.len(), 1);
    let damage = queue.stats().damage;
    assert!(damage.iter().any(|text| text.contains("cannot be read")), "{damage:?}");
    let backlog = subscription.backlog();
    assert_eq!(backlog.dead, 1, "the lost one is counted");
}

/// As a backup that was put back over a queue, or a copy without `--delete`.
#[tokio::test]
async fn two_logs_in_one_folder_are_refused_by_name_and_nothing_is_changed() {
    for n_events in [1, 20] {
        let (site, other) = (Site::new(), Site::new());
        for site in [&site, &other] {
            let queue = site.open(LONG);
            append_all(&queue, n_events, 9_000).await;
            queue.close().await.unwrap();
        }
        let names = |site: &Site| -> Vec<String> {
            let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
            site.segments().iter().map(name).collect()
        };
        let pairs: Vec<_> = names(&site).into_iter().zip(names(&other)).collect();
        for path in other.segments() {
            std::fs::copy(&path, site.path().join("log").join(path.file_name().unwrap())).unwrap();
        }
        let there = site.segments();
        let clock = Arc::new(SystemClock::new());
        let opened = EmbeddedQueue::open(site.settings(LONG), clock).unwrap_err().to_string();
        let checked = check(&site.path()).unwrap_err().to_string();
        for told in [opened, checked] {
            assert!(told.contains("two logs lie in one folder"), "{told}");
            let mut pairs = pairs.iter();
            assert!(
                pairs.any(|(own, others)| told.contains(own) && told.contains(others)),
                "{told}"
            );
        }
        assert_eq!(site.segments(), there);
    }
}

#[tokio::test]
async fn a_rotten_head_of_a_segment_is_named_where_no_reader_comes() {
    let site = Site::new();
    let queue = site.open(LONG);
    let subscription = subscribe(&queue, "h").await;
    append_all(&queue, 30, 9_000).await;
    for delivery in take(&*subscription, 30).await {
        settle(&*subscription, delivery, Outcome::Delivered).await;
    }
    drop(subscription);
    queue.close().await.unwrap();
    for offset in [0, 5, 28] {
        flip(&site.segments()[1], offset);
        let queue = site.open(LONG);
        let damage = loop {
            let damage = queue.stats().damage;
            if !damage.is_empty() {
                break damage;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(damage.len(), 1, "byte {offset}: {damage:?}");
        assert!(damage[0].contains("from byte 0 on cannot be read"), "{damage:?}");
        queue.close().await.unwrap();
        flip(&site.segments()[1], offset);
    }
}

#[tokio::test]
async fn rotten_settle_record_makes_its_deliveries_come_again() {
    let site = Site::new();
    let queue = site.open(LONG);
    let subscription = subscribe(&queue, "h").await;
    append_all(&queue, 3, 200).await;
    for delivery in take(&*subscription, 3).await {
        settle(&*subscription, delivery, Outcome::Dead { order_key: None }).await;
    }
    assert_eq!(queue.dead(DeadFilter::default()).await.unwrap().len(), 3);
    drop(subscription);
    drop(queue);
    // Only the log is left, and the outcomes in it are rotten.
    std::fs::remove_dir_all(site.path().join("state")).unwrap();
    let path = site.segments()[0].clone();
    let bytes = std::fs::read(&path).unwrap();
    let name = bytes.windows(2).rposition(|two| two == b"\x01h").unwrap();
    flip(&path, name + 3);
    let queue = site.open(LONG);
    let subscription = subscribe(&queue, "h").await;
    let taken = take(&*subscription, 3).await;
    let positions: Vec<Position> = taken.iter().map(|delivery| delivery.event.position).collect();
    assert_eq!(positions, [Position(1), Position(2), Position(3)], "not lost: they come again");
    assert!(!queue.stats().damage.is_empty());
}

#[tokio::test]
async fn missing_segment_is_named_and_the_others_stay() {
    let site = Site::new();
    let queue = site.open(LONG);
    append_all(&queue, 40, 9_000).await;
    queue.close().await.unwrap();
    let segments = site.segments();
    assert!(segments.len() >= 4);
    std::fs::remove_file(&segments[1]).unwrap();
    let queue = site.open(LONG);
    let subscription = subscribe(&queue, "h").await;
    let query = EventQuery { limit: 100, order: ListOrder::Oldest, ..EventQuery::default() };
    let listed = queue.list(query).await.unwrap();
    let taken = take(&*subscription, listed.len()).await;
    assert!((30..40).contains(&taken.len()), "{}", taken.len());
    assert_eq!(taken[0].event.position, Position(1), "what is before the gap is served");
    assert!(segments[0].exists(), "no file goes because another one is missing");
    let damage = queue.stats().damage;
    assert!(damage.iter().any(|text| text.contains("missing")), "{damage:?}");
}

#[tokio::test]
async fn newer_version_is_left_alone() {
    let site = Site::new();
    let queue = site.open(LONG);
    append_all(&queue, 3, 200).await;
    queue.close().await.unwrap();
    let clock: Arc<dyn Clock> = site.clock.clone();
    for (format, expected) in [("3\n", "newer version"), ("\u{1}?", "what no version writes")] {
        std::fs::write(site.path().join("FORMAT"), format).unwrap();
        let settings = site.settings(LONG);
        let opened = EmbeddedQueue::open(settings, clock.clone());
        let err = opened.err().unwrap().to_string();
        assert!(err.contains(expected), "{err}");
    }
}
