//! Looks for damage in all run files, for `queue check`.

use std::io;
use std::path::Path;

use uuid::Uuid;

use super::super::super::storage::{Storage, if_there};
use super::page::RunError;
use super::run_file::{KeyRun, parse_name};
use crate::event::EventId;

/// Reads every page of every run in `folder`: the files that are damaged, each with the first thing
/// that is wrong. Changes nothing; one that is merged away meanwhile is left out.
pub(crate) fn examine(storage: &dyn Storage, folder: &Path) -> io::Result<Vec<(String, String)>> {
    let mut paths = if_there(storage.list(folder))?.unwrap_or_default();
    paths.sort_unstable();
    let mut damaged = Vec::new();
    for path in paths {
        let Some((records, "run" | "bad")) = parse_name(&path) else { continue };
        let ids_until = EventId(Uuid::max());
        let read = KeyRun::open(storage, &path, &records, ids_until).and_then(|run| run.verify());
        let cause = match read {
            Ok(()) => continue,
            Err(RunError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                continue;
            }
            Err(err @ RunError::Io { .. }) => match std::error::Error::source(&err) {
                Some(source) => format!("{err} ({source})"),
                None => err.to_string(),
            },
            Err(err @ (RunError::Checksum { .. } | RunError::Header)) => err.to_string(),
        };
        if let Some(name) = path.file_name().and_then(|name| name.to_str()) {
            damaged.push((name.to_owned(), cause));
        }
    }
    Ok(damaged)
}
