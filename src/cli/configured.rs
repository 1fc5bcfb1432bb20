//! The command line as it came, with advice where a configuration is named as verbs of other programs have it.

use std::ffi::OsStr;
use std::path::Path;

use clap::Parser as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::args::Cli;

/// The command line; ends the process where it cannot be read, or only asks for help.
pub fn parse() -> Cli {
    Cli::try_parse().unwrap_or_else(|err| with_advice(err).exit())
}

/// Says how a configuration file is named, where one stands as an argument that is none.
fn with_advice(mut err: clap::Error) -> clap::Error {
    let place = match err.kind() {
        ErrorKind::UnknownArgument => ContextKind::InvalidArg,
        ErrorKind::InvalidSubcommand => ContextKind::InvalidSubcommand,
        _ => return err,
    };
    let Some(ContextValue::String(word)) = err.get(place) else { return err };
    if Path::new(word).extension() == Some(OsStr::new("toml")) {
        let advice = format!("the configuration file is named by `--config {word}`");
        err.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![advice.into()]));
    }
    err
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_that_no_verb_takes_is_told_how_to_be_named() {
        for words in [&["reload", "my.toml"][..], &["events", "my.toml"], &["status", "my.toml"]] {
            let all = std::iter::once("gatepost").chain(words.iter().copied());
            let err = with_advice(Cli::try_parse_from(all).unwrap_err()).to_string();
            assert!(err.contains("named by `--config my.toml`"), "{err}");
        }
        let err = with_advice(Cli::try_parse_from(["gatepost", "reload", "x"]).unwrap_err());
        assert!(!err.to_string().contains("--config"), "{err}");
    }
}
