//! The `gatepost` program: arguments in, exit code out.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use gatepost::cli::{self, CliError};
use gatepost::settings::ReportStyle;

fn main() -> ExitCode {
    let cli = cli::parse();
    // Fails only where a provider is installed already, and then that one serves as well.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    match cli::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            tell(&err);
            ExitCode::from(code(&err))
        }
    }
}

/// 1 failed, 2 usage (as clap), 3 configuration, 4 not reachable.
fn code(err: &CliError) -> u8 {
    match err {
        CliError::Usage(_) => 2,
        CliError::Configuration(_)
        | CliError::ConfigurationShown
        | CliError::ConfigurationRefused(_) => 3,
        CliError::Unreachable(_) => 4,
        CliError::OutputClosed => 0,
        // `Failed`, and what a later version may add.
        _ => 1,
    }
}

fn tell(err: &CliError) {
    let text = match err {
        CliError::Configuration(report) => {
            let is_terminal = std::io::stderr().is_terminal();
            report.render(if is_terminal { ReportStyle::Coloured } else { ReportStyle::Plain })
        }
        CliError::ConfigurationShown | CliError::OutputClosed => return,
        other => format!("gatepost: {other}"),
    };
    // Where standard error is closed the error cannot be shown.
    drop(writeln!(std::io::stderr(), "{text}"));
}
