//! `schema`, `completions` and `man`: what is made for other programs, and needs no configuration.

use std::io::Write;
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

/// What `main` ends with, for the page of the program.
const EXIT_STATUS: [(u8, &str); 5] = [
    (0, "Done."),
    (
        1,
        "It was tried and did not work, or there is no such source, handler, event or dead letter.",
    ),
    (2, "It cannot be meant like that: an option is missing, or has no such value."),
    (3, "The configuration has mistakes."),
    (4, "The server, or what was asked for behind it, does not answer; or there is no store yet."),
];

/// Writes the manual pages, one for each verb.
pub(super) fn man(folder: &Path) -> Result<(), CliError> {
    clap_mangen::generate_to(Cli::command(), folder).map_err(|err| {
        CliError::Failed(format!("no pages can be written into `{}`: {err}", folder.display()))
    })?;
    let mut page = std::fs::OpenOptions::new().append(true).open(folder.join("gatepost.1"))?;
    page.write_all(b".SH EXIT STATUS\n")?;
    for (code, meaning) in EXIT_STATUS {
        writeln!(page, ".TP\n\\fB{code}\\fR\n{meaning}")?;
    }
    Ok(())
}

/// Prints a completion script.
pub(super) fn completions(shell: Shell) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "gatepost", &mut script);
    bytes(&script)
}

#[cfg(test)]
mod tests {
    use super::EXIT_STATUS;

    #[test]
    fn the_handbook_names_every_exit_code() {
        let page = include_str!("../../docs/operations.md");
        for (code, meaning) in EXIT_STATUS {
            assert!(page.contains(&format!("| {code} | {meaning} |")), "{code}");
        }
    }
}
