//! Writing what came into a copy.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use tracing::{info, warn};

use super::local::{CopyError, HeldSegment, LocalCopy, is_key_file};
use super::wire::{FileName, FilePart, Garbled, KeptPart, PulledParts, Seal};
use crate::clock::Timestamp;
use crate::files;
use crate::queue::embedded::SegmentId;

/// How often it is noted when the gateway was heard last, where nothing else is to be noted.
const SAVE_EVERY: Duration = Duration::from_secs(1);

impl LocalCopy {
    /// Writes what came, durably, and lets go of what the gateway has let go of.
    pub(super) fn apply(
        &mut self,
        batch: PulledParts,
        parts: &[Bytes],
        now: Timestamp,
    ) -> Result<(), CopyError> {
        let (was_complete, n_sealed) = (self.manifest.is_complete, self.manifest.sealed.len());
        self.leave_behind(batch.first_segment)?;
        for (chunk, bytes) in batch.chunks.iter().zip(parts) {
            match &chunk.file {
                FileName::Log(name) => self.write_log(*name, chunk, bytes)?,
                FileName::Kept(name) => self.write_kept(*name, chunk, bytes)?,
                FileName::Keys(name) => self.write_keys(name, chunk, bytes)?,
            }
        }
        for seal in &batch.sealed {
            self.seal(seal)?;
        }
        for KeptPart { name, bytes } in &batch.kept {
            // Behind it the gateway may write anew.
            if let Some(has) = self.kept.get_mut(name) {
                *has = (*has).min(*bytes);
            }
        }
        let is_late = self.manifest.heard_at.is_none_or(|at| now.since(at) >= SAVE_EVERY);
        self.manifest.is_complete |= batch.is_complete;
        (self.manifest.head, self.manifest.next_position) = (batch.head, batch.next_position);
        if let Some(lists) = &mut self.lists {
            lists.add_newer(&batch.chunks);
        }
        if batch.is_complete {
            self.lists.get_or_insert(batch);
        }
        let is_cleaned = self.clean()?;
        let is_other = was_complete != self.manifest.is_complete
            || n_sealed != self.manifest.sealed.len()
            || is_cleaned;
        if is_late || is_other {
            self.manifest.heard_at = Some(now);
            self.save()?;
        }
        Ok(())
    }

    /// What the gateway has let go of is not gone on with. Where the copy lacks a part of it, it is no
    /// whole until it has caught up.
    fn leave_behind(&mut self, first: u32) -> Result<(), CopyError> {
        self.first = self.first.max(first);
        let mut gone = self.segments.range(..self.first);
        if self.manifest.is_complete && gone.any(|(_, held)| held.seal.is_none()) {
            info!("The gateway has let go of a segment that the copy has not all of");
            self.manifest.is_complete = false;
            self.save()?;
        }
        Ok(())
    }

    fn write_log(
        &mut self,
        name: SegmentId,
        chunk: &FilePart,
        bytes: &[u8],
    ) -> Result<(), CopyError> {
        let what = || CopyError::io(format!("writing `log/{}`", name.file_name()));
        let held = self.segments.get(&name.number).copied();
        if held.is_some_and(|held| held.name != name) {
            return Err(Garbled("a segment has another salt than before").into());
        }
        if held.is_some_and(|held| held.seal.is_some()) {
            return Ok(());
        }
        // Also of one whose file was lost.
        if held.is_none_or(|held| held.end == 0) {
            self.begin_segment(name, chunk)?;
        }
        // A segment that was begun before a crash may come anew from its beginning.
        if chunk.offset > held.map_or(0, |held| held.end).into() {
            return Err(Garbled("it leaves out a part of the log").into());
        }
        let path = self.path("log").join(name.file_name());
        let file = open_file(&path).map_err(what())?;
        file.write_all_at(bytes, chunk.offset).and_then(|()| file.sync_data()).map_err(what())?;
        let end = chunk.offset.saturating_add(bytes.len() as u64);
        let end = u32::try_from(end).map_err(|_| Garbled("a segment is too long"))?;
        let held =
            self.segments.entry(name.number).or_insert(HeldSegment { name, end: 0, seal: None });
        held.end = held.end.max(end);
        Ok(())
    }

    /// Makes a segment's file, as long as it will become, so that there is room for all of it.
    fn begin_segment(&mut self, name: SegmentId, chunk: &FilePart) -> Result<(), CopyError> {
        let newest = self.segments.keys().next_back().copied();
        if self.manifest.is_complete && newest.is_some_and(|newest| name.number > newest + 1) {
            // What was between is gone at the gateway: until the copy has caught up, it is no whole.
            info!("The gateway has let go of segments that the copy never had");
            self.manifest.is_complete = false;
            self.save()?;
        }
        let folder = self.path("log");
        let made = open_file(&folder.join(name.file_name())).and_then(|file| {
            let flags = rustix::fs::FallocateFlags::empty();
            rustix::fs::fallocate(&file, flags, 0, chunk.capacity)?;
            file.sync_all()?;
            sync_folder(&folder)
        });
        made.map_err(CopyError::io(format!("making `log/{}`", name.file_name())))
    }

    fn write_kept(
        &mut self,
        name: SegmentId,
        chunk: &FilePart,
        bytes: &[u8],
    ) -> Result<(), CopyError> {
        let folder = self.path("kept");
        let has = self.kept.get(&name).copied();
        if chunk.offset > has.unwrap_or(0).into() {
            return Err(Garbled("it leaves out a part of the kept log").into());
        }
        let end = chunk.offset.saturating_add(bytes.len() as u64);
        let written = open_file(&folder.join(name.file_name())).and_then(|file| {
            file.write_all_at(bytes, chunk.offset)?;
            file.sync_data()?;
            if has.is_none() { sync_folder(&folder) } else { Ok(()) }
        });
        written.map_err(CopyError::io(format!("writing `kept/{}`", name.file_name())))?;
        let end = u32::try_from(end).map_err(|_| Garbled("a file of the kept log is too long"))?;
        self.kept.insert(name, end);
        Ok(())
    }

    /// A file of keys has its name once it is whole.
    fn write_keys(&mut self, name: &str, chunk: &FilePart, bytes: &[u8]) -> Result<(), CopyError> {
        if !is_key_file(name) {
            return Err(Garbled("a file has a name that none of ours has").into());
        }
        let has = self.keys.get(name).copied().unwrap_or(0);
        if chunk.offset != has {
            return Err(Garbled("it leaves out a part of the keys").into());
        }
        let folder = self.path("keys");
        let part = folder.join(format!("{name}.part"));
        let end = chunk.offset.saturating_add(bytes.len() as u64);
        let written = open_file(&part).and_then(|file| {
            file.write_all_at(bytes, chunk.offset)?;
            if end < chunk.capacity {
                return Ok(());
            }
            file.set_len(end)?;
            file.sync_all()?;
            std::fs::rename(&part, folder.join(name))?;
            sync_folder(&folder)
        });
        written.map_err(CopyError::io(format!("writing `keys/{name}`")))?;
        self.keys.insert(name.to_owned(), end);
        Ok(())
    }

    /// Checks a complete segment, as it is on the disk.
    fn seal(&mut self, seal: &Seal) -> Result<(), CopyError> {
        let Some(held) = self.segments.get_mut(&seal.name.number) else { return Ok(()) };
        if held.name != seal.name || held.seal.is_some() || held.end != seal.end {
            return Ok(());
        }
        let checksum = self.checksum(seal.name, seal.end);
        let checksum = checksum.map_err(CopyError::io("reading the copy's log"))?;
        let Some(held) = self.segments.get_mut(&seal.name.number) else { return Ok(()) };
        if checksum == seal.checksum {
            held.seal = Some(checksum);
            // One that was damaged or lost is named already.
            self.manifest.sealed.retain(|known| known.name != seal.name);
            self.manifest.sealed.push(*seal);
        } else {
            warn!(
                file = seal.name.file_name(),
                "A segment is not as it was sent: it is fetched anew"
            );
            held.end = 0;
        }
        Ok(())
    }

    /// Lets go of files that the gateway has let go of, once the log is as far as that takes.
    fn clean(&mut self) -> Result<bool, CopyError> {
        let durable = self.durable();
        let Some(lists) = self.lists.take_if(|lists| durable >= lists.lists_count_from) else {
            return Ok(false);
        };
        let failed = || CopyError::io("removing what the gateway has let go of");
        let mut is_changed = false;
        let gone: Vec<HeldSegment> =
            self.segments.range(..lists.first_segment).map(|(_, held)| *held).collect();
        for held in &gone {
            self.segments.remove(&held.name.number);
            self.manifest.sealed.retain(|seal| seal.name != held.name);
            is_changed = true;
        }
        if is_changed {
            // First: a file that is named and missing would be taken for a lost one after a crash.
            self.save()?;
        }
        for held in gone {
            files::remove(&self.path("log").join(held.name.file_name())).map_err(failed())?;
        }
        let kept = |name: &SegmentId| lists.kept.iter().any(|part| part.name == *name);
        let gone: Vec<SegmentId> = self.kept.keys().filter(|name| !kept(name)).copied().collect();
        for name in gone {
            files::remove(&self.path("kept").join(name.file_name())).map_err(failed())?;
            self.kept.remove(&name);
        }
        let has_all = lists.keys.iter().all(|part| self.keys.get(&part.name) == Some(&part.bytes));
        let listed = |name: &str| lists.keys.iter().any(|part| part.name == name);
        if has_all {
            let gone: Vec<String> =
                self.keys.keys().filter(|name| !listed(name)).cloned().collect();
            for name in gone {
                files::remove(&self.path("keys").join(&name)).map_err(failed())?;
                self.keys.remove(&name);
            }
        }
        Ok(is_changed)
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
