//! Takes over a folder of version 1 (gatepost 0.1): its journal is read once, with version 1's
//! meaning, and written as a log of this version. Removed two releases later.
//!
//! The events keep their ids and positions. What is settled stays settled, a retry keeps its due
//! time and a dead letter its reason; a held delivery comes again from the log, in its place. The
//! tries of deliveries that had ended are not taken over.
//!
//! Copying needs as much room again as the retained events while it goes on, and gives one layout
//! for everything that reads the log from then on.
//!
//! The order makes every step the last one before a crash: a stub in `journal/` keeps version 1
//! away; the new files are written and synced, and begun anew where that was not finished;
//! `FORMAT` says that they count; only then the old files go.

use std::path::{Path, PathBuf};
use std::sync::Arc;

#[cfg(feature = "test-support")]
use bytes::Bytes;

use super::Settings;
use crate::clock::Clock;
use crate::queue::QueueError;
use crate::queue::storage::{OpenMode, Storage, if_there};

mod journal;
mod read;
mod record;
mod write;

use journal::Journal;
use read::{Failed, Old};

/// What version 1 takes for a segment that a newer version began, and refuses: an empty record,
/// whole by its CRC, whose kind is a checkpoint and whose version is 2.
const STUB: [u8; 14] = [0, 0, 0, 0, 0x05, 0x28, 0x01, 0x36, 0, 0, 0, 0, 3, 2];
/// The stub's name: behind every segment that there can be.
const STUB_NAME: &str = "18446744073709551615.seg";
/// What this version writes, apart from `FORMAT`.
const NEW_FOLDERS: [&str; 5] = ["log", "kept", "keys", "state", "aside"];

/// Takes over what version 1 left in the folder; `false` = there is nothing of it. Only to be called
/// where `FORMAT` is not there yet.
pub(super) fn take_over(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
    seed: u64,
) -> Result<bool, QueueError> {
    let (storage, folder) = (&settings.storage, &settings.folder);
    let journal_folder = folder.join("journal");
    let Ok(files) = storage.list(&journal_folder) else { return Ok(false) };
    if files.is_empty() {
        return Ok(false);
    }
    tracing::info!(folder = %folder.display(), "Taking over the queue of gatepost 0.1");
    let journal = Journal::open(Arc::clone(storage), &journal_folder).map_err(Failed::Reading)?;
    let old = Old::read(&journal)?;
    put_stub(&**storage, &journal_folder)?;
    for name in NEW_FOLDERS {
        clear(&**storage, &folder.join(name))?;
    }
    write::write(&journal, &old, settings, clock, seed)?;
    tracing::info!(events = old.n_events, handlers = old.places.len(), "The queue was taken over");
    Ok(true)
}

/// Whether `folder` holds a queue of version 1 that was not taken over.
pub fn is_of_version_1(folder: &Path) -> bool {
    let has_journal = std::fs::read_dir(folder.join("journal"))
        .is_ok_and(|files| files.flatten().any(|file| file.file_name() != STUB_NAME));
    has_journal && !folder.join("FORMAT").exists()
}

/// Removes what version 1 left, once `FORMAT` says that it does not count.
pub(super) fn remove_old(storage: &dyn Storage, folder: &Path) -> Result<(), QueueError> {
    let journal = folder.join("journal");
    let Ok(files) = storage.list(&journal) else { return Ok(()) };
    let old: Vec<PathBuf> = files.into_iter().filter(|path| !path.ends_with(STUB_NAME)).collect();
    if old.is_empty() {
        return Ok(());
    }
    for path in old {
        storage.remove(&path).map_err(failed("removing the old journal"))?;
    }
    storage.sync_folder(&journal).map_err(failed("removing the old journal"))?;
    for name in ["sled", "sled.damaged"] {
        // sled's folders are no part of the storage seam; what stays of them does no harm.
        if let Err(err) = if_there(std::fs::remove_dir_all(folder.join(name))) {
            tracing::warn!(error = %err, "The old index cannot be removed");
        }
    }
    Ok(())
}

/// Reads a payload as each kind of record, whatever it is: for the fuzz target.
#[cfg(feature = "test-support")]
pub(crate) fn decode_any(payload: &Bytes) {
    for kind in (0..=u8::MAX).filter_map(record::Kind::of) {
        drop(record::Record::decode(kind, payload));
    }
}

fn put_stub(storage: &dyn Storage, journal: &Path) -> Result<(), QueueError> {
    let failed = failed("marking the old journal");
    let stub = storage.open(&journal.join(STUB_NAME), OpenMode::Create).map_err(&failed)?;
    stub.write_all_at(&STUB, 0).map_err(&failed)?;
    stub.sync_data().map_err(&failed)?;
    storage.sync_folder(journal).map_err(&failed)
}

/// Removes the files of a take-over that was not finished.
fn clear(storage: &dyn Storage, folder: &Path) -> Result<(), QueueError> {
    let Ok(files) = storage.list(folder) else { return Ok(()) };
    let failed = failed("removing an unfinished take-over");
    files.iter().try_for_each(|path| storage.remove(path)).map_err(&failed)?;
    storage.sync_folder(folder).map_err(&failed)
}

fn failed(what: &'static str) -> impl Fn(std::io::Error) -> QueueError {
    move |source| QueueError::Io { what: what.into(), source }
}
