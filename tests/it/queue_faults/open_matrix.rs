//! Whatever became of the files, the queue opens, or refuses and changes nothing.
//!
//! Every file of a used folder (log, kept log, snapshots, dedupe keys, layout) is missing, cut at
//! each block, rotten in each block, unreadable, or not to be opened; the disk is full or takes no
//! change at all. What is intact is delivered as it stood; what is not is named.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use gatepost::clock::ManualClock;
use gatepost::event::{Delivery, Outcome};
use gatepost::queue::embedded::testing::{Call, Faults, Verdict};
use gatepost::queue::embedded::{EmbeddedQueue, Settings};
use gatepost::queue::{Appended, DeadFilter, Queue, QueueError, Subscription};

use super::disk::Disk;
use super::{
    BEGINNING, DEAD, Site, append, body, keyed, positions, record, settle, subscribe, take_due,
};

const DAY: Duration = Duration::from_hours(24);
const BODY_BYTES: usize = 5_000;
/// Files are read in blocks of so many bytes.
const BLOCK_BYTES: u64 = 4_096;
const N_EVENTS: u64 = 60;

/// Not settled in [`written`]: due, waiting, dead.
const DUE: [u64; 20] =
    [41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60];
const WAITING: [u64; 2] = [5, 31];
const DEAD_ONES: [u64; 2] = [2, 30];

fn settings(site: &Site) -> Settings {
    Settings { retention: 2 * DAY, memtable_keys: 8, ..site.settings() }
}

/// How the process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Closed,
    Killed,
}

/// A queue in which everything stands that a folder can have: segments that went and left kept
/// events, snapshots of both generations, runs of keys; as its process left it.
async fn written(end: End) -> Site {
    let mut site = Site::new();
    let queue = site.try_open_inline(settings(&site)).unwrap();
    let subscription = subscribe(&queue, "h").await;
    let later =
        |site: &Site| Outcome::Retry { at: site.clock_steady().after(90 * DAY), order_key: None };
    for n in 1..=N_EVENTS {
        append(&queue, keyed(n, BODY_BYTES, 30 * DAY)).await;
        if n == 30 {
            site.clock.advance(3 * DAY);
        }
        if n % 10 == 0 && n <= 40 {
            for delivery in take_due(&*subscription) {
                let outcome = match delivery.event.position.0 {
                    position if DEAD_ONES.contains(&position) => DEAD,
                    position if WAITING.contains(&position) => later(&site),
                    _ => Outcome::Delivered,
                };
                settle(&*subscription, delivery, outcome).await;
            }
            record(&queue).await.unwrap();
            queue.clean().await.unwrap();
        }
    }
    drop(subscription);
    match end {
        End::Closed => {
            queue.close().await.unwrap();
            site.disk = site.disk.copied();
        }
        End::Killed => site.disk = site.disk.killed(),
    }
    site
}

/// What is wrong.
#[derive(Clone, Debug)]
enum Wrong {
    Nothing,
    Missing(PathBuf),
    CutAt(PathBuf, u64),
    RottenAt(PathBuf, u64),
    /// Its reads fail.
    Unreadable(PathBuf),
    /// It cannot be opened.
    Closed(PathBuf),
    /// No byte can be written, no file be made.
    FullDisk,
    /// Nothing can be changed.
    ReadOnly,
}

impl Faults for Wrong {
    fn before(&self, call: Call, path: &Path, _offset: u64, _len: usize) -> Verdict {
        let is_write = matches!(call, Call::Create | Call::Write | Call::Rename | Call::Remove);
        match self {
            Self::Unreadable(bad) if call == Call::Read && path == bad => {
                Verdict::Error(ErrorKind::Other)
            }
            Self::Closed(bad) if call == Call::Open && path == bad => {
                Verdict::Error(ErrorKind::PermissionDenied)
            }
            Self::FullDisk if matches!(call, Call::Create | Call::Write) => {
                Verdict::Error(ErrorKind::StorageFull)
            }
            Self::ReadOnly if is_write => Verdict::Error(ErrorKind::ReadOnlyFilesystem),
            _ => Verdict::Ok,
        }
    }
}

impl Wrong {
    /// Every single thing that can be wrong with the files of `site`.
    fn all(site: &Site) -> Vec<Self> {
        let storage = &site.disk.storage;
        let mut all = vec![Self::Nothing, Self::FullDisk, Self::ReadOnly];
        for path in storage.paths() {
            let len = storage.bytes(&path).unwrap().len() as u64;
            all.extend([
                Self::Missing(path.clone()),
                Self::Unreadable(path.clone()),
                Self::Closed(path.clone()),
            ]);
            for block in 0..len.div_ceil(BLOCK_BYTES) {
                all.push(Self::CutAt(path.clone(), block * BLOCK_BYTES));
                all.push(Self::RottenAt(path.clone(), block * BLOCK_BYTES + 17));
            }
        }
        all
    }

    fn done_to(&self, site: &Site) -> Site {
        let disk = site.disk.copied();
        match self {
            Self::Missing(path) => disk.storage.remove_now(path),
            Self::CutAt(path, len) => disk.storage.cut(path, *len),
            Self::RottenAt(path, offset) => disk.storage.flip_bit(path, *offset, 3),
            Self::Nothing => {}
            Self::Unreadable(_) | Self::Closed(_) | Self::FullDisk | Self::ReadOnly => {
                disk.storage.set_faults(Arc::new(self.clone()));
            }
        }
        let clock = Arc::new(ManualClock::new(BEGINNING.after(4 * DAY)));
        Site { disk, clock, ..Site::new() }
    }

    /// After a kill, what the log's last segment says behind the newest snapshot nothing else says:
    /// a file that is gone or empty is like one that never was, a rotten last commit like a torn
    /// one, which was never acknowledged.
    fn is_past_proof(&self, site: &Site) -> bool {
        let mut segments = site.disk.segments();
        segments.pop();
        let live = segments.last().unwrap();
        let end = last_record_in(&site.disk.storage.bytes(live).unwrap());
        match self {
            Self::Missing(path) | Self::CutAt(path, 0) => path == live,
            Self::RottenAt(path, offset) => path == live && end < *offset + BLOCK_BYTES,
            Self::Nothing
            | Self::CutAt(..)
            | Self::Unreadable(_)
            | Self::Closed(_)
            | Self::FullDisk
            | Self::ReadOnly => false,
        }
    }

    /// What is said where it does not open: without the layout's number nothing may be read, and
    /// where nothing can be changed nothing can be taken in.
    fn refusal(&self) -> Option<&'static str> {
        match self {
            Self::Unreadable(path) | Self::Closed(path) if path.ends_with("FORMAT") => {
                Some("opening `FORMAT` failed")
            }
            Self::ReadOnly => Some("mending `log/"),
            Self::Nothing
            | Self::Missing(_)
            | Self::CutAt(..)
            | Self::RottenAt(..)
            | Self::Unreadable(_)
            | Self::Closed(_)
            | Self::FullDisk => None,
        }
    }

    /// Whether the log, or what was copied out of it, is whole.
    fn spares_the_log(&self) -> bool {
        let is_derived = |path: &Path| {
            let folder = path.parent().and_then(Path::file_name);
            folder.is_some_and(|folder| folder == "state" || folder == "keys")
        };
        match self {
            Self::Missing(path)
            | Self::CutAt(path, _)
            | Self::RottenAt(path, _)
            | Self::Unreadable(path)
            | Self::Closed(path) => is_derived(path),
            Self::Nothing | Self::FullDisk | Self::ReadOnly => true,
        }
    }
}

/// Where the last event's body begins, about.
fn last_record_in(segment: &[u8]) -> u64 {
    let used = segment.iter().rposition(|byte| *byte != 0).unwrap();
    (used.saturating_sub(BODY_BYTES)) as u64
}

/// How the deliveries of `h` stand.
#[derive(Debug, PartialEq, Eq)]
struct Standing {
    due: BTreeSet<u64>,
    /// Due in 90 days.
    waiting: BTreeSet<u64>,
    dead: BTreeSet<u64>,
    lost: BTreeSet<u64>,
}

fn set(positions: impl IntoIterator<Item = u64>) -> BTreeSet<u64> {
    positions.into_iter().collect()
}

impl Standing {
    fn as_written() -> Self {
        Self { due: set(DUE), waiting: set(WAITING), dead: set(DEAD_ONES), lost: set([]) }
    }

    async fn of(site: &Site, queue: &EmbeddedQueue) -> Self {
        let subscription = subscribe(queue, "h").await;
        let due = take_patiently(site, &*subscription);
        site.clock.advance(100 * DAY);
        let waiting = take_patiently(site, &*subscription);
        for delivery in due.iter().chain(&waiting) {
            assert_eq!(delivery.event.body, body(delivery.event.position.0, BODY_BYTES));
        }
        let dead = queue.dead_records(DeadFilter::default()).await.unwrap();
        let lost = queue.lost(DeadFilter::default()).await.unwrap();
        Self {
            due: set(positions(&due)),
            waiting: set(positions(&waiting)),
            dead: set(dead.iter().map(|letter| letter.position.0)),
            lost: set(lost.iter().flat_map(|lost| lost.positions.start.0..lost.positions.end.0)),
        }
    }

    fn unsettled(&self) -> BTreeSet<u64> {
        let all = [&self.due, &self.waiting, &self.dead, &self.lost];
        all.into_iter().flatten().copied().collect()
    }
}

/// All that is due. Where the disk does not answer, it is asked again for 10 s before that stretch
/// counts as damage.
fn take_patiently(site: &Site, subscription: &dyn Subscription) -> Vec<Delivery> {
    let mut taken = Vec::new();
    let mut n_failures = 0;
    while let Some(more) = subscription.next(1_000).now_or_never() {
        match more {
            Ok(more) => taken.extend(more),
            Err(err) => {
                n_failures += 1;
                assert!(n_failures < 100, "{err}");
                site.clock.advance(Duration::from_secs(4));
            }
        }
    }
    taken
}

/// Opens what is left; tells what is not as it should be. `Err` = it does not open.
async fn complaints(written: &Site, end: End, wrong: &Wrong) -> Result<Vec<String>, QueueError> {
    let site = wrong.done_to(written);
    let before = contents(&site.disk);
    let folder = settings(written).folder;
    let queue = match site.try_open_inline(Settings { folder, ..settings(&site) }) {
        Ok(queue) => queue,
        Err(_) if contents(&site.disk) != before => {
            return Ok(vec!["it refused and changed something".to_owned()]);
        }
        Err(err) => return Err(err),
    };
    let mut complaints = Vec::new();
    let standing = Standing::of(&site, &queue).await;
    let damage = queue.stats().damage;
    let expected = Standing::as_written();
    let is_past_proof = end == End::Killed && wrong.is_past_proof(written);
    let known = if is_past_proof {
        &expected.unsettled() - &set(41..=N_EVENTS)
    } else {
        expected.unsettled()
    };
    let missing = &known - &standing.unsettled();
    if !missing.is_empty() {
        complaints.push(format!("neither there nor named: {missing:?}, damage: {damage:?}"));
    }
    let must_be_as_written = wrong.spares_the_log() || damage.is_empty();
    if must_be_as_written && !is_past_proof && standing != expected {
        complaints.push(format!("it stands otherwise: {standing:?}, damage: {damage:?}"));
    }
    let appended = queue.append(keyed(1_000, 100, DAY)).await;
    match (appended, wrong) {
        (Err(QueueError::Full(_)), Wrong::FullDisk) => {}
        (Ok(Appended::Stored(id)), _) if !matches!(wrong, Wrong::FullDisk) => {
            let subscription = subscribe(&queue, "h").await;
            let taken = take_patiently(&site, &*subscription);
            let stored = taken.iter().find(|delivery| delivery.event.id == id).expect("it is due");
            if stored.event.position.0 <= N_EVENTS && !is_past_proof {
                complaints.push(format!("position {} was given again", stored.event.position.0));
            }
        }
        (appended, _) => complaints.push(format!("an append gives {appended:?}")),
    }
    Ok(complaints)
}

/// Every file with its bytes.
fn contents(disk: &Disk) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let storage = &disk.storage;
    storage.paths().into_iter().map(|path| (path.clone(), storage.bytes(&path))).collect()
}

async fn assert_matrix(end: End) {
    let written = written(end).await;
    let mut found = String::new();
    let (mut n_cases, mut n_refused) = (0, 0);
    for wrong in Wrong::all(&written) {
        n_cases += 1;
        match complaints(&written, end, &wrong).await {
            Ok(complaints) if complaints.is_empty() => {}
            Ok(complaints) => writeln!(found, "{wrong:?}: {complaints:?}").unwrap(),
            Err(err) if wrong.refusal().is_some_and(|text| err.to_string().starts_with(text)) => {
                n_refused += 1;
            }
            Err(err) => writeln!(found, "{wrong:?}: refused: {err}").unwrap(),
        }
    }
    assert_eq!(found, "");
    assert!(n_cases > 150, "{n_cases}");
    assert_eq!(n_refused, 3);
}

#[tokio::test]
async fn closed_folder_opens_whatever_is_wrong() {
    assert_matrix(End::Closed).await;
}

#[tokio::test]
async fn killed_folder_opens_whatever_is_wrong() {
    assert_matrix(End::Killed).await;
}
