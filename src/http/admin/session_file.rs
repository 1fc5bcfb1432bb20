//! The file that sessions are kept in over a restart: nothing in it opens anything, since it has the hashes
//! of their ids only, and it counts for the tokens that they were begun with.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::clock::Timestamp;
use crate::files;

/// A file of the most sessions has a tenth of it.
const BYTES_MAX: u64 = 256 << 10;

/// How long a session lasts that is not used.
const IDLE: Duration = Duration::from_hours(12);
/// How long one lasts at all.
pub(super) const LONGEST: Duration = Duration::from_hours(7 * 24);

/// What a session may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Role {
    /// Everything.
    Owner,
    /// Look.
    Reader,
}

/// By the hash of the id, so that a lookup takes the same time for each wrong one.
pub(super) type SessionMap = HashMap<[u8; 32], Session>;

/// Times are by the steady clock, which goes on from the wall clock at each start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) role: Role,
    pub(super) began_at: Timestamp,
    pub(super) used_at: Timestamp,
}

impl Session {
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        now.since(self.used_at) > IDLE || now.since(self.began_at) > LONGEST
    }
}

#[derive(Debug)]
pub(super) struct SessionFile {
    path: PathBuf,
    /// The fingerprint of the tokens that its sessions were begun with.
    tokens: [u8; 32],
}

#[derive(Debug, Serialize, Deserialize)]
struct WrittenSessions {
    tokens: String,
    /// By the hash of the id, in hexadecimal digits.
    sessions: HashMap<String, Session>,
}

impl SessionFile {
    pub(super) const fn new(path: PathBuf, tokens: [u8; 32]) -> Self {
        Self { path, tokens }
    }

    pub(super) const fn set_tokens(&mut self, tokens: [u8; 32]) {
        self.tokens = tokens;
    }

    /// The sessions in it; none where it is missing, of other tokens or damaged: people sign in again.
    pub(super) fn read(&self) -> SessionMap {
        let is_short = std::fs::metadata(&self.path).is_ok_and(|file| file.len() <= BYTES_MAX);
        let text = if is_short { std::fs::read(&self.path) } else { Ok(Vec::new()) };
        let written = serde_json::from_slice::<WrittenSessions>(&text.unwrap_or_default());
        let written = written.ok().filter(|written| written.tokens == hex::encode(self.tokens));
        let sessions = written.map(|written| written.sessions).unwrap_or_default().into_iter();
        let key = |id: String| <[u8; 32]>::try_from(hex::decode(id).ok()?).ok();
        sessions.filter_map(|(id, session)| Some((key(id)?, session))).collect()
    }

    /// Writes them down for the next start.
    pub(super) fn write(&self, sessions: &SessionMap) {
        let sessions = sessions.iter().map(|(key, session)| (hex::encode(key), *session)).collect();
        let written = WrittenSessions { tokens: hex::encode(self.tokens), sessions };
        let text = serde_json::to_vec(&written).unwrap_or_default();
        if let Err(err) = files::replace_privately(&self.path, text) {
            let path = self.path.display();
            warn!(error = %err, "Sessions end with this process: `{path}` cannot be written");
        }
    }
}
