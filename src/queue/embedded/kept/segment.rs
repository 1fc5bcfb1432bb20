//! One segment of the kept log: what it has, and reading it.

use std::io;
use std::path::Path;

use bytes::Bytes;

use super::super::log::{Cause, Damage, is_scarce};
use super::super::record::{
    HEADER_BYTES, Header, KeptChanges, KeptEvent, KeptFooter, Kind, Next, Record, Scan, SegmentId,
    Validity, end_of, examine, offset_of,
};
use crate::event::Position;
use crate::queue::storage::{OpenMode, Storage, StorageFile, if_there};

/// What the disk gives at once or not at all.
const BLOCK_BYTES: usize = 4096;

/// A segment that counts.
#[derive(Clone, Debug)]
pub(super) struct KeptSegment {
    pub(super) id: SegmentId,
    /// Behind the last record that counts.
    pub(super) end: u32,
    /// By position.
    pub(super) events: Vec<KeptEvent>,
    /// Positions, ascending, that its changes name and whose event it does not have.
    pub(super) mentions: Vec<Position>,
}

impl KeptSegment {
    pub(super) const fn new(id: SegmentId) -> Self {
        Self { id, end: 0, events: Vec::new(), mentions: Vec::new() }
    }

    /// Adds what was found or written up to `end`.
    pub(super) fn extend(&mut self, end: u32, events: Vec<KeptEvent>, mentions: Vec<Position>) {
        self.end = end;
        self.events.extend(events);
        self.events.sort_unstable();
        self.mentions.extend(mentions);
        self.mentions.sort_unstable();
        self.mentions.dedup();
        let events = &self.events;
        self.mentions.retain(|at| events.binary_search_by_key(at, |event| event.position).is_err());
    }

    pub(super) fn event(&self, position: Position) -> Option<KeptEvent> {
        let at = self.events.binary_search_by_key(&position, |event| event.position).ok()?;
        self.events.get(at).copied()
    }

    pub(super) fn mentions(&self, position: Position) -> bool {
        self.event(position).is_some() || self.mentions.binary_search(&position).is_ok()
    }

    pub(super) fn first_from(&self, from: Position) -> Option<Position> {
        let at = self.events.partition_point(|event| event.position < from);
        self.events.get(at).map(|event| event.position)
    }

    pub(super) fn last_before(&self, before: Position) -> Option<Position> {
        let at = self.events.partition_point(|event| event.position < before);
        self.events.get(at.checked_sub(1)?).map(|event| event.position)
    }

    pub(super) fn footer(&self) -> KeptFooter {
        let end = super::KeptEnd { number: self.id.number, offset: self.end };
        KeptFooter { end, events: self.events.clone(), mentions: self.mentions.clone() }
    }

    pub(super) const fn damage(&self, offset: u32, bytes: u32, cause: Cause) -> Damage {
        Damage { segment: self.id, offset, bytes, cause }
    }

    /// Reads all records that count. What cannot be read is left out and named. An error is one of
    /// the moment, or says that a newer version wrote this.
    pub(super) fn read(&self, storage: &dyn Storage, path: &Path) -> io::Result<Records> {
        let mut bytes = vec![0; self.end as usize];
        let cause = match if_there(storage.open(path, OpenMode::Read))? {
            Some(file) => fill(file.as_ref(), &mut bytes),
            None => Some(Cause::Missing { n_files: 1 }),
        };
        self.walk(&bytes.into(), cause.unwrap_or(Cause::BadChecksum))
    }

    /// The same at a start, which does not wait for a file that cannot be opened: all of it is
    /// left out and named.
    pub(super) fn read_at_start(&self, storage: &dyn Storage, path: &Path) -> io::Result<Records> {
        match self.read(storage, path) {
            Err(err) if is_scarce(&err) || err.kind() == io::ErrorKind::InvalidData => Err(err),
            Err(err) => {
                let damage = self.damage(0, self.end, Cause::Io(err.kind()));
                Ok(Records { damage: vec![damage], ..Records::default() })
            }
            read => read,
        }
    }

    /// Finds the records; `cause` is why there may be gaps between them.
    fn walk(&self, bytes: &Bytes, cause: Cause) -> io::Result<Records> {
        let mut read = Records::default();
        let mut scan = Scan::new(bytes, 0, self.id);
        let mut at = 0;
        while at < bytes.len() {
            let next = scan.next(at);
            let begin = match next {
                Some(Next::Whole { at, .. } | Next::Unsupported { at, .. }) => at,
                None => bytes.len(),
            };
            if begin > at {
                read.damage.push(self.damage(offset_of(at), offset_of(begin - at), cause));
            }
            at = match next {
                Some(Next::Whole { header, kind, .. }) => {
                    let end = begin + header.record_bytes();
                    let payload = bytes.slice(begin + HEADER_BYTES..end);
                    read.records.push((offset_of(begin), kind, payload));
                    end
                }
                Some(Next::Unsupported { .. }) => return Err(unsupported()),
                None => bytes.len(),
            };
        }
        read.note_undecodable(self);
        Ok(read)
    }
}

/// The records of a segment.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// Offset, kind, payload.
    pub(super) records: Vec<(u32, Kind, Bytes)>,
    pub(super) damage: Vec<Damage>,
}

impl Records {
    /// Whole changes that make no sense are damage: a delivery's state is missing.
    fn note_undecodable(&mut self, segment: &KeptSegment) {
        let is_senseless = |kind: Kind, payload: &Bytes| {
            kind == Kind::KeptChanges && Record::decode(kind, payload).is_none()
        };
        let senseless =
            self.records.iter().filter(|(_, kind, payload)| is_senseless(*kind, payload));
        let damage = senseless.map(|(offset, _, payload)| {
            segment.damage(*offset, offset_of(payload.len() + HEADER_BYTES), Cause::Undecodable)
        });
        self.damage.extend(damage);
    }

    /// Behind the last one.
    pub(super) fn end(&self) -> Option<u32> {
        let (offset, _, payload) = self.records.last()?;
        Some(end_of(*offset, HEADER_BYTES + payload.len()))
    }

    pub(super) fn changes(&self) -> impl Iterator<Item = KeptChanges> {
        self.records.iter().filter_map(changes_of)
    }

    pub(super) fn into_changes(self) -> impl Iterator<Item = KeptChanges> {
        self.records.into_iter().filter_map(|record| changes_of(&record))
    }

    pub(super) fn footers(&self) -> impl Iterator<Item = KeptFooter> {
        self.records.iter().filter_map(|(_, kind, payload)| match Record::decode(*kind, payload) {
            Some(Record::KeptFooter(footer)) => Some(footer),
            Some(_) | None => None,
        })
    }
}

fn changes_of((_, kind, payload): &(u32, Kind, Bytes)) -> Option<KeptChanges> {
    match Record::decode(*kind, payload) {
        Some(Record::KeptChanges(changes)) => Some(changes),
        Some(_) | None => None,
    }
}

/// Reads as much as the disk gives; the rest stays as it is. Gives why something is missing.
fn fill(file: &dyn StorageFile, bytes: &mut [u8]) -> Option<Cause> {
    let Err(err) = file.read_at(bytes, 0) else { return None };
    for (number, block) in bytes.chunks_mut(BLOCK_BYTES).enumerate() {
        if file.read_at(block, (number * BLOCK_BYTES) as u64).is_err() {
            block.fill(0);
        }
    }
    Some(Cause::Io(err.kind()))
}

/// The record at an offset; `None` = there is no whole one.
pub(super) fn read_record(
    file: &dyn StorageFile,
    id: SegmentId,
    offset: u32,
) -> io::Result<Option<(Kind, Bytes)>> {
    let mut head = [0; HEADER_BYTES];
    file.read_at(&mut head, offset.into())?;
    let Some(header) = Header::parse(&head) else { return Ok(None) };
    // Do not believe a length before the bytes are there.
    if u64::from(offset) + header.record_bytes() as u64 > file.size()? {
        return Ok(None);
    }
    let mut bytes = vec![0; header.record_bytes()];
    file.read_at(&mut bytes, offset.into())?;
    match examine(&bytes, 0, id) {
        Validity::Whole(_, kind) => Ok(Some((kind, Bytes::from(bytes).slice(HEADER_BYTES..)))),
        Validity::Unsupported(_) => Err(unsupported()),
        Validity::Bad => Ok(None),
    }
}

fn unsupported() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a newer version wrote the kept log")
}
