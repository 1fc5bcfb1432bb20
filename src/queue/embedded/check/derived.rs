//! The files that are derived from the log: damage in one costs time or a repeat, never an event.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::queue::embedded::keys::{self, UnansweredFile};
use crate::queue::embedded::lived;
use crate::queue::embedded::record::Lsn;
use crate::queue::embedded::snapshot::Snapshots;
use crate::queue::storage::Storage;

/// One line for each file that is damaged: which, how, and what it means. `first` = where the log
/// begins.
pub(super) fn damage(
    storage: &Arc<dyn Storage>,
    folder: &Path,
    first: Lsn,
) -> io::Result<Vec<String>> {
    let mut damage = of_snapshots(storage, folder, first)?;
    damage.extend(of_key_runs(storage, folder)?);
    if lived::is_damaged(&**storage, folder) {
        damage.push(
            "`state/lived`: wrong checksum; a start after a kill remembers more requests as not \
             answered, nothing is lost"
                .into(),
        );
    }
    if UnansweredFile::new(Arc::clone(storage), folder).is_damaged() {
        damage.push(
            "`state/unanswered`: wrong checksum; a repeat of a request whose answer did not arrive \
             may be stored once more, nothing is lost"
                .into(),
        );
    }
    Ok(damage)
}

fn of_snapshots(storage: &Arc<dyn Storage>, folder: &Path, first: Lsn) -> io::Result<Vec<String>> {
    let snapshots = Snapshots::new(Arc::clone(storage), folder.join("state")).examine()?;
    let name = |file: &str| format!("`state/{file}`");
    // Newest first: a start takes the first one that the log still goes on from.
    let used = snapshots.iter().position(|(_, found)| found.as_ref().is_ok_and(|at| *at >= first));
    let mut damage = Vec::new();
    for (index, (file, found)) in snapshots.iter().enumerate() {
        let Err(cause) = found else { continue };
        let read = match used.and_then(|used| Some((used, snapshots.get(used)?))) {
            Some((used, (newer, _))) if used < index => {
                format!("the next start reads the newer snapshot {}", name(newer))
            }
            Some((_, (older, _))) => {
                format!("the next start reads the older snapshot {}", name(older))
            }
            None => "the next start reads all of the log, which takes longer".to_owned(),
        };
        damage.push(format!("{}: {cause}; {read}, nothing is lost", name(file)));
    }
    Ok(damage)
}

fn of_key_runs(storage: &Arc<dyn Storage>, folder: &Path) -> io::Result<Vec<String>> {
    let damaged = keys::examine(&**storage, &folder.join("keys"))?.into_iter();
    let line = |(file, cause)| {
        format!(
            "`keys/{file}`: {cause}; its dedupe keys are made anew from the log as far as that goes \
             back: a repeat of an older event may be stored once more, nothing is lost"
        )
    };
    Ok(damaged.map(line).collect())
}
