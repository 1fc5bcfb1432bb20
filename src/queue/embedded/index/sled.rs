//! The index in sled: the only file that names it.
//!
//! Every call is fenced: sled panics on some damage, and a panic here is an error that leads to
//! clearing the database. It is opened by the first call, which is the follower's: nothing on the
//! way to listening waits for it.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use sled::{Batch, Db, Tree};

use super::clean_shutdown;
use super::store::{Direction, Pair, Store, StoreError, Table, Write};
use crate::sync;

/// How much memory sled's page cache may take.
const CACHE_BYTES: u64 = 8 << 20;

/// How long a database that is still locked is waited for: two seconds.
const OPEN_TRIES: u32 = 100;
const OPEN_WAIT: Duration = Duration::from_millis(20);

/// Up to this size the files are not made smaller: it is not worth the reading.
const COMPACT_BYTES_MIN: u64 = 64 << 20;
/// How many times larger than after the last compaction the files may get.
const GROWTH_MAX: u64 = 3;
/// How many values a compaction writes at once.
const COMPACT_BATCH: usize = 1_000;
/// Where the files' size after the last compaction is kept.
const COMPACTED: &[u8] = b"compacted";

/// A database in a folder of its own.
#[derive(Debug)]
pub(crate) struct SledStore {
    folder: PathBuf,
    state: RwLock<State>,
}

#[derive(Debug)]
enum State {
    Unopened,
    Open(Database),
    Closed,
}

#[derive(Debug)]
struct Database {
    db: Db,
    trees: [Tree; Table::ALL.len()],
    /// It was made a moment ago, and nothing was written into it.
    is_fresh: AtomicBool,
}

/// Runs `call` so that a panic in it is an error.
pub(super) fn fence<T>(call: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or(Err(StoreError::Panicked))
}

fn failed(err: impl std::fmt::Display) -> StoreError {
    StoreError::Failed(err.to_string())
}

impl SledStore {
    /// The database in `folder`, which is made where it is missing. Nothing is opened yet.
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf(), state: RwLock::new(State::Unopened) }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        sync::read(&self.state)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        sync::write(&self.state)
    }

    /// Runs `call` on the open database.
    fn with<T>(
        &self,
        call: impl FnOnce(&Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut state = self.read();
        if matches!(*state, State::Unopened) {
            drop(state);
            self.open_if_unopened()?;
            state = self.read();
        }
        match &*state {
            State::Open(database) => fence(|| call(database)),
            State::Unopened | State::Closed => Err(StoreError::Closed),
        }
    }

    fn open_if_unopened(&self) -> Result<(), StoreError> {
        let mut state = self.write();
        if matches!(*state, State::Unopened) {
            *state = State::Open(fence(|| Database::open_or_remake(&self.folder))?);
        }
        Ok(())
    }

    /// Puts a copy of what is alive in the place of the files. A crash in between leaves the old
    /// files, the new ones, or none, and then the log has it all.
    pub(super) fn compact(&self) -> Result<(), StoreError> {
        let copy = self.folder.with_extension("new");
        remove_all(&copy)?;
        self.with(|database| {
            let new = Database::open(&copy)?;
            for (from, to) in database.trees.iter().zip(&new.trees) {
                copy_tree(from, to)?;
            }
            new.db.flush().map_err(failed)?;
            let bytes = new.db.size_on_disk().map_err(failed)?;
            // In the default tree, which holds nothing else.
            new.db.insert(COMPACTED, &bytes.to_le_bytes()).map_err(failed)?;
            new.db.flush().map_err(failed)
        })?;
        let mut state = self.write();
        if !matches!(*state, State::Open(_)) {
            return Err(StoreError::Closed);
        }
        *state = State::Unopened;
        remove_all(&self.folder)?;
        std::fs::rename(&copy, &self.folder).map_err(failed)?;
        *state = State::Open(fence(|| Database::open(&self.folder))?);
        Ok(())
    }
}

impl Database {
    /// Opens what was left there if it is known to be complete, else an empty one.
    fn open_or_remake(folder: &Path) -> Result<Self, StoreError> {
        remove_all(&folder.with_extension("new"))?;
        if clean_shutdown::is_complete(folder)
            && let Ok(database) = fence(|| Self::open(folder))
        {
            return Ok(database);
        }
        remove_all(folder)?;
        let database = Self::open(folder)?;
        database.is_fresh.store(true, Ordering::Relaxed);
        Ok(database)
    }

    fn open(folder: &Path) -> Result<Self, StoreError> {
        clean_shutdown::set_open(folder).map_err(failed)?;
        let db = open_db(folder).map_err(failed)?;
        let open = |table: Table| db.open_tree(table.name()).map_err(failed);
        let [zones, dead, attempts, settled, meta] = Table::ALL.map(open);
        let trees = [zones?, dead?, attempts?, settled?, meta?];
        Ok(Self { db, trees, is_fresh: AtomicBool::new(false) })
    }

    fn tree(&self, table: Table) -> &Tree {
        let [zones, dead, attempts, settled, meta] = &self.trees;
        match table {
            Table::Zones => zones,
            Table::Dead => dead,
            Table::Attempts => attempts,
            Table::Settled => settled,
            Table::Meta => meta,
        }
    }

    fn is_mostly_dead(&self) -> Result<bool, StoreError> {
        let bytes = self.db.size_on_disk().map_err(failed)?;
        let compacted = self.db.get(COMPACTED).map_err(failed)?;
        let compacted = compacted.and_then(|value| Some(u64::from_le_bytes(*value.first_chunk()?)));
        let allowed = compacted.unwrap_or(0).saturating_mul(GROWTH_MAX);
        Ok(bytes > allowed.max(COMPACT_BYTES_MIN))
    }
}

/// Opens the database. sled's own threads let go of a closed one some time after it was dropped,
/// so a lock that is held is waited for: the caller holds the queue's own lock already.
fn open_db(folder: &Path) -> Result<Db, sled::Error> {
    let mut n_tries = 0;
    loop {
        let opened = sled::Config::new()
            .path(folder)
            .cache_capacity(CACHE_BYTES)
            .mode(sled::Mode::LowSpace)
            .flush_every_ms(Some(1_000))
            .open();
        n_tries += 1;
        match opened {
            Err(sled::Error::Io(err)) if is_locked(&err) && n_tries < OPEN_TRIES => {
                std::thread::sleep(OPEN_WAIT);
            }
            opened => return opened,
        }
    }
}

/// sled has no error of its own for this.
fn is_locked(err: &io::Error) -> bool {
    err.kind() == io::ErrorKind::WouldBlock || err.to_string().contains("acquire lock")
}

fn copy_tree(from: &Tree, to: &Tree) -> Result<(), StoreError> {
    let mut batch = Batch::default();
    for (n, item) in from.iter().enumerate() {
        let (key, value) = item.map_err(failed)?;
        batch.insert(key, value);
        if n % COMPACT_BATCH == COMPACT_BATCH - 1 {
            to.apply_batch(std::mem::take(&mut batch)).map_err(failed)?;
        }
    }
    to.apply_batch(batch).map_err(failed)
}

fn remove_all(folder: &Path) -> Result<(), StoreError> {
    match std::fs::remove_dir_all(folder) {
        Err(err) if err.kind() == io::ErrorKind::NotADirectory => {
            std::fs::remove_file(folder).map_err(failed)
        }
        Err(err) if err.kind() != io::ErrorKind::NotFound => Err(failed(err)),
        Ok(()) | Err(_) => Ok(()),
    }
}

impl Store for SledStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(|database| {
            let found = database.tree(table).get(key).map_err(failed)?;
            Ok(found.map(|value| value.to_vec()))
        })
    }

    fn apply(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        self.with(|database| {
            database.is_fresh.store(false, Ordering::Relaxed);
            // One by one, since no change needs the others: at each batch sled writes and syncs what it has
            // buffered, and wakes all its threads for that.
            for write in writes {
                match write {
                    Write::Put { table, key, value } => database.tree(table).insert(key, value),
                    Write::Delete { table, key } => database.tree(table).remove(key),
                }
                .map_err(failed)?;
            }
            Ok(())
        })
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Pair>, StoreError> {
        if from >= to {
            return Ok(Vec::new());
        }
        self.with(|database| {
            let range = database.tree(table).range(from..to);
            let own = |item: sled::Result<(sled::IVec, sled::IVec)>| {
                item.map(|(key, value)| (key.to_vec(), value.to_vec())).map_err(failed)
            };
            match direction {
                Direction::Forward => range.take(limit).map(own).collect(),
                Direction::Backward => range.rev().take(limit).map(own).collect(),
            }
        })
    }

    fn bytes(&self) -> u64 {
        match &*self.read() {
            State::Open(database) => {
                fence(|| database.db.size_on_disk().map_err(failed)).unwrap_or(0)
            }
            State::Unopened | State::Closed => 0,
        }
    }

    fn flush(&self) -> Result<(), StoreError> {
        let is_mostly_dead = self.with(|database| {
            database.db.flush().map_err(failed)?;
            database.is_mostly_dead()
        })?;
        if is_mostly_dead { self.compact() } else { Ok(()) }
    }

    fn clear(&self) -> Result<(), StoreError> {
        let mut state = self.write();
        if matches!(*state, State::Closed) {
            return Err(StoreError::Closed);
        }
        // A start without an index makes an empty one, and clears it. The buffers of a second one would
        // come out of memory that the allocator has kept of the first, and be filled with zeros there:
        // 4.4 MB of the idle process were its own memory instead of 2.4 MB.
        if let State::Open(database) = &*state
            && database.is_fresh.swap(false, Ordering::Relaxed)
        {
            return Ok(());
        }
        // A panic while it is dropped must not leave it in its place.
        let old = std::mem::replace(&mut *state, State::Unopened);
        let dropped = fence(|| {
            drop(old);
            Ok(())
        });
        if dropped.is_err() {
            tracing::warn!("The index's database panicked while it was closed");
        }
        remove_all(&self.folder)
    }

    fn close(&self) -> Result<(), StoreError> {
        let mut state = self.write();
        let old = std::mem::replace(&mut *state, State::Closed);
        let State::Open(database) = old else { return Ok(()) };
        fence(|| {
            database.db.flush().map_err(failed)?;
            drop(database);
            clean_shutdown::set_clean(&self.folder).map_err(failed)
        })
    }
}
