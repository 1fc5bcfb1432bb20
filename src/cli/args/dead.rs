//! The words of `dead` and `rollouts`.

use clap::{Args, Subcommand};

use crate::cli::when::SaidTime;
use crate::event::HandlerName;

use super::event::SaidEvent;

/// Verbs of `dead`.
#[derive(Debug, Subcommand)]
pub enum Dead {
    /// List dead letters, oldest first.
    List {
        #[command(flatten)]
        filter: DeadFilter,
        /// At most this many.
        #[arg(long, short_alias = 'n', default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Show the dead letters of one event.
    Show {
        /// The event's id, or its beginning; `last` is the newest that has one.
        id: SaidEvent,
    },
    /// Try dead letters again, all at once or by stages.
    Redrive(DeadRedrive),
    /// Give dead letters up for good.
    Drop(DeadDrop),
}

/// Which dead letters.
#[derive(Clone, Debug, Default, Args)]
pub struct DeadFilter {
    /// Only this handler's.
    #[arg(long)]
    pub handler: Option<HandlerName>,
    /// Only those whose reason contains this text.
    #[arg(long)]
    pub reason: Option<String>,
    /// Only those that died since then: `2h`, `7d`, `2026-11-22` (a day of UTC) or `2026-11-22T10:00:00Z`.
    #[arg(long, value_name = "TIME")]
    pub since: Option<SaidTime>,
    /// Only those that died before then.
    #[arg(long, value_name = "TIME")]
    pub until: Option<SaidTime>,
}

/// Which dead letters to change: all must be said.
#[derive(Debug, Args)]
#[command(group(
    clap::ArgGroup::new("which")
        .args(["id", "handler", "reason", "since", "until", "all"])
        .required(true)
        .multiple(true)
))]
pub(in crate::cli) struct DeadChange {
    /// Those of one event, by its id or the beginning of that.
    pub(in crate::cli) id: Option<SaidEvent>,
    #[command(flatten)]
    pub(in crate::cli) filter: DeadFilter,
    /// All of them.
    #[arg(long, conflicts_with_all = ["id", "handler", "reason", "since", "until"])]
    pub(in crate::cli) all: bool,
    /// At most this many, oldest first.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(in crate::cli) limit: Option<u32>,
    /// Only say how many there are.
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
}

/// Options of `dead drop`.
#[derive(Debug, Args)]
pub struct DeadDrop {
    #[command(flatten)]
    pub(in crate::cli) which: DeadChange,
    /// Do not ask first, on a terminal.
    #[arg(long, short)]
    pub(in crate::cli) yes: bool,
}

/// Options of `dead redrive`.
#[derive(Debug, Args)]
pub struct DeadRedrive {
    #[command(flatten)]
    pub(in crate::cli) which: DeadChange,
    /// By stages: 1, then 10, then 100, then the rest. Each begins once the one before is
    /// delivered; the first failure stops it. The server carries it on, also after a restart.
    #[arg(long)]
    pub(in crate::cli) rollout: bool,
    /// At most this many a second; 50 where nothing is said.
    #[arg(long, value_name = "PER_SECOND", requires = "rollout",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub(in crate::cli) rate: Option<u32>,
}

/// Verbs of `rollouts`.
#[derive(Debug, Subcommand)]
pub enum RolloutsVerb {
    /// List redrives by stages, newest first.
    List,
    /// Show one with its stages and what became of its dead letters.
    Show {
        /// Its number.
        number: u64,
    },
    /// Let nothing more go for now.
    Pause {
        /// Its number.
        number: u64,
    },
    /// Go on; after a failure it begins anew with one.
    Resume {
        /// Its number.
        number: u64,
    },
    /// End it. What was let go stays so; the rest stay dead letters.
    Cancel {
        /// Its number.
        number: u64,
    },
}
