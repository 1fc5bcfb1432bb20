//! The configuration in force, and the machine it runs on.

use serde::Serialize;

use crate::clock::Timestamp;
use crate::event::EventId;

/// The configuration in force, and the machine it runs on.
#[derive(Clone, Debug, Serialize)]
pub struct Surroundings {
    pub config: String,
    pub read_at: Timestamp,
    /// Each key that it sets, with its value as TOML writes it; `(hidden)` where it is a secret.
    pub keys: Vec<(String, String)>,
    /// Where each of them is from.
    pub origins: Vec<KeyOrigin>,
    /// Where senders reach the public listener, as far as it is known here.
    pub address: String,
    /// By which address senders know this machine, without a `/` at its end; nothing = the owner has not said it.
    pub public_url: Option<String>,
    /// The free bytes of the queue's disk; nothing where they could not be found out.
    pub disk_free: Option<u64>,
    /// The most bytes of the queue.
    pub disk_max: u64,
    /// How long settled events are kept, in seconds.
    pub retention_seconds: u64,
    /// The file with the token.
    pub token: String,
}

/// Where a key's value is from.
#[derive(Clone, Debug, Serialize)]
pub struct KeyOrigin {
    pub key: String,
    /// The line of the file, counted from 1.
    pub line: usize,
    /// Where the secrets are that the value names: ``environment variable `X` ``.
    pub secrets: Vec<String>,
}

/// The configuration in force with what it leaves open.
#[derive(Clone, Debug, Serialize)]
pub struct ConfigView {
    #[serde(flatten)]
    pub around: Surroundings,
    /// Each key that the file leaves out and that has a default, with that.
    pub defaults: Vec<(String, String)>,
}

/// What a test came to.
#[derive(Clone, Debug, Serialize)]
pub struct TestView {
    /// The status that the public listener answered.
    pub status: u16,
    /// How long that took, in milliseconds.
    pub millis: u64,
    /// The event that it became.
    pub id: Option<EventId>,
}
