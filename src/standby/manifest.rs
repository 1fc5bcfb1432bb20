//! What is known of a copy beside its bytes: a small file that is replaced as a whole.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::wire::Seal;
use crate::clock::Timestamp;
use crate::files;
use crate::queue::embedded::LogPlace;

/// Its name in the queue's folder.
pub(super) const MANIFEST: &str = "standby.json";

/// What is known of a copy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// Whose copy it is; `None` = it has not begun.
    pub(super) gateway: Option<String>,
    /// It has had all that the gateway had, once, and nothing is missing in it since.
    pub(super) is_complete: bool,
    /// The segments that are complete.
    pub(super) sealed: Vec<Seal>,
    /// How far the gateway's log went when it answered last.
    pub(super) head: LogPlace,
    /// The position that its next event got then.
    pub(super) next_position: u64,
    /// When that was, by the standby's clock.
    pub(super) heard_at: Option<Timestamp>,
}

impl Manifest {
    /// That of the copy in `folder`; an empty one where there is none.
    pub(super) fn read(folder: &Path) -> io::Result<Self> {
        match std::fs::read(folder.join(MANIFEST)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|err| {
                io::Error::new(io::ErrorKind::InvalidData, format!("`{MANIFEST}`: {err}"))
            }),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(err) => Err(err),
        }
    }

    /// Puts it in place of the one in `folder`, durably.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        let json = serde_json::to_vec_pretty(self)?;
        files::replace_durably(&folder.join(MANIFEST), json)
    }
}
