//! `events replay`: page by page, paced, and from where an interrupted run stopped.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::time::{Interval, MissedTickBehavior, timeout};

use crate::api::{ReplayAsk, ReplayRange, Replayed, ReplayedEvent, Skips};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::event::{EventId, HandlerName};
use crate::files;
use crate::queue::EventQuery;
use crate::text::counted;

use super::args::EventsReplay;
use super::output::Output;
use super::progress::{Progress, Unit};
use super::replay_done::ReplayDone;
use super::store::Via;
use super::{CliError, known};

/// How long a server that is gone is waited for in all: a restart takes less.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long it is left alone before it is asked again.
const TRY_EVERY: Duration = Duration::from_secs(1);
/// How long a page that is under way may take after an interrupt: cut off, it would be done twice.
const LAST_PAGE: Duration = Duration::from_secs(5);
/// By how much a time that was said as `2h` may have moved on since an earlier run, so that this
/// one goes on with it.
const MOVED_MAX: Duration = Duration::from_hours(1);
/// How often a second pages are asked for, where a rate is wanted.
const PAGES_PER_SECOND: u32 = 10;
/// After how many events a line says how far it is.
const TELL_EVERY: u64 = 10_000;

/// How far a replay has come. It is kept in a file beside the admin socket, so that the same
/// command goes on behind the last page that was done.
#[derive(Debug, Serialize, Deserialize)]
struct ReplayProgress {
    /// What is left: times as they were meant at first.
    range: ReplayRange,
    /// How many events were done, and how many deliveries that made.
    count: u64,
    deliveries: u64,
    /// How many were not done.
    #[serde(default)]
    skips: Skips,
}

impl ReplayProgress {
    fn new(range: ReplayRange) -> Self {
        Self { range, count: 0, deliveries: 0, skips: Skips::default() }
    }
}

pub(super) async fn run(
    via: &Via,
    options: &EventsReplay,
    config: &Config,
    output: Output,
) -> Result<(), CliError> {
    if let Some(name) = &options.handler {
        known::handler(name, config)?;
    }
    known::source(via, options.filter.source.as_deref(), config).await?;
    let result = match &options.id {
        Some(said) => match via.event(*said).await {
            Ok(id) => one(via, id, options, output).await,
            Err(err) => Err(err),
        },
        None => range(via, options, config, output).await,
    };
    match via {
        Via::Server(_) => result,
        Via::Store(api) => result.and(api.close().await.map_err(CliError::from)),
    }
}

async fn one(
    via: &Via,
    id: EventId,
    options: &EventsReplay,
    output: Output,
) -> Result<(), CliError> {
    let handler = options.handler.as_ref();
    let replayed = if options.dry_run {
        let position = via.show(id).await?.summary.position.0;
        let range = ReplayRange {
            handler: options.handler.as_ref().map(ToString::to_string),
            after: Some(position.saturating_sub(1)),
            up_to: Some(position),
            limit: Some(1),
            dry_run: true,
            ..ReplayRange::default()
        };
        let page = page(via, &range).await?;
        let (count, unsettled) = (page.deliveries, page.skips.pending);
        ReplayedEvent { count, unsettled, ..ReplayedEvent::default() }
    } else {
        match via {
            Via::Server(server) => {
                let ask = ReplayAsk { handler: handler.map(ToString::to_string) };
                server.post(&format!("events/{id}/replay"), &ask).await?
            }
            Via::Store(api) => api.replay(id, handler).await?,
        }
    };
    if replayed.count == 0 && replayed.unsettled == 0 {
        let usual = "no handler has a place in the log and wants it, or it has just been removed";
        let why = replayed.why.as_deref().unwrap_or(usual);
        return Err(CliError::Failed(format!("nothing is delivered again: {why}")));
    }
    let ReplayedEvent { count: deliveries, unsettled, why: _ } = replayed;
    ReplayDone::of_one(deliveries, unsettled, options.dry_run).tell(output)
}

async fn range(
    via: &Via,
    options: &EventsReplay,
    config: &Config,
    output: Output,
) -> Result<(), CliError> {
    let file = progress_file(&config.admin.socket, options);
    let mut progress = begin(via, options, &file).await?;
    let page_max = options.rate.map_or(EventQuery::LIMIT_MAX, page_max);
    progress.range.limit = Some(page_max);
    progress.range.dry_run = options.dry_run;
    let rate = options.rate.filter(|_| !options.dry_run);
    let mut ticks = rate.map(|rate| ticks(pause(page_max, rate)));
    // Where no signal can be heard, that ends it too: it could not be stopped.
    let interrupted = tokio::signal::ctrl_c().map(drop).shared();
    // By positions: how many events match is known at the end.
    let began = progress.range.after.unwrap_or(0);
    let total = progress.range.up_to.map(|last| last.saturating_sub(began));
    let bar = Progress::new("replaying", Unit::Events, total);
    loop {
        tokio::select! {
            biased;
            () = interrupted.clone() => return Err(stopped(&progress)),
            () = tick(&mut ticks) => {}
        }
        let page = next_page(via, &progress.range, interrupted.clone()).await?;
        let Some(page) = page else { return Err(stopped(&progress)) };
        let told = progress.count / TELL_EVERY;
        progress.count += page.done;
        progress.deliveries += page.deliveries;
        progress.skips.add(page.skips);
        progress.range.after = Some(page.after);
        bar.set(page.after.saturating_sub(began));
        if page.is_last {
            if !options.dry_run {
                forget(&file)?;
            }
            let ReplayProgress { count, deliveries, skips, .. } = progress;
            return ReplayDone::of_many(count, deliveries, skips, options.dry_run).tell(output);
        }
        if !options.dry_run {
            save(&file, &progress)?;
        }
        if bar.is_hidden() && progress.count / TELL_EVERY > told {
            writeln!(std::io::stderr(), "{} so far", progress.count)?;
        }
    }
}

/// Where an interrupted run of the same command stopped, or the beginning.
async fn begin(via: &Via, options: &EventsReplay, file: &Path) -> Result<ReplayProgress, CliError> {
    let filter = &options.filter;
    let since = filter.since.as_ref().map(|said| said.at);
    let until = filter.until.as_ref().map(|said| said.at);
    let saved = if options.restart || options.after.is_some() { None } else { read(file)? };
    if let Some(saved) = saved {
        let count = counted(saved.count, "event", "events");
        let after = saved.range.after.unwrap_or(0);
        if has_moved(saved.range.since, since) || has_moved(saved.range.until, until) {
            return Err(CliError::Failed(format!(
                "an earlier run stopped after {count}, behind position {after}, and by now \
                 `--since` or `--until` means another time: begin anew with `--restart`"
            )));
        }
        writeln!(
            std::io::stderr(),
            "an earlier run stopped after {count}: going on behind position {after} \
             (`--restart` begins anew)"
        )?;
        // What was done is not to be counted among what would be.
        let fresh = ReplayProgress::new(saved.range.clone());
        return Ok(if options.dry_run { fresh } else { saved });
    }
    let range = ReplayRange {
        handler: options.handler.as_ref().map(ToString::to_string),
        source: filter.source.clone(),
        event_type: filter.event_type.clone(),
        contains: filter.contains.clone(),
        field: filter.field.clone(),
        q: filter.search.clone(),
        since,
        until,
        after: options.after,
        // What comes in from here on is delivered anyway.
        up_to: Some(via.last().await?),
        limit: None,
        all: options.all,
        dry_run: options.dry_run,
    };
    Ok(ReplayProgress::new(range))
}

/// Whether a time that is said in the same words means another one by now. The moment itself, as
/// RFC 3339 has it, never does.
fn has_moved(saved: Option<Timestamp>, now: Option<Timestamp>) -> bool {
    match (saved, now) {
        (Some(saved), Some(now)) => saved.max(now).since(saved.min(now)) >= MOVED_MAX,
        (saved, now) => saved != now,
    }
}

/// The next page; a server that is being restarted is waited for. `None` = it was interrupted
/// before there was one.
async fn next_page(
    via: &Via,
    range: &ReplayRange,
    interrupted: impl Future<Output = ()>,
) -> Result<Option<Replayed>, CliError> {
    let mut interrupted = pin!(interrupted);
    let mut first = pin!(page(via, range));
    let first = tokio::select! {
        first = &mut first => first,
        () = &mut interrupted => match timeout(LAST_PAGE, first).await {
            Ok(Err(err)) if may_pass(&err) => return Ok(None),
            Ok(page) => return page.map(Some),
            Err(_elapsed) => return Ok(None),
        },
    };
    let err = match first {
        Err(err) if may_pass(&err) => err,
        page => return page.map(Some),
    };
    writeln!(std::io::stderr(), "{err}; waiting for it")?;
    let again = async {
        loop {
            tokio::time::sleep(TRY_EVERY).await;
            match page(via, range).await {
                Err(err) if may_pass(&err) => {}
                page => return page,
            }
        }
    };
    tokio::select! {
        page = timeout(PATIENCE, again) => page.unwrap_or(Err(err)).map(Some),
        () = &mut interrupted => Ok(None),
    }
}

async fn page(via: &Via, range: &ReplayRange) -> Result<Replayed, CliError> {
    match via {
        Via::Server(server) => server.post("events/replay", range).await,
        Via::Store(api) => Ok(api.replay_range(range.clone()).await?),
    }
}

/// The server is being restarted, or its store cannot just now.
const fn may_pass(err: &CliError) -> bool {
    matches!(err, CliError::Unreachable(_) | CliError::Unavailable(_))
}

/// How large a page is at so many events a second.
fn page_max(rate: u32) -> usize {
    ((rate / PAGES_PER_SECOND) as usize).clamp(1, EventQuery::LIMIT_MAX)
}

/// How long after the last page the next one comes.
fn pause(page_max: usize, rate: u32) -> Duration {
    Duration::from_secs(1) * u32::try_from(page_max).unwrap_or(u32::MAX) / rate.max(1)
}

fn ticks(pause: Duration) -> Interval {
    let mut ticks = tokio::time::interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Waits until it is time for the next page; where nothing is said of a rate it is.
async fn tick(ticks: &mut Option<Interval>) {
    if let Some(ticks) = ticks {
        ticks.tick().await;
    }
}

/// One file per command, whatever the order of its options.
fn progress_file(socket: &Path, options: &EventsReplay) -> PathBuf {
    let filter = &options.filter;
    let said = [
        options.handler.as_ref().map(HandlerName::as_str),
        filter.source.as_deref(),
        filter.event_type.as_deref(),
        filter.since.as_ref().map(|time| time.said.as_str()),
        filter.until.as_ref().map(|time| time.said.as_str()),
        filter.contains.as_deref(),
        filter.field.as_deref(),
        filter.search.as_deref(),
    ];
    let name: [u8; 32] = Sha256::digest(json!(said).to_string().as_bytes()).into();
    let name = name.get(..8).unwrap_or_default();
    socket.with_file_name(format!("replay-{}.json", hex::encode(name)))
}

/// What was saved. Another file under that name is no progress.
fn read(file: &Path) -> Result<Option<ReplayProgress>, CliError> {
    match std::fs::read(file) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(err) if err.kind() == ErrorKind::NotFound => Ok(None),
        Err(err) => Err(failed("read", file, &err)),
    }
}

fn save(file: &Path, progress: &ReplayProgress) -> Result<(), CliError> {
    let text = serde_json::to_vec(progress).map_err(|err| CliError::failed(&err))?;
    files::replace(file, text).map_err(|err| failed("written", file, &err))
}

fn forget(file: &Path) -> Result<(), CliError> {
    files::remove(file).map_err(|err| failed("removed", file, &err))
}

fn failed(what: &str, file: &Path, err: &std::io::Error) -> CliError {
    CliError::Failed(format!("`{}` cannot be {what}: {err}", file.display()))
}

fn stopped(progress: &ReplayProgress) -> CliError {
    let count = counted(progress.count, "event", "events");
    CliError::Failed(format!("stopped after {count}; the same command goes on from there"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_however_high_or_low_it_is() {
        for rate in [1, 3, 9, 10, 15, 999, 1_000, 10_000, 10_001, 30_000, 1_000_000] {
            let page_max = page_max(rate);
            let page_max_secs = Duration::from_secs(page_max as u64);
            let off = page_max_secs.abs_diff(pause(page_max, rate) * rate);
            assert!(off <= page_max_secs / 100, "{rate}: {off:?} off");
        }
    }

    #[test]
    fn a_time_has_moved_where_it_is_an_hour_off() {
        let at = |minutes: i64| Some(Timestamp::from_millis(minutes * 60_000));
        for (saved, now, expected) in [
            (None, None, false),
            (at(600), at(600), false),
            (at(600), at(659), false),
            (at(600), at(660), true),
            // The clock was set back.
            (at(600), at(541), false),
            (at(600), at(540), true),
            (None, at(0), true),
        ] {
            assert_eq!(has_moved(saved, now), expected, "{saved:?} {now:?}");
        }
    }
}
