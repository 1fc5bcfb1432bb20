//! `handlers`.

use serde_json::json;

use crate::api::{Forgotten, HandlerView, RunChanged};
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
            let handlers: Vec<HandlerView> = match Server::reach(config).await? {
                Reached::Server(server) => server.get("handlers", &[]).await?,
                Reached::Nobody => store::open(config).await?.handlers(),
            };
            output.list(&handlers, HANDLERS, "no handler is configured")
        }
        Handlers::Try(options) => trial::run(options, config, output).await,
        Handlers::Pause { name } => change(name, "pause", config, output).await,
        Handlers::Resume { name } => change(name, "resume", config, output).await,
        Handlers::Forget { name } => {
            match Server::reach(config).await? {
                Reached::Server(server) => {
                    let path = format!("handlers/{name}/forget");
                    let Forgotten { .. } = server.post(&path, &json!({})).await?;
                }
                Reached::Nobody => store::open(config).await?.forget(&name).await?,
            }
            crate::app::forgotten(config, &name);
            let answer = Forgotten { handler: name, forgotten: true };
            output.one(&answer, |answer| format!("forgot `{}`", answer.handler))
        }
    }
}

async fn change(
    name: HandlerName,
    what: &str,
    config: &Config,
    output: Output,
) -> Result<(), CliError> {
    let server = Server::require(config).await?;
    let changed: RunChanged = server.post(&format!("handlers/{name}/{what}"), &json!({})).await?;
    output.one(&changed, |changed| match (what, changed.changed) {
        ("pause", true) => format!("paused `{name}`: what comes in waits"),
        ("pause", false) => format!("`{name}` was paused already"),
        (_, true) => format!("resumed `{name}`"),
        (_, false) => format!("`{name}` was running already"),
    })
}
