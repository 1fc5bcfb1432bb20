//! How long a process is known to have lived after its newest answers: a small file that counts after
//! a kill. The log alone cannot say it, because nothing is written to it in quiet hours.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::queue::storage::{OpenMode, Storage};

/// How long an answer may be on its way.
pub(crate) const ANSWER_TIME: Duration = Duration::from_secs(10);

/// When an event that has no id was answered last, by the wall clock; the epoch = never. The
/// committer sets it, the cleaner reads it.
#[derive(Debug, Default)]
pub(crate) struct NewestAnswer(AtomicI64);

impl NewestAnswer {
    pub(crate) fn set(&self, at: Timestamp) {
        self.0.store(at.as_millis(), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// The file: milliseconds since the epoch and a checksum of them, both little-endian.
#[derive(Debug)]
pub(crate) struct LivedFile {
    storage: Arc<dyn Storage>,
    path: PathBuf,
    /// The answer that the file's time is behind of.
    noted: AtomicI64,
}

impl LivedFile {
    pub(crate) fn new(storage: Arc<dyn Storage>, folder: &Path) -> Self {
        Self { storage, path: path_in(folder), noted: AtomicI64::new(0) }
    }

    /// Notes that it is `now`, once [`ANSWER_TIME`] after the newest answer: one write for each quiet
    /// time, and none while events come in or nothing happens.
    pub(crate) fn note(&self, newest: Timestamp, now: Timestamp) -> io::Result<()> {
        let is_noted = self.noted.load(Ordering::Relaxed) == newest.as_millis();
        if is_noted || now.since(newest) <= ANSWER_TIME {
            return Ok(());
        }
        let millis = now.as_millis().to_le_bytes();
        let mut bytes = millis.to_vec();
        bytes.extend_from_slice(&crc32c::crc32c(&millis).to_le_bytes());
        let file = self.storage.open(&self.path, OpenMode::Create)?;
        file.write_all_at(&bytes, 0)?;
        file.sync_data()?;
        self.noted.store(newest.as_millis(), Ordering::Relaxed);
        Ok(())
    }
}

/// Until when the last process is known to have lived. What cannot be read says nothing.
pub(crate) fn read(storage: &dyn Storage, folder: &Path) -> Option<Timestamp> {
    let file = storage.open(&path_in(folder), OpenMode::Read).ok()?;
    let mut bytes = [0; 12];
    let n_read = file.read_at(&mut bytes, 0).ok()?;
    let (millis, checksum) = bytes.split_first_chunk::<8>()?;
    let is_whole = n_read == bytes.len() && checksum == crc32c::crc32c(millis).to_le_bytes();
    is_whole.then(|| Timestamp::from_millis(i64::from_le_bytes(*millis)))
}

/// Whether it has anything and is not as it was written.
pub(crate) fn is_damaged(storage: &dyn Storage, folder: &Path) -> bool {
    storage.size(&path_in(folder)).is_ok_and(|size| size > 0) && read(storage, folder).is_none()
}

fn path_in(folder: &Path) -> PathBuf {
    folder.join("state/lived")
}
