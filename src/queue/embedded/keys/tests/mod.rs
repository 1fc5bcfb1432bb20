//! Keys in a real folder, small sizes.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::super::super::storage::OsStorage;
use super::super::record::Lsn;
use super::super::testing::MemoryStorage;
use super::*;

mod damage;
mod lookup;
mod model;

pub(super) const WINDOW: Duration = Duration::from_hours(1);
/// No time that can be trusted: nothing expires.
pub(super) const NO_TIME: Timestamp = Timestamp::MIN;

pub(super) fn options() -> KeyOptions {
    KeyOptions { memtable_keys: 16, memtable_log_bytes: 1 << 20, filter_memory: 1 << 20 }
}

/// Spread like the hashes that keys are.
pub(super) fn key(n: u64) -> DedupeKey {
    let mut state = n;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u128::from(mixed ^ (mixed >> 31))
    };
    DedupeKey((next() << 64 | next()).to_be_bytes())
}

pub(super) fn id(n: u64) -> EventId {
    EventId(Uuid::from_u128(n.into()))
}

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

pub(super) fn entry(n: u64, seconds: i64) -> KeyEntry {
    KeyEntry { key: key(n), id: id(n), received_at: at(seconds), window: WINDOW }
}

pub(super) fn probe(n: u64, seconds: i64) -> KeyProbe {
    KeyProbe { key: key(n), received_at: at(seconds), window: WINDOW, log_time: NO_TIME }
}

/// Keys `first .. last`, each of the record with its number, frozen.
pub(super) fn frozen(numbers: Range<u64>, seconds: i64) -> FrozenKeys {
    let mut memtable = KeyMemtable::new(Lsn(numbers.start), options());
    numbers.clone().for_each(|n| memtable.insert(entry(n, seconds), Lsn(n)));
    memtable.freeze(Lsn(numbers.end))
}

pub(super) fn open(folder: &Path, newest: u64) -> KeyRuns {
    KeyRuns::open(Arc::new(OsStorage), folder, Some(id(newest)), options()).unwrap()
}

pub(super) fn open_in(storage: &MemoryStorage, newest: u64) -> KeyRuns {
    let storage = Arc::new(storage.clone());
    KeyRuns::open(storage, Path::new("/keys"), Some(id(newest)), options()).unwrap()
}

/// Runs of `keys_per_run` keys, received at 0 s.
pub(super) fn with_runs(folder: &Path, n_runs: u64, keys_per_run: u64) -> KeyRuns {
    let runs = open(folder, 0);
    for run in 0..n_runs {
        runs.add_frozen(frozen(run * keys_per_run..(run + 1) * keys_per_run, 0));
        assert_eq!(runs.write_step().unwrap(), Step::Again);
    }
    runs
}

pub(super) fn merge_all(runs: &KeyRuns, now: Timestamp) {
    while runs.merge_step(now).unwrap() == Step::Again {}
}

pub(super) fn found(runs: &KeyRuns, n: u64) -> Option<EventId> {
    runs.lookup(&probe(n, 1), Generation::default()).0.map(|seen| seen.id)
}

pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}
