//! Looking at a queue's files from outside.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gatepost::queue::Queue;
use gatepost::queue::journal::OsFileSystem;
use gatepost::queue::sled::SledQueue;
use gatepost::queue::tools::check;

use super::{DEAD, Site, all_events, append_all, record, settle, subscribe, take_due};

/// On the system's file system, which the tools read.
fn open(site: &Site, retention: Duration) -> SledQueue {
    let mut settings = site.settings();
    settings.file_system = Arc::new(OsFileSystem);
    settings.retention = retention;
    site.try_open(settings).unwrap()
}

fn folder(site: &Site) -> PathBuf {
    site.folder.path().join("queue")
}

#[tokio::test]
async fn a_sound_queue_is_counted_open_or_closed() {
    let site = Site::new();
    let queue = open(&site, Duration::from_hours(1));
    append_all(&queue, 20, 9_000).await;
    let opened = check(&folder(&site)).unwrap();
    assert_eq!((opened.events, opened.last.0), (20, 20));
    assert_eq!(opened.damage, []);
    queue.close().await.unwrap();
    let closed = check(&folder(&site)).unwrap();
    assert_eq!((closed.events, closed.torn_bytes, closed.carried), (20, 0, 0));
    assert!(closed.segments >= 3 && closed.records > 20 && closed.bytes > 180_000);
    assert_eq!(closed.damage, []);
}

#[tokio::test]
async fn checking_names_damage_and_changes_nothing() {
    let site = Site::new();
    let queue = open(&site, Duration::from_hours(1));
    append_all(&queue, 20, 9_000).await;
    queue.close().await.unwrap();
    let path = folder(&site).join("journal/00000000000000000002.seg");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[30_000] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let report = check(&folder(&site)).unwrap();
    assert_eq!(report.events, 19);
    let [damage] = &report.damage[..] else { panic!("{:?}", report.damage) };
    assert_eq!((damage.segment, damage.events), (2, Some(1)));
    assert!(damage.offset < 30_000 && damage.offset + damage.bytes > 30_000);
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    assert_eq!(check(&folder(&site)).unwrap(), report);
}

#[tokio::test]
async fn a_torn_end_is_no_damage() {
    let site = Site::new();
    let queue = open(&site, Duration::from_hours(1));
    append_all(&queue, 3, 900).await;
    queue.close().await.unwrap();
    let path = folder(&site).join("journal/00000000000000000001.seg");
    let mut bytes = std::fs::read(&path).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[end + 50..end + 150].fill(7);
    std::fs::write(&path, &bytes).unwrap();
    let report = check(&folder(&site)).unwrap();
    assert_eq!(report.events, 3);
    assert!((100..=150).contains(&report.torn_bytes), "{}", report.torn_bytes);
    assert_eq!(report.damage, []);
}

#[tokio::test]
async fn nothing_is_found_where_there_is_no_queue() {
    let site = Site::new();
    assert!(check(&folder(&site)).is_err());
    std::fs::create_dir_all(folder(&site).join("journal")).unwrap();
    assert_eq!(check(&folder(&site)).unwrap().events, 0);
}

#[tokio::test]
async fn what_is_carried_forward_is_counted_once() {
    let site = Site::new();
    let queue = open(&site, Duration::ZERO);
    let subscription = subscribe(&queue, "h").await;
    append_all(&queue, 20, 9_000).await;
    let mut taken = take_due(&*subscription).into_iter();
    settle(&*subscription, taken.next().unwrap(), DEAD).await;
    for delivery in taken {
        settle(&*subscription, delivery, gatepost::event::Outcome::Delivered).await;
    }
    record(&queue).await.unwrap();
    queue.tidy().await.unwrap();
    let n_events = all_events(&queue).await.len() as u64;
    drop(subscription);
    queue.close().await.unwrap();
    let report = check(&folder(&site)).unwrap();
    assert_eq!((report.events, report.carried), (n_events, 1));
}
