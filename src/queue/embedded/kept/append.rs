//! Appending to the kept log.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::super::record::{
    KeptChanges, KeptEnd, KeptEvent, KeptFooter, Kind, SegmentId, UnitBuilder, next_number,
    offset_of,
};
use super::open::split_behind;
use super::segment::KeptSegment;
use super::{KeptLog, Pending, Writer};
use crate::event::Position;
use crate::queue::storage::OpenMode;
use crate::sync::lock;

/// What one append writes.
#[derive(Debug)]
pub(super) struct Copy<'a> {
    pub(super) events: &'a [(Position, Bytes)],
    pub(super) changes: &'a [KeptChanges],
    /// Segments up to this one are compacted with it.
    pub(super) gone_through: u32,
}

impl KeptLog {
    /// Writes events (their payloads as they stood) and changes, durably. They do not count until
    /// `record` is called with the end that this gives, after the committer has recorded it.
    pub(crate) fn append(
        &self,
        salt: u64,
        events: &[(Position, Bytes)],
        changes: &[KeptChanges],
    ) -> io::Result<KeptEnd> {
        let gone_through = lock(&self.contents).gone_through;
        self.write(salt, &Copy { events, changes, gone_through })
    }

    /// The committer has recorded `end`: what was appended up to it counts from now on. To be
    /// called before a reader can see the log's new `first`.
    pub(crate) fn record(&self, end: KeptEnd) {
        let mut contents = lock(&self.contents);
        let is_end = |pending: &mut Pending| {
            KeptEnd { number: pending.id.number, offset: pending.end } == end
        };
        let Some(pending) = contents.pending.take_if(is_end) else { return };
        contents.end = end;
        let new = || Arc::new(KeptSegment::new(pending.id));
        let segment = contents.segments.entry(pending.id.number).or_insert_with(new);
        Arc::make_mut(segment).extend(pending.end, pending.events, pending.mentions);
        if pending.gone_through > contents.gone_through {
            contents.gone_through = pending.gone_through;
            contents.segments = split_behind(&mut contents.segments, pending.gone_through);
        }
    }

    /// Forgets what was appended, because it is certain that it is not recorded.
    pub(crate) fn discard_unrecorded(&self) {
        lock(&self.contents).pending = None;
    }

    pub(super) fn write(&self, salt: u64, copy: &Copy<'_>) -> io::Result<KeptEnd> {
        let mut own = lock(&self.writer);
        // The thread that appended it did not wait for the committer, which may record it yet:
        // nothing is written over it.
        if lock(&self.contents).pending.take().is_some() {
            drop(own.take());
        }
        let end = self.end();
        // A segment that is to be compacted cannot take the copy.
        let fits = |writer: &Writer| {
            let is_new = writer.id.number > end.number;
            writer.id.number > copy.gone_through
                && (is_new || end.offset < self.options.segment_bytes)
        };
        let writer = match own.take().filter(fits) {
            Some(writer) => writer,
            None => self.create(salt)?,
        };
        let start = if writer.id.number == end.number { end.offset } else { 0 };
        let (unit, pending) = self.unit(writer.id, start, copy);
        let written = writer
            .file
            .write_all_at(unit.bytes(), start.into())
            .and_then(|()| writer.file.sync_data())
            .and_then(
                |()| if start == 0 { self.storage.sync_folder(&self.folder) } else { Ok(()) },
            );
        if let Err(err) = written {
            // After a failed sync nothing is known of this file's pages: the next append begins
            // another one. Of one that does not count yet nothing is to stay on a full disk.
            if start == 0
                && let Err(err) = self.storage.remove(&self.path(writer.id))
            {
                tracing::warn!("an unfinished segment of the kept log cannot be removed: {err}");
            }
            return Err(err);
        }
        *own = Some(writer);
        let end = KeptEnd { number: pending.id.number, offset: pending.end };
        lock(&self.contents).pending = Some(pending);
        Ok(end)
    }

    fn create(&self, salt: u64) -> io::Result<Writer> {
        let number = {
            let mut contents = lock(&self.contents);
            contents.last_number = next_number(contents.last_number);
            contents.last_number
        };
        self.storage.create_folder(&self.folder)?;
        if number == 1
            && let Some(parent) = self.folder.parent()
        {
            self.storage.sync_folder(parent)?;
        }
        let id = SegmentId { number, salt };
        let file = self.storage.open(&self.path(id), OpenMode::Create)?;
        Ok(Writer { id, file })
    }

    /// The bytes of a copy, and what will be known of it.
    fn unit(&self, id: SegmentId, start: u32, copy: &Copy<'_>) -> (UnitBuilder, Pending) {
        let mut unit = UnitBuilder::new(id, start, Vec::new());
        let before = lock(&self.contents).segments.last_key_value().map(|(_, last)| last.footer());
        if start == 0
            && let Some(footer) = before
        {
            unit.push_kept_footer(&footer);
        }
        let mark = KeptEnd { number: copy.gone_through, offset: 0 };
        if mark.number > 0 && (start == 0 || mark.number > lock(&self.contents).gone_through) {
            unit.push_kept_footer(&KeptFooter { end: mark, ..KeptFooter::default() });
        }
        let mut events = BTreeMap::new();
        for (position, payload) in copy.events {
            let lsn = unit.push(Kind::Event, |out| out.extend_from_slice(payload));
            let bytes = unit.next_lsn().bytes_since(lsn);
            let (position, offset) = (*position, lsn.offset());
            events.insert(position, KeptEvent { position, offset, bytes });
        }
        let mut mentions = Vec::new();
        for told in copy.changes {
            let lsn = unit.push_kept_changes(told);
            let bytes = unit.next_lsn().bytes_since(lsn);
            let share = bytes / offset_of(told.changes.len()).max(1);
            for (_, change) in &told.changes {
                match events.get_mut(&change.first) {
                    Some(event) => event.bytes += share,
                    None => mentions.push(change.first),
                }
            }
        }
        let (end, events) = (unit.next_lsn().offset(), events.into_values().collect());
        let gone_through = copy.gone_through;
        (unit, Pending { id, end, events, mentions, gone_through })
    }
}
