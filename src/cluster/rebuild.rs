//! A copy that is made anew: the shared log lost or changed what this node had applied. Nothing is removed:
//! the old copy is put aside, and what the spool still has and the log lost is appended again.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::files;

/// The file in a copy's folder that asks for it at the next start.
const ASKED: &str = "rebuild";
/// The file that says that the log may lack what the spool has.
const REPUBLISH: &str = "republish";
/// What stays: the spool, the node's name and sessions, and the lock of the folder.
const STAYS: [&str; 5] = ["spool", "node.json", "lock", ASKED, REPUBLISH];

/// Asks for it, with the reason, durably.
pub(super) fn ask(folder: &Path, why: &str) -> io::Result<()> {
    files::replace_durably(&folder.join(ASKED), why)
}

/// Puts the copy aside where that was asked for; whether the spool's events are to be appended again as
/// far as the log lacks them. Done half, it is gone on with at the next start.
pub(super) fn begin(folder: &Path) -> io::Result<bool> {
    if folder.join(ASKED).exists() {
        // Another gateway in this folder is told of by who opens it next.
        let lock = File::open(folder.join("lock"))?;
        if lock.try_lock().is_err() {
            return Ok(false);
        }
        let aside = put_aside(folder)?;
        std::fs::rename(folder.join(ASKED), folder.join(REPUBLISH))?;
        File::open(folder)?.sync_all()?;
        tracing::warn!(
            aside = %aside.display(),
            "The copy of the shared log is made anew; the old one was put aside and may be removed"
        );
    }
    Ok(folder.join(REPUBLISH).exists())
}

/// The log may have what the spool does not know of: each start tells the two apart, until that is done.
pub(super) fn note_old_spool(folder: &Path) -> io::Result<()> {
    files::replace_durably(
        &folder.join(REPUBLISH),
        "the spool is older than what the log has of it",
    )
}

/// The log has all that the spool has.
pub(super) fn end(folder: &Path) -> io::Result<()> {
    files::remove(&folder.join(REPUBLISH))
}

/// Moves all but what stays into a folder beside this one.
fn put_aside(folder: &Path) -> io::Result<PathBuf> {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push("-before");
    let mut aside = folder.with_file_name(&name);
    let mut n_tried = 1;
    while let Err(err) = std::fs::create_dir(&aside) {
        if err.kind() != io::ErrorKind::AlreadyExists {
            return Err(err);
        }
        n_tried += 1;
        let mut numbered = name.clone();
        numbered.push(format!("-{n_tried}"));
        aside = folder.with_file_name(numbered);
    }
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if !STAYS.iter().any(|stays| entry.file_name() == *stays) {
            std::fs::rename(entry.path(), aside.join(entry.file_name()))?;
        }
    }
    File::open(&aside)?.sync_all()?;
    if let Some(parent) = aside.parent() {
        File::open(parent)?.sync_all()?;
    }
    Ok(aside)
}
