//! The command line as it came, with advice where a verb or a configuration is named as other programs have it.

use std::ffi::OsStr;
use std::path::Path;

use clap::Parser as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::args::Cli;
use super::other_verbs;

/// The command line; ends the process where it cannot be read, or only asks for help.
pub fn parse() -> Cli {
    Cli::try_parse().unwrap_or_else(|err| with_advice(err).exit())
}

/// Says how a configuration file is named, where one stands as an argument that is none, and which verb is meant.
fn with_advice(mut err: clap::Error) -> clap::Error {
    let place = match err.kind() {
        ErrorKind::UnknownArgument => ContextKind::InvalidArg,
        ErrorKind::InvalidSubcommand => ContextKind::InvalidSubcommand,
        _ => return err,
    };
    let Some(ContextValue::String(word)) = err.get(place) else { return err };
    let advice = if Path::new(word).extension() == Some(OsStr::new("toml")) {
        Some(format!("the configuration file is named by `--config {word}`"))
    } else if err.kind() == ErrorKind::InvalidSubcommand {
        other_verbs::advice(group(&err).as_deref(), word)
    } else {
        other_verbs::flag_advice(word)
    };
    if let Some(advice) = advice {
        // What is spelled alike would be told beside: `restore` for `retry`.
        err.remove(ContextKind::SuggestedSubcommand);
        err.remove(ContextKind::SuggestedArg);
        err.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![advice.into()]));
    }
    err
}

/// The verb whose own verb was wanted: its usage tells.
fn group(err: &clap::Error) -> Option<String> {
    let Some(ContextValue::StyledStr(usage)) = err.get(ContextKind::Usage) else { return None };
    let usage = usage.to_string();
    // `Usage: gatepost dead …`, by whatever name the program was called.
    let verb = usage.split_whitespace().nth(2)?;
    (!verb.starts_with(['[', '<'])).then(|| verb.to_owned())
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
        for (words, told) in [
            (&["retry"][..], "tip: `gatepost dead redrive` tries again what was given up"),
            (&["start"], "tip: `gatepost serve` runs the server"),
            (&["dead", "retry", "--all"], "tip: did you mean `gatepost dead redrive`?"),
            (&["serve", "--port=80"], "tip: where the server listens is `listen` in `[server]`"),
            (&["events", "list", "--failed"], "tip: `gatepost dead list` lists"),
            (&["status", "-w"], "tip: `gatepost top` watches"),
        ] {
            let all = std::iter::once("gatepost").chain(words.iter().copied());
            let err = with_advice(Cli::try_parse_from(all).unwrap_err()).to_string();
            assert!(err.contains(told) && !err.contains("similar"), "{err}");
        }
        let err = with_advice(Cli::try_parse_from(["gp-0.1", "dead", "retry"]).unwrap_err());
        assert!(err.to_string().contains("`gatepost dead redrive`?"), "{err}");
        let known = ["gatepost", "-c", "my.toml", "events", "list", "-n", "5"];
        assert_eq!(Cli::try_parse_from(known).unwrap().config, Path::new("my.toml"));
    }
}
