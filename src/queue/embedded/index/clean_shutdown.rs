//! Whether what sled left on the disk has everything that was written to it.
//!
//! sled's flush ends in `sync_file_range`, which makes nothing durable. After a power cut its file
//! may lack any part of what was written lately, and sled notices only some of that: an older page
//! is a page like any other. So an index that was open when the machine went down, or when the
//! file system under it was mounted anew, is made again from the log. After a kill of the process
//! alone everything that was written is there, and the index is used as it is.
//!
//! A file beside the database says how it was left: `open BOOT MOUNT` while it is in use, `clean`
//! once all of it was synced.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxFlags};

const CLEAN: &str = "clean\n";
/// `STATX_MNT_ID_UNIQUE`: unlike the older one such an id is never used again.
const UNIQUE_MOUNT: StatxFlags = StatxFlags::from_bits_retain(0x4000);

fn state_path(folder: &Path) -> PathBuf {
    folder.join("state")
}

/// This boot of the machine and this mount of the file system.
fn here(folder: &Path) -> io::Result<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let mount_id = StatxFlags::MNT_ID.union(UNIQUE_MOUNT);
    let mount = rustix::fs::statx(CWD, folder, AtFlags::empty(), mount_id)?.stx_mnt_id;
    Ok(format!("open {} {mount}\n", boot.trim()))
}

/// Whether the database in `folder` has everything that was written to it.
pub(super) fn is_complete(folder: &Path) -> bool {
    let Ok(state) = std::fs::read_to_string(state_path(folder)) else { return false };
    state == CLEAN || here(folder).is_ok_and(|here| here == state)
}

/// Records durably that the database in `folder` is in use from here on. The folder is made.
///
/// Where that cannot be written (a full disk), `clean` must not stay there either: a power cut
/// would then leave a database that is believed. Removing a file needs no room.
pub(super) fn set_open(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    // Where the boot id is unknown, the mark is never trusted.
    let here = here(folder).unwrap_or_else(|_| "open\n".to_owned());
    write(folder, &here).or_else(|_| {
        std::fs::remove_file(state_path(folder))?;
        File::open(folder)?.sync_all()
    })
}

/// Syncs everything in `folder` and records that. The database is closed.
pub(super) fn set_clean(folder: &Path) -> io::Result<()> {
    sync_all(folder)?;
    write(folder, CLEAN)
}

fn write(folder: &Path, state: &str) -> io::Result<()> {
    let mut file = File::create(state_path(folder))?;
    file.write_all(state.as_bytes())?;
    file.sync_all()?;
    File::open(folder)?.sync_all()
}

fn sync_all(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_all(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn database_is_believed_after_a_kill_and_a_clean_end_only() {
        let folder = tempfile::TempDir::new().unwrap();
        let sled = folder.path().join("sled");
        assert!(!is_complete(&sled));
        set_open(&sled).unwrap();
        // The process was killed; boot and mount are the same.
        assert!(is_complete(&sled));
        set_clean(&sled).unwrap();
        assert!(is_complete(&sled));
        let other = std::fs::read_to_string(state_path(&sled)).unwrap();
        assert_eq!(other, CLEAN);
        std::fs::write(state_path(&sled), "open another-boot 5\n").unwrap();
        assert!(!is_complete(&sled));
    }

    #[test]
    fn clean_mark_does_not_outlive_an_opening_that_cannot_be_recorded() {
        let folder = tempfile::TempDir::new().unwrap();
        set_clean(folder.path()).unwrap();
        // `File::create` fails on a link that leads nowhere writable, as it does on a full disk.
        std::fs::remove_file(state_path(folder.path())).unwrap();
        std::os::unix::fs::symlink("missing/file", state_path(folder.path())).unwrap();
        set_open(folder.path()).unwrap();
        assert!(std::fs::symlink_metadata(state_path(folder.path())).is_err());
        assert!(!is_complete(folder.path()));
    }
}
