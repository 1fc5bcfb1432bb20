//! `handlers`.

use serde_json::{Value, json};

use crate::config::Config;
use crate::event::HandlerName;

use super::args::Handlers;
use super::output::Output;
use super::status::HANDLERS;
use super::store::{self, Reached, Server};
use super::{CliError, trial};

/// Does what `verb` says.
pub(super) async fn run(verb: Handlers, config: &Config, output: Output) -> Result<(), CliError> {
    match verb {
        Handlers::List => {
            let handlers = match Server::reach(config).await? {
                Reached::Server(server) => server.get("handlers", &[]).await?,
                Reached::Nobody => store::value(&store::open(config).await?.handlers())?,
            };
            output.list(&handlers, HANDLERS, "no handler is configured")
        }
        Handlers::Try(options) => trial::run(options, config, output).await,
        Handlers::Pause { name } => change(&name, "pause", config, output).await,
        Handlers::Resume { name } => change(&name, "resume", config, output).await,
        Handlers::Forget { name } => {
            let name = parse(&name)?;
            match Server::reach(config).await? {
                Reached::Server(server) => {
                    server.post(&format!("handlers/{name}/forget"), &json!({})).await?;
                }
                Reached::Nobody => store::open(config).await?.forget(&name).await?,
            }
            crate::app::forgotten(config, &name);
            let answer = json!({ "handler": name, "forgotten": true });
            output.one(&answer, |_| format!("forgot `{name}`"))
        }
    }
}

async fn change(name: &str, what: &str, config: &Config, output: Output) -> Result<(), CliError> {
    let name = parse(name)?;
    let server = Server::require(config).await?;
    let answer = server.post(&format!("handlers/{name}/{what}"), &json!({})).await?;
    output.one(&answer, |answer| {
        let is_changed = answer.get("changed").and_then(Value::as_bool).unwrap_or(false);
        match (what, is_changed) {
            ("pause", true) => format!("paused `{name}`: what comes in waits"),
            ("pause", false) => format!("`{name}` was paused already"),
            (_, true) => format!("resumed `{name}`"),
            (_, false) => format!("`{name}` was running already"),
        }
    })
}

pub(super) fn parse(name: &str) -> Result<HandlerName, CliError> {
    HandlerName::parse(name).map_err(|err| CliError::Usage(err.to_string()))
}
