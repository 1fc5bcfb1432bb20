//! `events replay`: page by page, paced, and from where an interrupted run stopped.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use futures_util::future::poll_immediate;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::{Interval, MissedTickBehavior};

use crate::api::{ReplayRange, Replayed};
use crate::config::Config;
use crate::event::HandlerName;
use crate::queue::EventQuery;

use super::args::EventsReplay;
use super::output::Output;
use super::store::{self, Via};
use super::{CliError, when};

/// How long a server that is gone is waited for, a second at a time: a restart takes less.
const TRIES: u32 = 60;
/// How often a second pages are asked for, where a rate is wanted.
const PAGES_PER_SECOND: u32 = 10;
/// After how many events a line says how far it is.
const TELL_EVERY: u64 = 10_000;

/// How far a replay has come. It is kept in a file beside the admin socket, so that the same
/// command goes on behind the last page that was done.
#[derive(Debug, Serialize, Deserialize)]
struct Progress {
    /// What is left: times as they were meant at first.
    range: ReplayRange,
    /// How many events were done, and how many deliveries that made.
    count: u64,
    deliveries: u64,
}

/// Does what `options` say.
pub(super) async fn run(
    via: &Via,
    options: &EventsReplay,
    config: &Config,
    output: Output,
) -> Result<(), CliError> {
    let result = match &options.id {
        Some(id) => one(via, id, options, output).await,
        None => range(via, options, config, output).await,
    };
    match via {
        Via::Server(_) => result,
        Via::Store(api) => result.and(api.close().await.map_err(CliError::from)),
    }
}

async fn one(via: &Via, id: &str, options: &EventsReplay, output: Output) -> Result<(), CliError> {
    let handler = options.handler.as_deref().map(HandlerName::parse).transpose();
    let handler = handler.map_err(|err| CliError::Usage(err.to_string()))?;
    let id = super::events::parse_id(id)?;
    if options.dry_run {
        via.show(id).await?;
    } else {
        match via {
            Via::Server(server) => {
                let body = json!({ "handler": handler });
                server.post(&format!("events/{id}/replay"), &body).await?;
            }
            Via::Store(api) => drop(api.replay(id, handler.as_ref()).await?),
        }
    }
    done(1, None, options.dry_run, output)
}

async fn range(
    via: &Via,
    options: &EventsReplay,
    config: &Config,
    output: Output,
) -> Result<(), CliError> {
    let file = progress_file(&config.admin.socket, options);
    let mut progress = begin(via, options, &file).await?;
    let page_max = match options.rate {
        Some(rate) => (rate / PAGES_PER_SECOND).max(1) as usize,
        None => EventQuery::LIMIT_MAX,
    };
    progress.range.limit = Some(page_max.min(EventQuery::LIMIT_MAX));
    progress.range.dry_run = options.dry_run;
    let mut ticks = options.rate.filter(|_| !options.dry_run).map(|rate| pace(page_max, rate));
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    loop {
        if let Some(ticks) = &mut ticks {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = &mut interrupted => return Err(stopped(&progress)),
            }
        } else if poll_immediate(&mut interrupted).await.is_some() {
            return Err(stopped(&progress));
        }
        let page = next_page(via, &progress.range).await?;
        let told = progress.count / TELL_EVERY;
        progress.count += page.count;
        progress.deliveries += page.deliveries;
        progress.range.after = Some(page.after);
        if page.done {
            if !options.dry_run {
                forget(&file)?;
            }
            return done(progress.count, Some(progress.deliveries), options.dry_run, output);
        }
        if !options.dry_run {
            save(&file, &progress)?;
        }
        if progress.count / TELL_EVERY > told {
            writeln!(std::io::stderr(), "{} so far", progress.count)?;
        }
    }
}

/// Where an interrupted run of the same command stopped, or the beginning.
async fn begin(via: &Via, options: &EventsReplay, file: &Path) -> Result<Progress, CliError> {
    let saved = if options.restart || options.after.is_some() { None } else { read(file)? };
    if let Some(saved) = saved {
        let (count, after) = (saved.count, saved.range.after.unwrap_or(0));
        writeln!(
            std::io::stderr(),
            "an earlier run stopped after {count} events: going on behind position {after} \
             (`--restart` begins anew)"
        )?;
        // What was done is not to be counted among what would be.
        let fresh = Progress { count: 0, deliveries: 0, range: saved.range.clone() };
        return Ok(if options.dry_run { fresh } else { saved });
    }
    let filter = &options.filter;
    let range = ReplayRange {
        handler: options.handler.clone(),
        source: filter.source.clone(),
        event_type: filter.event_type.clone(),
        since: when::maybe(filter.since.as_deref())?,
        until: when::maybe(filter.until.as_deref())?,
        after: options.after,
        // What comes in from here on is delivered anyway.
        up_to: Some(via.last().await?),
        limit: None,
        dry_run: options.dry_run,
    };
    Ok(Progress { range, count: 0, deliveries: 0 })
}

/// The next page; a server that is being restarted is waited for.
async fn next_page(via: &Via, range: &ReplayRange) -> Result<Replayed, CliError> {
    let mut n_tries = 0;
    loop {
        let page = match via {
            Via::Server(server) => {
                server.post("events/replay", &store::value(range)?).await.and_then(|page| {
                    serde_json::from_value(page).map_err(|err| CliError::failed(&err))
                })
            }
            Via::Store(api) => api.replay_range(range.clone()).await.map_err(CliError::from),
        };
        match page {
            Err(CliError::Unreachable(why)) if n_tries < TRIES => {
                if n_tries == 0 {
                    writeln!(std::io::stderr(), "{why}; waiting for it")?;
                }
                n_tries += 1;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            page => return page,
        }
    }
}

fn pace(page_max: usize, rate: u32) -> Interval {
    let page_max = u32::try_from(page_max).unwrap_or(u32::MAX);
    let mut pace = tokio::time::interval(Duration::from_secs(1) * page_max / rate.max(1));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}

/// One file per command, whatever the order of its options.
fn progress_file(socket: &Path, options: &EventsReplay) -> PathBuf {
    let filter = &options.filter;
    let said = [&options.handler, &filter.source, &filter.event_type, &filter.since, &filter.until];
    let name: [u8; 32] = Sha256::digest(json!(said).to_string().as_bytes()).into();
    let name = name.get(..8).unwrap_or_default();
    socket.with_file_name(format!("replay-{}.json", hex::encode(name)))
}

/// What was saved. Something else under that name is nobody's progress.
fn read(file: &Path) -> Result<Option<Progress>, CliError> {
    match std::fs::read(file) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(err) if err.kind() == ErrorKind::NotFound => Ok(None),
        Err(err) => Err(failed("read", file, &err)),
    }
}

/// All of the new state or all of the old one, whatever happens in between.
fn save(file: &Path, progress: &Progress) -> Result<(), CliError> {
    let staging = file.with_extension("new");
    let saved = std::fs::write(&staging, store::value(progress)?.to_string());
    saved
        .and_then(|()| std::fs::rename(&staging, file))
        .map_err(|err| failed("written", file, &err))
}

fn forget(file: &Path) -> Result<(), CliError> {
    match std::fs::remove_file(file) {
        Err(err) if err.kind() != ErrorKind::NotFound => Err(failed("removed", file, &err)),
        _ => Ok(()),
    }
}

fn failed(what: &str, file: &Path, err: &std::io::Error) -> CliError {
    CliError::Failed(format!("`{}` cannot be {what}: {err}", file.display()))
}

fn stopped(progress: &Progress) -> CliError {
    let count = progress.count;
    CliError::Failed(format!("stopped after {count} events; the same command goes on from there"))
}

fn done(count: u64, deliveries: Option<u64>, is_dry: bool, output: Output) -> Result<(), CliError> {
    let mut answer = json!({ "count": count, "dry_run": is_dry });
    if let (Value::Object(answer), Some(deliveries)) = (&mut answer, deliveries) {
        answer.insert("deliveries".into(), deliveries.into());
    }
    output.one(&answer, |_| {
        let events = if count == 1 { "event" } else { "events" };
        let will = if is_dry { "would be" } else { "will be" };
        match deliveries {
            Some(deliveries) => {
                format!("{count} {events} {will} delivered again: {deliveries} deliveries in all")
            }
            None => format!("{count} {events} {will} delivered again"),
        }
    })
}
