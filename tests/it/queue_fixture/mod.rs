//! Queues as earlier versions left them on the disk, in `tests/fixtures/queue`, and what must come
//! out of them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use gatepost::clock::ManualClock;
use gatepost::queue::Queue;
use gatepost::queue::embedded::EmbeddedQueue;
use tempfile::TempDir;

mod describe;
mod scenario;
mod take_over;

use describe::describe;

/// Of every version.
const FOLDERS: [&str; 7] = ["", "journal", "log", "kept", "keys", "state", "sled"];

fn fixture(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/queue").join(version)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_file()).collect()
}

/// Compresses every file of a queue, since most of a segment are zeros.
fn pack(queue: &Path, to: &Path) {
    for folder in FOLDERS.into_iter().filter(|folder| queue.join(folder).is_dir()) {
        std::fs::create_dir_all(to.join(folder)).unwrap();
        for path in files(&queue.join(folder)) {
            let mut name = path.file_name().unwrap().to_owned();
            name.push(".gz");
            let packed = File::create(to.join(folder).join(name)).unwrap();
            let mut encoder = GzEncoder::new(packed, Compression::best());
            std::io::copy(&mut File::open(path).unwrap(), &mut encoder).unwrap();
            encoder.finish().unwrap();
        }
    }
}

/// Makes of what [`pack`] wrote the queue that it was.
fn unpack(packed: &Path, to: &Path) {
    for folder in FOLDERS.into_iter().filter(|folder| packed.join(folder).is_dir()) {
        std::fs::create_dir_all(to.join(folder)).unwrap();
        let files = files(&packed.join(folder)).into_iter();
        for path in files.filter(|path| path.extension().is_some_and(|name| name == "gz")) {
            let mut file = File::create(to.join(folder).join(path.file_stem().unwrap())).unwrap();
            std::io::copy(&mut GzDecoder::new(File::open(path).unwrap()), &mut file).unwrap();
        }
    }
}

/// Which derived files are removed before a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Removed {
    Nothing,
    Index,
    Snapshots,
    Both,
}

impl Removed {
    const EACH: [Self; 4] = [Self::Nothing, Self::Index, Self::Snapshots, Self::Both];

    const fn folders(self) -> &'static [&'static str] {
        match self {
            Self::Nothing => &[],
            Self::Index => &["sled"],
            Self::Snapshots => &["state"],
            Self::Both => &["sled", "state"],
        }
    }
}

/// Opens a copy of what was packed and says what it holds.
async fn text_of(packed: &Path, removed: Removed) -> String {
    let folder = TempDir::new().unwrap();
    unpack(packed, folder.path());
    for removed in removed.folders() {
        std::fs::remove_dir_all(folder.path().join(removed)).unwrap();
    }
    let clock = Arc::new(ManualClock::new(scenario::end()));
    // Nothing goes while it is looked at, though years pass.
    let settings = scenario::settings(folder.path(), Duration::from_hours(24 * 10_000));
    let queue = EmbeddedQueue::open(settings, clock.clone()).unwrap();
    assert_eq!(queue.opened().torn_bytes, 0);
    assert!(queue.is_indexed(Duration::from_secs(30)).await);
    let text = describe(&queue, &clock).await;
    assert_eq!(queue.stats().damage, Vec::<String>::new());
    queue.close().await.unwrap();
    text
}

fn assert_same(found: &str, expected: &str, context: &str) {
    let mut lines = found.lines().zip(expected.lines()).zip(1..);
    if let Some(((found, expected), n)) = lines.find(|((found, expected), _)| found != expected) {
        panic!("{context}, line {n}:\n found: {found}\nwanted: {expected}");
    }
    assert_eq!(found.lines().count(), expected.lines().count(), "{context}");
}

#[tokio::test]
async fn queue_of_version_2_holds_what_it_held() {
    let packed = fixture("v2");
    let expected = std::fs::read_to_string(packed.join("expected.txt")).unwrap();
    for removed in [Removed::Nothing, Removed::Snapshots] {
        assert_same(&text_of(&packed, removed).await, &expected, &format!("{removed:?} removed"));
    }
}

/// The fixtures' generator: what it writes now is read alike whatever is removed that can be made
/// anew. To write a fixture of a new version, have this test pack into `fixture("vN")` and write
/// the text beside it, once.
#[tokio::test]
async fn queue_written_anew_is_read_alike_whatever_derived_is_removed() {
    let folder = TempDir::new().unwrap();
    let (queue, packed) = (folder.path().join("queue"), folder.path().join("packed"));
    scenario::write(&queue).await;
    pack(&queue, &packed);
    let text = text_of(&packed, Removed::Nothing).await;
    for removed in Removed::EACH {
        let found = text_of(&packed, removed).await;
        assert_same(&found, &text, &format!("{removed:?} removed"));
    }
    for wanted in ["retry; try 1", "dead letter 2 after 3 tries", "skipped", "k1: 009 (try 2 since"]
    {
        assert!(text.contains(wanted), "no `{wanted}` in it:\n{text}");
    }
}
