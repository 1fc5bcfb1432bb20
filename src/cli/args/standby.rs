//! Options of `standby` and `restore`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use reqwest::Url;

/// Options of `standby`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Standby {
    #[command(subcommand)]
    pub(crate) verb: Option<StandbyVerb>,
    /// The gateway's admin listener, such as `http://127.0.0.1:8081` by a tunnel.
    #[arg(long, value_name = "URL", required = true)]
    pub(crate) from: Option<Url>,
    /// The file with the token: a copy of the one that `standby.token` names at the gateway.
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) token_file: Option<PathBuf>,
    /// The folder that holds the copy; it will be the promoted gateway's data folder.
    #[arg(long, value_name = "FOLDER", default_value = "data")]
    pub(crate) data: PathBuf,
}

/// Verbs of `standby`.
#[derive(Debug, Subcommand)]
pub(crate) enum StandbyVerb {
    /// Make a queue of the copy, so that `gatepost serve` takes it: once the old gateway is stopped for
    /// good.
    Promote(Promote),
}

/// Options of `standby promote`.
#[derive(Debug, Args)]
pub(crate) struct Promote {
    /// The folder that holds the copy.
    #[arg(long, value_name = "FOLDER", default_value = "data")]
    pub(crate) data: PathBuf,
    /// Also make one of a copy that is not complete, or damaged.
    #[arg(long)]
    pub(crate) force: bool,
}

/// Options of `restore`.
#[derive(Debug, Args)]
pub struct Restore {
    /// The folder that holds the copy: a standby's `--data`.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) from: String,
    /// The data folder that the queue is made in.
    #[arg(long, value_name = "FOLDER", default_value = "data")]
    pub(crate) data: PathBuf,
    /// Read every record of what was made, and say what is in it.
    #[arg(long)]
    pub(crate) verify: bool,
    /// Also restore a copy that is not complete, or damaged.
    #[arg(long)]
    pub(crate) force: bool,
}
