//! What a standby's question is answered by.

use bytes::Bytes;

use super::error::StandbyError;
use super::wire::{CopyStand, FileName, FilePart, KeptPart, KeyPart, Pull, PulledParts, Seal};
use crate::queue::embedded::{KeptFile, KeyFile, LogPlace, QueueFiles, SegmentFile};

/// The most bytes of one answer: large enough that a gigabyte takes some hundred questions, small
/// enough that a few standbys cost no memory to speak of.
const BYTES_MAX: usize = 4 << 20;

/// Puts an answer together.
struct Gathering<'a> {
    files: &'a QueueFiles,
    chunks: Vec<FilePart>,
    sealed: Vec<Seal>,
    payload: Vec<u8>,
}

/// The answer to `pull`. Blocks while it reads.
pub(super) fn gather(files: &QueueFiles, pull: &Pull) -> Result<Bytes, StandbyError> {
    // The order is what makes the answer one whole: keys are of records before the head, the kept log
    // has all that those before the head rely on, and what is missing in a list is not needed by
    // a standby that has all before a later head.
    let keys = files.keys();
    let (head, next_position) = (files.head(), files.next_position());
    let kept = files.kept();
    let first_segment = files.first_segment();
    let lists_count_from = files.head();
    let mut gathering =
        Gathering { files, chunks: Vec::new(), sealed: Vec::new(), payload: Vec::new() };
    let has_kept = gathering.kept(pull, &kept)?;
    let is_complete = has_kept && gathering.log(pull.from, head)?;
    if is_complete {
        gathering.keys(pull, &keys)?;
    }
    let Gathering { chunks, sealed, payload, .. } = gathering;
    let kept = kept.iter().map(|file| KeptPart { name: file.name, bytes: file.settled }).collect();
    let keys = keys.into_iter().map(|file| KeyPart { name: file.name, bytes: file.bytes });
    let batch = PulledParts {
        chunks,
        sealed,
        head,
        next_position: next_position.0,
        is_complete,
        first_segment,
        kept,
        keys: keys.collect(),
        lists_count_from,
    };
    batch.encode(&payload).map_err(|_| StandbyError::Internal("writing an answer"))
}

impl Gathering<'_> {
    fn room(&self) -> usize {
        BYTES_MAX.saturating_sub(self.payload.len())
    }

    fn push(&mut self, file: FileName, offset: u64, capacity: u64, bytes: &[u8]) {
        if !bytes.is_empty() {
            let checksum = crc32c::crc32c(bytes);
            self.chunks.push(FilePart { file, offset, bytes: bytes.len(), checksum, capacity });
            self.payload.extend_from_slice(bytes);
        }
    }

    /// What the copy lacks of the kept log; `false` = there is more.
    fn kept(&mut self, pull: &Pull, kept: &[KeptFile]) -> Result<bool, StandbyError> {
        for file in kept {
            let has = pull.kept.iter().find(|part| part.name == file.name);
            // What may be written anew is sent anew.
            let from = has.map_or(0, |part| part.bytes).min(file.settled);
            let wanted = file.end.saturating_sub(from) as usize;
            let n_bytes = wanted.min(self.room());
            if wanted == 0 {
                continue;
            }
            let read = self.files.read_kept(file.name, from, n_bytes)?;
            // It was compacted since: the next question is answered without it.
            let Some(bytes) = read.filter(|bytes| bytes.len() == n_bytes) else { return Ok(false) };
            self.push(FileName::Kept(file.name), from.into(), file.end.into(), &bytes);
            if n_bytes < wanted {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What the copy lacks of the log up to `head`; `false` = there is more.
    fn log(&mut self, from: Option<CopyStand>, head: LogPlace) -> Result<bool, StandbyError> {
        let mut number = from.map_or(0, |from| from.name.number);
        loop {
            let Some(segment) = self.files.segment(number)? else { return Ok(true) };
            if segment.name.number > head.segment {
                return Ok(true);
            }
            let offset = match from {
                Some(from) if from.name.number == segment.name.number => from.end_in(&segment)?,
                Some(_) | None => 0,
            };
            let is_last = segment.name.number == head.segment;
            let end = if is_last { head.offset } else { segment.end };
            if !self.segment(&segment, offset, end)? {
                return Ok(false);
            }
            if is_last {
                return Ok(true);
            }
            number = segment.name.number.saturating_add(1);
        }
    }

    /// Bytes of one segment; `false` = there are more, or it is gone.
    fn segment(
        &mut self,
        segment: &SegmentFile,
        offset: u32,
        end: u32,
    ) -> Result<bool, StandbyError> {
        let name = segment.name;
        if offset > end {
            return Err(StandbyError::Diverged(
                "its log ends before that of the copy: it was restored from an older copy, or its \
                 disk has lost what was acknowledged"
                    .into(),
            ));
        }
        let wanted = (end - offset) as usize;
        let n_bytes = wanted.min(self.room());
        let read = self.files.read_segment(name, offset, n_bytes)?;
        let Some(bytes) = read.filter(|bytes| bytes.len() == n_bytes) else { return Ok(false) };
        self.push(FileName::Log(name), offset.into(), segment.capacity.into(), &bytes);
        if n_bytes < wanted {
            return Ok(false);
        }
        if segment.is_sealed && end == segment.end {
            let read = self.files.read_segment(name, 0, end as usize)?;
            let Some(all) = read.filter(|all| all.len() == end as usize) else { return Ok(false) };
            self.sealed.push(Seal { name, end, checksum: crc32c::crc32c(&all) });
        }
        Ok(true)
    }

    /// What the copy lacks of the dedupe keys, as far as there is room.
    fn keys(&mut self, pull: &Pull, keys: &[KeyFile]) -> Result<(), StandbyError> {
        for file in keys {
            let has = pull.keys.iter().find(|part| part.name == file.name);
            let from = has.map_or(0, |part| part.bytes).min(file.bytes);
            let wanted = usize::try_from(file.bytes - from).unwrap_or(usize::MAX);
            let n_bytes = wanted.min(self.room());
            if n_bytes > 0
                && let Some(bytes) = self.files.read_keys(&file.name, from, n_bytes)?
            {
                self.push(FileName::Keys(file.name.clone()), from, file.bytes, &bytes);
            }
        }
        Ok(())
    }
}

impl CopyStand {
    /// Where a copy that stands here goes on in `segment`.
    fn end_in(self, segment: &SegmentFile) -> Result<u32, StandbyError> {
        if self.name == segment.name {
            return Ok(self.end);
        }
        Err(StandbyError::Diverged(format!(
            "its segment {} is another one than that of the copy: it was restored from an older copy",
            segment.name.number
        )))
    }
}
