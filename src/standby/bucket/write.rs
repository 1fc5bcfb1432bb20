//! Writing what came as objects.

use std::time::Duration;

use bytes::Bytes;
use tracing::{info, warn};

use super::super::local::{CopyError, is_key_file};
use super::super::wire::{FileName, FilePart, Garbled, PulledParts, Seal};
use super::copy::BucketCopy;
use super::error::BucketError;
use super::manifest::{BucketManifest, CopiedFile, CopiedPart};
use crate::clock::Timestamp;

/// How often it is noted when the gateway was heard last, where nothing else is to be noted.
const NOTE_EVERY: Duration = Duration::from_mins(1);

/// What the copy becomes, with the objects that are needed no more then.
pub(super) struct NextCopy {
    pub(super) manifest: BucketManifest,
    pub(super) gone: Vec<String>,
    pub(super) is_changed: bool,
}

impl BucketCopy {
    /// Writes what came as objects, then the manifest that has them, and lets go of what the gateway
    /// has let go of.
    pub(super) async fn take_in(
        &mut self,
        batch: PulledParts,
        parts: &[Bytes],
        now: Timestamp,
    ) -> Result<(), CopyError> {
        let manifest = self.manifest.clone();
        let mut next = NextCopy { manifest, gone: Vec::new(), is_changed: self.is_changed };
        next.leave_behind(batch.first_segment);
        for (chunk, bytes) in batch.chunks.iter().zip(parts) {
            self.write(&mut next, chunk, bytes).await?;
        }
        for seal in &batch.sealed {
            self.seal(&mut next, seal).await?;
        }
        self.put_together(&mut next).await?;
        for part in &batch.kept {
            if let Some(file) = next.manifest.files.get_mut(&FileName::Kept(part.name)) {
                next.is_changed |= file.settled != u64::from(part.bytes);
                file.settled = part.bytes.into();
            }
        }
        let heard_at = next.manifest.heard_at;
        next.is_changed |= heard_at.is_none_or(|at| now.since(at) >= NOTE_EVERY);
        next.is_changed |= batch.is_complete && !next.manifest.is_complete;
        next.manifest.is_complete |= batch.is_complete;
        next.manifest.head = batch.head;
        next.manifest.next_position = batch.next_position;
        next.manifest.heard_at = Some(now);
        self.is_behind = !batch.is_complete;
        if let Some(lists) = &mut self.lists {
            lists.add_newer(&batch.chunks);
        }
        if batch.is_complete {
            self.lists.get_or_insert(batch);
        }
        let durable = next.manifest.stand().map(|stand| stand.place()).unwrap_or_default();
        if let Some(lists) = self.lists.take_if(|lists| durable >= lists.lists_count_from) {
            next.clean(&lists);
        }
        if next.is_changed {
            let NextCopy { manifest, gone, .. } = next;
            self.save(manifest, gone).await?;
        }
        Ok(self.sweep_in_time().await?)
    }

    async fn write(
        &mut self,
        next: &mut NextCopy,
        chunk: &FilePart,
        bytes: &Bytes,
    ) -> Result<(), CopyError> {
        if !next.wants(chunk)? {
            return Ok(());
        }
        let part = self.put_part(&chunk.file, bytes.clone(), 0).await?;
        let file = next.file(chunk);
        let gone = file.cut(chunk.offset);
        file.parts.push(part);
        next.gone.extend(gone);
        next.is_changed = true;
        Ok(())
    }

    /// Writes an object under a name that none had before.
    pub(super) async fn put_part(
        &mut self,
        file: &FileName,
        bytes: Bytes,
        level: u8,
    ) -> Result<CopiedPart, BucketError> {
        let (folder, name) = match file {
            FileName::Log(name) => ("log", name.file_name()),
            FileName::Kept(name) => ("kept", name.file_name()),
            FileName::Keys(name) => ("keys", name.clone()),
        };
        self.n_objects += 1;
        let object = format!("{folder}/{name}.{}-{}", self.run, self.n_objects);
        let (checksum, length) = (crc32c::crc32c(&bytes), bytes.len() as u64);
        let etag = self.place.put(&object, bytes).await?;
        Ok(CopiedPart { object, bytes: length, checksum, used: length, level, etag })
    }

    /// Makes one object of a complete segment, if it is as the gateway has it.
    async fn seal(&mut self, next: &mut NextCopy, seal: &Seal) -> Result<(), CopyError> {
        let name = FileName::Log(seal.name);
        let Some(file) = next.manifest.files.get(&name) else { return Ok(()) };
        if file.seal.is_some() || file.len() != u64::from(seal.end) {
            return Ok(());
        }
        let file = file.clone();
        let is_same = file.tail(0) == Some((seal.end.into(), seal.checksum));
        let whole = if is_same { self.one_part(&file, 0).await? } else { None };
        let Some(file) = next.manifest.files.get_mut(&name) else { return Ok(()) };
        next.is_changed = true;
        let Some(whole) = whole else {
            let file_name = seal.name.file_name();
            warn!(file = file_name, "A segment is not as it was sent: it is fetched anew");
            next.gone.extend(file.cut(0));
            return Ok(());
        };
        let needed_no_more =
            file.parts.iter().map(|part| &part.object).filter(|object| **object != whole.object);
        next.gone.extend(needed_no_more.cloned());
        file.parts = vec![whole];
        file.seal = Some(seal.checksum);
        Ok(())
    }
}

impl NextCopy {
    /// Whether the copy lacks these bytes; an error, where they do not go with what it has.
    fn wants(&mut self, chunk: &FilePart) -> Result<bool, CopyError> {
        let held = self.manifest.files.get(&chunk.file);
        let end = held.map_or(0, CopiedFile::len);
        match &chunk.file {
            FileName::Log(name) => {
                let same_number = self.manifest.segment(name.number);
                if same_number.is_some_and(|(other, _)| other != *name) {
                    return Err(Garbled("a segment has another salt than before").into());
                }
                if held.is_some_and(|held| held.seal.is_some()) {
                    return Ok(false);
                }
                // A segment that was begun may come anew from its beginning.
                if chunk.offset != end && chunk.offset != 0 {
                    return Err(Garbled("it leaves out a part of the log").into());
                }
                if held.is_none() {
                    self.note_gap(name.number);
                }
            }
            FileName::Kept(_) => {
                if chunk.offset > end {
                    return Err(Garbled("it leaves out a part of the kept log").into());
                }
                // What may be written anew comes again with each answer.
                let has = held.and_then(|held| held.tail(chunk.offset));
                return Ok(has != Some((chunk.bytes as u64, chunk.checksum)));
            }
            FileName::Keys(name) => {
                if !is_key_file(name) {
                    return Err(Garbled("a file has a name that none of ours has").into());
                }
                if chunk.offset != end {
                    return Err(Garbled("it leaves out a part of the keys").into());
                }
            }
        }
        Ok(true)
    }

    fn file(&mut self, chunk: &FilePart) -> &mut CopiedFile {
        let new = || CopiedFile::new(chunk.file.clone(), chunk.capacity);
        self.manifest.files.entry(chunk.file.clone()).or_insert_with(new)
    }

    /// What was between is gone at the gateway: until the copy has caught up, it is no whole.
    fn note_gap(&mut self, number: u32) {
        let newest = self.manifest.log().next_back().map(|(name, _)| name.number);
        if self.manifest.is_complete && newest.is_some_and(|newest| number > newest + 1) {
            info!("The gateway has let go of segments that the copy never had");
            self.manifest.is_complete = false;
        }
    }

    /// What the gateway has let go of is not gone on with. Where the copy lacks a part of it, it is no
    /// whole until it has caught up.
    fn leave_behind(&mut self, first: u32) {
        let manifest = &mut self.manifest;
        manifest.first_segment = manifest.first_segment.max(first);
        let lacks = manifest
            .log()
            .any(|(name, file)| name.number < manifest.first_segment && file.seal.is_none());
        if manifest.is_complete && lacks {
            info!("The gateway has let go of a segment that the copy has not all of");
            manifest.is_complete = false;
            self.is_changed = true;
        }
    }

    /// Lets go of files that the gateway has let go of.
    fn clean(&mut self, lists: &PulledParts) {
        let files = &self.manifest.files;
        let has_all_keys = lists.keys.iter().all(|part| {
            let held = files.get(&FileName::Keys(part.name.clone()));
            held.is_some_and(|held| held.len() == part.bytes)
        });
        let is_needed = |name: &FileName| match name {
            FileName::Log(name) => name.number >= lists.first_segment,
            FileName::Kept(name) => lists.kept.iter().any(|part| part.name == *name),
            FileName::Keys(name) => {
                !has_all_keys || lists.keys.iter().any(|part| part.name == *name)
            }
        };
        let (gone, n_before) = (&mut self.gone, self.manifest.files.len());
        self.manifest.files.retain(|name, file| {
            let is_needed = is_needed(name);
            if !is_needed {
                gone.extend(file.parts.iter().map(|part| part.object.clone()));
            }
            is_needed
        });
        self.is_changed |= self.manifest.files.len() != n_before;
    }
}
