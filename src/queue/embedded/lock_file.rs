//! One process has the folder, and it is its owner.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::files;
use crate::queue::QueueError;

/// Refuses a folder that belongs to another user, before anything is made in it: files that
/// another user makes there keep the service from starting.
pub(crate) fn check_owner(folder: &Path) -> Result<(), QueueError> {
    let us = rustix::process::geteuid().as_raw();
    let (folder, owner) = match std::fs::metadata(folder) {
        Ok(found) => (folder, found.uid()),
        // It stands in a folder that another user keeps for itself: the nearest that can be looked at.
        Err(err) if err.kind() == io::ErrorKind::PermissionDenied => {
            let seen = |folder| Some((folder, std::fs::metadata(folder).ok()?.uid()));
            let Some(nearest) = folder.ancestors().find_map(seen) else { return Ok(()) };
            nearest
        }
        Err(_) => return Ok(()),
    };
    if owner == us {
        return Ok(());
    }
    let (owner, user) = (files::user_name(owner), files::user_name(us));
    Err(QueueError::ForeignOwner { folder: folder.display().to_string(), owner, user })
}

/// Takes hold of the folder; the lock ends with the process, whatever becomes of it.
pub(crate) fn take(folder: &Path) -> Result<File, QueueError> {
    let path = folder.join("lock");
    let failed = |source| QueueError::Io { what: format!("locking `{}`", path.display()), source };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Who it is helps, but is not needed to refuse.
            if file.read_to_string(&mut holder).is_err() || holder.trim().is_empty() {
                "another process".clone_into(&mut holder);
            }
            let (folder, holder) = (folder.display().to_string(), holder.trim().to_owned());
            return Err(QueueError::Held { folder, holder });
        }
        Err(TryLockError::Error(err)) => return Err(failed(err)),
    }
    let text = format!("gatepost, process {}\n", std::process::id());
    let written =
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text.as_bytes()));
    if let Err(err) = written {
        // The lock holds without the text, also on a full disk.
        tracing::debug!(error = %err, "The lock does not say who holds it");
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_on_a_full_disk_is_held_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        // Nothing can be written to it.
        std::os::unix::fs::symlink("/dev/full", folder.path().join("lock")).unwrap();
        drop(take(folder.path()).unwrap());
    }
}
