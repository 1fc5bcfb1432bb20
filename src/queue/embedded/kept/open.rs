//! Opening the kept log.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::super::log::{Cause, is_scarce};
use super::super::record::{
    KeptEnd, KeptEvent, KeptFooter, Kind, Record, SegmentId, next_number, offset_of, position_of,
};
use super::segment::{KeptSegment, Records, read_record};
use super::{EndTrust, KeptLog, KeptOptions};
use crate::queue::storage::{OpenMode, Storage, if_there};
use crate::sync::lock;

impl KeptLog {
    /// Opens what counts up to `recorded`, the end that the log's newest record says; what is
    /// behind it is removed. Where that is in doubt, as where a segment is missing, everything that is
    /// whole counts and nothing is removed. Reads the newest segment, and the first record of each other one.
    pub(crate) fn open(
        storage: Arc<dyn Storage>,
        folder: &Path,
        (recorded, trust): (KeptEnd, EndTrust),
        options: KeptOptions,
    ) -> io::Result<Self> {
        let kept = Self {
            storage: Arc::clone(&storage),
            folder: folder.to_path_buf(),
            options,
            contents: Mutex::default(),
            writer: Mutex::default(),
            calls_to_skip: Mutex::default(),
            doubted: Mutex::default(),
        };
        let mut files = kept.files()?;
        let last_number = files.keys().copied().max().unwrap_or(0).max(recorded.number);
        let is_there = recorded.number == 0 || files.contains_key(&recorded.number);
        let is_sure = trust == EndTrust::Sure && is_there;
        let end = if is_sure { recorded } else { kept.end_of_what_is_there(&files, recorded)? };
        let mut left_over = split_behind(&mut files, end.number);
        let (newest, told_gone) = kept.open_newest(&mut files, end)?;
        if is_sure && kept.is_one_missing(&files, newest.as_ref(), told_gone)? {
            // It may have been compacted, and the log's record of that be gone: the copy counts.
            return Self::open(storage, folder, (recorded, EndTrust::InDoubt), options);
        }
        // In doubt a compaction may not count: what it would have removed does where it is there.
        let oldest = files.keys().next().copied().unwrap_or(end.number);
        let gone_through =
            if is_sure { told_gone } else { told_gone.min(oldest.saturating_sub(1)) };
        let mut counted = split_behind(&mut files, gone_through);
        left_over.append(&mut files);
        if is_sure {
            kept.remove(left_over.values())?;
        } else if end > recorded {
            kept.make_durable(newest.as_ref())?;
        }
        {
            let mut contents = lock(&kept.contents);
            (contents.end, contents.last_number) = (end, last_number);
            contents.gone_through = gone_through;
        }
        kept.open_older(newest, &mut counted, told_gone)?;
        Ok(kept)
    }

    /// Whether a segment before the oldest one that is there should be there too.
    fn is_one_missing(
        &self,
        files: &BTreeMap<u32, SegmentId>,
        newest: Option<&KeptSegment>,
        told_gone: u32,
    ) -> io::Result<bool> {
        let oldest = files.values().next().copied().or(newest.map(|segment| segment.id));
        let Some(oldest) = oldest.map(KeptSegment::new) else { return Ok(false) };
        let footer = self.first_footer(&oldest)?;
        Ok(footer.is_some_and(|footer| footer.end.number > told_gone))
    }

    /// What was not recorded counts from here on: it must be there after a power cut.
    fn make_durable(&self, newest: Option<&KeptSegment>) -> io::Result<()> {
        if let Some(segment) = newest {
            self.storage.open(&self.path(segment.id), OpenMode::Write)?.sync_data()?;
        }
        self.storage.sync_folder(&self.folder)
    }

    /// Behind the last whole record of all, at least `recorded`.
    fn end_of_what_is_there(
        &self,
        files: &BTreeMap<u32, SegmentId>,
        recorded: KeptEnd,
    ) -> io::Result<KeptEnd> {
        for id in files.range(recorded.number..).rev().map(|(_, id)| *id) {
            let mut segment = KeptSegment::new(id);
            segment.end = self.size_of(id)?;
            let read = segment.read_at_start(self.storage.as_ref(), &self.path(id))?;
            if let Some(end) = read.end() {
                return Ok(recorded.max(KeptEnd { number: id.number, offset: end }));
            }
        }
        Ok(recorded)
    }

    /// How long a segment's file is. Behind 4 GiB no record of it is looked for.
    fn size_of(&self, id: SegmentId) -> io::Result<u32> {
        let size = self.storage.size(&self.path(id))?;
        Ok(u32::try_from(size).unwrap_or(u32::MAX))
    }

    pub(super) fn files(&self) -> io::Result<BTreeMap<u32, SegmentId>> {
        let paths = if_there(self.storage.list(&self.folder))?;
        let ids = paths.iter().flatten().filter_map(|path| SegmentId::of_file(path));
        Ok(ids.map(|id| (id.number, id)).collect())
    }

    /// The segment in which the part that counts ends, and up to which number segments are gone.
    fn open_newest(
        &self,
        files: &mut BTreeMap<u32, SegmentId>,
        recorded: KeptEnd,
    ) -> io::Result<(Option<KeptSegment>, u32)> {
        if recorded.number == 0 {
            return Ok((None, 0));
        }
        // Without its file nothing is known of it but that it is missing.
        let unknown = SegmentId { number: recorded.number, salt: 0 };
        let mut segment = KeptSegment::new(files.remove(&recorded.number).unwrap_or(unknown));
        segment.end = recorded.offset;
        let records = self.scan(&mut segment)?;
        let gone = records.footers().filter(is_gone_mark).map(|footer| footer.end.number).max();
        Ok((Some(segment), gone.unwrap_or(0)))
    }

    /// Reads a segment to know what it has.
    fn scan(&self, segment: &mut KeptSegment) -> io::Result<Records> {
        let records = segment.read_at_start(self.storage.as_ref(), &self.path(segment.id))?;
        records.damage.iter().for_each(|damage| self.note(damage.clone()));
        let events = records.records.iter().filter(|(_, kind, _)| *kind == Kind::Event);
        let events = events.filter_map(|(offset, _, payload)| {
            let bytes = offset_of(payload.len());
            Some(KeptEvent { position: position_of(payload)?, offset: *offset, bytes })
        });
        let mentions = records.changes().flat_map(|told| told.changes);
        let mentions = mentions.map(|(_, change)| change.first).collect();
        segment.extend(segment.end, events.collect(), mentions);
        Ok(records)
    }

    /// The other segments, newest first: each is told of by the one behind it.
    fn open_older(
        &self,
        newest: Option<KeptSegment>,
        files: &mut BTreeMap<u32, SegmentId>,
        gone_through: u32,
    ) -> io::Result<()> {
        let mut next = newest;
        while let Some(segment) = next {
            let footer = self.first_footer(&segment)?;
            let told = footer.as_ref().map(|footer| footer.end.number);
            // A segment that was told of and is not there is damage, but not one that was
            // compacted.
            let told = told.filter(|number| *number > gone_through);
            next = match (files.pop_last(), told) {
                (Some((number, id)), told) if told.is_none_or(|told| told <= number) => {
                    Some(self.open_one(id, footer.filter(|footer| footer.end.number == number))?)
                }
                (file, Some(told)) => {
                    files.extend(file);
                    Some(self.open_one(SegmentId { number: told, salt: 0 }, footer)?)
                }
                (file, None) => {
                    files.extend(file);
                    None
                }
            };
            lock(&self.contents).segments.insert(segment.id.number, Arc::new(segment));
        }
        Ok(())
    }

    /// What a segment's first record says of the one before it.
    fn first_footer(&self, segment: &KeptSegment) -> io::Result<Option<KeptFooter>> {
        let file = match self.storage.open(&self.path(segment.id), OpenMode::Read) {
            Err(err) if is_scarce(&err) => return Err(err),
            // What it said is found by reading the others.
            Err(_) => return Ok(None),
            Ok(file) => file,
        };
        let first = match read_record(file.as_ref(), segment.id, 0) {
            Err(err) if err.kind() != io::ErrorKind::InvalidData => None,
            read => read?,
        };
        let Some((Kind::KeptFooter, payload)) = first else { return Ok(None) };
        Ok(match Record::decode(Kind::KeptFooter, &payload) {
            Some(Record::KeptFooter(footer)) => Some(footer).filter(|footer| !is_gone_mark(footer)),
            Some(_) | None => None,
        })
    }

    fn open_one(&self, id: SegmentId, footer: Option<KeptFooter>) -> io::Result<KeptSegment> {
        let mut segment = KeptSegment::new(id);
        if let Some(footer) = footer {
            segment.extend(footer.end.offset, footer.events, footer.mentions);
            if id.salt == 0 {
                self.note(segment.damage(0, segment.end, Cause::Missing { n_files: 1 }));
            }
        } else {
            segment.end = self.size_of(id)?;
            self.scan(&mut segment)?;
        }
        Ok(segment)
    }

    pub(super) fn remove<'a>(&self, ids: impl Iterator<Item = &'a SegmentId>) -> io::Result<()> {
        let mut has_removed = false;
        for id in ids {
            if_there(self.storage.remove(&self.path(*id)))?;
            has_removed = true;
        }
        // Their numbers may be given again.
        if has_removed { self.storage.sync_folder(&self.folder) } else { Ok(()) }
    }
}

/// Takes the segments behind `number` out.
pub(super) fn split_behind<T>(segments: &mut BTreeMap<u32, T>, number: u32) -> BTreeMap<u32, T> {
    segments.split_off(&next_number(number))
}

/// Says that segments up to its number count no more.
pub(super) const fn is_gone_mark(footer: &KeptFooter) -> bool {
    footer.end.offset == 0
}
