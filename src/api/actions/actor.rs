//! On whose behalf something is changed.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// The command line, by the admin socket or without a server.
    CommandLine,
    /// A program with the token.
    Token,
    /// A signed-in user of the dashboard.
    Dashboard,
    /// A signal to the process: `systemctl reload`, `kill -HUP`.
    Signal,
    /// `dead_retention`.
    Retention,
}

impl Actor {
    pub const ALL: [Self; 5] =
        [Self::CommandLine, Self::Token, Self::Dashboard, Self::Signal, Self::Retention];

    /// As JSON and addresses have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CommandLine => "command_line",
            Self::Token => "token",
            Self::Dashboard => "dashboard",
            Self::Signal => "signal",
            Self::Retention => "retention",
        }
    }

    /// As people read it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CommandLine => "command line",
            Self::Token => "API",
            Self::Dashboard => "dashboard",
            Self::Signal => "signal",
            Self::Retention => "retention",
        }
    }
}
