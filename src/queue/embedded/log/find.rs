//! Finds events by position.

use std::sync::Arc;

use super::{FileLog, LogReader, ReadError};
use crate::event::{Dedupe, Event, Position};
use crate::queue::embedded::record::Lsn;
use crate::queue::names::Names;

/// How many events a [`Finder`] reads past before it looks for the next one anew.
const READ_ON_MAX: u64 = 64;

/// Finds one event after another: one that stands shortly behind the last one in the log is read
/// on to, not looked for.
#[derive(Debug, Default)]
pub(crate) struct Finder {
    stand: Option<Stand>,
    names: Names,
}

/// Where a [`Finder`] is.
#[derive(Debug)]
struct Stand {
    reader: LogReader,
    /// The least position that may come next.
    next: Position,
}

impl Finder {
    /// The event at `position` with its dedupe key and its LSN; `None` = it cannot be read, or
    /// there is none yet. [`ReadError::Trimmed`] = the log does not go back to it.
    pub(crate) fn event_at(
        &mut self,
        log: &Arc<FileLog>,
        position: Position,
    ) -> Result<Option<(Event, Dedupe, Lsn)>, ReadError> {
        loop {
            let stood = self.stand.is_some();
            match self.search(log, position) {
                // It stood in a segment that is gone since; the event is in a later one.
                Err(ReadError::Trimmed) if stood && position >= log.head().first_position => {}
                found => return found,
            }
        }
    }

    fn search(
        &mut self,
        log: &Arc<FileLog>,
        position: Position,
    ) -> Result<Option<(Event, Dedupe, Lsn)>, ReadError> {
        let head = log.head();
        if position < head.first_position {
            self.stand = None;
            return Err(ReadError::Trimmed);
        }
        if position >= head.next_position {
            return Ok(None);
        }
        let is_near = |stand: &Stand| {
            let ahead = position.0.checked_sub(stand.next.0);
            ahead.is_some_and(|ahead| ahead <= READ_ON_MAX)
        };
        // Events are mostly asked for in ascending order: reading on is cheaper than another
        // look-up.
        let mut reader = match self.stand.take().filter(is_near) {
            Some(stand) => stand.reader,
            None => LogReader::new(Arc::clone(log), log.locate(position)?),
        };
        while let Some(found) = reader.next(head.next)? {
            match found.position() {
                Some(at) if at == position => {
                    self.stand = Some(Stand { reader, next: position.next() });
                    let decoded = found.decode_event(&mut self.names);
                    if decoded.is_none() {
                        log.note_undecodable(&found);
                    }
                    return Ok(decoded.map(|(event, dedupe)| (event, dedupe, found.lsn)));
                }
                // A gap: the event is damaged or torn. The reader stays in front of the next one.
                Some(at) if at > position => {
                    reader.seek(found.lsn);
                    self.stand = Some(Stand { reader, next: at });
                    break;
                }
                Some(_) | None => {}
            }
        }
        // What was not found may have been trimmed meanwhile.
        if position < log.head().first_position { Err(ReadError::Trimmed) } else { Ok(None) }
    }
}
