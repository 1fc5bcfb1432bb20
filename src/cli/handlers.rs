//! `handlers`.

use std::path::Path;

use serde::Serialize;
use serde_json::json;

use crate::api::{Forgotten, HandlerView, PauseAsk, Retried, RunChanged};
use crate::event::HandlerName;
use crate::text::{counted, up_to};

use super::args::Handlers;
use super::output::Output;
use super::status::HANDLERS;
use super::store::{self, Reached, Server};
use super::{CliError, known, load_or_reach, trial};

pub(super) async fn run(verb: Handlers, path: &Path, output: Output) -> Result<(), CliError> {
    match verb {
        Handlers::Try(options) => trial::run(options, path, output).await,
        Handlers::List => {
            let config = &load_or_reach(path).await?;
            let handlers: Vec<HandlerView> = match Server::reach(config).await? {
                Reached::Server(server) => server.get("handlers", &[]).await?,
                Reached::Nobody => known::with_kinds(store::open(config).await?.handlers(), config),
            };
            output.list(&handlers, HANDLERS, "no handler is configured")
        }
        Handlers::Pause { name, length, until, reason } => {
            let until = until.map(|moment| moment.0);
            let end = match (&length, until) {
                (Some(length), _) => format!(" for {length}"),
                (None, Some(until)) => format!(" until {until}"),
                (None, None) => String::new(),
            };
            let ask = PauseAsk { r#for: length, until, reason };
            change(name, "pause", (&ask, &end), path, output).await
        }
        Handlers::Resume { name } => change(name, "resume", (&json!({}), ""), path, output).await,
        Handlers::Retry { name } => {
            let config = &load_or_reach(path).await?;
            let server = Server::require(config).await?;
            let path = format!("handlers/{name}/retry");
            let retried = server.post(&path, &json!({})).await;
            let retried: Retried = known::or_handler(retried, &name, config)?;
            output.one(&retried, |one| match one.waiting {
                0 => format!("nothing waits for `{name}`"),
                waiting => format!(
                    "`{name}` is tried with one of {}: see `gatepost handlers list`",
                    up_to(
                        one.is_bound,
                        counted(waiting, "delivery that waits", "deliveries that wait")
                    )
                ),
            })
        }
        Handlers::Forget { name } => {
            let config = &load_or_reach(path).await?;
            match Server::reach(config).await? {
                Reached::Server(server) => {
                    let path = format!("handlers/{name}/forget");
                    let forgotten = server.post(&path, &json!({})).await;
                    let Forgotten { .. } = known::or_handler(forgotten, &name, config)?;
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
    (ask, end): (&(impl Serialize + Sync), &str),
    path: &Path,
    output: Output,
) -> Result<(), CliError> {
    let config = &load_or_reach(path).await?;
    let server = Server::require(config).await?;
    let changed = server.post(&format!("handlers/{name}/{what}"), ask).await;
    let changed: RunChanged = known::or_handler(changed, &name, config)?;
    output.one(&changed, |changed| match (what, changed.changed) {
        ("pause", true) => format!("paused `{name}`{end}: what comes in waits"),
        ("pause", false) => format!("`{name}` was paused already"),
        (_, true) => format!("resumed `{name}`"),
        (_, false) => format!("`{name}` was running already"),
    })
}
