//! A folder that holds a standby's copy of a queue: the files are those of a queue, and `FORMAT` says
//! that it is none, so that no server opens it before it is promoted.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::layout::{COPY_MARK, FORMAT};
use super::lock_file;
use super::record::{SegmentId, Validity, examine, offset_of};
use crate::queue::QueueError;
use crate::queue::storage::{OpenMode, OsStorage, Storage, if_there};

/// The layout that copies are made in: a gateway of another one is not followed.
pub const COPY_FORMAT: u32 = 2;

/// What stands in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FolderHolds {
    Nothing,
    Copy,
    /// A queue, which a gateway serves from or has served from.
    Queue,
    Other,
}

/// A queue's folder, held by this process and not open as a queue.
#[derive(Debug)]
pub struct CopyFolder {
    folder: PathBuf,
    storage: Arc<dyn Storage>,
    _lock: std::fs::File,
}

impl CopyFolder {
    /// Takes hold of `folder`, which is made where it is missing.
    pub fn take(folder: &Path) -> Result<(Self, FolderHolds), QueueError> {
        lock_file::check_owner(folder)?;
        let storage: Arc<dyn Storage> = Arc::new(OsStorage);
        let what = || format!("making `{}`", folder.display());
        storage.create_folder(folder).map_err(|source| QueueError::Io { what: what(), source })?;
        // Before the lock makes a file in it.
        let holds = holds(folder).map_err(|source| QueueError::Io { what: what(), source })?;
        let lock = lock_file::take(folder)?;
        Ok((Self { folder: folder.to_owned(), storage, _lock: lock }, holds))
    }

    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Marks the folder as a copy and makes what it will hold.
    pub fn begin(&self) -> io::Result<()> {
        // First: whatever else is there then, it is not served from.
        self.write_format(&format!("{COPY_MARK} {FORMAT}"))?;
        for folder in ["log", "kept", "keys"] {
            self.storage.create_folder(&self.folder.join(folder))?;
        }
        self.storage.sync_folder(&self.folder)
    }

    /// Makes it a queue's folder, in one step that a power cut leaves done or not done.
    pub fn promote(&self) -> io::Result<()> {
        self.write_format(FORMAT)
    }

    fn write_format(&self, text: &str) -> io::Result<()> {
        let (staging, path) = (self.folder.join("FORMAT.new"), self.folder.join("FORMAT"));
        // What a crash left there may be longer.
        if_there(self.storage.remove(&staging))?;
        let file = self.storage.open(&staging, OpenMode::Create)?;
        file.write_all_at(text.as_bytes(), 0)?;
        file.sync_data()?;
        self.storage.rename(&staging, &path)?;
        self.storage.sync_folder(&self.folder)
    }
}

/// Why a server may not serve from `folder`, as far as that can be told before anything is made in it.
pub fn check_servable(folder: &Path) -> Result<(), QueueError> {
    lock_file::check_owner(folder)?;
    // What cannot be read is told of when it is opened.
    match holds(folder) {
        Ok(FolderHolds::Copy) => Err(QueueError::Standby { folder: folder.display().to_string() }),
        Ok(FolderHolds::Nothing | FolderHolds::Queue | FolderHolds::Other) | Err(_) => Ok(()),
    }
}

/// What stands in `folder`, by its `FORMAT`.
fn holds(folder: &Path) -> io::Result<FolderHolds> {
    match if_there(std::fs::read_to_string(folder.join("FORMAT")))? {
        Some(text) if text.starts_with(COPY_MARK) => return Ok(FolderHolds::Copy),
        Some(text) if !text.is_empty() => return Ok(FolderHolds::Queue),
        Some(_) | None => {}
    }
    // A lock, and what a process left that ended before it could say what the folder is.
    let is_nothing = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| ["lock", "FORMAT", "FORMAT.new"].contains(&name))
    };
    let mut files = std::fs::read_dir(folder)?;
    let is_empty = files.try_fold(true, |is_empty, entry| {
        entry.map(|entry| is_empty && is_nothing(&entry.path()))
    })?;
    Ok(if is_empty { FolderHolds::Nothing } else { FolderHolds::Other })
}

/// How far the bytes of a segment, from its beginning, are whole records.
pub fn whole_until(bytes: &[u8], id: SegmentId) -> u32 {
    let mut at = 0;
    loop {
        match examine(bytes, at, id) {
            Validity::Whole(header, _) | Validity::Unsupported(header) => {
                at += header.record_bytes();
            }
            Validity::Bad => return offset_of(at),
        }
    }
}
