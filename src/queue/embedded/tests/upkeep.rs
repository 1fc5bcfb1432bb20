//! What the cleaner makes of damage, and of a disk that does not take everything.

use std::path::Path;
use std::sync::Mutex;

use super::*;
use crate::queue::embedded::testing::{Call, Faults, Verdict};
use crate::queue::{DeadChange, QueueError};
use crate::sync::lock;

fn open_with(storage: &MemoryStorage, change: impl FnOnce(Settings) -> Settings) -> EmbeddedQueue {
    open_by(clock(), storage, change)
}

fn open_by(
    clock: Arc<ManualClock>,
    storage: &MemoryStorage,
    change: impl FnOnce(Settings) -> Settings,
) -> EmbeddedQueue {
    let settings = Settings { retention: Duration::ZERO, ..settings(storage) };
    EmbeddedQueue::open_inline(change(settings), clock, 7).unwrap()
}

fn paths_with(part: &str, storage: &MemoryStorage) -> Vec<PathBuf> {
    let has_part = |path: &PathBuf| path.to_str().unwrap().contains(part);
    storage.paths().into_iter().filter(has_part).collect()
}

/// A queue with so many dead letters, all but the newest ones in the kept log.
async fn with_dead_letters(storage: &MemoryStorage, n_events: usize) -> EmbeddedQueue {
    let queue = open_with(storage, |settings| settings);
    let subscription = queue.subscribe(&web(), Start::Oldest).await.unwrap();
    for _ in 0..n_events {
        queue.append(new_event()).await.unwrap();
    }
    let mut n_left = n_events;
    while n_left > 0 {
        for delivery in subscription.next(100).await.unwrap() {
            n_left -= 1;
            let (attempt, outcome) = (Some(Attempt::default()), Outcome::Dead { order_key: None });
            subscription.settle(Settlement { delivery, outcome, attempt }).await.unwrap();
        }
    }
    queue.clean().await.unwrap();
    queue
}

fn n_dead(queue: &EmbeddedQueue) -> u64 {
    queue.stats().handlers.iter().map(|(_, backlog)| backlog.dead).sum()
}

/// Drops all dead letters but those at `stay`.
async fn drop_others(queue: &EmbeddedQueue, n_events: u64, stay: &[u64]) {
    let gone = (1..=n_events).filter(|at| !stay.contains(at)).map(|at| (web(), Position(at)));
    queue.change_dead(gone.collect(), DeadChange::Drop).await.unwrap();
}

/// What is wrong with the kept log's oldest file, which has the events 1 and 3.
#[derive(Clone, Copy, Debug)]
enum Spoilt {
    /// A bit of the event at position 3.
    Event,
    /// All behind the first event: among them how its delivery stands.
    Changes,
    Missing,
}

#[tokio::test]
async fn damage_in_the_kept_log_does_not_keep_it_from_getting_smaller() {
    for spoilt in [Spoilt::Event, Spoilt::Changes, Spoilt::Missing] {
        let storage = MemoryStorage::new();
        let queue = with_dead_letters(&storage, 60).await;
        assert!(paths_with("/kept/", &storage).len() > 3);
        let storage = killed(&storage, queue);
        let oldest = paths_with("/kept/", &storage).remove(0);
        let mut bytes = storage.bytes(&oldest).unwrap();
        let body = [b'x'; 900];
        let at = |nth: usize| {
            let mut bodies = bytes.windows(900).enumerate().filter(|(_, window)| *window == body);
            bodies.nth(nth).unwrap().0
        };
        let n_kept = match spoilt {
            Spoilt::Event => {
                let third = at(2);
                bytes[third] ^= 1;
                storage.put_now(&oldest, bytes);
                1
            }
            Spoilt::Changes => {
                let second = at(1);
                bytes[second..].fill(0xff);
                storage.put_now(&oldest, bytes);
                1
            }
            Spoilt::Missing => {
                storage.remove_now(&oldest);
                0
            }
        };
        let clock = clock();
        let queue = open_by(Arc::clone(&clock), &storage, |settings| settings);
        drop_others(&queue, 60, &[1, 3]).await;
        for _ in 0..60 {
            clock.advance(Duration::from_secs(1));
            queue.clean().await.unwrap();
        }
        // Two events with their changes are left of 60 kB.
        assert!(queue.core.kept.bytes() < 5_000, "{spoilt:?}: {}", queue.core.kept.bytes());
        let n_aside = usize::from(!matches!(spoilt, Spoilt::Missing));
        assert_eq!(paths_with("/aside/kept-", &storage).len(), n_aside, "{spoilt:?}");
        assert_eq!(n_dead(&queue), 2, "{spoilt:?}");
        assert_eq!(queue.core.kept.damage(), Vec::<String>::new());
        // Neither is forgotten where the states are made out of the logs alone.
        let storage = killed(&storage, queue);
        storage.remove_folder_now(Path::new("/queue/state"));
        let queue = open_with(&storage, |settings| settings);
        assert_eq!(n_dead(&queue), 2, "{spoilt:?}");
        let subscription = queue.subscribe(&web(), Start::Now).await.unwrap();
        queue.redrive(DeadFilter::default()).await.unwrap();
        // It comes behind all that is redriven.
        queue.append(new_event()).await.unwrap();
        let mut given = Vec::new();
        while given.last() != Some(&61) {
            let next = subscription.next(10).await.unwrap();
            given.extend(next.iter().map(|delivery| delivery.event.position.0));
        }
        assert_eq!(given, [&[1][..n_kept], &[61]].concat(), "{spoilt:?}");
        let lost = queue.lost(DeadFilter::default()).await.unwrap();
        let n_lost: u64 = lost.iter().map(|it| it.positions.end.0 - it.positions.start.0).sum();
        assert_eq!(n_lost, (2 - n_kept) as u64, "{spoilt:?}");
    }
}

/// Nothing can be made in a folder.
#[derive(Debug)]
struct NoWrites(&'static str);

impl Faults for NoWrites {
    fn before(&self, call: Call, path: &Path, _offset: u64, _len: usize) -> Verdict {
        let is_write = matches!(call, Call::Create | Call::Write | Call::Rename | Call::Sync);
        if is_write && path.starts_with(self.0) { Verdict::Errno(5) } else { Verdict::Ok }
    }
}

/// Settles what is there, every tenth delivery as a dead letter.
async fn settle_all(queue: &EmbeddedQueue, subscription: &dyn Subscription) {
    while queue.stats().handlers.iter().any(|(_, backlog)| backlog.in_log > 0) {
        for delivery in subscription.next(100).await.unwrap() {
            let is_dead = delivery.event.position.0.is_multiple_of(10);
            let outcome =
                if is_dead { Outcome::Dead { order_key: None } } else { Outcome::Delivered };
            subscription.settle(Settlement { delivery, outcome, attempt: None }).await.unwrap();
        }
        queue.core.ask(Request::Recorded).await.unwrap();
    }
}

#[tokio::test]
async fn step_of_the_cleaner_that_fails_does_not_switch_the_bound_of_the_disk_off() {
    for folder in ["/queue/state", "/queue/keys", "/queue/kept"] {
        let storage = MemoryStorage::new();
        let disk_max = 200_000;
        let queue = open_with(&storage, |settings| Settings { disk_max, ..settings });
        storage.set_faults(Arc::new(NoWrites(folder)));
        let subscription = queue.subscribe(&web(), Start::Oldest).await.unwrap();
        let mut refused = None;
        for n in 0..1_000 {
            // A run of a few keys takes as much room as two segments.
            let new = if n < 5 { keyed(n) } else { new_event() };
            if let Err(err) = queue.append(new).await {
                refused = Some(err);
                break;
            }
            settle_all(&queue, &*subscription).await;
            // That it fails says nothing of the bound.
            drop(queue.clean().await);
        }
        assert!(matches!(refused, Some(QueueError::Full(_))), "{folder}: {refused:?}");
        let bytes = queue.core.bytes();
        assert!(bytes < disk_max + 40_000, "{folder}: {bytes}");
        // What is refused is taken in again once there is room.
        storage.clear_faults();
        for _ in 0..2 {
            queue.clean().await.unwrap();
        }
        assert_eq!(queue.refuses(), None, "{folder}");
    }
}

/// Remembers which files were read.
#[derive(Debug, Default)]
struct ReadFiles(Mutex<BTreeSet<PathBuf>>);

impl Faults for ReadFiles {
    fn before(&self, call: Call, path: &Path, _offset: u64, _len: usize) -> Verdict {
        if call == Call::Read {
            lock(&self.0).insert(path.to_owned());
        }
        Verdict::Ok
    }
}

#[tokio::test]
async fn past_of_a_kept_event_is_read_off_the_segments_that_tell_of_it() {
    let storage = MemoryStorage::new();
    let queue = with_dead_letters(&storage, 60).await;
    let read = Arc::new(ReadFiles::default());
    storage.set_faults(Arc::<ReadFiles>::clone(&read));
    let changes = queue.core.kept.changes_behind(0, None).unwrap();
    let (number, first) = changes.unwrap();
    let first: Vec<Position> = first.map(|(_, _, _, change)| change.first).collect();
    assert!(first.contains(&Position(1)) && first.len() < 20, "{first:?}");
    assert_eq!(lock(&read.0).len(), 1, "a segment at a time");
    assert!(queue.core.kept.changes_behind(number, Some(Position(1))).unwrap().is_none());
    // Without an index.
    let index = super::super::index::MemoryStore::default();
    let index = super::super::index::Index::new(Arc::new(index));
    let (log, kept) = (Arc::clone(&queue.core.log), Arc::clone(&queue.core.kept));
    let core = Arc::clone(&queue.core) as Arc<dyn super::super::read::States>;
    let reading = super::super::read::Reading::new(log, kept, index, core);
    let end = queue.core.log.head().next;
    let history = reading.whole_history(Position(1), end, false).unwrap().unwrap();
    assert_eq!(history.deliveries[0].attempts.len(), 1);
    let kept: Vec<PathBuf> =
        lock(&read.0).iter().filter(|path| path.starts_with("/queue/kept")).cloned().collect();
    assert_eq!(kept, [paths_with("/kept/", &storage).remove(0)]);
}

fn keyed(n: u128) -> NewEvent {
    let key = DedupeKey(n.to_be_bytes());
    NewEvent { dedupe: Dedupe::Within { key, window: Duration::from_hours(1) }, ..new_event() }
}

const N_KEYS: u128 = 100;

/// A queue whose memtables have 8 keys, and 100 keyed events.
async fn with_keys(storage: &MemoryStorage) -> EmbeddedQueue {
    let queue = open_with(storage, keys_of_8);
    drop(queue.subscribe(&web(), Start::Oldest).await.unwrap());
    for n in 0..N_KEYS {
        queue.append(keyed(n)).await.unwrap();
    }
    queue.clean().await.unwrap();
    queue
}

/// No more than 8 KiB of the log are read at a start.
fn keys_of_8(settings: Settings) -> Settings {
    Settings { memtable_keys: 8, rebuild_at_once: 8_192, ..settings }
}

async fn n_repeats(queue: &EmbeddedQueue) -> usize {
    let mut n_repeats = 0;
    for n in 0..N_KEYS {
        let appended = queue.append(keyed(n)).await.unwrap();
        n_repeats += usize::from(matches!(appended, Appended::Duplicate(_)));
    }
    n_repeats
}

#[tokio::test]
async fn keys_whose_runs_are_gone_are_remade_piece_by_piece_behind_the_start() {
    for folders in [&["/queue/keys"][..], &["/queue/state"], &["/queue/state", "/queue/keys"]] {
        let storage = MemoryStorage::new();
        let queue = with_keys(&storage).await;
        queue.cleaner.snapshot().await.unwrap();
        let storage = killed(&storage, queue);
        for folder in folders {
            storage.remove_folder_now(Path::new(folder));
        }
        let queue = open_with(&storage, keys_of_8);
        // Nothing of it waits for a start, and one that was ended early is made up for.
        assert!(queue.core.keys.n_runs() < 30, "{folders:?}");
        let mut n_pieces = 0;
        let before_pieces = |queue: &EmbeddedQueue| queue.core.keys.remakes_from().is_some();
        if folders.contains(&"/queue/keys") {
            assert!(before_pieces(&queue), "{folders:?}");
            assert!(queue.stats().damage.iter().any(|it| it.contains("keys are missing")));
            queue.core.remake_keys().unwrap();
        }
        let storage = killed(&storage, queue);
        let queue = open_with(&storage, keys_of_8);
        while before_pieces(&queue) {
            let n_before = queue.core.keys.n_runs();
            queue.core.remake_keys().unwrap();
            assert!(queue.core.keys.n_runs() <= n_before + 1, "a memtable's worth at a time");
            n_pieces += 1;
        }
        assert!(n_pieces > 10 || !folders.contains(&"/queue/keys"), "{folders:?}: {n_pieces}");
        assert_eq!(queue.stats().damage, Vec::<String>::new());
        assert_eq!(n_repeats(&queue).await, 100, "{folders:?}");
    }
}

#[tokio::test]
async fn damaged_run_of_many_keys_is_remade_piece_by_piece() {
    let storage = MemoryStorage::new();
    let queue = with_keys(&storage).await;
    for _ in 0..3 {
        queue.clean().await.unwrap();
    }
    queue.cleaner.snapshot().await.unwrap();
    let storage = killed(&storage, queue);
    let runs = paths_with("/keys/", &storage);
    assert!(runs.len() > 10);
    let settings = |settings| Settings { memtable_keys: 1, ..keys_of_8(settings) };
    for run in &runs {
        // The header's checksum.
        storage.flip_bit(run, 17, 0);
    }
    let queue = open_with(&storage, settings);
    let n_runs = queue.core.keys.n_runs();
    queue.core.remake_keys().unwrap();
    assert_eq!(queue.core.keys.n_runs(), n_runs + 1, "one key, where its run has eight");
    while queue.core.keys.remakes_from().is_some() {
        queue.core.remake_keys().unwrap();
    }
    assert_eq!(n_repeats(&queue).await, 100);
    assert_eq!(queue.stats().damage, Vec::<String>::new());
}
