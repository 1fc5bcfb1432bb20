//! What the files must say beside the queue.

use std::path::PathBuf;

use gatepost_sim::queue::Queue;
use gatepost_sim::queue::embedded::testing::MemoryStorage;
use gatepost_sim::queue::storage::Storage;

use super::Embedded;

impl Embedded {
    /// Whether the queue counts what is in `aside/`, but for the few torn writes.
    pub(super) fn is_aside_counted(&self) -> Result<(), String> {
        let Some(open) = &self.open else { return Ok(()) };
        let mut aside = self.storage.paths();
        aside.retain(|path| path.parent().is_some_and(|folder| folder.ends_with("aside")));
        aside.retain(|path| !path.to_string_lossy().contains("/torn-"));
        let bytes = |path: &PathBuf| self.storage.bytes(path).map_or(0, |bytes| bytes.len() as u64);
        let (there, told) =
            (aside.iter().map(bytes).sum::<u64>(), open.queue.queue.stats().aside_bytes);
        if there == told {
            return Ok(());
        }
        Err(format!("{told} bytes are said to be put aside, there are {there}: {aside:?}"))
    }

    /// The files, without the snapshots where `is_rebuilt`.
    pub(super) fn copy(&self, is_rebuilt: bool) -> MemoryStorage {
        let copy = MemoryStorage::new();
        for path in self.storage.paths() {
            let Some(folder) = path.parent() else { continue };
            copy.create_folder(folder).expect("nothing fails");
            let is_snapshot = folder.ends_with("state");
            if !(is_rebuilt && is_snapshot) {
                copy.put_now(&path, self.storage.bytes(&path).unwrap_or_default());
            }
        }
        copy
    }
}
