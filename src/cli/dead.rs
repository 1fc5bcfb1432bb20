//! `dead`.

use crate::api::{Changed, DeadAsk, DeadEntry, DeadView};
use crate::config::Config;
use crate::text::counted;

use super::args::{Dead, DeadChange, DeadFilter, DeadRedrive};
use super::human::ago;
use super::output::{Column, Output, plain};
use super::store::{self, Reached, Server};
use super::{CliError, rollouts};

const COLUMNS: &[Column<DeadEntry>] = &[
    ("EVENT", |one| match one {
        DeadEntry::Letter(letter) => letter.id.to_string(),
        DeadEntry::Lost(lost) => format!("position {}", lost.position.0),
    }),
    ("HANDLER", |one| match one {
        DeadEntry::Letter(letter) => letter.handler.to_string(),
        DeadEntry::Lost(lost) => lost.handler.to_string(),
    }),
    ("SOURCE", |one| of_letter(one, |letter| letter.source.to_string())),
    ("TYPE", |one| of_letter(one, |letter| plain(letter.event_type.as_str()))),
    ("DIED", |one| of_letter(one, |letter| ago(letter.died_at))),
    ("TRIES", |one| of_letter(one, |letter| letter.attempts.to_string())),
    ("REASON", |one| match one {
        DeadEntry::Letter(letter) => plain(letter.reason.as_str()),
        DeadEntry::Lost(lost) => plain(&lost.reason),
    }),
];

/// Of what cannot be read nothing more is known.
fn of_letter(entry: &DeadEntry, text: fn(&DeadView) -> String) -> String {
    match entry {
        DeadEntry::Letter(letter) => text(letter),
        DeadEntry::Lost(_) => "-".to_owned(),
    }
}

/// Does what `verb` says.
pub(super) async fn run(verb: Dead, config: &Config, output: Output) -> Result<(), CliError> {
    match verb {
        Dead::List { filter, limit } => {
            let limit = usize::try_from(limit).ok();
            list(DeadAsk { limit, ..ask(&filter) }, config, output).await
        }
        Dead::Show { id } => {
            list(DeadAsk { id: Some(id.to_string()), ..DeadAsk::default() }, config, output).await
        }
        Dead::Redrive(DeadRedrive { which, rollout: true, rate }) if !which.dry_run => {
            rollouts::begin(ask_for(which).into_rollout(rate), config, output).await
        }
        Dead::Redrive(DeadRedrive { which, rollout, .. }) => {
            let how = if rollout { How::ByStages } else { How::Redrive };
            change(which, how, config, output).await
        }
        Dead::Drop(which) => change(which, How::Drop, config, output).await,
    }
}

async fn list(ask: DeadAsk, config: &Config, output: Output) -> Result<(), CliError> {
    let letters: Vec<DeadEntry> = match Server::reach(config).await? {
        Reached::Server(server) => server.get("dead", &store::pairs(&ask)?).await?,
        Reached::Nobody => {
            let api = store::open_indexed(config).await?;
            api.dead(ask.parse(&api).await?).await?
        }
    };
    output.list(&letters, COLUMNS, "no dead letters")
}

/// What is done to dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Redrive,
    /// Counted only: the server does it.
    ByStages,
    Drop,
}

async fn change(
    which: DeadChange,
    how: How,
    config: &Config,
    output: Output,
) -> Result<(), CliError> {
    let ask = ask_for(which);
    let is_dry = ask.dry_run;
    let changed: Changed = match Server::reach(config).await? {
        Reached::Server(server) => {
            let what = if how == How::Drop { "drop" } else { "redrive" };
            server.post(&format!("dead/{what}"), &ask).await?
        }
        Reached::Nobody => {
            let api = store::open_indexed(config).await?;
            let selection = ask.parse(&api).await?;
            let changed = match how {
                How::Redrive | How::ByStages => api.redrive(selection).await?,
                How::Drop => api.drop_dead(selection).await?,
            };
            api.close().await?;
            changed
        }
    };
    output.one(&changed, |changed| {
        let letters = counted(changed.done, "dead letter", "dead letters");
        match (how, is_dry) {
            (How::Redrive, true) => format!("{letters} would be tried again"),
            (How::Redrive, false) => format!("{letters} will be tried again"),
            (How::ByStages, _) => {
                format!("{letters} would be tried again: {}", rollouts::stages(changed.done))
            }
            (How::Drop, true) => format!("{letters} would be dropped"),
            (How::Drop, false) => format!("dropped {letters}"),
        }
    })
}

fn ask_for(which: DeadChange) -> DeadAsk {
    let DeadChange { id, filter, all: _, limit, dry_run } = which;
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    let id = id.map(|id| id.to_string());
    DeadAsk { id, limit, dry_run, ..ask(&filter) }
}

fn ask(filter: &DeadFilter) -> DeadAsk {
    DeadAsk {
        handler: filter.handler.as_ref().map(ToString::to_string),
        reason: filter.reason.clone(),
        since: filter.since.as_ref().map(|said| said.at),
        until: filter.until.as_ref().map(|said| said.at),
        ..DeadAsk::default()
    }
}
