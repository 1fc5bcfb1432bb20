//! Which layout the folder has: `FORMAT`.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{Settings, take_over};
use crate::clock::Clock;
use crate::queue::QueueError;
use crate::queue::storage::{OpenMode, Storage};

/// The layout of the folder that this version writes.
pub(crate) const FORMAT: &str = "2\n";
/// How `FORMAT` begins in a standby's copy of a queue: no version opens it.
pub(super) const COPY_MARK: &str = "standby";

/// The number in `FORMAT` is written and synced before anything else; a newer one is left alone.
pub(super) fn check_format(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
    seed: u64,
) -> Result<(), QueueError> {
    let (storage, folder) = (&*settings.storage, settings.folder.as_path());
    let path = folder.join("FORMAT");
    let failed = opening("`FORMAT`");
    storage.create_folder(folder).map_err(&failed)?;
    if has_format(storage, folder)? {
        return take_over::remove_old(storage, folder);
    }
    let was_taken_over = take_over::take_over(settings, clock, seed)?;
    let file = storage.open(&path, OpenMode::Create).map_err(&failed)?;
    file.write_all_at(FORMAT.as_bytes(), 0).map_err(&failed)?;
    file.sync_data().map_err(&failed)?;
    storage.sync_folder(folder).map_err(&failed)?;
    if was_taken_over { take_over::remove_old(storage, folder) } else { Ok(()) }
}

/// Whether `FORMAT` says that the folder is one of this version; `false` = it says nothing yet.
pub(super) fn has_format(storage: &dyn Storage, folder: &Path) -> Result<bool, QueueError> {
    let path = folder.join("FORMAT");
    let failed = opening("`FORMAT`");
    if !storage.list(folder).map_err(&failed)?.contains(&path) {
        return Ok(false);
    }
    let file = storage.open(&path, OpenMode::Read).map_err(&failed)?;
    let mut bytes = vec![0; 16];
    let n_read = file.read_at(&mut bytes, 0).map_err(&failed)?;
    let found = String::from_utf8_lossy(bytes.get(..n_read).unwrap_or_default()).into_owned();
    let folder = || folder.display().to_string();
    if found == FORMAT {
        return Ok(true);
    }
    if found.starts_with(COPY_MARK) {
        return Err(QueueError::Standby { folder: folder() });
    }
    // Empty = the process ended while it was written: nothing was stored yet.
    if found.is_empty() {
        return Ok(false);
    }
    let found = found.trim();
    if found.parse::<u32>().is_ok() {
        return Err(QueueError::Unsupported { folder: folder(), found: found.to_owned() });
    }
    Err(QueueError::Corrupt(format!(
        "`{}` holds what no version writes; where nothing else is damaged, write `{}` into it",
        path.display(),
        FORMAT.trim()
    )))
}

/// For `map_err`: what was being opened.
pub(super) fn opening(what: &'static str) -> impl Fn(io::Error) -> QueueError {
    move |source| QueueError::Io { what: format!("opening {what}"), source }
}
