//! The dedupe keys at a start: those in runs, and those that are read off the log.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::events::ReadFailure;
use super::keys::{KeyMemtable, KeyRuns, Step, UnansweredKeys};
use super::layout::opening;
use super::lived::{self, ANSWER_TIME};
use super::log::{FileLog, LogReader, ReadError, Survey};
use super::record::{Kind, Lsn, Record};
use super::remake::{read_keys, remake_step};
use super::settings::Settings;
use super::snapshot::Snapshots;
use crate::clock::{Clock, Timestamp};
use crate::event::Dedupe;
use crate::queue::QueueError;
use crate::queue::storage::{OpenMode, if_there};

/// What is known of keys.
pub(super) struct RecoveredKeys {
    pub(super) runs: KeyRuns,
    /// The newest ones.
    pub(super) memtable: KeyMemtable,
    pub(super) unanswered: UnansweredKeys,
}

impl RecoveredKeys {
    /// Opens the runs, and reads the keys of the newest records of the log, which ends at `end`. Where
    /// more of it than `rebuild_at_once` has none in runs, the older ones are remade behind the queue's
    /// back, a piece at each look of the cleaner.
    pub(super) fn find(
        settings: &Settings,
        (survey, end): (&Survey, Lsn),
        snapshots: &Snapshots,
        clock: &dyn Clock,
    ) -> Result<Self, QueueError> {
        let failed = opening("the dedupe keys");
        let (log, folder) = (&survey.log, settings.folder.join("keys"));
        let newest_told = snapshots.newest().keys_from;
        let note = settings.folder.join("keys.missing");
        let were_there = were_there(settings, &note, newest_told).map_err(&failed)?;
        // The log's own newest id: keys of events that it has lost must not swallow their repeats.
        let (storage, options) = (Arc::clone(&settings.storage), settings.key_options());
        let runs = KeyRuns::open(storage, &folder, survey.newest_id, options).map_err(&failed)?;
        // What cannot be read just now comes back with its keys once the disk gives it again.
        let is_lost = survey.doubtful_events == 0 && !log.may_come_back();
        if is_lost && let Err(err) = runs.drop_lost(end) {
            tracing::warn!(error = %err, "Keys of events that the log has lost cannot be taken out");
        }
        // Without the folder nothing is in runs, whatever a snapshot says.
        let told = if were_there { newest_told } else { Lsn::default() };
        // What is before the log's first record went with its keys in runs.
        let mut from = told.max(runs.written_through()).max(log.head().first).min(end);
        let n_bytes = from.bytes_until(end, settings.segment_bytes.into());
        let is_large = n_bytes > settings.rebuild_at_once;
        let mut is_noted = true;
        if told == Lsn::default() && (is_large || from < newest_told) {
            let recent = if is_large { Lsn::start_of(end.segment()) } else { Lsn::default() };
            // Up to where the snapshot says that keys are in runs: a later start believes it again.
            let recent = recent.max(newest_told).min(end).max(from);
            is_noted = runs.set_missing(from..recent);
            from = recent;
        }
        if !were_there && is_noted {
            if_there(settings.storage.remove(&note)).map_err(&failed)?;
        }
        // A copy of a shared log takes nothing over before it knows every key that the others know.
        let is_at_once = settings.is_copy_of_shared || (!were_there && !is_large);
        while is_at_once && remake_step(log, &runs)? == Step::Again {}
        let mut memtable = KeyMemtable::new(from, options);
        while from < end {
            from = read_keys(log, &mut memtable, from, end).map_err(ReadFailure::from)?;
            if from < end {
                runs.add_frozen(memtable.freeze(from));
            }
        }
        let left = settings.unanswered_file().take(clock);
        let unanswered = if survey.is_closed || survey.end.is_none() {
            left
        } else {
            let lived_until = lived::read(settings.storage.as_ref(), &settings.folder);
            let times = (lived_until.unwrap_or_default(), clock);
            read_unanswered(log, end, times).map_err(ReadFailure::from)?
        };
        Ok(Self { runs, memtable, unanswered })
    }
}

/// Whether the folder of the runs is there and says by itself which keys are missing. Where it is gone
/// and a snapshot tells of keys in it, the file `note` says so until that is noted in the folder: a
/// start that is ended in between would else leave a folder that the next one believes.
fn were_there(settings: &Settings, note: &Path, newest_told: Lsn) -> io::Result<bool> {
    let storage = &settings.storage;
    if if_there(storage.size(note))?.is_some() {
        return Ok(false);
    }
    let are_there = if_there(storage.list(&settings.folder.join("keys")))?.is_some();
    if !are_there && newest_told > Lsn::default() {
        storage.open(note, OpenMode::Create)?;
        storage.sync_folder(&settings.folder)?;
    }
    Ok(are_there)
}

/// The keys of events whose answers cannot be known to have arrived, after a start that follows no
/// close: those stored within [`ANSWER_TIME`] before the end of the process, which lived until
/// `lived_until` and its newest event at least.
fn read_unanswered(
    log: &Arc<FileLog>,
    end: Lsn,
    (lived_until, clock): (Timestamp, &dyn Clock),
) -> Result<UnansweredKeys, ReadError> {
    let mut found = Vec::new();
    let mut reader = LogReader::new(Arc::clone(log), Lsn::start_of(end.segment()));
    while let Some(record) = reader.next(end)? {
        if record.kind != Kind::Event {
            continue;
        }
        if let Some(Record::Event(event, dedupe)) = record.decode() {
            found.push((event.received_at, event.id, dedupe));
        }
    }
    let newest = found.iter().map(|(received_at, ..)| *received_at).max().unwrap_or_default();
    let ended_at = newest.max(lived_until);
    // As old as they are: each start would else make them new, and a process that was killed again
    // hours later would take an equal event of then for a repeat.
    let ended_at_steady = clock.steady().before(clock.now().since(ended_at));
    let mut keys = UnansweredKeys::default();
    for (received_at, id, dedupe) in found {
        if let Dedupe::Unanswered { key } = dedupe
            && ended_at.since(received_at) <= ANSWER_TIME
        {
            keys.insert(key, id, ended_at_steady);
        }
    }
    Ok(keys)
}
