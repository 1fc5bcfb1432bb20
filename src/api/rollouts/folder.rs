//! Where rollouts are kept: a file for each, replaced as a whole and synced, so that a power cut
//! leaves the newest state or the one before.

use std::io;
use std::path::{Path, PathBuf};

use tracing::warn;

use super::view::RolloutView;
use crate::files;

#[derive(Clone, Debug)]
pub(super) struct RolloutFolder(PathBuf);

impl RolloutFolder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// What is in it, by number. A file that cannot be read is told of and left alone.
    pub(super) fn read(&self) -> Vec<RolloutView> {
        let entries = match std::fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(err) => {
                warn!(error = %err, "Rollouts cannot be read");
                return Vec::new();
            }
        };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let paths = paths.filter(|path| path.extension().is_some_and(|end| end == "json"));
        let mut rollouts: Vec<RolloutView> = paths.filter_map(|path| read_one(&path)).collect();
        rollouts.sort_by_key(|rollout| rollout.number);
        rollouts
    }

    /// Keeps `rollout` as it is. `Ok` = it survives a power cut from here on.
    pub(super) fn write(&self, rollout: &RolloutView) -> io::Result<()> {
        std::fs::create_dir_all(&self.0)?;
        let text = serde_json::to_vec(rollout).map_err(io::Error::other)?;
        files::replace_durably(&self.path_of(rollout.number), text)
    }

    /// Removes one.
    pub(super) fn remove(&self, number: u64) -> io::Result<()> {
        files::remove(&self.path_of(number))
    }

    fn path_of(&self, number: u64) -> PathBuf {
        self.0.join(format!("{number}.json"))
    }
}

fn read_one(path: &Path) -> Option<RolloutView> {
    let read = std::fs::read(path)
        .and_then(|text| serde_json::from_slice(&text).map_err(io::Error::other));
    match read {
        Ok(rollout) => Some(rollout),
        Err(err) => {
            warn!(path = %path.display(), error = %err, "A rollout cannot be read");
            None
        }
    }
}
