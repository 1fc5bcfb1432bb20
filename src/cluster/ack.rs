//! When a gateway that shares a log answers 200.

use serde::{Deserialize, Serialize};

/// When an event counts as taken in, and its sender is told so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClusterAck {
    /// It is durable on this machine and in the shared log. While that cannot be reached, the first
    /// alone.
    Both,
    /// It is durable in the shared log. While that cannot be reached, nothing is taken in.
    Engine,
    /// It is durable on this machine.
    Local,
}

impl ClusterAck {
    /// As the configuration says it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Engine => "engine",
            Self::Local => "local",
        }
    }
}
