//! `schema`, `completions` and `man`: what is made for other programs, and needs no configuration.

use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::config;

use super::output::{bytes, line};
use super::{Cli, CliError};

/// Prints the configuration's JSON Schema, or the page of all its keys.
pub(super) fn run(markdown: bool) -> Result<(), CliError> {
    line(&if markdown { config::markdown() } else { config::schema() })
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
