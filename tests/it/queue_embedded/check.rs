//! `queue check`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gatepost::event::{Dedupe, DedupeKey, NewEvent, Outcome};
use gatepost::queue::Queue;
use gatepost::queue::embedded::{EmbeddedQueue, Settings};
use gatepost::queue::tools::check;

use super::{Site, append_all, settle, subscribe, take};
use crate::support::clock::BEGINNING;
use crate::support::events::new_event;

const LONG: Duration = Duration::from_hours(1);

/// Every file with its bytes.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                all.insert(path.clone(), std::fs::read(path).unwrap());
            }
        }
    }
    all
}

#[tokio::test]
async fn sound_queue_is_counted_open_or_closed() {
    let site = Site::new();
    let queue = site.open(LONG);
    append_all(&queue, 20, 9_000).await;
    let opened = check(&site.path()).unwrap();
    assert_eq!((opened.events, opened.last.0), (20, 20));
    assert_eq!(opened.damage, []);
    queue.close().await.unwrap();
    let before = contents(&site.path());
    let closed = check(&site.path()).unwrap();
    assert_eq!((closed.events, closed.torn_bytes, closed.kept), (20, 0, 0));
    assert!(closed.segments >= 3 && closed.records > 20 && closed.bytes > 180_000);
    assert_eq!(closed.damage, []);
    assert!(contents(&site.path()) == before, "looking changes nothing");
}

#[tokio::test]
async fn states_by_snapshot_and_by_log_are_equal() {
    let site = Site::new();
    let queue = site.open(LONG);
    let subscription = subscribe(&queue, "h").await;
    append_all(&queue, 40, 9_000).await;
    for (number, delivery) in take(&*subscription, 40).await.into_iter().enumerate() {
        match number % 5 {
            0 => drop(delivery),
            1 => settle(&*subscription, delivery, Outcome::Dead { order_key: None }).await,
            2 => settle(&*subscription, delivery, Outcome::Skipped).await,
            _ => settle(&*subscription, delivery, Outcome::Delivered).await,
        }
    }
    drop(subscription);
    queue.close().await.unwrap();
    let report = check(&site.path()).unwrap();
    assert_eq!(report.damage, []);
    assert!(site.path().join("state").read_dir().unwrap().next().is_some(), "there is a snapshot");
}

#[tokio::test]
async fn damage_is_named_and_nothing_is_changed() {
    let site = Site::new();
    let queue = site.open(LONG);
    append_all(&queue, 20, 9_000).await;
    queue.close().await.unwrap();
    let path = site.segments()[1].clone();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[30_000] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let before = contents(&site.path());
    let report = check(&site.path()).unwrap();
    assert_eq!((report.events, report.n_missing), (19, 1));
    let [damage] = &report.damage[..] else { panic!("{:?}", report.damage) };
    assert_eq!(damage.segment, 2);
    assert!(damage.offset <= 30_000 && damage.offset + damage.bytes > 30_000);
    assert!(contents(&site.path()) == before);
}

#[tokio::test]
async fn a_flipped_byte_in_any_derived_file_is_named_with_what_it_means() {
    let site = Site::new();
    // Two generations of snapshots, and a run of keys.
    for first in [0, 20] {
        let settings = Settings { memtable_keys: 5, ..site.settings(LONG) };
        let queue = EmbeddedQueue::open(settings, site.clock.clone()).unwrap();
        for n in first..first + 20 {
            let key = DedupeKey([n; 16]);
            let dedupe = Dedupe::Within { key, window: LONG };
            let event = new_event("a", &n.to_string(), BEGINNING);
            queue.append(NewEvent { dedupe, ..event }).await.unwrap();
        }
        queue.clean().await.unwrap();
        queue.close().await.unwrap();
    }
    assert_eq!(check(&site.path()).unwrap().damage, []);
    let sound = contents(&site.path());
    let is_derived = |path: &&PathBuf| {
        path.extension().is_some_and(|ending| ending == "snap" || ending == "run")
    };
    let derived: Vec<&PathBuf> = sound.keys().filter(is_derived).collect();
    let (runs, snapshots): (Vec<&PathBuf>, _) =
        derived.iter().partition(|path| path.extension().is_some_and(|ending| ending == "run"));
    let snapshots: Vec<&PathBuf> = snapshots;
    assert!(!runs.is_empty() && snapshots.len() == 2, "{derived:?}");
    for path in &derived {
        let bytes = &sound[*path];
        for at in [0, 9, bytes.len() / 2, bytes.len() - 1] {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            std::fs::write(path, flipped).unwrap();
            let damage = check(&site.path()).unwrap().damage;
            let [one] = &damage[..] else { panic!("{}, byte {at}: {damage:?}", path.display()) };
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(one.text.contains(name) && one.text.contains("nothing is lost"), "{one:?}");
            let meaning = match path.extension().unwrap().to_str() {
                Some("run") => "made anew from the log",
                _ if *path == snapshots[1] => "reads the older snapshot",
                _ => "reads the newer snapshot",
            };
            assert!(one.text.contains(meaning), "{one:?}");
        }
        std::fs::write(path, bytes).unwrap();
    }
    for path in snapshots {
        std::fs::write(path, "no snapshot").unwrap();
    }
    let damage = check(&site.path()).unwrap().damage;
    assert!(damage.len() == 2 && damage[0].text.contains("reads all of the log"), "{damage:?}");
}

#[tokio::test]
async fn torn_end_is_no_damage() {
    let site = Site::new();
    let queue = site.open(LONG);
    append_all(&queue, 3, 900).await;
    queue.close().await.unwrap();
    let path = site.segments()[0].clone();
    let mut bytes = std::fs::read(&path).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[end + 50..end + 150].fill(7);
    std::fs::write(&path, &bytes).unwrap();
    let report = check(&site.path()).unwrap();
    assert_eq!(report.events, 3);
    assert!((100..=150).contains(&report.torn_bytes), "{}", report.torn_bytes);
    assert_eq!(report.damage, []);
}

#[tokio::test]
async fn nothing_is_found_where_there_is_no_queue() {
    let site = Site::new();
    assert_eq!(check(&site.path()).unwrap().events, 0);
    assert!(!site.path().exists());
}

#[tokio::test]
async fn events_of_a_torn_commit_are_not_missing() {
    let site = Site::new();
    let queue = site.open(LONG);
    append_all(&queue, 1, 100).await;
    let bodies: [&'static [u8]; 3] = [b"whole", b"torn by a power cut", b"whole"];
    let events = bodies.iter().enumerate().map(|(number, body)| {
        let mut event = new_event("a", &format!("list-{number}"), BEGINNING);
        event.body = (*body).into();
        event
    });
    queue.append_all(events.collect()).await.unwrap();
    // As a power cut before the sync leaves it: the unit's middle is not on the disk.
    let mut cut = contents(&site.path());
    queue.close().await.unwrap();
    let log = cut.get_mut(&site.segments()[0]).unwrap();
    let body = log.windows(bodies[1].len()).position(|bytes| bytes == bodies[1]).unwrap();
    log[body] ^= 1;
    std::fs::remove_dir_all(site.path()).unwrap();
    for (path, bytes) in cut {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let queue = site.open(LONG);
    assert!(queue.opened().torn_bytes > 0);
    append_all(&queue, 1, 100).await;
    queue.close().await.unwrap();
    let report = check(&site.path()).unwrap();
    assert_eq!((report.events, report.n_missing, report.last.0), (4, 0, 5));
    assert_eq!(report.damage, []);
}
