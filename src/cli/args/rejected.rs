//! The words of `rejected`.

use std::num::ParseIntError;
use std::str::FromStr;

use clap::{Args, Subcommand};

/// Verbs of `rejected`.
#[derive(Debug, Subcommand)]
pub enum Rejected {
    /// List rejected requests, newest first.
    List {
        /// At most this many.
        #[arg(long, short_alias = 'n', default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        /// Only those to this source.
        #[arg(long)]
        source: Option<String>,
    },
    /// Show one with its headers.
    Show {
        /// Its number; `last` is the newest.
        number: SaidRejected,
        /// Print the body, byte for byte, and nothing else.
        #[arg(long)]
        raw: bool,
    },
    /// Say why one failed, and which line of the configuration to change.
    Explain {
        /// Its number; `last` is the newest.
        number: SaidRejected,
    },
    /// Verify requests again as of the time they came, and store those that pass.
    Release(RejectedRelease),
}

/// Which rejected requests to release: all must be said.
#[derive(Debug, Args)]
#[command(group(
    clap::ArgGroup::new("which")
        .args(["number", "source", "reason", "all"])
        .required(true)
        .multiple(true)
))]
pub struct RejectedRelease {
    /// One by its number.
    #[arg(conflicts_with_all = ["source", "reason", "all", "limit", "dry_run"])]
    pub(in crate::cli) number: Option<u64>,
    /// Those to this source.
    #[arg(long)]
    pub(in crate::cli) source: Option<String>,
    /// Those that were rejected for this reason, word for word as `rejected list` has it.
    #[arg(long)]
    pub(in crate::cli) reason: Option<String>,
    /// All of them.
    #[arg(long, conflicts_with_all = ["source", "reason"])]
    pub(in crate::cli) all: bool,
    /// At most this many, oldest first.
    #[arg(long, short_alias = 'n', value_parser = clap::value_parser!(u32).range(1..))]
    pub(in crate::cli) limit: Option<u32>,
    /// Only say how many would pass.
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
}

/// A rejected request, as it is named on the command line.
#[derive(Clone, Copy, Debug)]
pub enum SaidRejected {
    /// By its number.
    Number(u64),
    /// The newest one.
    Last,
}

impl FromStr for SaidRejected {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "last" { Ok(Self::Last) } else { text.parse().map(Self::Number) }
    }
}
