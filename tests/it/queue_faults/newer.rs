//! What a newer version wrote behind the records of this one: it was acknowledged, so it is neither
//! torn nor damage. The queue refuses to open and changes nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gatepost::queue::Queue;
use gatepost::queue::sled::Settings;

use super::damage::{copy_of, path_in, records, segments, written};
use super::{Site, append_all};

const KIND: usize = 12;
const VERSION: usize = 13;

/// Changes a byte of a record's header as a newer version would have written it: under a right
/// checksum.
fn set(site: &Site, path: &Path, begin: usize, byte: usize, value: u8) {
    let mut bytes = site.disk.read(path);
    bytes[begin + byte] = value;
    let payload_bytes = u32::from_le_bytes(bytes[begin..begin + 4].try_into().unwrap()) as usize;
    let number: u64 = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let crc = crc32c::crc32c(&number.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &bytes[begin + 8..begin + 14 + payload_bytes]);
    bytes[begin + 4..begin + 8].copy_from_slice(&crc.to_le_bytes());
    site.disk.spoil(path, bytes);
}

/// Everything on both disks.
fn everything(site: &Site) -> BTreeMap<PathBuf, Vec<u8>> {
    let journal = site.disk.files().into_iter().map(|path| (path.clone(), site.disk.read(&path)));
    let mut everything: BTreeMap<_, _> = journal.collect();
    let mut folders = vec![site.folder.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                everything.insert(path.clone(), Vec::new());
                folders.push(path);
            } else {
                everything.insert(path.clone(), std::fs::read(path).unwrap());
            }
        }
    }
    everything
}

fn refusal(site: &Site, settings: Settings) -> String {
    let Err(err) = site.try_open(settings) else { panic!("it opens") };
    std::error::Error::source(&err).unwrap().to_string()
}

fn assert_left_alone(site: &Site, context: &str) {
    // A copy has no lock, which every opening makes where it is missing.
    let queue = site.folder.path().join("queue");
    std::fs::create_dir_all(queue.join("journal")).unwrap();
    let lock = format!("gatepost, process {}\n", std::process::id());
    std::fs::write(queue.join("lock"), lock).unwrap();
    let before = everything(site);
    let cause = refusal(site, site.settings());
    assert!(cause.contains("newer version"), "{context}: {cause}");
    assert!(everything(site) == before, "{context}: something was changed");
}

#[tokio::test]
async fn records_of_a_newer_version_are_left_alone_wherever_they_stand() {
    let site = written().await;
    let paths = segments(&site);
    assert!(paths.len() > 2);
    for (n, path) in paths.iter().enumerate() {
        let records = records(&site.disk.read(path));
        let last = records.len() - 1;
        for record in [0, 1, last / 2, last] {
            for (byte, value) in [(VERSION, 2), (VERSION, 200), (KIND, 7), (KIND, 255)] {
                let context = format!("segment {n}, record {record}, byte {byte} is {value}");
                let site = copy_of(&site);
                set(&site, &path_in(&site, path), records[record].0, byte, value);
                if value == 7 {
                    site.remove_index();
                }
                assert_left_alone(&site, &context);
            }
        }
    }
}

#[tokio::test]
async fn a_newer_record_behind_a_torn_one_is_left_alone() {
    let site = written().await;
    let path = segments(&site).pop().unwrap();
    let records = records(&site.disk.read(&path));
    let [.., (before, _), (last, _)] = records[..] else { panic!("too few records") };
    set(&site, &path, last, KIND, 7);
    let mut bytes = site.disk.read(&path);
    bytes[before + 5] ^= 1;
    site.disk.spoil(&path, bytes);
    assert_left_alone(&site, "behind a record that cannot be read");
}

#[tokio::test]
async fn a_journal_of_which_all_is_newer_is_left_alone() {
    let site = written().await;
    for path in segments(&site) {
        for (begin, _) in records(&site.disk.read(&path)) {
            set(&site, &path, begin, VERSION, 2);
        }
    }
    assert_left_alone(&site, "all of it");
}

/// Not each large segment is read at a start. Whoever comes to such a record stops there.
#[tokio::test]
async fn a_newer_record_deep_in_an_old_segment_is_no_doubt_about_the_index() {
    let site = Site::new();
    let settings = || Settings { segment_bytes: 1 << 20, ..site.settings() };
    let queue = site.try_open(settings()).unwrap();
    append_all(&queue, 400, 9_000).await;
    queue.close().await.unwrap();
    let path = segments(&site).remove(0);
    let (begin, _) = records(&site.disk.read(&path))[50];
    set(&site, &path, begin, KIND, 7);
    let spoiled = site.disk.read(&path);
    let cause = refusal(&site, settings());
    assert!(cause.contains("newer version"), "{cause}");
    assert!(site.disk.read(&path) == spoiled);
    assert!(!site.folder.path().join("queue/sled.damaged").exists());
}
