//! A disk in memory whose calls fail when a test says so.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use gatepost::queue::embedded::testing::{Call, CrashOptions, Faults, MemoryStorage, Verdict};
use rand::SeedableRng;
use rand::rngs::StdRng;

/// What fails from now on.
#[derive(Clone, Copy, Debug)]
enum Failing {
    Nothing,
    /// Calls of one sort. Writes of longer than so many bytes leave the first ones of them.
    Calls(Call, Verdict, usize),
    /// Every call that opens or makes a file.
    Opening(i32),
}

/// Counts the calls that change something, and lets them fail.
#[derive(Debug)]
struct Switch {
    failing: Mutex<Failing>,
    n_changes: AtomicU64,
    /// From this change on, every call fails: the power is gone.
    cut_at: AtomicU64,
}

impl Faults for Switch {
    fn before(&self, call: Call, _path: &Path, _offset: u64, len: usize) -> Verdict {
        let changes = match call {
            Call::Open | Call::List | Call::Read => 0,
            Call::Create
            | Call::Write
            | Call::Sync
            | Call::Rename
            | Call::Remove
            | Call::SyncFolder => 1,
        };
        let n = self.n_changes.fetch_add(changes, Ordering::SeqCst) + changes;
        if n >= self.cut_at.load(Ordering::SeqCst) {
            return Verdict::Error(ErrorKind::Other);
        }
        match *self.failing.lock().unwrap() {
            Failing::Calls(failing, _, short) if failing == call && 0 < short && short < len => {
                Verdict::Short(short)
            }
            Failing::Calls(failing, verdict, _) if failing == call => verdict,
            Failing::Opening(errno) if matches!(call, Call::Open | Call::Create) => {
                Verdict::Errno(errno)
            }
            Failing::Nothing | Failing::Calls(..) | Failing::Opening(_) => Verdict::Ok,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Disk {
    pub(crate) storage: MemoryStorage,
    switch: Arc<Switch>,
}

impl Default for Disk {
    fn default() -> Self {
        Self::of(MemoryStorage::new())
    }
}

impl Disk {
    fn of(storage: MemoryStorage) -> Self {
        let switch = Arc::new(Switch {
            failing: Mutex::new(Failing::Nothing),
            n_changes: AtomicU64::new(0),
            cut_at: AtomicU64::new(u64::MAX),
        });
        storage.set_faults(switch.clone());
        Self { storage, switch }
    }

    /// The power goes at the `n`th call that changes something, from now on.
    pub(crate) fn cut_at(&self, n: u64) {
        let n_changes = self.switch.n_changes.load(Ordering::SeqCst);
        self.switch.cut_at.store(n_changes + n, Ordering::SeqCst);
    }

    /// How many calls changed something.
    pub(crate) fn n_changes(&self) -> u64 {
        self.switch.n_changes.load(Ordering::SeqCst)
    }

    pub(crate) fn fail(&self, call: Call, kind: ErrorKind) {
        *self.switch.failing.lock().unwrap() = Failing::Calls(call, Verdict::Error(kind), 0);
    }

    /// Writes of more than `short` bytes leave so many of them.
    pub(crate) fn fail_writes_behind(&self, short: usize) {
        *self.switch.failing.lock().unwrap() = Failing::Calls(Call::Write, Verdict::Ok, short);
    }

    pub(crate) fn fail_to_open(&self, errno: i32) {
        *self.switch.failing.lock().unwrap() = Failing::Opening(errno);
    }

    pub(crate) fn work_again(&self) {
        *self.switch.failing.lock().unwrap() = Failing::Nothing;
    }

    pub(crate) fn set_free(&self, bytes: u64) {
        self.storage.set_free(Some(bytes));
    }

    /// What is left when the power goes.
    pub(crate) fn power_cut(&self, seed: u64) -> Self {
        let options = CrashOptions { torn_sectors: seed.is_multiple_of(2) };
        Self::of(self.storage.crash(&mut StdRng::seed_from_u64(seed), options))
    }

    pub(crate) fn copied(&self) -> Self {
        Self::of(self.storage.copy())
    }

    /// What a killed process leaves.
    pub(crate) fn killed(&self) -> Self {
        Self::of(self.storage.kill())
    }

    /// The segments of the log.
    pub(crate) fn segments(&self) -> Vec<PathBuf> {
        let is_segment =
            |path: &PathBuf| path.parent().is_some_and(|folder| folder.ends_with("log"));
        self.storage.paths().into_iter().filter(is_segment).collect()
    }
}
