//! Makes a queue of a copy.

use std::io;
use std::path::Path;

use serde::Serialize;

use super::local::{CopyError, named_files};
use super::manifest::{MANIFEST, Manifest};
use super::wire::Seal;
use crate::clock::Timestamp;
use crate::queue::embedded::{CopyFolder, FolderHolds, LogPlace, whole_until};
use crate::queue::tools::{self, CheckReport};

/// What became a queue.
#[derive(Clone, Debug, Serialize)]
pub struct Promoted {
    /// Whose copy it was.
    pub gateway: Option<String>,
    /// When the gateway answered last, by the standby's clock.
    pub heard_at: Option<Timestamp>,
    /// How many events that gateway had by then that the copy has not; nothing = not every record was
    /// read.
    pub events_behind: Option<u64>,
    /// Whether the copy had had all that the gateway had.
    pub was_complete: bool,
    /// What is in it; nothing = not every record was read.
    pub found: Option<CheckReport>,
    /// What is not as it came, or cannot be read.
    pub damage: Vec<String>,
}

/// Is told now and then how many bytes of about how many are done.
pub type TellBytes<'a> = &'a dyn Fn(u64, u64);

/// Reads every record of the copy in the queue's folder `folder` and makes a queue of it. With
/// `force` also of one that is not complete or is damaged. Blocks.
pub fn promote(folder: &Path, force: bool, tell: TellBytes<'_>) -> Result<Promoted, CopyError> {
    // What this user cannot enter is another's, as taking hold of it says.
    if matches!(folder.join("FORMAT").try_exists(), Ok(false)) {
        return Err(CopyError::NoCopy(folder.to_owned()));
    }
    let (held, holds) = CopyFolder::take(folder)?;
    match holds {
        FolderHolds::Copy => {}
        FolderHolds::Queue => return Err(CopyError::IsGateways(folder.to_owned())),
        FolderHolds::Nothing | FolderHolds::Other => {
            return Err(CopyError::NoCopy(folder.to_owned()));
        }
    }
    let manifest = Manifest::read(folder).map_err(CopyError::io("reading what the copy is"))?;
    if !manifest.is_complete && !force {
        return Err(CopyError::Incomplete(folder.to_owned()));
    }
    finish(&held, manifest, Thoroughness { force, verify: true }, tell)
}

/// What is to be done before a copy becomes a queue.
#[derive(Clone, Copy, Debug)]
pub struct Thoroughness {
    /// It becomes one although it is not complete, or damaged.
    pub force: bool,
    /// Every record is read. Otherwise only the checksums of complete segments are compared.
    pub verify: bool,
}

/// Looks at what `held` holds, and makes a queue of it.
pub(super) fn finish(
    held: &CopyFolder,
    manifest: Manifest,
    how: Thoroughness,
    tell: TellBytes<'_>,
) -> Result<Promoted, CopyError> {
    let folder = held.path();
    let promoted = look(folder, manifest, how.verify, tell)?;
    if let Some(damage) = promoted.damage.first().filter(|_| !how.force) {
        let (folder, damage) = (folder.to_owned(), damage.clone());
        return Err(CopyError::Damaged { folder, damage });
    }
    // From here on it is a queue, and no standby writes into it.
    held.promote().map_err(CopyError::io("making a queue of the copy"))?;
    let (from, to) = (folder.join(MANIFEST), folder.join("promoted.json"));
    match std::fs::rename(from, to) {
        Ok(()) => Ok(promoted),
        // It was lost before, and what was there is a queue's by now all the same.
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(promoted),
        Err(err) => Err(CopyError::io("noting the promotion")(err)),
    }
}

/// Where the copy's log ends.
fn end_of(folder: &Path) -> io::Result<LogPlace> {
    let newest = named_files(&folder.join("log"))?.pop_last();
    let Some((name, path)) = newest else { return Ok(LogPlace::default()) };
    let offset = whole_until(&std::fs::read(path)?, name);
    Ok(LogPlace { segment: name.number, offset })
}

/// Compares complete segments with what came, and reads every record where that is wanted.
fn look(
    folder: &Path,
    manifest: Manifest,
    verify: bool,
    tell: TellBytes<'_>,
) -> Result<Promoted, CopyError> {
    let n_sealed: u64 = manifest.sealed.iter().map(|seal| u64::from(seal.end)).sum();
    // Reading every record goes over the same bytes, twice (`tools::check_telling`).
    let in_all = if verify { 3 * n_sealed } else { n_sealed };
    let (mut damage, mut compared) = (Vec::new(), 0);
    for Seal { name, end, checksum } in &manifest.sealed {
        let path = folder.join("log").join(name.file_name());
        // One that cannot be read is no longer what came, either.
        let bytes = std::fs::read(&path).unwrap_or_default();
        let is_same =
            bytes.get(..*end as usize).is_some_and(|bytes| crc32c::crc32c(bytes) == *checksum);
        if !is_same {
            damage.push(format!("`log/{}` is no longer what came", name.file_name()));
        }
        compared += u64::from(*end);
        tell(compared, in_all);
    }
    let tell_records = |done: u64, total: u64| tell(compared + done, compared + total);
    let found = if verify { Some(tools::check_telling(folder, &tell_records)?) } else { None };
    damage.extend(found.iter().flat_map(|found| &found.damage).map(|one| one.text.clone()));
    // Where the log is all there, it may have no event left in it.
    let is_all_there =
        end_of(folder).map_err(CopyError::io("reading the copy's log"))? >= manifest.head;
    let behind = |found: &CheckReport| {
        let behind = manifest.next_position.saturating_sub(found.last.next().0);
        if is_all_there { 0 } else { behind }
    };
    Ok(Promoted {
        gateway: manifest.gateway,
        heard_at: manifest.heard_at,
        events_behind: found.as_ref().map(behind),
        was_complete: manifest.is_complete,
        found,
        damage,
    })
}
