//! Reading version 1's journal with version 1's meaning: of each handler the last place counts, of
//! each delivery the last change.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::event::{Event, EventId, HandlerName, Position};
use crate::queue::QueueError;
use crate::queue::embedded::keys::KeyEntry;
use crate::queue::journal::{FileSystem, Location, OsFileSystem, Reader, Segments, Survey, survey};
use crate::queue::record::{Change, Place, Record, SettleBatch};

/// What version 1 left, apart from the events in its segments.
#[derive(Debug)]
pub(super) struct Old {
    pub(super) segments: Arc<Segments>,
    pub(super) end: Location,
    /// The oldest position of the segments.
    pub(super) first: Position,
    /// The position that the next event gets.
    pub(super) next: Position,
    pub(super) newest_id: Option<EventId>,
    pub(super) n_events: u64,
    pub(super) places: BTreeMap<HandlerName, Place>,
    /// The deliveries that wait, are held or dead.
    pub(super) entries: BTreeMap<HandlerName, BTreeMap<Position, Change>>,
    /// Where the newest copy stands of each event that was copied forward.
    pub(super) carried: BTreeMap<Position, Location>,
    /// Keys of events that are gone.
    pub(super) keys: Vec<KeyEntry>,
}

/// Reads all of the journal in `folder`, and changes nothing.
pub(super) fn read(folder: &Path) -> Result<Old, QueueError> {
    let failed = |source| QueueError::Io { what: "reading the old journal".into(), source };
    let fs: Arc<dyn FileSystem> = Arc::new(OsFileSystem);
    let Survey { segments, end, .. } = survey(fs, folder).map_err(failed)?;
    let first = segments.all().first().map_or(Position(1), |oldest| oldest.first);
    let mut old = Old {
        segments: Arc::clone(&segments),
        end: end.unwrap_or(Location::start_of(0)),
        first,
        next: first.max(Position(1)),
        newest_id: None,
        n_events: 0,
        places: BTreeMap::new(),
        entries: BTreeMap::new(),
        carried: BTreeMap::new(),
        keys: Vec::new(),
    };
    let mut reader = Reader::new(segments, Location::start_of(0));
    while let Some(found) = reader.next(old.end).map_err(failed)? {
        match found.decode() {
            Ok(record) => old.take_in(record, found.at),
            // Whole bytes that make no sense: what else there is counts.
            Err(err) => tracing::error!(error = %err, "A record of the old journal is left out"),
        }
    }
    // What was copied forward and is needed by nobody any more does not count.
    let needed = |position: &Position| old.entries.values().any(|its| its.contains_key(position));
    let carried = std::mem::take(&mut old.carried).into_iter();
    old.carried = carried.filter(|(at, _)| *at < first && needed(at)).collect();
    Ok(old)
}

impl Old {
    /// Events in the order of the log; `visit` stops at an error.
    pub(super) fn each_event<E: From<QueueError>>(
        &self,
        mut visit: impl FnMut(Event, crate::event::Dedupe) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut reader = Reader::new(Arc::clone(&self.segments), Location::start_of(0));
        loop {
            let found = reader.next(self.end).map_err(|source| QueueError::Io {
                what: "reading the old journal".into(),
                source,
            })?;
            let Some(found) = found else { return Ok(()) };
            if let Ok(Record::Event(event, dedupe)) = found.decode() {
                visit(event, dedupe)?;
            }
        }
    }

    /// An event that was copied forward.
    pub(super) fn carried_event(&self, at: Location) -> Option<Event> {
        let mut reader = Reader::new(Arc::clone(&self.segments), at);
        match reader.next(self.end).ok()??.decode().ok()? {
            Record::Carried(event, _) => Some(event),
            Record::Event(..)
            | Record::Settled(_)
            | Record::Checkpoint(_)
            | Record::Keys(_)
            | Record::Filler => None,
        }
    }

    fn take_in(&mut self, record: Record, at: Location) {
        match record {
            Record::Event(event, _) => {
                self.n_events += 1;
                self.next = self.next.max(event.position.next());
                self.newest_id = self.newest_id.max(Some(event.id));
            }
            Record::Carried(event, _) => {
                self.carried.insert(event.position, at);
                self.newest_id = self.newest_id.max(Some(event.id));
            }
            Record::Settled(batch) => self.settle(batch),
            Record::Checkpoint(places) => {
                self.next = self.next.max(places.next);
                self.entries.retain(|handler, _| places.by_handler.contains_key(handler));
                self.places = places.by_handler;
            }
            Record::Keys(keys) => self.keys.extend(keys.0.into_iter().map(|key| KeyEntry {
                key: key.key,
                id: key.id,
                received_at: key.received_at,
                window: key.window,
            })),
            Record::Filler => {}
        }
    }

    fn settle(&mut self, batch: SettleBatch) {
        for section in batch.sections {
            let entries = self.entries.entry(section.handler.clone()).or_default();
            for change in section.changes {
                if change.state.is_entry() {
                    entries.insert(change.position, change);
                } else {
                    entries.remove(&change.position);
                }
            }
            self.places.insert(section.handler, section.place);
        }
    }
}
