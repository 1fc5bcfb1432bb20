//! Whether what sled left on the disk can be believed.
//!
//! sled's flush ends in `sync_file_range`, which makes nothing durable. After a power cut its file
//! may lack any part of what was written lately, and sled notices only some of that: an older page
//! is a page like any other. So an index that was open when the machine went down, or when the
//! file system under it was mounted anew, is made again from the journal. After a kill of the
//! process alone everything that was written is there, and the index is used as it is.
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

/// Whether the index in `folder` has everything that was written to it.
pub(crate) fn is_whole(folder: &Path) -> bool {
    let Ok(state) = std::fs::read_to_string(state_path(folder)) else { return false };
    state == CLEAN || here(folder).is_ok_and(|here| here == state)
}

/// Says, durably, that the index in `folder` is in use from here on. After an error it says what it
/// said before.
pub(crate) fn set_open(folder: &Path) -> io::Result<()> {
    // Where nobody can say which boot this is, it is never believed.
    let here = here(folder).unwrap_or_else(|_| "open\n".to_owned());
    // After a kill it says so already, durably. That needs no room on the disk.
    if std::fs::read_to_string(state_path(folder)).is_ok_and(|state| state == here) {
        return Ok(());
    }
    write(folder, &here)
}

/// Syncs everything in `folder` and says so. The index is closed.
pub(crate) fn set_clean(folder: &Path) -> io::Result<()> {
    sync_all(folder)?;
    write(folder, CLEAN)
}

fn write(folder: &Path, state: &str) -> io::Result<()> {
    // Beside it first: on a full disk what it says now must stay.
    let path = state_path(folder);
    let written = path.with_extension("new");
    let mut file = File::create(&written)?;
    file.write_all(state.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&written, &path)?;
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
