//! The words of `handlers` and `top`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::SaidEvent;
use crate::cli::when::Moment;
use crate::event::HandlerName;
use crate::settings::parse_duration;

/// Options of `top`.
#[derive(Debug, Args)]
pub struct Top {
    /// Print it once as text, as it is done anyway where there is no terminal.
    #[arg(long)]
    pub(in crate::cli) once: bool,
    /// Look so often, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 2,
        value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub(in crate::cli) every: u32,
}

/// Verbs of `handlers`.
#[derive(Debug, Subcommand)]
pub enum Handlers {
    /// List the handlers.
    List,
    /// Show what a handler would do with an event; nothing is changed or sent.
    Try(HandlersTry),
    /// Stop giving deliveries to a handler; what comes in waits.
    Pause {
        /// The handler.
        name: HandlerName,
        /// Resume it by itself after so long: `30m`, `2h`. Left out: when the owner does.
        #[arg(long = "for", value_name = "TIME", conflicts_with = "until", value_parser = length)]
        length: Option<String>,
        /// Resume it by itself then: `2026-11-22T10:00:00Z`.
        #[arg(long, value_name = "TIME")]
        until: Option<Moment>,
        /// Why, for others who look.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Give deliveries to a paused handler again.
    Resume {
        /// The handler.
        name: HandlerName,
    },
    /// Try a failing handler at once: one delivery, whatever its breaker says and whenever it is due.
    Retry {
        /// The handler.
        name: HandlerName,
    },
    /// Remove the place of a handler that is no longer configured, and its dead letters.
    Forget {
        /// The handler.
        name: HandlerName,
    },
}

/// Options of `handlers try`.
#[derive(Debug, Args)]
pub struct HandlersTry {
    /// The handler.
    pub(in crate::cli) name: HandlerName,
    /// With this retained event (its id, or the beginning of that), or the newest one (`last`). Without
    /// one of these, with a sample that the handler wants and that has the fields of its templates.
    #[arg(long, value_name = "ID", conflicts_with_all = ["sample", "body"])]
    pub(in crate::cli) event: Option<SaidEvent>,
    /// With the provider's sample of a source and type, as in `hyvor comment.create`.
    #[arg(long, num_args = 2, value_names = ["SOURCE", "TYPE"], conflicts_with = "body")]
    pub(in crate::cli) sample: Option<Vec<String>>,
    /// With a body of your own, as if `--source` had sent it; `-` reads standard input.
    #[arg(long, value_name = "FILE", requires = "source")]
    pub(in crate::cli) body: Option<PathBuf>,
    /// The source that `--body` comes from.
    #[arg(long, requires = "body")]
    pub(in crate::cli) source: Option<String>,
    /// Really do it, once: `[try]` stands before what people read, and the attempt's number is 0.
    #[arg(long)]
    pub(in crate::cli) send: bool,
}

/// As it was written, where it is a time.
fn length(said: &str) -> Result<String, String> {
    parse_duration(said).map(|_| said.to_owned()).map_err(|err| err.to_string())
}
