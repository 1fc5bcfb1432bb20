//! `queue check`: reads everything of a queue's folder and changes nothing in it.
//!
//! Of a stopped queue it also makes the handlers' states twice, out of the snapshot with what was
//! recorded behind it and out of the kept log and the whole log: they must be equal.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

mod derived;

use super::Settings;
use super::events::ReadFailure;
use super::kept::{EndTrust, KeptLog};
use super::layout;
use super::log::{FileLog, LogReader, OpenOptions};
use super::record::{Lsn, Record};
use super::recovery;
use super::snapshot::Snapshots;
use super::state::HandlerState;
use crate::clock::SystemClock;
use crate::event::{HandlerName, Position};
use crate::queue::QueueError;
use crate::queue::check_report::{CheckReport, DamageReport};
use crate::queue::storage::{OpenMode, OsStorage, Storage, StorageFile, if_there};

/// After so many records it is told how far it came.
const TELL_EVERY: u64 = 1_024;

/// Looks at the whole queue in `folder`. `tell` is given how many bytes of how many were read: all are read
/// twice, the second time for the states.
pub(crate) fn check(folder: &Path, tell: &dyn Fn(u64, u64)) -> Result<CheckReport, QueueError> {
    let storage: Arc<dyn Storage> = Arc::new(ReadOnly);
    let settings = Settings { storage: Arc::clone(&storage), ..Settings::new(folder) };
    let options = OpenOptions {
        segment_bytes: settings.segment_bytes,
        disk_reserve: settings.reserve(),
        clock: Arc::new(SystemClock::new()),
        known: Vec::new(),
        synced_until: Lsn(0),
        drops_torn_units: false,
    };
    match layout::has_format(&*storage, folder) {
        // What has no `FORMAT` yet, and a standby's copy, can be looked at as well.
        Ok(_) | Err(QueueError::Standby { .. }) => {}
        Err(err) => return Err(err),
    }
    let survey = FileLog::survey(Arc::clone(&storage), folder, &options)?;
    let log = Arc::clone(&survey.log);
    let mut report = CheckReport {
        segments: log.segments().len() as u64,
        bytes: log.bytes(),
        torn_bytes: survey.torn_bytes,
        ..CheckReport::default()
    };
    let end = survey.end.unwrap_or_default();
    let far = HowFar { tell, segment_bytes: settings.segment_bytes.into(), end };
    read_all(&log, &far, &mut report)?;
    // Damage may hide that the kept log goes further.
    let trust = if log.damage().is_empty() { EndTrust::Sure } else { EndTrust::InDoubt };
    let kept = KeptLog::open(
        Arc::clone(&storage),
        &folder.join("kept"),
        (survey.kept, trust),
        settings.kept_options(),
    )
    .map_err(|source| QueueError::Io { what: "reading the kept log".into(), source })?;
    report.kept = kept.len() as u64;
    report.events += report.kept;
    let log_damage = log.damage();
    report.damage = log_damage
        .iter()
        .map(|damage| DamageReport {
            segment: u64::from(damage.segment.number),
            offset: damage.offset,
            bytes: damage.bytes,
            text: damage.to_string(),
        })
        .collect();
    report.damage.extend(kept.damage().into_iter().map(DamageReport::of_text));
    if report.damage.is_empty() && !is_held(folder) {
        let differences =
            compare_states(&log, &kept, Arc::clone(&storage), folder, (&far, report.records))?;
        report.damage.extend(differences.into_iter().map(DamageReport::of_text));
    }
    let derived = derived::damage(&storage, folder, log.head().first);
    let derived = derived.map_err(|source| QueueError::Io {
        what: "reading snapshots and dedupe keys".into(),
        source,
    })?;
    report.damage.extend(derived.into_iter().map(DamageReport::of_text));
    Ok(report)
}

/// How far a check has come.
struct HowFar<'a> {
    tell: &'a dyn Fn(u64, u64),
    segment_bytes: u64,
    /// Behind the last record.
    end: Lsn,
}

impl HowFar<'_> {
    /// Bytes of the log from `first` on.
    fn bytes(&self, first: Lsn) -> u64 {
        first.bytes_until(self.end, self.segment_bytes)
    }

    /// The first reading has come to `at`.
    fn read(&self, first: Lsn, at: Lsn) {
        (self.tell)(first.bytes_until(at, self.segment_bytes), 2 * self.bytes(first));
    }

    /// The second reading has come to this part of the records.
    fn read_again(&self, first: Lsn, done: u64, of: u64) {
        let bytes = self.bytes(first);
        let again = u128::from(bytes) * u128::from(done) / u128::from(of.max(1));
        (self.tell)(bytes.saturating_add(u64::try_from(again).unwrap_or(bytes)), 2 * bytes);
    }
}

fn read_all(
    log: &Arc<FileLog>,
    far: &HowFar<'_>,
    report: &mut CheckReport,
) -> Result<(), QueueError> {
    let (first, end) = (log.head().first, far.end);
    let mut reader = LogReader::new(Arc::clone(log), Lsn(0));
    let mut expected: Option<Position> = None;
    far.read(first, first);
    while let Some(found) = reader.next(end).map_err(ReadFailure::from)? {
        report.records += 1;
        if report.records.is_multiple_of(TELL_EVERY) {
            far.read(first, found.lsn);
        }
        let record = found.decode();
        if record.is_none() {
            log.note_undecodable(&found);
        }
        let positions = match (found.position(), found.torn_positions(), record) {
            (Some(position), ..) => {
                report.events += 1;
                report.last = report.last.max(position);
                position..position.next()
            }
            // Those of events that were never acknowledged are not missing.
            (None, Some(torn), _) => torn,
            // The end of a segment before it may be missing, with its files.
            (None, None, Some(Record::Head(head))) => head.next..head.next,
            (None, None, _) => continue,
        };
        report.n_missing += expected.map_or(0, |expected| expected.events_until(positions.start));
        expected = expected.max(Some(positions.end));
    }
    far.read(first, end);
    Ok(())
}

/// What the two ways of making the states differ in, one line a handler.
fn compare_states(
    log: &Arc<FileLog>,
    kept: &KeptLog,
    storage: Arc<dyn Storage>,
    folder: &Path,
    (far, n_records): (&HowFar<'_>, u64),
) -> Result<Vec<String>, QueueError> {
    let end = far.end;
    let snapshots = Snapshots::new(storage, folder.join("state"));
    let loaded = snapshots
        .load()
        .map_err(|source| QueueError::Io { what: "reading the snapshots".into(), source })?;
    let first = log.head().first;
    let usable = loaded.into_iter().find(|snapshot| snapshot.header.replay_from >= first);
    let Some(snapshot) = usable else { return Ok(Vec::new()) };
    let one = recovery::from_snapshot(log, kept, snapshot, end).map_err(ReadFailure::from)?.states;
    let n_read = Cell::new(0_u64);
    let count = || {
        n_read.set(n_read.get().saturating_add(1));
        if n_read.get().is_multiple_of(TELL_EVERY) {
            far.read_again(first, n_read.get(), n_records);
        }
        true
    };
    let other = recovery::from_log(log, kept, end, &count).map_err(ReadFailure::from)?.states;
    Ok(differences(&one, &other))
}

fn differences(
    one: &BTreeMap<HandlerName, HandlerState>,
    other: &BTreeMap<HandlerName, HandlerState>,
) -> Vec<String> {
    let all: std::collections::BTreeSet<&HandlerName> = one.keys().chain(other.keys()).collect();
    let differing = all.into_iter().filter(|handler| one.get(*handler) != other.get(*handler));
    let line = |handler: &HandlerName| {
        let counts = |states: &BTreeMap<HandlerName, HandlerState>| match states.get(handler) {
            None => "unknown".to_owned(),
            Some(state) => format!("{:?} up to position {}", state.counts(), state.high().0),
        };
        let (one, other) = (counts(one), counts(other));
        format!("handler `{handler}`: by its snapshot {one}, by the log alone {other}")
    };
    differing.map(line).collect()
}

/// Whether a process has the queue open just now.
fn is_held(folder: &Path) -> bool {
    let lock = std::fs::File::open(folder.join("lock"));
    lock.is_ok_and(|lock| lock.try_lock_shared().is_err())
}

/// The file system without a way to change it: what would be changed stays as it is.
#[derive(Clone, Copy, Debug)]
struct ReadOnly;

impl Storage for ReadOnly {
    fn open(&self, path: &Path, _mode: OpenMode) -> io::Result<Arc<dyn StorageFile>> {
        OsStorage.open(path, OpenMode::Read)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(if_there(OsStorage.list(folder))?.unwrap_or_default())
    }

    fn size(&self, path: &Path) -> io::Result<u64> {
        OsStorage.size(path)
    }

    fn create_folder(&self, _folder: &Path) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_folder(&self, _folder: &Path) -> io::Result<()> {
        Ok(())
    }

    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        OsStorage.free_bytes(folder)
    }
}
