//! Options of `standby` and `restore`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use reqwest::Url;

use crate::standby::BucketAccess;

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
    #[arg(long, value_name = "FOLDER", default_value = "data", conflicts_with = "to")]
    pub(crate) data: PathBuf,
    /// Hold the copy in S3-compatible storage, and not in a folder: `s3://BUCKET/PREFIX`.
    #[arg(long, value_name = "S3-URL")]
    pub(crate) to: Option<String>,
    #[command(flatten)]
    pub(crate) bucket: BucketOptions,
}

/// How S3-compatible storage is reached.
#[derive(Debug, Args)]
pub(crate) struct BucketOptions {
    /// The storage's address, where it is not AWS's own.
    #[arg(long, value_name = "URL", env = "AWS_ENDPOINT_URL", hide_env_values = true)]
    endpoint: Option<String>,
    /// The storage's region; `us-east-1` where nothing is said.
    #[arg(long, value_name = "NAME", env = "AWS_REGION", hide_env_values = true)]
    region: Option<String>,
    /// A file of AWS's form with the keys, where they are not in `AWS_ACCESS_KEY_ID` and
    /// `AWS_SECRET_ACCESS_KEY`.
    #[arg(long, value_name = "FILE")]
    credentials_file: Option<PathBuf>,
}

impl BucketOptions {
    pub(crate) fn access(self) -> BucketAccess {
        let Self { endpoint, region, credentials_file } = self;
        // A variable that is set to nothing says nothing.
        let said = |text: Option<String>| text.filter(|text| !text.is_empty());
        BucketAccess { endpoint: said(endpoint), region: said(region), credentials_file }
    }
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
    /// Where the copy is: a standby's `--data`, or its `--to` (`s3://BUCKET/PREFIX`).
    #[arg(long, value_name = "FOLDER|S3-URL")]
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
    #[command(flatten)]
    pub(crate) bucket: BucketOptions,
}
