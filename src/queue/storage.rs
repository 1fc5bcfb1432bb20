//! The file system as the queue sees it: the seam at which tests inject faults and the simulation
//! keeps its files in memory.

use std::fmt::Debug;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// For reading; the file must be there.
    Read,
    /// For reading and writing; the file must be there.
    Write,
    /// For reading and writing; an empty file is made where there is none (mode 0600).
    Create,
}

/// What the queue asks of a file system.
pub trait Storage: Send + Sync + Debug {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn StorageFile>>;
    /// The files in a folder, in no particular order. A folder that is missing is an error.
    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>>;
    /// A file's size in bytes, without opening it.
    fn size(&self, path: &Path) -> io::Result<u64>;
    /// Makes a folder and its parents where they are missing (mode 0700).
    fn create_folder(&self, folder: &Path) -> io::Result<()>;
    /// Gives a file another name, in place of what has that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes names given, changed and removed in a folder survive a power cut.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
    /// Bytes that may still be written to the file system under `folder`.
    fn free_bytes(&self, folder: &Path) -> io::Result<u64>;
}

/// What the queue asks of an open file. It stays readable after the file was removed or renamed.
pub trait StorageFile: Send + Sync + Debug {
    /// Reads at most `buffer.len()` bytes from `offset` on; less only at the file's end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `bytes` at `offset`. After an error any part of it may be there.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes what was written survive a power cut: fdatasync(2).
    fn sync_data(&self) -> io::Result<()>;
    /// The file's size in bytes.
    fn size(&self) -> io::Result<u64>;
}

/// What was done to a file or a folder; `None` = it is missing.
pub fn if_there<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        done => done.map(Some),
    }
}

/// Up to `n_bytes` of a file from `from` on; `None` = it is gone.
pub fn read_part(
    storage: &dyn Storage,
    path: &Path,
    from: u64,
    n_bytes: usize,
) -> io::Result<Option<Vec<u8>>> {
    let Some(file) = if_there(storage.open(path, OpenMode::Read))? else { return Ok(None) };
    let mut bytes = vec![0; n_bytes];
    let n_read = file.read_at(&mut bytes, from)?;
    bytes.truncate(n_read);
    Ok(Some(bytes))
}

/// The operating system's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsStorage;

impl Storage for OsStorage {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn StorageFile>> {
        use std::os::unix::fs::OpenOptionsExt;
        let file = std::fs::OpenOptions::new()
            .read(true)
            .write(mode != OpenMode::Read)
            .create(mode == OpenMode::Create)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        Ok(Arc::new(file))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect()
    }

    fn size(&self, path: &Path) -> io::Result<u64> {
        Ok(std::fs::symlink_metadata(path)?.len())
    }

    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        std::fs::File::open(folder)?.sync_all()
    }

    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(folder)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

impl StorageFile for std::fs::File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut n_read = 0;
        while let Some(rest) = buffer.get_mut(n_read..).filter(|rest| !rest.is_empty()) {
            match FileExt::read_at(self, rest, offset + n_read as u64) {
                Ok(0) => break,
                Ok(n) => n_read += n,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
            }
        }
        Ok(n_read)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        Self::sync_data(self)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}
