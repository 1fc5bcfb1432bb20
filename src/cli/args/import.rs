//! The options of `import`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Verbs of `import`.
#[derive(Debug, Subcommand)]
pub enum Import {
    /// From `hooks.json` or `hooks.yaml` of webhook (github.com/adnanh/webhook).
    Webhook(ImportFile),
    /// From `qhook.yaml` of qhook (github.com/totte-dev/qhook).
    Qhook(ImportFile),
}

/// What is read.
#[derive(Debug, Args)]
pub struct ImportFile {
    /// The other program's configuration, as JSON or YAML; `-` reads standard input.
    pub(in crate::cli) file: PathBuf,
    /// Also write the secrets that stand in it into `data/secrets` beside `--config`, for their owner
    /// only, where they are not there yet.
    #[arg(long)]
    pub(in crate::cli) secrets: bool,
}
