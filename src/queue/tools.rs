//! The queue's files from outside: looking for damage, and taking events out and in.
//!
//! Nothing here changes a journal, and nothing needs the derived state: a queue that does not open
//! any more can still be looked at and saved.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::journal::{FileSystem, Found, Location, Lost, OsFileSystem, Reader, Survey, survey};
use super::record::{Kind, Record};
use super::{Appended, Queue, QueueError};
use crate::event::Position;

mod line;

use line::{read_line, write_line};

/// What a look at a whole journal came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// Segments that hold records.
    pub segments: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// Whole records.
    pub records: u64,
    /// Events, each counted once.
    pub events: u64,
    /// Of these: copied forward out of segments that are gone, since somebody still waits for them.
    pub carried: u64,
    /// The newest position; 0 = none.
    pub last: Position,
    /// Bytes at the end that a power cut left of a commit that was never acknowledged. The next
    /// start clears them.
    pub torn_bytes: u64,
    /// What cannot be read although it was acknowledged.
    pub damage: Vec<DamageReport>,
}

/// A stretch of the journal that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DamageReport {
    /// The segment's number, which is its file's name.
    pub segment: u64,
    /// Where in the file.
    pub offset: u32,
    /// How much.
    pub bytes: u32,
    /// How many events are missing; `None` = nothing tells.
    pub events: Option<u64>,
    /// All of it in words.
    pub text: String,
}

/// What became of an import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// Events that were stored.
    pub stored: u64,
    /// Events that were there already.
    pub duplicates: u64,
}

/// Reads every segment of the queue in `folder` and changes nothing. The queue may be open
/// meanwhile; what is being written just then may show as torn.
pub fn check(folder: &Path) -> Result<CheckReport, QueueError> {
    let Survey { segments, end, holes, torn_bytes, .. } = look(folder)?;
    let Some(end) = end else { return Ok(CheckReport { torn_bytes, ..CheckReport::default() }) };
    let mut report = CheckReport {
        segments: segments.all().len() as u64,
        bytes: segments.bytes(),
        torn_bytes,
        ..CheckReport::default()
    };
    let first = segments.at_or_after(0).map_or(Position(0), |segment| segment.first);
    let mut carried = BTreeMap::new();
    let mut reader = Reader::new(Arc::clone(&segments), Location::start_of(0));
    while let Some(found) = reader.next(end).map_err(read_failed)? {
        report.records += 1;
        if let (Kind::Event, Some(position)) = (found.kind, found.position()) {
            report.events += 1;
            report.last = report.last.max(position);
        }
        if let (Kind::Carried, Some(position)) = (found.kind, found.position()) {
            if position < first {
                carried.insert(position, found.at);
            }
        }
    }
    report.carried = carried.len() as u64;
    report.events += report.carried;
    let is_torn = |at: Location| {
        at.segment == end.segment && holes.iter().any(|hole| hole.start == at.offset)
    };
    let damage = segments.damage().into_iter().filter(|damage| !is_torn(damage.at));
    report.damage = damage
        .map(|damage| DamageReport {
            segment: damage.at.segment,
            offset: damage.at.offset,
            bytes: damage.bytes,
            events: match damage.lost {
                Lost::Unknown => None,
                Lost::Nothing => Some(0),
                Lost::Events { count, .. } => Some(count),
            },
            text: damage.to_string(),
        })
        .collect();
    Ok(report)
}

/// Writes every retained event of the queue in `folder` as a line of JSON, oldest first; says how
/// many. Nothing is changed.
pub fn export(folder: &Path, mut writer: impl Write) -> Result<u64, QueueError> {
    let Survey { segments, end, .. } = look(folder)?;
    let Some(end) = end else { return Ok(0) };
    let first = segments.at_or_after(0).map_or(Position(0), |segment| segment.first);
    let mut carried = BTreeMap::new();
    let mut reader = Reader::new(Arc::clone(&segments), Location::start_of(0));
    while let Some(found) = reader.next(end).map_err(read_failed)? {
        if let (Kind::Carried, Some(position)) = (found.kind, found.position())
            && position < first
        {
            carried.insert(position, found.at);
        }
    }
    let mut n_events = 0;
    let mut write = |found: &Found| -> Result<(), QueueError> {
        if let Record::Event(event, dedupe) | Record::Carried(event, dedupe) =
            found.decode().map_err(read_failed)?
        {
            write_line(&mut writer, &event, &dedupe).map_err(write_failed)?;
            n_events += 1;
        }
        Ok(())
    };
    for at in carried.into_values() {
        let mut reader = Reader::new(Arc::clone(&segments), at);
        if let Some(found) = reader.next(end).map_err(read_failed)? {
            write(&found)?;
        }
    }
    let mut reader = Reader::new(Arc::clone(&segments), Location::start_of(0));
    while let Some(found) = reader.next(end).map_err(read_failed)? {
        if found.kind == Kind::Event {
            write(&found)?;
        }
    }
    writer.flush().map_err(write_failed)?;
    Ok(n_events)
}

/// Appends what [`export`] wrote. The events get ids and positions of their own here. An event that
/// was imported before is recognised, so an import that ended early can be made again.
pub async fn import(
    queue: &dyn Queue,
    reader: impl BufRead + Send,
) -> Result<Imported, QueueError> {
    let mut imported = Imported::default();
    for (n, line) in reader.lines().enumerate() {
        let line = line.map_err(|source| QueueError::Io { what: "reading".into(), source })?;
        if line.trim().is_empty() {
            continue;
        }
        let event = read_line(&line)
            .map_err(|err| QueueError::Corrupt(format!("line {}: {err}", n.saturating_add(1))))?;
        match queue.append(event).await? {
            Appended::Stored(_) => imported.stored += 1,
            Appended::Duplicate(_) => imported.duplicates += 1,
        }
    }
    Ok(imported)
}

fn look(folder: &Path) -> Result<Survey, QueueError> {
    let fs: Arc<dyn FileSystem> = Arc::new(OsFileSystem);
    survey(fs, &folder.join("journal")).map_err(read_failed)
}

fn read_failed(source: io::Error) -> QueueError {
    QueueError::Io { what: "reading the journal".into(), source }
}

fn write_failed(source: io::Error) -> QueueError {
    QueueError::Io { what: "writing the export".into(), source }
}
