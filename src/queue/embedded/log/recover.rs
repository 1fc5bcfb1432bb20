//! Mends the end of the log: makes what counts from now on durable, and takes away what a power cut
//! left half written.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::contents::{Contents, Hole};
use super::file_log::FileLog;
use super::open::{Opened, Survey};
use super::options::OpenError;
use super::segment::Segment;
use super::spare::Spare;
use super::writer::{Live, LogWriter, Tail};
use super::{Cause, Damage, is_full};
use crate::queue::embedded::record::{HEADER_BYTES, SegmentId, UnitBuilder};
use crate::queue::storage::{OpenMode, StorageFile, if_there};

/// How much a head that was torn while its segment began may take.
const HEAD_BYTES_MAX: u32 = 256 << 10;
/// So many copies of torn bytes stay in `aside/`.
const TORN_FILES_MAX: usize = 4;
/// How their names begin.
const TORN: &str = "torn-";

impl Survey {
    /// Makes the log ready to be appended to. An error has changed nothing but the live segment's
    /// end.
    pub(crate) fn mend(mut self) -> Result<Opened, OpenError> {
        let log = Arc::clone(&self.log);
        let (mut live, mut tail, mut end) = (None, Tail::Writable, 0);
        if let Some((segment, contents)) = self.live.take() {
            let what = format!("mending `log/{}`", segment.id.file_name());
            let (file, mended) = log.mend(&segment, &contents).map_err(OpenError::io(what))?;
            (tail, end) = (mended, contents.end);
            // Behind it stands what cannot be read: nothing is put before that.
            if self.doubtful_events > 0 {
                tail = Tail::Sealed;
            }
            live = Some(Live { segment, file });
        }
        // What cannot be removed does no harm: its number is not used again.
        for id in &self.unused {
            warn_of(log.storage.remove(&log.path(*id)), "An unused segment cannot be removed");
        }
        for (id, n_bytes) in &self.torn_heads {
            warn_of(log.put_aside(*id, *n_bytes), "A torn segment cannot be put aside");
        }
        warn_of(log.find_spare(), "The spare file cannot be used");
        log.measure_aside();
        if log.aside_bytes() > 0 {
            tracing::warn!(
                folder = %log.aside.display(),
                bytes = log.aside_bytes(),
                "What could not be read was put aside, and may be removed when nobody looks for it"
            );
        }
        let synced = log.storage.sync_folder(&log.folder);
        synced.map_err(OpenError::io(format!("syncing `{}`", log.folder.display())))?;
        let writer = LogWriter::new(log, live, end, tail, self.next_number);
        Ok(Opened { survey: self, writer })
    }
}

/// Whether a file in `aside/` is a copy of a torn write.
fn is_torn(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(TORN))
}

fn warn_of(result: io::Result<()>, what: &str) {
    if let Err(err) = result {
        tracing::warn!(error = %err, "{what}");
    }
}

impl FileLog {
    fn find_spare(&self) -> io::Result<()> {
        let path = self.spare_path();
        let Some(size) = if_there(self.storage.size(&path))? else { return Ok(()) };
        if size != u64::from(self.segment_bytes) {
            return self.storage.remove(&path);
        }
        self.spare.set(Spare::Ready);
        Ok(())
    }

    /// Moves a segment of which nothing is whole out of the way.
    fn put_aside(&self, id: SegmentId, n_bytes: u32) -> io::Result<()> {
        self.storage.create_folder(&self.aside)?;
        let name = id.file_name();
        let is_torn_head = n_bytes <= HEAD_BYTES_MAX;
        let to = self.aside.join(if is_torn_head { format!("{TORN}{name}") } else { name });
        self.storage.rename(&self.path(id), &to)?;
        self.storage.sync_folder(&self.aside)?;
        if !is_torn_head {
            let cause = Cause::BadChecksum;
            self.note_damage(Damage { segment: id, offset: 0, bytes: n_bytes, cause });
        }
        self.prune_aside();
        Ok(())
    }

    /// Mends the live segment. A hole in the last unit, which was then never acknowledged, is
    /// filled so that it is not reported as damage later; whole records behind the hole are kept.
    /// What is behind the end is zeroed, so that nothing of it can come back between records yet
    /// to be written. Nothing else is written to a file of which anything cannot be read than its
    /// last unit once more.
    fn mend(
        &self,
        live: &Segment,
        contents: &Contents,
    ) -> io::Result<(Arc<dyn StorageFile>, Tail)> {
        let path = self.path(live.id);
        if contents.is_damaged() {
            let synced = self.storage.open(&path, OpenMode::Write);
            let synced = synced.and_then(|file| write_again(&*file, contents));
            // What is on a disk that does not take it back counts as it is.
            warn_of(synced, "The end of a damaged segment cannot be written once more");
            // Readers open the file for themselves, if it can be opened.
            return Ok((self.storage.open(&path, OpenMode::Read)?, Tail::Sealed));
        }
        let file = self.storage.open(&path, OpenMode::Write)?;
        live.share(&file);
        match write_again(&*file, contents) {
            // Nothing was acknowledged on the strength of it: it counts as it is.
            Err(err) if is_full(&err) => return Ok((file, Tail::Sealed)),
            written => written?,
        }
        if contents.torn_bytes() == 0 {
            return Ok((file, Tail::Writable));
        }
        if let Err(err) = self.copy_torn(live.id, contents) {
            tracing::warn!(error = %err, "A torn write cannot be copied; it stays where it is");
            return Ok((file, Tail::Sealed));
        }
        match clear_torn(&*file, live.id, contents) {
            Err(err) if is_full(&err) => Ok((file, Tail::Sealed)),
            cleared => cleared.map(|()| (file, Tail::Writable)),
        }
    }

    /// Copies what is cleared into `aside/`, for diagnosis.
    fn copy_torn(&self, id: SegmentId, contents: &Contents) -> io::Result<()> {
        self.storage.create_folder(&self.aside)?;
        let tail = contents.torn_tail();
        let from = contents.torn.first().map_or(tail.start, |hole| hole.range.start);
        let range = from as usize..tail.end.max(from) as usize;
        let bytes = contents.stretch.bytes.get(range).ok_or(io::ErrorKind::UnexpectedEof)?;
        let name = format!("{TORN}{:010}-at-{from:010}", id.number);
        let file = self.storage.open(&self.aside.join(name), OpenMode::Create)?;
        file.write_all_at(bytes, 0)?;
        file.sync_data()?;
        self.storage.sync_folder(&self.aside)?;
        self.prune_aside();
        Ok(())
    }

    /// Removes all but the newest torn files.
    fn prune_aside(&self) {
        let mut torn = self.storage.list(&self.aside).unwrap_or_default();
        torn.retain(|path| is_torn(path));
        torn.sort();
        let n_surplus = torn.len().saturating_sub(TORN_FILES_MAX);
        for path in torn.into_iter().take(n_surplus) {
            warn_of(self.storage.remove(&path), "An old torn file cannot be removed");
        }
    }

    /// Counts the bytes in `aside/` anew, without those of the few torn writes.
    pub(crate) fn measure_aside(&self) {
        let Ok(paths) = if_there(self.storage.list(&self.aside)) else { return };
        let paths = paths.iter().flatten().filter(|path| !is_torn(path));
        let sizes = paths.filter_map(|path| self.storage.size(path).ok());
        self.aside_bytes.store(sizes.sum(), Ordering::Relaxed);
    }
}

/// Writes and syncs the last unit once more. Its sync may never have been made (the process was
/// killed) or have failed (the system then may hold in memory, as clean, what the disk does not
/// have): from here on it counts, so it must be there. What the disk does not give just now stays:
/// it may be there again later.
fn write_again(file: &dyn StorageFile, contents: &Contents) -> io::Result<()> {
    let (mut from, end) = (contents.last_unit, contents.end);
    if from == end {
        return Ok(());
    }
    for unreadable in contents.stretch.unreadable.iter().chain([&(end..end)]) {
        let to = unreadable.start.clamp(from, end);
        if let Some(bytes) = contents.stretch.bytes.get(from as usize..to as usize) {
            file.write_all_at(bytes, from.into())?;
        }
        from = unreadable.end.clamp(from, end);
    }
    file.sync_data()
}

/// Fills the holes of the last unit, and zeroes what is behind it. Where that ends early, the next
/// start finds what is left of it.
fn clear_torn(file: &dyn StorageFile, id: SegmentId, contents: &Contents) -> io::Result<()> {
    for hole in &contents.torn {
        fill_hole(file, id, hole)?;
    }
    let tail = contents.torn_tail();
    file.write_all_at(&vec![0; tail.len()], tail.start.into())?;
    file.sync_data()
}

/// Puts one record over a hole that says which positions were given to events in it: these were
/// never acknowledged, and are no loss. A hole is never smaller than a header: it was at least one
/// record.
fn fill_hole(file: &dyn StorageFile, id: SegmentId, hole: &Hole) -> io::Result<()> {
    let Some(payload_bytes) = hole.range.len().checked_sub(HEADER_BYTES) else { return Ok(()) };
    let mut unit = UnitBuilder::new(id, hole.range.start, Vec::new());
    unit.push_filler(&hole.positions, payload_bytes);
    file.write_all_at(unit.bytes(), hole.range.start.into())?;
    file.sync_data()
}
