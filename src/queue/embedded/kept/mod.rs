//! The kept log: events that outlive their segment of the log, with the changes of their
//! deliveries.
//!
//! `kept/NUMBER-SALT.log`, records as in the log. Each segment begins with a footer of the one
//! before it (where it ends, and where its events stand), so that a start reads the newest segment
//! only, and knows which events a missing one had. The log's `Trim` record says how far the kept
//! log counts: bad bytes before that are damage, what is behind it is the left-over of a copy.
//! Where that record may be one of those that cannot be read, whole files behind it count as well:
//! changes carry their LSN, so those of a copy that was not finished can do no harm.
//!
//! What is needed of the oldest segment is copied to the end, together with a footer that has no
//! offset: segments up to its number count no more. Of one (handler, position) the change with the
//! highest LSN counts. A final change may go with its segment all the same: changes are only copied
//! on while their delivery is alive, so no older one can stand behind it.
//!
//! Invariants: nothing in the kept log moves or changes; of every event that is alive in a handler
//! there is a change of that handler in the same segment.

use std::collections::BTreeMap;
use std::io;
#[cfg(test)]
use std::path::Path;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

#[cfg(test)]
use bytes::Bytes;

use super::log::{Cause, Damage};
use super::record::{
    DeliveryRecord, Incarnation, KeptChanges, KeptEnd, KeptEvent, Kind, Lsn, Record, SegmentId,
};
use crate::clock::Timestamp;
use crate::event::{Dedupe, Event, HandlerName, Position};
use crate::queue::storage::{OpenMode, Storage, StorageFile};
use crate::sync::lock;

mod append;
mod compact;
mod open;
mod raw;
mod segment;
#[cfg(test)]
mod tests;

pub use raw::KeptFile;
use segment::KeptSegment;

/// Sizes of the kept log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeptOptions {
    /// A segment that is larger is closed.
    pub(crate) segment_bytes: u32,
    /// A smaller kept log is not compacted.
    pub(crate) compact_above: u64,
}

/// Whether the end that the log tells is the newest one that was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndTrust {
    Sure,
    /// A later one may have stood in what cannot be read.
    InDoubt,
}

/// A change and the LSN of its record in the log.
pub(crate) type KeptChange = (HandlerName, Incarnation, Lsn, DeliveryRecord);

/// The kept log. Any thread may read; one thread at a time appends, records and compacts.
#[derive(Debug)]
pub(crate) struct KeptLog {
    storage: Arc<dyn Storage>,
    folder: PathBuf,
    options: KeptOptions,
    contents: Mutex<Contents>,
    /// The segment that this opening writes.
    writer: Mutex<Option<Writer>>,
    /// Calls until the next look at how much is alive.
    calls_to_skip: Mutex<usize>,
    /// The oldest segment, where a compaction found it damaged, and since when, by the steady clock.
    doubted: Mutex<Option<(u32, Timestamp)>>,
}

/// What is known without reading.
#[derive(Debug, Default)]
struct Contents {
    /// Those that count, by number.
    segments: BTreeMap<u32, Arc<KeptSegment>>,
    end: KeptEnd,
    /// The highest number that was ever seen.
    last_number: u32,
    /// Segments up to this one were compacted.
    gone_through: u32,
    /// What was appended and is not recorded yet.
    pending: Option<Pending>,
    damage: Vec<Damage>,
}

/// What was appended and is not recorded yet.
#[derive(Debug)]
struct Pending {
    id: SegmentId,
    end: u32,
    events: Vec<KeptEvent>,
    mentions: Vec<Position>,
    gone_through: u32,
}

#[derive(Debug)]
struct Writer {
    id: SegmentId,
    file: Arc<dyn StorageFile>,
}

impl KeptLog {
    /// The event at a position; `None` = it is not kept, or cannot be read (see `damage`).
    pub(crate) fn find(&self, position: Position) -> io::Result<Option<(Event, Dedupe)>> {
        let mut below = u32::MAX;
        // Newest first: the copy that will stay.
        while let Some((segment, event)) = self.place_of(position, below) {
            match self.read_event(&segment, event) {
                Ok(Some(found)) => return Ok(Some(found)),
                Ok(None) => below = segment.id.number,
                // Compacted since: its events are further behind now.
                Err(err) if err.kind() == io::ErrorKind::NotFound && !self.counts(segment.id) => {
                    below = u32::MAX;
                }
                Err(err) if err.kind() == io::ErrorKind::NotFound => {
                    self.note(segment.damage(
                        event.offset,
                        event.bytes,
                        Cause::Missing { n_files: 1 },
                    ));
                    below = segment.id.number;
                }
                Err(err) => return Err(err),
            }
        }
        Ok(None)
    }

    /// The newest place of an event in segments with a number below this one.
    fn place_of(&self, position: Position, below: u32) -> Option<(Arc<KeptSegment>, KeptEvent)> {
        let contents = lock(&self.contents);
        let mut segments = contents.segments.range(..below).rev();
        segments.find_map(|(_, segment)| Some((Arc::clone(segment), segment.event(position)?)))
    }

    fn counts(&self, id: SegmentId) -> bool {
        lock(&self.contents).segments.contains_key(&id.number)
    }

    fn read_event(
        &self,
        segment: &KeptSegment,
        event: KeptEvent,
    ) -> io::Result<Option<(Event, Dedupe)>> {
        let file = self.storage.open(&self.path(segment.id), OpenMode::Read)?;
        let cause = match segment::read_record(file.as_ref(), segment.id, event.offset)? {
            Some((Kind::Event, payload)) => match Record::decode(Kind::Event, &payload) {
                Some(Record::Event(found, dedupe)) if found.position == event.position => {
                    return Ok(Some((found, dedupe)));
                }
                Some(_) | None => Cause::Undecodable,
            },
            Some(_) | None => Cause::BadChecksum,
        };
        self.note(segment.damage(event.offset, event.bytes, cause));
        Ok(None)
    }

    /// Whether the event at a position is kept.
    pub(crate) fn holds(&self, position: Position) -> bool {
        self.place_of(position, u32::MAX).is_some()
    }

    /// Whether a change of a position's delivery must be copied when its segment goes: an older one
    /// is here.
    pub(crate) fn mentions(&self, position: Position) -> bool {
        let contents = lock(&self.contents);
        contents.segments.values().any(|segment| segment.mentions(position))
    }

    /// The first position from `from` on whose event is kept.
    pub(crate) fn first_from(&self, from: Position) -> Option<Position> {
        let contents = lock(&self.contents);
        contents.segments.values().filter_map(|segment| segment.first_from(from)).min()
    }

    /// The last position before `before` whose event is kept.
    pub(crate) fn last_before(&self, before: Position) -> Option<Position> {
        let contents = lock(&self.contents);
        contents.segments.values().filter_map(|segment| segment.last_before(before)).max()
    }

    /// Where the part that counts ends.
    pub(crate) fn end(&self) -> KeptEnd {
        lock(&self.contents).end
    }

    /// The newest change of each delivery, without what people are told of the try.
    pub(crate) fn changes(&self) -> io::Result<Vec<KeptChange>> {
        let mut newest = BTreeMap::new();
        self.visit_changes(None, &mut |(handler, incarnation, lsn, change)| {
            let delivery = (handler, incarnation, change.first);
            // Within one unit the last one counts.
            if newest.get(&delivery).is_none_or(|(known, _)| *known <= lsn) {
                newest.insert(delivery, (lsn, DeliveryRecord { attempt: None, ..change }));
            }
        })?;
        let changes = newest.into_iter();
        let changes = changes
            .map(|((handler, incarnation, _), (lsn, change))| (handler, incarnation, lsn, change));
        Ok(changes.collect())
    }

    /// Gives `visit` every change that is there, those that a later one supersedes too: the attempts
    /// that led to a delivery's state. With a position, only those of segments that tell of it.
    pub(crate) fn visit_changes(
        &self,
        of: Option<Position>,
        visit: &mut dyn FnMut(KeptChange),
    ) -> io::Result<()> {
        let mut number = 0;
        while let Some((read, changes)) = self.changes_behind(number, of)? {
            changes.for_each(&mut *visit);
            number = read;
        }
        Ok(())
    }

    /// The same of the first segment behind that of this number, with its own: one segment after the
    /// other, for all changes together may be larger than the memory.
    pub(crate) fn changes_behind(
        &self,
        number: u32,
        of: Option<Position>,
    ) -> io::Result<Option<(u32, impl Iterator<Item = KeptChange> + use<>)>> {
        let segments = self.segments();
        let mut segments = segments.into_iter().filter(|segment| segment.id.number > number);
        let tells = |segment: &Arc<KeptSegment>| of.is_none_or(|of| segment.mentions(of));
        let Some(segment) = segments.find(tells) else { return Ok(None) };
        let read = segment.read(self.storage.as_ref(), &self.path(segment.id))?;
        // One that was compacted since is not missing.
        if self.counts(segment.id) {
            read.damage.iter().for_each(|damage| self.note(damage.clone()));
        }
        let changes = read.into_changes().flat_map(|told| {
            let KeptChanges { handler, incarnation, changes } = told;
            changes
                .into_iter()
                .map(move |(lsn, change)| (handler.clone(), incarnation, lsn, change))
        });
        Ok(Some((segment.id.number, changes)))
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.contents).segments.values().map(|segment| segment.events.len()).sum()
    }

    /// Bytes on disk.
    pub(crate) fn bytes(&self) -> u64 {
        lock(&self.contents).segments.values().map(|segment| u64::from(segment.end)).sum()
    }

    /// What cannot be read, with file and offset.
    pub(crate) fn damage(&self) -> Vec<String> {
        lock(&self.contents).damage.iter().map(|damage| damage.describe("kept")).collect()
    }

    /// Positions of which a change may be missing, because bytes of their segment cannot be read;
    /// known after `changes`. A rebuild takes the delivery of each to a handler that has no change
    /// of it for open: a repeat at worst, where it would be a loss.
    pub(crate) fn unsure(&self) -> Vec<Position> {
        let contents = lock(&self.contents);
        let is_damaged = |segment: &&Arc<KeptSegment>| {
            contents.damage.iter().any(|damage| damage.segment.number == segment.id.number)
        };
        let damaged = contents.segments.values().filter(is_damaged);
        let positions = damaged.flat_map(|segment| {
            let events = segment.events.iter().map(|event| event.position);
            events.chain(segment.mentions.iter().copied())
        });
        positions.collect()
    }

    /// Remembers damage, and logs it the first time. Of two overlapping stretches the wider stays.
    fn note(&self, damage: Damage) {
        let known = &mut lock(&self.contents).damage;
        if known.iter().any(|known| known.covers(&damage)) {
            return;
        }
        let n_known = known.len();
        known.retain(|known| !damage.covers(known));
        if known.len() == n_known {
            let damage = damage.describe("kept");
            tracing::error!(damage, "The kept log is damaged; the rest of it is served");
        }
        known.push(damage);
    }

    fn segments(&self) -> Vec<Arc<KeptSegment>> {
        lock(&self.contents).segments.values().cloned().collect()
    }

    fn path(&self, id: SegmentId) -> PathBuf {
        self.folder.join(id.file_name())
    }
}
