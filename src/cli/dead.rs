//! `dead`.

use std::collections::BTreeSet;
use std::io::{IsTerminal, stderr, stdin};

use crate::api::{Changed, DeadAsk, DeadEntry, LostView};
use crate::config::Config;
use crate::event::{EventId, HandlerName};
use crate::queue::DeadLetter;
use crate::text::{count, counted};

use super::args::{Dead, DeadChange, DeadDrop, DeadFilter, DeadRedrive, SaidEvent};
use super::human::{ago, ago_and_exact};
use super::init::questions::Questions;
use super::named_event::id_of;
use super::output::{Column, Output, Page, line, note, note_limit, plain};
use super::store::{self, Reached, Server, Via};
use super::{CliError, known, rollouts};

const COLUMNS: &[Column<DeadEntry>] = &[
    ("EVENT", |one| match one {
        DeadEntry::Letter(letter) => letter.id.to_string(),
        DeadEntry::Lost(lost) => places(lost),
    }),
    ("HANDLER", |one| one.handler().to_string()),
    ("SOURCE", |one| of_letter(one, |letter| letter.source.to_string())),
    ("TYPE", |one| of_letter(one, |letter| plain(letter.event_type.as_str()))),
    ("DIED", |one| of_letter(one, |letter| ago(letter.died_at))),
    ("TRIES", |one| of_letter(one, |letter| letter.attempts.to_string())),
    ("REASON", |one| match one {
        DeadEntry::Letter(letter) => plain(letter.reason.as_str()),
        DeadEntry::Lost(lost) => plain(&lost.reason),
    }),
];

/// Where the events stand that cannot be read.
fn places(lost: &LostView) -> String {
    let first = lost.position.0;
    match lost.events {
        0 | 1 => format!("position {first}"),
        n => format!("positions {first} to {}", first.saturating_add(n - 1)),
    }
}

/// Of what cannot be read nothing more is known.
fn of_letter(entry: &DeadEntry, text: fn(&DeadLetter) -> String) -> String {
    match entry {
        DeadEntry::Letter(letter) => text(letter),
        DeadEntry::Lost(_) => "-".to_owned(),
    }
}

pub(super) async fn run(verb: Dead, config: &Config, output: Output) -> Result<(), CliError> {
    match verb {
        Dead::List { filter, limit } => {
            let limit = usize::try_from(limit).ok();
            list(DeadAsk { limit, ..ask(&filter) }, config, output).await
        }
        Dead::Show { id } => {
            let id = Some(dead_id(id, config).await?.to_string());
            let ask = DeadAsk { id, ..DeadAsk::default() };
            let letters = found(ask, config).await?;
            if output.is_json() || letters.is_empty() {
                return output.list(&letters, COLUMNS, "this event has no dead letters");
            }
            letters.iter().try_for_each(|letter| line(&shown(letter)))
        }
        Dead::Redrive(DeadRedrive { which, rollout: true, rate }) if !which.dry_run => {
            rollouts::begin(ask_for(which, config).await?.into_rollout(rate)?, config, output).await
        }
        Dead::Redrive(DeadRedrive { which, rollout, .. }) => {
            let how = if rollout { How::ByStages } else { How::Redrive };
            change(ask_for(which, config).await?, how, config, output).await
        }
        Dead::Drop(DeadDrop { which, yes }) => {
            let ask = ask_for(which, config).await?;
            if !yes && !ask.dry_run && !is_confirmed(&ask, config).await? {
                return Err(CliError::Failed("nothing is dropped".to_owned()));
            }
            change(ask, How::Drop, config, output).await
        }
    }
}

async fn list(ask: DeadAsk, config: &Config, output: Output) -> Result<(), CliError> {
    let (handler, limit) = (ask.handler.clone(), ask.limit.unwrap_or(usize::MAX));
    let letters = found(ask, config).await?;
    if letters.is_empty() {
        known_handler(handler.as_deref(), config)?;
    }
    output.list(&letters, COLUMNS, "no dead letters")?;
    note_limit(output, (letters.len(), limit), "oldest")?;
    if output.is_json() || letters.is_empty() {
        return Ok(());
    }
    let handlers: BTreeSet<&HandlerName> = letters.iter().map(DeadEntry::handler).collect();
    let name = match handlers.first() {
        Some(name) if handlers.len() == 1 => name.as_str(),
        _ => "NAME",
    };
    note(&format!(
        "\nnext: `gatepost dead show ID` says more of one; once it is mended, `gatepost dead redrive --handler {name}` \
         tries them again, `gatepost dead drop --handler {name}` drops them for good",
    ))?;
    if !letters.iter().any(|one| matches!(one, DeadEntry::Lost(_))) {
        return Ok(());
    }
    note(
        "event unreadable: `gatepost queue check` names what is damaged; where the file can be had from a backup, \
         `gatepost dead redrive --handler NAME` tries it again, else `gatepost dead drop --handler NAME` gives it up",
    )
}

/// An error where a handler is named that is not there.
fn known_handler(name: Option<&str>, config: &Config) -> Result<(), CliError> {
    let name = name.and_then(|name| HandlerName::parse(name).ok());
    name.map_or(Ok(()), |name| known::handler(&name, config))
}

async fn found(ask: DeadAsk, config: &Config) -> Result<Vec<DeadEntry>, CliError> {
    match Server::reach(config).await? {
        Reached::Server(server) => server.get("dead", &store::pairs(&ask)?).await,
        Reached::Nobody => {
            let api = store::open_indexed(config).await?;
            Ok(api.dead(ask.parse(&api).await?).await?.entries)
        }
    }
}

/// One with all of its reason, and what comes next.
fn shown(entry: &DeadEntry) -> String {
    let mut page = Page::default();
    let mut fact = |name: &str, value: &str| {
        for (index, line) in wrapped(value, REASON_CHARS).iter().enumerate() {
            page.line(format_args!("{:11} {line}", if index == 0 { name } else { "" }));
        }
    };
    match entry {
        DeadEntry::Letter(letter) => {
            let DeadLetter { handler, id, source, event_type, attempts, .. } = letter;
            fact("event", &format!("{id} ({source}:{})", plain(event_type.as_str())));
            fact("handler", handler.as_str());
            fact("received", &ago_and_exact(letter.received_at));
            fact("died", &ago_and_exact(letter.died_at));
            fact("tries", &attempts.to_string());
            fact("reason", &plain(letter.reason.as_str()));
            page.line(format_args!(
                "next: `gatepost events show {id}` has its tries; once it is mended, `gatepost dead redrive {id} \
                 --handler {handler}` tries it again, `gatepost dead drop {id} --handler {handler}` gives it up"
            ));
        }
        DeadEntry::Lost(lost) => {
            fact("event", &places(lost));
            fact("handler", lost.handler.as_str());
            fact("reason", &plain(&lost.reason));
            let handler = &lost.handler;
            page.line(format_args!(
                "next: `gatepost queue check` says what is damaged; `gatepost dead redrive --handler {handler}` tries it \
                 again"
            ));
        }
    }
    page.finish()
}

/// How wide a reason is shown.
const REASON_CHARS: usize = 88;

/// The text in lines of at most so many characters, broken between words where it can be.
fn wrapped(text: &str, chars_max: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let n_chars = line.chars().count() + 1 + word.chars().count();
        if !line.is_empty() && n_chars > chars_max {
            lines.push(std::mem::take(&mut line));
        } else if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

/// What is done to dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Redrive,
    /// Counted only: the server does it.
    ByStages,
    Drop,
}

/// Whether what is given up for good is to be: asked where a person sits at the terminal.
async fn is_confirmed(ask: &DeadAsk, config: &Config) -> Result<bool, CliError> {
    if !(stdin().is_terminal() && stderr().is_terminal()) {
        return Ok(true);
    }
    let dry_run = DeadAsk { dry_run: true, ..ask.clone() };
    let mut confirmed = 0;
    loop {
        let letters = made(dry_run.clone(), How::Drop, config).await?.done;
        // More that died while the owner thought are asked about too.
        if letters <= confirmed {
            return Ok(true);
        }
        let shown = counted(letters, "dead letter", "dead letters");
        if !Questions::new(false).confirm(&format!("give up {shown} for good?"))? {
            return Ok(false);
        }
        confirmed = letters;
    }
}

async fn made(ask: DeadAsk, how: How, config: &Config) -> Result<Changed, CliError> {
    match Server::reach(config).await? {
        Reached::Server(server) => {
            let what = if how == How::Drop { "drop" } else { "redrive" };
            let changed = server.post(&format!("dead/{what}"), &ask).await;
            known::or_named(changed, ask.handler.as_deref(), config)
        }
        Reached::Nobody => {
            let api = store::open_indexed(config).await?;
            let selection = ask.parse(&api).await?;
            let changed = match how {
                How::Redrive | How::ByStages => api.redrive(selection).await?,
                How::Drop => api.drop_dead(selection).await?,
            };
            api.close().await?;
            Ok(changed)
        }
    }
}

async fn change(ask: DeadAsk, how: How, config: &Config, output: Output) -> Result<(), CliError> {
    let (is_dry, handler) = (ask.dry_run, ask.handler.clone());
    let changed = made(ask, how, config).await?;
    if changed.matched == 0 || how != How::Drop {
        let known = known_handler(handler.as_deref(), config);
        match known {
            // They are where its waiting deliveries are.
            Err(CliError::Failed(why)) if changed.matched > 0 => {
                note(&format!(
                    "{why}: they wait until it is, or until `gatepost handlers forget`"
                ))?;
            }
            known => known?,
        }
    }
    output.one(&changed, |changed| {
        let letters = counted(changed.done, "dead letter", "dead letters");
        let said = match (how, is_dry) {
            (How::Redrive, true) => format!("{letters} would be tried again"),
            (How::Redrive, false) => format!("{letters} will be tried again"),
            (How::ByStages, _) => {
                format!("{letters} would be tried again: {}", rollouts::stages(changed.done))
            }
            (How::Drop, true) => format!("{letters} would be dropped"),
            (How::Drop, false) => format!("dropped {letters}"),
        };
        match changed.more {
            0 => said,
            more => format!("{said}; left out by `--limit`: {}", count(more)),
        }
    })
}

/// The event that is meant. The newest of all is the one that tells of the death, so `last` is the newest that has
/// a dead letter.
async fn dead_id(said: SaidEvent, config: &Config) -> Result<EventId, CliError> {
    let SaidEvent::Last = said else { return id_of(said, config).await };
    let via = Via::reach(config).await?;
    let newest = via.newest("has:dead", "no event has a dead letter").await;
    via.close().await?;
    newest
}

async fn ask_for(which: DeadChange, config: &Config) -> Result<DeadAsk, CliError> {
    let DeadChange { id, filter, all, limit, dry_run } = which;
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    let id = match id {
        Some(said) => Some(dead_id(said, config).await?.to_string()),
        None => None,
    };
    Ok(DeadAsk { id, limit, all, dry_run, ..ask(&filter) })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_reason_is_wrapped_and_nothing_of_it_is_lost() {
        let word = "x".repeat(30);
        for (text, expected) in [
            ("", vec![""]),
            ("a reason", vec!["a reason"]),
            ("one two three four", vec!["one two", "three four"]),
            (&word, vec![&word]),
            (&format!("a {word} b"), vec!["a", &word, "b"]),
        ] {
            assert_eq!(wrapped(text, 10), expected);
        }
    }
}
