//! What a node keeps about itself beside its queues: `node.json` in the queue's folder.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::left_out::LeftOut;
use super::node::NodeName;
use crate::clock::Timestamp;
use crate::event::Position;
use crate::files;

/// Who this node is, from one start to the next.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct NodeIdentity {
    pub(super) name: NodeName,
    /// Of this run; later than any before.
    pub(super) session: u64,
    /// Drawn with the spool's folder.
    pub(super) spool: u64,
    /// Of the spool under that number.
    #[serde(default, skip_serializing_if = "LeftOut::is_empty")]
    pub(super) left_out: LeftOut,
    /// The spool's newest event at the first start whose spool was not compared with the log yet: what came later
    /// says nothing of how old a copy it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) unproven: Option<Position>,
}

impl NodeIdentity {
    /// Begins a new session, durably, later than `applied`, which the log has of this name: units of an earlier one
    /// would be void. A spool that was made anew gets another number, and so does one
    /// that a node of another name made: a copy of its folder.
    pub(super) fn begin(
        folder: &Path,
        name: &NodeName,
        applied: u64,
        (now, random, is_spool_new): (Timestamp, u64, bool),
    ) -> io::Result<Self> {
        let before = match read(folder) {
            Ok(before) => Some(before),
            Err(err) if err.kind() == io::ErrorKind::NotFound => None,
            Err(err) => return Err(err),
        };
        let before = before.filter(|before| before.name == *name);
        let least = before.as_ref().map_or(1, |before| before.session + 1);
        let before = before.filter(|_| !is_spool_new);
        let session = now.millis_since_epoch().max(least).max(applied + 1);
        let identity = match before {
            Some(before) => Self { session, ..before },
            None => Self {
                name: name.clone(),
                session,
                // 0 stands for none.
                spool: random.max(1),
                left_out: LeftOut::default(),
                unproven: None,
            },
        };
        replace(folder, &identity)?;
        Ok(identity)
    }

    /// Whether a node of another name was here before.
    pub(super) fn is_of_another(folder: &Path, name: &NodeName) -> io::Result<bool> {
        match read(folder) {
            Ok(before) => Ok(before.name != *name),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(err) => Err(err),
        }
    }

    /// Gives the spool another number, durably, under which nothing was left out yet.
    pub(super) fn renumber_spool(folder: &Path, spool: u64) -> io::Result<()> {
        let before = read(folder)?;
        replace(folder, &Self { spool, left_out: LeftOut::default(), unproven: None, ..before })
    }

    /// Notes up to where the spool is compared with the log once that is read, durably; `None` = it was.
    pub(super) fn note_unproven(folder: &Path, unproven: Option<Position>) -> io::Result<()> {
        let before = read(folder)?;
        if before.unproven == unproven {
            return Ok(());
        }
        replace(folder, &Self { unproven, ..before })
    }

    /// Notes what was left out of the spool, durably.
    pub(super) fn note_left_out(folder: &Path, left_out: &LeftOut) -> io::Result<()> {
        let before = read(folder)?;
        replace(folder, &Self { left_out: left_out.clone(), ..before })
    }
}

fn read(folder: &Path) -> io::Result<NodeIdentity> {
    Ok(serde_json::from_slice(&std::fs::read(path_in(folder))?)?)
}

fn replace(folder: &Path, identity: &NodeIdentity) -> io::Result<()> {
    files::replace_durably(&path_in(folder), serde_json::to_vec(identity)?)
}

fn path_in(folder: &Path) -> PathBuf {
    folder.join("node.json")
}
