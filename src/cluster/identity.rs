//! What a node keeps about itself beside its queues: `node.json` in the queue's folder.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::node::NodeName;
use crate::clock::Timestamp;
use crate::files;

/// Who this node is, from one start to the next.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct NodeIdentity {
    pub(super) name: NodeName,
    /// Of this run; later than any before.
    pub(super) session: u64,
    /// Drawn with the spool's folder.
    pub(super) spool: u64,
}

impl NodeIdentity {
    /// Begins a new session, durably. A spool that was made anew gets another number, and so does one
    /// that a node of another name made: a copy of its folder.
    pub(super) fn begin(
        folder: &Path,
        name: &NodeName,
        (now, random, is_spool_new): (Timestamp, u64, bool),
    ) -> io::Result<Self> {
        let path = path_in(folder);
        let before = match std::fs::read(&path) {
            Ok(bytes) => Some(serde_json::from_slice::<Self>(&bytes)?),
            Err(err) if err.kind() == io::ErrorKind::NotFound => None,
            Err(err) => return Err(err),
        };
        let before = before.filter(|before| before.name == *name);
        let least = before.as_ref().map_or(1, |before| before.session + 1);
        let spool = before.filter(|_| !is_spool_new).map_or(random, |before| before.spool);
        // 0 stands for none.
        let spool = spool.max(1);
        let session = now.millis_since_epoch().max(least);
        let identity = Self { name: name.clone(), session, spool };
        files::replace_durably(&path, serde_json::to_vec(&identity)?)?;
        Ok(identity)
    }

    /// Gives the spool another number, durably.
    pub(super) fn renumber_spool(folder: &Path, spool: u64) -> io::Result<()> {
        let path = path_in(folder);
        let before: Self = serde_json::from_slice(&std::fs::read(&path)?)?;
        let identity = Self { spool: spool.max(1), ..before };
        files::replace_durably(&path, serde_json::to_vec(&identity)?)
    }
}

fn path_in(folder: &Path) -> PathBuf {
    folder.join("node.json")
}
