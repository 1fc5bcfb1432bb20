//! Bytes that rot, and files that are cut: what is lost is named, the rest is served.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use gatepost::event::{Outcome, Position};
use gatepost::queue::sled::SledQueue;
use gatepost::queue::{DeadFilter, Queue};

use super::{
    DEAD, Site, all_positions, append, append_all, deliver_all, event, positions, record, settle,
    subscribe, take_due,
};
use crate::support::events::handler;

const N_EVENTS: u64 = 20;

/// A journal of several segments, the events of it appended and partly settled, closed.
pub(super) async fn written() -> Site {
    let site = Site::new();
    let queue = site.open();
    let subscription = subscribe(&queue, "h").await;
    append_all(&queue, N_EVENTS, 9_000).await;
    for delivery in take_due(&*subscription).into_iter().take(6) {
        let outcome = if delivery.event.position.0 == 3 { DEAD } else { Outcome::Delivered };
        settle(&*subscription, delivery, outcome).await;
    }
    record(&queue).await.unwrap();
    drop(subscription);
    queue.close().await.unwrap();
    site
}

pub(super) fn segments(site: &Site) -> Vec<PathBuf> {
    let files = site.disk.files().into_iter();
    let mut segments: Vec<PathBuf> = files.filter(|path| !is_unused(site, path)).collect();
    segments.sort();
    segments
}

fn is_unused(site: &Site, path: &Path) -> bool {
    site.disk.read(path).iter().all(|byte| *byte == 0)
}

/// Where records begin and end in a segment.
pub(super) fn records(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut records = Vec::new();
    let mut at = 0;
    while let Some(header) = bytes.get(at..at + 14) {
        let end = at + 14 + u32::from_le_bytes(header[..4].try_into().unwrap()) as usize;
        if header[12] == 0 {
            break;
        }
        records.push((at, end));
        at = end;
    }
    records
}

fn flip(site: &Site, path: &Path, byte: usize) {
    let mut bytes = site.disk.read(path);
    bytes[byte] ^= 0x10;
    site.disk.spoil(path, bytes);
}

/// How many events the damage says are missing.
fn n_named(queue: &SledQueue) -> u64 {
    let damage = queue.stats().damage;
    let numbers = damage.iter().map(|text| {
        let (_, rest) = text.split_once("read, ").unwrap_or(("", "0 "));
        rest.split(' ').next().unwrap().parse().unwrap_or(0)
    });
    numbers.sum()
}

/// Opens a spoiled journal, reads all of it, and compares what is missing with what is named.
async fn assert_named_and_rest_served(site: &Site, context: &str) -> BTreeSet<u64> {
    let queue = site.open();
    let subscription = subscribe(&queue, "h").await;
    let found: BTreeSet<u64> = all_positions(&queue).await.into_iter().collect();
    let missing: BTreeSet<u64> = (1..=N_EVENTS).filter(|p| !found.contains(p)).collect();
    assert_eq!(n_named(&queue), missing.len() as u64, "{context}: {:?}", queue.stats().damage);
    let due = positions(&take_due(&*subscription));
    for position in 7..=N_EVENTS {
        let comes = due.contains(&position);
        assert!(comes || missing.contains(&position), "{context}: {position} never comes");
    }
    assert_eq!(due.iter().collect::<BTreeSet<_>>().len(), due.len(), "{context}: twice");
    // Goes on behind it.
    let id = append(&queue, event(99, 100)).await;
    let next = queue.get(id).await.unwrap().unwrap().position.0;
    assert_eq!(next, N_EVENTS + 1, "{context}");
    drop(subscription);
    queue.close().await.unwrap();
    missing
}

#[tokio::test]
async fn a_flipped_bit_anywhere_in_a_sealed_segment_is_named() {
    flipped(|segments| 1.min(segments - 2)).await;
}

#[tokio::test]
async fn a_flipped_bit_anywhere_in_the_live_segment_is_named() {
    flipped(|segments| segments - 1).await;
}

/// Flips a bit in each region of each record of one segment, and looks at each result, with the
/// index as it was and without it.
async fn flipped(which: impl Fn(usize) -> usize) {
    let site = written().await;
    let paths = segments(&site);
    assert!(paths.len() > 2);
    let index = which(paths.len());
    let path = &paths[index];
    let whole = site.disk.read(path);
    let records = records(&whole);
    let last = records.len() - 1;
    for (n, (begin, end)) in records.iter().enumerate() {
        // Length, checksum, batch start, kind, version, and the payload's begin, middle and end.
        let regions = [0, 2, 4, 9, 12, 13, 14, (end - begin) / 2, end - begin - 1];
        for region in regions {
            if region >= end - begin || (n > 1 && n < last && region % 2 == 1) {
                continue;
            }
            let context = format!("segment {index}, record {n} of {last}, byte {region}");
            let site = copy_of(&site);
            flip(&site, &path_in(&site, path), begin + region);
            if region % 4 == 0 {
                site.remove_index();
            }
            let missing = assert_named_and_rest_served(&site, &context).await;
            let is_event = whole[begin + 12] == 1;
            assert_eq!(missing.len(), usize::from(is_event), "{context}");
            if index < paths.len() - 1 {
                assert_damaged(&site, &context).await;
            }
        }
    }
}

async fn assert_damaged(site: &Site, context: &str) {
    let queue = site.open();
    all_positions(&queue).await;
    assert_ne!(queue.stats().damage, Vec::<String>::new(), "{context}");
    queue.close().await.unwrap();
}

/// The same journal and index once more, to be spoiled.
pub(super) fn copy_of(site: &Site) -> Site {
    let copy = Site { disk: site.disk.killed(), ..Site::new() };
    // The folder's name is in the paths.
    let (from, to) = (site.folder.path(), copy.folder.path());
    copy.disk.move_all(from, to);
    copy_folder(&from.join("queue/sled"), &to.join("queue/sled"));
    copy
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[tokio::test]
async fn a_segment_that_is_cut_off_anywhere_is_named() {
    let site = written().await;
    let paths = segments(&site);
    for index in 0..paths.len() {
        let path = &paths[index];
        let whole = site.disk.read(path);
        let end = records(&whole).last().unwrap().1;
        for kept in [0, 1, 13, 14, 500, end / 3, end / 2, end - 9_000, end - 1, end] {
            let site = copy_of(&site);
            site.disk.spoil(&path_in(&site, path), whole[..kept].to_vec());
            if kept % 2 == 0 {
                site.remove_index();
            }
            let is_live = index == paths.len() - 1;
            let context = format!("segment {index} cut to {kept} of {end}");
            if is_live && kept % 2 == 0 {
                // Nothing is left that could tell: what is there is served.
                let queue = site.open();
                let all = all_positions(&queue).await;
                assert!(all.is_sorted() && all.len() as u64 <= N_EVENTS, "{context}");
                append(&queue, event(99, 100)).await;
                queue.close().await.unwrap();
                continue;
            }
            assert_named_and_rest_served(&site, &context).await;
        }
    }
}

pub(super) fn path_in(site: &Site, path: &Path) -> PathBuf {
    site.folder.path().join("queue/journal").join(path.file_name().unwrap())
}

#[tokio::test]
async fn a_damaged_beginning_hides_nothing_of_the_segment_before() {
    let site = Site::new();
    let queue = site.open();
    // The last segment holds settlements only.
    let subscription = subscribe(&queue, "h").await;
    append_all(&queue, 6, 9_000).await;
    let taken = take_due(&*subscription);
    for delivery in taken {
        settle(&*subscription, delivery, Outcome::Delivered).await;
    }
    record(&queue).await.unwrap();
    for n in 7..10 {
        append(&queue, event(n, 15_000)).await;
    }
    // Rolls while nothing but outcomes comes.
    for round in 0..200 {
        if segments(&site).len() > 2 {
            break;
        }
        let taken = take_due(&*subscription);
        for delivery in taken {
            let at = delivery.event.received_at;
            let outcome = Outcome::Retry { at, order_key: None };
            let error = "x".repeat(1_000);
            let settled = crate::support::events::tried(outcome, at, &error);
            subscription.settle(delivery, settled).await.unwrap();
        }
        record(&queue).await.unwrap();
        assert!(round < 199);
    }
    drop(subscription);
    drop(queue);
    let paths = segments(&site);
    let last = paths.last().unwrap();
    let bytes = site.disk.read(last);
    assert!(records(&bytes).iter().all(|(begin, _)| bytes[begin + 12] != 1), "no event in it");
    flip(&site, last, 20);
    site.remove_index();
    let queue = site.open();
    assert_eq!(all_positions(&queue).await, (1..10).collect::<Vec<u64>>());
    let subscription = subscribe(&queue, "h").await;
    assert_eq!(positions(&take_due(&*subscription)), [7, 8, 9]);
    let id = append(&queue, event(10, 100)).await;
    assert_eq!(queue.get(id).await.unwrap().unwrap().position.0, 10);
    assert_ne!(queue.stats().damage, Vec::<String>::new());
}

#[tokio::test]
async fn a_lost_end_is_named_and_its_positions_are_not_used_again() {
    let mut site = Site::new();
    let queue = site.open();
    append_all(&queue, 4, 1_000).await;
    // The index has taken it in, and remembers that it has.
    queue.compact().await.unwrap();
    drop(queue);
    site.disk = site.disk.killed();
    let path = segments(&site).pop().unwrap();
    let mut bytes = site.disk.read(&path);
    let records = records(&bytes);
    let (cut, _) = *records.iter().filter(|(begin, _)| bytes[begin + 12] == 1).nth(2).unwrap();
    bytes[cut..].fill(0);
    site.disk.spoil(&path, bytes);
    for _ in 0..2 {
        let queue = site.open();
        assert!(n_named(&queue) == 2, "{:?}", queue.stats().damage);
        all_positions(&queue).await;
        let id = append(&queue, event(5, 100)).await;
        assert!(queue.get(id).await.unwrap().unwrap().position.0 >= 5);
        assert_eq!(n_named(&queue), 2, "{:?}", queue.stats().damage);
        queue.close().await.unwrap();
    }
}

/// Flips a bit in every record that tells outcomes; says how many there are.
fn flip_outcomes(site: &Site) -> usize {
    const SETTLED: u8 = 2;
    let mut n_flipped = 0;
    for path in segments(site) {
        let bytes = site.disk.read(&path);
        for (begin, end) in records(&bytes).into_iter().filter(|r| bytes[r.0 + 12] == SETTLED) {
            flip(site, &path, end - 1);
            assert!(end > begin + 14);
            n_flipped += 1;
        }
    }
    n_flipped
}

#[tokio::test]
async fn a_dead_letter_whose_record_rots_is_not_lost_while_the_index_has_it() {
    let site = written().await;
    assert!(flip_outcomes(&site) > 0);
    let queue = site.open();
    assert_eq!(queue.opened().rebuilt, None);
    let dead = queue.dead(DeadFilter::default()).await.unwrap();
    assert_eq!(dead.iter().map(|letter| letter.position.0).collect::<Vec<_>>(), [3]);
    assert_eq!(dead[0].reason.as_str(), "gone for good");
    let subscription = subscribe(&queue, "h").await;
    assert_eq!(deliver_all(&*subscription).await as u64, N_EVENTS - 6);
    assert_eq!(queue.redrive(DeadFilter::default()).await.unwrap(), 1);
    assert_eq!(positions(&take_due(&*subscription)), [3]);
}

/// Without the index nothing tells any more that the event is a dead letter. It is still there.
#[tokio::test]
async fn outcomes_that_rot_are_named_and_their_events_can_be_replayed() {
    let site = written().await;
    let n_flipped = flip_outcomes(&site);
    site.remove_index();
    let queue = site.open();
    assert!(queue.opened().rebuilt.is_some());
    assert_eq!(all_positions(&queue).await, (1..=N_EVENTS).collect::<Vec<_>>());
    assert_eq!(queue.stats().damage.len(), n_flipped, "{:?}", queue.stats().damage);
    let subscription = subscribe(&queue, "h").await;
    assert_eq!(positions(&take_due(&*subscription)), (7..=N_EVENTS).collect::<Vec<_>>());
    let replayed = queue.replay(&handler("h"), &[Position(3)]).await.unwrap();
    assert_eq!((replayed, positions(&take_due(&*subscription))), (1, vec![3]));
}

#[tokio::test]
async fn a_segment_of_which_nothing_can_be_read_is_put_aside() {
    let site = Site::new();
    let mut settings = site.settings();
    settings.segment_bytes = 1 << 20;
    let queue = site.try_open(settings).unwrap();
    append_all(&queue, 60, 9_000).await;
    queue.close().await.unwrap();
    let path = segments(&site).remove(0);
    site.disk.spoil(&path, super::body(3, 1 << 20).to_vec());
    let queue = site.open();
    assert_eq!(n_named(&queue), 60, "the index knows what was there");
    let id = append(&queue, event(61, 9)).await;
    assert_eq!(queue.get(id).await.unwrap().unwrap().position.0, 61);
    assert!(site.disk.files().contains(&path.with_extension("unreadable")));
}
