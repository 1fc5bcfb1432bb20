//! The run files' bytes as they are, for a standby that holds a second copy of them.

use std::io;

use super::runs::KeyRuns;
use super::slot::{Health, Place};
use crate::queue::storage::read_part;

/// A file of dedupe keys that is whole; it never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFile {
    /// Its name in the folder.
    pub name: String,
    /// How long it is.
    pub bytes: u64,
}

impl KeyRuns {
    /// The run files that are whole.
    pub(crate) fn raw_files(&self) -> Vec<KeyFile> {
        let list = self.list();
        let files = list.slots.iter().filter_map(|slot| match &slot.place {
            Place::File { run, health: Health::Whole, path, .. } => {
                let name = path.file_name()?.to_str()?.to_owned();
                Some(KeyFile { name, bytes: run.header.file_bytes() })
            }
            Place::File { .. } | Place::Frozen(_) | Place::Unreadable { .. } => None,
        });
        files.collect()
    }

    /// Bytes of a run file of [`KeyRuns::raw_files`]; `None` = it is gone.
    pub(crate) fn read_raw(
        &self,
        name: &str,
        from: u64,
        n_bytes: usize,
    ) -> io::Result<Option<Vec<u8>>> {
        // Names come from outside: only those that are listed are opened.
        if !self.raw_files().iter().any(|run| run.name == name) {
            return Ok(None);
        }
        read_part(&*self.storage, &self.folder.join(name), from, n_bytes)
    }
}
