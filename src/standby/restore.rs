//! Makes a queue of a copy, in another folder.

use std::fs::File;
use std::io;
use std::path::Path;

use super::local::CopyError;
use super::manifest::{MANIFEST, Manifest};
use super::promote::{Promoted, TellBytes, Thoroughness, finish};
use crate::files;
use crate::queue::embedded::{CopyFolder, FolderHolds};

/// Copies the copy in the queue's folder `from` into `to`, which is empty, and makes a queue of it.
/// Blocks. `tell` counts twice: what is copied, then what is looked at.
pub fn restore(
    from: &Path,
    to: &Path,
    how: Thoroughness,
    tell: TellBytes<'_>,
) -> Result<Promoted, CopyError> {
    if !from.join("FORMAT").exists() {
        return Err(CopyError::NoCopy(from.to_owned()));
    }
    // Held, so that no standby changes it meanwhile.
    let (source, holds) = CopyFolder::take(from)?;
    if holds != FolderHolds::Copy {
        return Err(CopyError::NoCopy(from.to_owned()));
    }
    let manifest = Manifest::read(from).map_err(CopyError::io("reading what the copy is"))?;
    if !manifest.is_complete && !how.force {
        return Err(CopyError::Incomplete(from.to_owned()));
    }
    let target = begin(to)?;
    let restored = copy(source.path(), to, &manifest, tell)
        .and_then(|()| finish(&target, manifest, how, tell));
    if restored.is_err() {
        discard(&target)?;
    }
    restored
}

fn copy(from: &Path, to: &Path, manifest: &Manifest, tell: TellBytes<'_>) -> Result<(), CopyError> {
    const FOLDERS: [&str; 3] = ["log", "kept", "keys"];
    let failed = |folder| CopyError::io(format!("copying `{folder}`"));
    let (mut in_all, mut copied) = (0, 0);
    for folder in FOLDERS {
        in_all += bytes_in(&from.join(folder)).map_err(failed(folder))?;
    }
    for folder in FOLDERS {
        let tell_file = |n_bytes| {
            copied += n_bytes;
            tell(copied, in_all);
        };
        copy_files(&from.join(folder), &to.join(folder), tell_file).map_err(failed(folder))?;
    }
    manifest.write(to).map_err(CopyError::io("noting what the copy is"))
}

/// Takes hold of an empty folder and marks it, so that no gateway serves from half a queue.
pub(super) fn begin(to: &Path) -> Result<CopyFolder, CopyError> {
    let (target, holds) = CopyFolder::take(to)?;
    match holds {
        FolderHolds::Nothing => {}
        FolderHolds::Queue | FolderHolds::Copy | FolderHolds::Other => {
            return Err(CopyError::NotEmpty(to.to_owned()));
        }
    }
    target.begin().map_err(CopyError::io("marking the folder"))?;
    Ok(target)
}

/// Leaves the folder as empty as it was, so that it can be restored into again.
pub(super) fn discard(target: &CopyFolder) -> Result<(), CopyError> {
    let folder = target.path();
    let removed = ["log", "kept", "keys"]
        .iter()
        .try_for_each(|name| std::fs::remove_dir_all(folder.join(name)))
        .and_then(|()| files::remove(&folder.join(MANIFEST)))
        // Last: whatever else is there until then, it is not served from.
        .and_then(|()| files::remove(&folder.join("FORMAT")));
    removed.map_err(CopyError::io("removing what was restored"))
}

fn bytes_in(folder: &Path) -> io::Result<u64> {
    std::fs::read_dir(folder)?.map(|entry| Ok(entry?.metadata()?.len())).sum()
}

fn copy_files(from: &Path, to: &Path, mut tell: impl FnMut(u64)) -> io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        // Half of a file of keys is none.
        if entry.path().extension().is_some_and(|extension| extension == "part") {
            continue;
        }
        let path = to.join(&name);
        let n_bytes = std::fs::copy(entry.path(), &path)?;
        File::open(&path)?.sync_all()?;
        tell(n_bytes);
    }
    File::open(to)?.sync_all()
}
