//! Dedupe keys that are read off the log again, as many at a time as one memtable holds.

use std::io;
use std::sync::Arc;

use super::events::ReadFailure;
use super::keys::{KeyEntry, KeyMemtable, KeyRuns, Step};
use super::log::{FileLog, LogReader, ReadError};
use super::record::{Kind, Lsn, Record};
use crate::event::Dedupe;
use crate::queue::QueueError;

/// Makes some of the keys of a run that is damaged or missing anew, as far as the log still has their
/// events: as many as one memtable holds.
pub(super) fn remake_step(log: &Arc<FileLog>, runs: &KeyRuns) -> Result<Step, QueueError> {
    let Some(records) = runs.next_to_remake().map_err(keys_failed)? else { return Ok(Step::Idle) };
    let first = log.head().first;
    let from = records.start.max(first).min(records.end);
    let mut memtable = KeyMemtable::new(from, runs.options());
    let through = read_keys(log, &mut memtable, from, records.end).map_err(ReadFailure::from)?;
    runs.add_frozen(memtable.freeze(through));
    runs.remade(&records, first, through).map_err(keys_failed)?;
    Ok(Step::Again)
}

/// Adds the keys of the records from `from` on until the memtable is full or `end` is reached, and
/// gives where it goes on.
pub(super) fn read_keys(
    log: &Arc<FileLog>,
    memtable: &mut KeyMemtable,
    from: Lsn,
    end: Lsn,
) -> Result<Lsn, ReadError> {
    let mut reader = LogReader::new(Arc::clone(log), from);
    while let Some(found) = reader.next(end)? {
        if memtable.is_full(found.lsn, log.segment_bytes.into()) {
            return Ok(found.lsn);
        }
        if found.kind != Kind::Event {
            continue;
        }
        if let Some(Record::Event(event, Dedupe::Within { key, window })) = found.decode() {
            let entry = KeyEntry { key, id: event.id, received_at: event.received_at, window };
            memtable.insert(entry, found.lsn);
        }
    }
    Ok(end)
}

pub(super) fn keys_failed(source: io::Error) -> QueueError {
    QueueError::Io { what: "writing the dedupe keys".into(), source }
}
