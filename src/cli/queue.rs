//! `queue`: the store itself.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::json;

use crate::api::{ExportAsk, ExportedEvent, ImportView, OtherId, QueueView, SenderSecrets};
use crate::config::Config;
use crate::queue::Queue as _;
use crate::queue::tools::{self, CheckReport};
use crate::text::{bytes, count, counted};

use super::CliError;
use super::args::Queue;
use super::output::{self, Output, Page};
use super::progress::{Progress, Unit};
use super::store::{self, Via};

/// Events of one page: with the longest bodies some dozen megabytes.
const PAGE: usize = 200;
/// Bytes of lines that are imported in one go.
const IMPORT_BYTES: usize = 8 << 20;
/// How many of the ids that could not stay are told of people.
const OTHER_IDS_SHOWN: usize = 20;
/// The longest line: the longest body with its headers, encoded.
const LINE_BYTES_MAX: usize = 100 << 20;

pub(super) async fn run(verb: Queue, config: &Config, output: Output) -> Result<(), CliError> {
    match verb {
        Queue::Check => check(config, output).await,
        Queue::Export => export(&Via::reach_log(config).await?).await,
        Queue::Import { file } => import(&Via::reach_or_make(config).await?, file, output).await,
        Queue::Compact => compact(&Via::reach_log(config).await?, config, output).await,
    }
}

impl Via {
    /// Up to `limit` events behind the position `after`.
    pub(super) async fn export(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<ExportedEvent>, CliError> {
        let ask = ExportAsk { after: Some(after), limit: Some(limit) };
        match self {
            Self::Server(server) => server.get("export", &store::pairs(&ask)?).await,
            Self::Store(api) => {
                let (after, limit) = ask.parse();
                Ok(api.export(after, limit, SenderSecrets::Given).await?)
            }
        }
    }

    async fn import(&self, events: Vec<ExportedEvent>) -> Result<ImportView, CliError> {
        match self {
            Self::Server(server) => server.post("import", &events).await,
            Self::Store(api) => Ok(api.import(events).await?),
        }
    }

    /// Lets go of the store.
    pub(super) async fn close(&self) -> Result<(), CliError> {
        match self {
            Self::Server(_) => Ok(()),
            Self::Store(api) => Ok(api.close().await?),
        }
    }
}

/// Reads every record. Nothing is changed or opened for that: whether a server runs does not
/// matter, and a store that does not open any more can be looked at too.
async fn check(config: &Config, output: Output) -> Result<(), CliError> {
    let folder = config.queue.path.clone();
    store::require_store(config)?;
    let report = tokio::task::spawn_blocking(move || {
        let progress = Progress::new("checking", Unit::Bytes, Some(0));
        tools::check_telling(&folder, &|done, total| progress.set_of(done, total))
    });
    let report = report.await;
    let report =
        report.map_err(|err| CliError::failed(&err))?.map_err(|err| CliError::failed(&err))?;
    output.one(&report, told)?;
    CliError::of_damage(report.damage.len())
}

/// The report as text.
fn told(report: &CheckReport) -> String {
    let CheckReport {
        segments,
        bytes: n_bytes,
        records,
        events,
        kept,
        last,
        n_missing,
        torn_bytes,
        damage,
    } = report;
    let of_older = match kept {
        0 => String::new(),
        n => format!(" ({} kept of segments that are gone)", count(*n)),
    };
    let mut text = Page::default();
    text.line(format_args!(
        "{} read, {} in {}; {}{of_older}, newest position {}",
        counted(*records, "record", "records"),
        bytes(*n_bytes),
        counted(*segments, "segment", "segments"),
        counted(*events, "event", "events"),
        last.0
    ));
    if *n_missing > 0 {
        let missing = counted(*n_missing, "event is", "events are");
        text.line(format_args!("{missing} missing between others"));
    }
    if *torn_bytes > 0 {
        text.line(format_args!(
            "{} at the end {} of a commit that was never acknowledged: being \
             written just now, or torn by a power cut (the next start puts them aside)",
            counted(*torn_bytes, "byte", "bytes"),
            if *torn_bytes == 1 { "is" } else { "are" }
        ));
    }
    for damage in damage {
        text.line(format_args!("damage: {}", damage.text));
    }
    if damage.is_empty() {
        text.line(format_args!("no damage"));
    }
    text.finish()
}

async fn compact(via: &Via, config: &Config, output: Output) -> Result<(), CliError> {
    let queue: QueueView = match via {
        Via::Server(server) => server.post("compact", &json!({})).await?,
        Via::Store(api) => {
            // Only this backend can: it is opened again as what it is.
            api.close().await?;
            let queue = store::open_queue(config).await?;
            queue.compact().await?;
            let stats = queue.stats();
            queue.close().await?;
            QueueView::new(&stats)
        }
    };
    output.one(&queue, |queue| format!("{} on disk", bytes(queue.bytes)))
}

/// Prints a line of JSON for each event, oldest first.
async fn export(via: &Via) -> Result<(), CliError> {
    let mut after = 0;
    let total = Some(via.n_events().await?);
    let progress = Progress::beside_output("exporting", Unit::Events, total);
    loop {
        let events = via.export(after, PAGE).await?;
        let Some(last) = events.last() else { return Ok(()) };
        after = last.position;
        for event in &events {
            output::line(&output::json_text(event)?)?;
        }
        progress.advance(events.len() as u64);
    }
}

/// Stores the events of `export`'s lines, some megabytes at a time.
async fn import(via: &Via, file: Option<PathBuf>, output: Output) -> Result<(), CliError> {
    let mut lines = Lines::open(file.as_deref())?;
    let mut imported = Imported::default();
    let progress = Progress::new("importing", Unit::Bytes, lines.bytes_in_all);
    loop {
        let events = lines.next_events()?;
        if events.is_empty() {
            break;
        }
        imported.read += u64::try_from(events.len()).unwrap_or(u64::MAX);
        let ImportView { count, other_ids } = via.import(events).await?;
        imported.stored += count;
        imported.other_ids.extend(other_ids);
        progress.set(lines.bytes_read);
    }
    drop(progress);
    via.close().await?;
    output.one(&imported, import_told)
}

/// What came of an import as text.
fn import_told(imported: &Imported) -> String {
    let Imported { read, stored, other_ids } = imported;
    let mut text = Page::default();
    let n_read = counted(*read, "event", "events");
    text.line(format_args!("read {n_read}, {} of them new", count(*stored)));
    for OtherId { was, is } in other_ids.iter().take(OTHER_IDS_SHOWN) {
        text.line(format_args!("{was} has the id {is} here"));
    }
    if other_ids.len() > OTHER_IDS_SHOWN {
        let n_more =
            counted((other_ids.len() - OTHER_IDS_SHOWN) as u64, "other has", "others have");
        text.line(format_args!("{n_more} another id here as well: `--json` names each"));
    }
    text.finish()
}

/// What came of an import.
#[derive(Debug, Default, Serialize)]
struct Imported {
    read: u64,
    stored: u64,
    /// The events that have another id here.
    other_ids: Vec<OtherId>,
}

/// The lines of an export.
struct Lines {
    from: Box<dyn BufRead>,
    number: u64,
    /// How many bytes were read.
    bytes_read: u64,
    /// Of how many, where it is a file.
    bytes_in_all: Option<u64>,
}

impl Lines {
    fn open(file: Option<&Path>) -> Result<Self, CliError> {
        let (from, bytes_in_all): (Box<dyn BufRead>, _) = match file {
            Some(file) => {
                let opened = std::fs::File::open(file).map_err(|err| {
                    CliError::Failed(format!("`{}` cannot be read: {err}", file.display()))
                })?;
                let length =
                    opened.metadata().ok().filter(std::fs::Metadata::is_file).map(|it| it.len());
                (Box::new(BufReader::new(opened)), length)
            }
            None => (Box::new(BufReader::new(std::io::stdin())), None),
        };
        Ok(Self { from, number: 0, bytes_read: 0, bytes_in_all })
    }

    /// The next events, some megabytes of them; none at the end.
    fn next_events(&mut self) -> Result<Vec<ExportedEvent>, CliError> {
        let mut events = Vec::new();
        let mut n_bytes = 0;
        while n_bytes < IMPORT_BYTES {
            let mut line = Vec::new();
            let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
            let n_read = self.from.by_ref().take(limit).read_until(b'\n', &mut line)?;
            if n_read == 0 {
                break;
            }
            self.number += 1;
            self.bytes_read += n_read as u64;
            n_bytes += n_read;
            let event = serde_json::from_slice(&line).map_err(|err| {
                CliError::Failed(format!("line {} is not an exported event: {err}", self.number))
            })?;
            events.push(event);
        }
        Ok(events)
    }
}
