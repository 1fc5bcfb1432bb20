//! The queue's files from outside: looking for damage in all of them.
//!
//! Nothing here changes a journal, and nothing needs the derived state: a queue that does not open
//! any more can still be looked at.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::QueueError;
use super::journal::{FileSystem, Location, Lost, OsFileSystem, Reader, Survey, survey};
use super::record::Kind;
use crate::event::Position;

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
        if let (Kind::Carried, Some(position)) = (found.kind, found.position())
            && position < first
        {
            carried.insert(position, found.at);
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

fn look(folder: &Path) -> Result<Survey, QueueError> {
    let fs: Arc<dyn FileSystem> = Arc::new(OsFileSystem);
    survey(fs, &folder.join("journal")).map_err(read_failed)
}

fn read_failed(source: io::Error) -> QueueError {
    QueueError::Io { what: "reading the journal".into(), source }
}
