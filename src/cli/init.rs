//! `init`, `schema`, `completions` and `man`: what needs no configuration.

use std::io::Write;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;
use serde_json::json;

use crate::config;

use super::output::{Output, bytes, line};
use super::{Cli, CliError};

/// Writes a configuration file, unless there is one.
pub(super) fn run(path: &Path, output: Output) -> Result<(), CliError> {
    let shown = path.display();
    let file = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = file.map_err(|err| {
        if err.kind() == std::io::ErrorKind::AlreadyExists {
            CliError::Failed(format!("`{shown}` is there already: it was left as it is"))
        } else {
            CliError::Failed(format!("`{shown}` cannot be written: {err}"))
        }
    })?;
    file.write_all(config::DEFAULT.as_bytes())?;
    file.sync_all()?;
    output.one(&json!({ "config": path }), |_| {
        format!("wrote `{shown}`\nnext: gatepost check, then gatepost serve")
    })
}

/// Prints the configuration's JSON Schema.
pub(super) fn schema() -> Result<(), CliError> {
    line(&format!("{:#}", config::schema()))
}

/// Writes the manual pages, one for each verb.
pub(super) fn man(folder: &Path) -> Result<(), CliError> {
    Ok(clap_mangen::generate_to(Cli::command(), folder)?)
}

/// Prints a completion script.
pub(super) fn completions(shell: Shell) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "gatepost", &mut script);
    bytes(&script)
}
