//! What sled keeps: everything that can be found out again from the journal, laid out for asking.
//!
//! | tree | key | value |
//! |---|---|---|
//! | `meta` | `progress` | how far the journal was taken in |
//! | `places` | handler | cursor and runs ahead of it |
//! | `entries` | handler, position | segment of the newest record of it, state, attempts |
//! | `due` | handler, due, position | – |
//! | `lines` | handler, order key, position | – |
//! | `pins` | segment, position, handler | – (entries whose newest record is in that segment) |
//! | `moved` | position | where the event was copied forward to, and its size |
//! | `moved_in` | segment, position | – |
//! | `blocks` | first position | where some 256 events begin, the first id, their times and types |
//! | `attempts` | position, handler, number | one try, of deliveries that did not end at the first |
//! | `settled` | handler, first position, location | the last position in that settle record |
//! | `keys` | run, page | dedupe keys: 8 bytes of each, sorted, with positions |
//! | `key_runs` | run | its last position, its last expiry |
//! | `key_records` | first position | where the journal keeps the keys of a segment that is gone |
//!
//! Numbers in keys are big endian, so that they sort. Values are small: bodies stay in the
//! journal. Every call is fenced: sled panics on some damage, and a panic here is an error that
//! leads to a rebuild, not an outage.

use std::collections::HashMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::trust;
use crate::event::{HandlerName, Position};
use crate::queue::codec::{Put, Take};
use crate::queue::journal::Location;

mod compact;
mod counts;
mod entries;
mod keys;
mod log;
mod moved;

pub(crate) use counts::Counts;
pub(crate) use entries::Entry;
pub(crate) use keys::{KeyRecord, KeyRun, PageKey};
pub(crate) use log::{Block, BlockBuilder, Indexed, SettledIn};

/// Why sled could not answer. While the queue is open the remedy is a rebuild, whatever it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IndexError {
    #[error("sled failed")]
    Sled(#[from] sled::Error),
    #[error("what sled keeps cannot be marked as in use")]
    Mark(#[source] io::Error),
    #[error("sled panicked")]
    Panicked,
    #[error("a value in sled makes no sense")]
    Bad,
    #[error("sled is being rebuilt from the journal")]
    Rebuilding,
}

impl IndexError {
    /// Whether this tells of a disk that takes nothing just now, and gives no reason to doubt what
    /// sled keeps.
    pub(crate) fn is_no_doubt(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        match self {
            Self::Mark(_) => true,
            Self::Sled(sled::Error::Io(err)) => {
                matches!(err.kind(), QuotaExceeded | ReadOnlyFilesystem | StorageFull)
            }
            Self::Sled(_) | Self::Panicked | Self::Bad | Self::Rebuilding => false,
        }
    }
}

/// How much memory sled's page cache may take.
const CACHE_BYTES: u64 = 8 << 20;

/// How long a database that is still locked is waited for: two seconds.
const OPEN_TRIES: u32 = 100;
const OPEN_WAIT: Duration = Duration::from_millis(20);

/// How far the index has taken the journal in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) at: Location,
    /// The position that the next event will have.
    pub(crate) next: Position,
}

/// The derived state.
#[derive(Debug)]
pub(crate) struct Index {
    db: sled::Db,
    meta: sled::Tree,
    places: sled::Tree,
    entries: sled::Tree,
    due: sled::Tree,
    lines: sled::Tree,
    pins: sled::Tree,
    moved: sled::Tree,
    moved_in: sled::Tree,
    blocks: sled::Tree,
    attempts: sled::Tree,
    settled: sled::Tree,
    keys: sled::Tree,
    key_runs: sled::Tree,
    key_records: sled::Tree,
    /// Entries of each handler: counted at open, then kept.
    counts: Mutex<HashMap<HandlerName, counts::Counted>>,
    /// How large the events that were copied forward are together: counted at open, then kept.
    moved_bytes: AtomicU64,
    /// Set when a call failed: whoever called, the remedy is a rebuild.
    has_failed: AtomicBool,
}

/// Runs `call` so that a panic in it is an error.
fn fence<T>(call: impl FnOnce() -> Result<T, IndexError>) -> Result<T, IndexError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or(Err(IndexError::Panicked))
}

impl Index {
    /// Opens the index in `folder`, or makes an empty one.
    pub(crate) fn open(folder: &Path) -> Result<Self, IndexError> {
        fence(|| {
            std::fs::create_dir_all(folder).map_err(sled::Error::Io)?;
            trust::set_open(folder).map_err(IndexError::Mark)?;
            let db = open_db(folder)?;
            let index = Self {
                meta: db.open_tree("meta")?,
                places: db.open_tree("places")?,
                entries: db.open_tree("entries")?,
                due: db.open_tree("due")?,
                lines: db.open_tree("lines")?,
                pins: db.open_tree("pins")?,
                moved: db.open_tree("moved")?,
                moved_in: db.open_tree("moved_in")?,
                blocks: db.open_tree("blocks")?,
                attempts: db.open_tree("attempts")?,
                settled: db.open_tree("settled")?,
                keys: db.open_tree("keys")?,
                key_runs: db.open_tree("key_runs")?,
                key_records: db.open_tree("key_records")?,
                counts: Mutex::default(),
                moved_bytes: AtomicU64::new(0),
                has_failed: AtomicBool::new(false),
                db,
            };
            index.count_entries()?;
            index.count_moved()?;
            Ok(index)
        })
    }

    /// Runs `call` so that a panic in it is an error, and remembers that there was one.
    fn fence<T>(&self, call: impl FnOnce() -> Result<T, IndexError>) -> Result<T, IndexError> {
        let result = fence(call);
        if result.is_err() {
            self.has_failed.store(true, Ordering::Release);
        }
        result
    }

    /// Whether any call failed so far.
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }

    #[cfg(test)]
    pub(crate) fn set_failed(&self) {
        self.has_failed.store(true, Ordering::Release);
    }

    /// How far the journal was taken in; `None` = not at all.
    pub(crate) fn progress(&self) -> Result<Option<Progress>, IndexError> {
        self.fence(|| {
            let Some(value) = self.meta.get("progress")? else { return Ok(None) };
            let mut take = Take(&value);
            let read = (|| {
                let at = take_location(&mut take)?;
                Some(Progress { at, next: Position(take.u64()?) })
            })();
            read.map(Some).ok_or(IndexError::Bad)
        })
    }

    /// Remembers how far the journal was taken in. Everything applied before is on disk no later
    /// than this is: sled keeps the order of its writes.
    pub(crate) fn set_progress(&self, progress: Progress) -> Result<(), IndexError> {
        let mut value = Vec::new();
        put_location(progress.at, &mut value);
        value.put_u64(progress.next.0);
        self.fence(|| Ok(self.meta.insert("progress", value).map(|_| ())?))
    }

    /// Writes what waits in sled's buffers.
    pub(crate) fn flush(&self) -> Result<(), IndexError> {
        self.fence(|| Ok(self.db.flush().map(|_| ())?))
    }

    /// Bytes that sled takes on disk.
    pub(crate) fn bytes(&self) -> u64 {
        self.fence(|| Ok(self.db.size_on_disk()?)).unwrap_or(0)
    }
}

/// Opens the database. Its own threads let go of a closed one some time after it was dropped, so
/// a lock that is held is waited for: whoever opens holds the queue's own lock already.
fn open_db(folder: &Path) -> Result<sled::Db, sled::Error> {
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

/// A handler's name as the front of a key: a zero byte, which no name has, ends it.
fn handler_prefix(handler: &HandlerName) -> Vec<u8> {
    let mut key = Vec::with_capacity(handler.as_str().len() + 25);
    key.put_raw(handler.as_str().as_bytes());
    key.put_u8(0);
    key
}

/// Splits a key that begins with a handler.
fn split_handler(key: &[u8]) -> Option<(HandlerName, &[u8])> {
    let end = key.iter().position(|byte| *byte == 0)?;
    let (name, rest) = key.split_at_checked(end)?;
    let handler = HandlerName::parse(std::str::from_utf8(name).ok()?).ok()?;
    Some((handler, rest.get(1..)?))
}

/// The big-endian number at the end of a key.
fn last_u64(key: &[u8]) -> Option<u64> {
    key.last_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes))
}

fn put_location(location: Location, out: &mut Vec<u8>) {
    out.put_u64(location.segment);
    out.put_varint(u64::from(location.offset));
}

fn take_location(take: &mut Take<'_>) -> Option<Location> {
    let segment = take.u64()?;
    Some(Location { segment, offset: u32::try_from(take.varint()?).ok()? })
}
