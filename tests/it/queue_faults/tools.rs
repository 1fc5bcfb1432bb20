//! Looking at a queue's files from outside, and taking events out and in.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gatepost::event::{Event, Headers, NewEvent};
use gatepost::queue::Queue;
use gatepost::queue::journal::OsFileSystem;
use gatepost::queue::sled::SledQueue;
use gatepost::queue::tools::{Imported, check, export, import};

use super::{
    DEAD, Site, all_events, append, append_all, deliver_all, event, keyed, record, settle,
    subscribe, take_due,
};

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

fn odd_event() -> NewEvent {
    let mut headers = Headers::builder();
    headers.push("x-name", "Zoë".as_bytes());
    headers.push("x-raw", &[0xff, 0, 0x80]);
    let body = Bytes::from_static(&[0, 0xff, b'"', b'\\', b'\n']);
    NewEvent { headers: headers.finish(), body, ..keyed(7, 0, Duration::from_secs(60)) }
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
    assert_eq!(export(&folder(&site), Vec::new()).unwrap(), 0);
}

fn content(event: &Event) -> (String, String, i64, Vec<u8>, Vec<u8>) {
    (
        event.source.to_string(),
        event.event_type.to_string(),
        event.received_at.as_millis(),
        event.headers.encoded().to_vec(),
        event.body.to_vec(),
    )
}

#[tokio::test]
async fn what_is_exported_can_be_imported_once() {
    let site = Site::new();
    let queue = open(&site, Duration::ZERO);
    let subscription = subscribe(&queue, "h").await;
    append_all(&queue, 20, 9_000).await;
    let mut taken = take_due(&*subscription).into_iter();
    settle(&*subscription, taken.next().unwrap(), DEAD).await;
    for delivery in taken {
        settle(&*subscription, delivery, gatepost::event::Outcome::Delivered).await;
    }
    append(&queue, odd_event()).await;
    append(&queue, event(22, 0)).await;
    deliver_all(&*subscription).await;
    record(&queue).await.unwrap();
    queue.tidy().await.unwrap();
    let mut expected: Vec<_> = all_events(&queue).await.iter().map(content).collect();
    let dead = queue.dead(Default::default()).await.unwrap().remove(0);
    expected.insert(0, content(&queue.get(dead.id).await.unwrap().unwrap()));
    drop(subscription);
    queue.close().await.unwrap();

    let mut lines = Vec::new();
    let n_lines = export(&folder(&site), &mut lines).unwrap();
    assert_eq!(n_lines, expected.len() as u64);
    assert_eq!(check(&folder(&site)).unwrap().events, n_lines);

    let other = Site::new();
    let queue = open(&other, Duration::from_hours(1));
    let imported = import(&queue, &lines[..]).await.unwrap();
    assert_eq!(imported, Imported { stored: n_lines, duplicates: 0 });
    let found: Vec<_> = all_events(&queue).await.iter().map(content).collect();
    assert_eq!(found, expected);
    let imported = import(&queue, &lines[..]).await.unwrap();
    assert_eq!(imported, Imported { stored: 0, duplicates: n_lines });
}

#[tokio::test]
async fn a_line_that_is_no_event_is_named() {
    let site = Site::new();
    let queue = open(&site, Duration::from_hours(1));
    let err = import(&queue, &b"\n{}\n"[..]).await.unwrap_err();
    assert!(err.to_string().contains("line 2"), "{err}");
}
