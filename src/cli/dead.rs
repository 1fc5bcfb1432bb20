//! `dead`.

use serde_json::{Value, json};

use crate::api::DeadAsk;
use crate::config::Config;

use super::args::{Dead, DeadChange, DeadFilter};
use super::output::{Column, Output};
use super::store::{self, Reached, Server};
use super::{CliError, when};

const COLUMNS: &[Column] = &[
    ("EVENT", "id"),
    ("HANDLER", "handler"),
    ("SOURCE", "source"),
    ("TYPE", "type"),
    ("DIED AT", "died_at"),
    ("TRIES", "attempts"),
    ("REASON", "reason"),
];

/// Does what `verb` says.
pub(super) async fn run(verb: Dead, config: &Config, output: Output) -> Result<(), CliError> {
    match verb {
        Dead::List { filter, limit } => {
            let limit = usize::try_from(limit).ok();
            list(DeadAsk { limit, ..ask(&filter)? }, config, output).await
        }
        Dead::Show { id } => {
            list(DeadAsk { id: Some(id), ..DeadAsk::default() }, config, output).await
        }
        Dead::Redrive(which) => change(which, "redrive", config, output).await,
        Dead::Drop(which) => change(which, "drop", config, output).await,
    }
}

async fn list(ask: DeadAsk, config: &Config, output: Output) -> Result<(), CliError> {
    let letters = match Server::reach(config).await? {
        Reached::Server(server) => server.get("dead", &store::pairs(&ask)?).await?,
        Reached::Nobody => {
            let api = store::open(config).await?;
            store::value(&api.dead(ask.parse(&api).await?).await?)?
        }
    };
    output.list(&letters, COLUMNS, "no dead letters")
}

async fn change(
    which: DeadChange,
    what: &'static str,
    config: &Config,
    output: Output,
) -> Result<(), CliError> {
    let ask = DeadAsk { id: which.id, ..ask(&which.filter)? };
    let answer = match Server::reach(config).await? {
        Reached::Server(server) => {
            server.post(&format!("dead/{what}"), &store::value(&ask)?).await?
        }
        Reached::Nobody => {
            let api = store::open(config).await?;
            let filter = ask.parse(&api).await?;
            let count = match what {
                "redrive" => api.redrive(filter).await?,
                _ => api.drop_dead(filter).await?,
            };
            api.close().await?;
            json!({ "count": count })
        }
    };
    output.one(&answer, |answer| {
        let count = answer.get("count").and_then(Value::as_u64).unwrap_or(0);
        let letters = if count == 1 { "dead letter" } else { "dead letters" };
        match what {
            "redrive" => format!("{count} {letters} will be tried again"),
            _ => format!("dropped {count} {letters}"),
        }
    })
}

fn ask(filter: &DeadFilter) -> Result<DeadAsk, CliError> {
    Ok(DeadAsk {
        handler: filter.handler.clone(),
        reason: filter.reason.clone(),
        since: when::maybe(filter.since.as_deref())?,
        until: when::maybe(filter.until.as_deref())?,
        ..DeadAsk::default()
    })
}
