//! What is there of a copy: one object that is replaced as a whole.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::super::wire::{CopyStand, FileName};
use super::error::BucketError;
use super::objects::BucketPlace;
use crate::clock::Timestamp;
use crate::queue::embedded::{COPY_FORMAT, LogPlace, SegmentId};

/// Its name below the prefix.
pub(super) const MANIFEST: &str = "manifest.json";

/// The layout of the manifest and of the queue's files in the parts.
const FORMAT: u32 = COPY_FORMAT;

/// A part of a file: the first `used` bytes of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CopiedPart {
    pub(super) object: String,
    /// How long the object is.
    pub(super) bytes: u64,
    /// The CRC-32C of the object.
    pub(super) checksum: u32,
    /// What is behind these was written anew at the gateway.
    pub(super) used: u64,
    /// How often parts were put together for it.
    pub(super) level: u8,
    /// The object's version, as the storage names it.
    pub(super) etag: Option<String>,
}

/// A file of the queue's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CopiedFile {
    pub(super) name: FileName,
    /// How long the file is or will become.
    pub(super) capacity: u64,
    /// A file of the kept log may be written anew behind these.
    pub(super) settled: u64,
    /// It is complete, with this CRC-32C.
    pub(super) seal: Option<u32>,
    /// In their order.
    pub(super) parts: Vec<CopiedPart>,
}

/// What is there of a copy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BucketManifest {
    pub(super) format: u32,
    /// The run that wrote it.
    pub(super) writer: String,
    /// Whose copy it is; `None` = it has not begun.
    pub(super) gateway: Option<String>,
    /// It has had all that the gateway had, once, and nothing is missing in it since.
    pub(super) is_complete: bool,
    /// How far the gateway's log went when it answered last.
    pub(super) head: LogPlace,
    /// The position that its next event got then.
    pub(super) next_position: u64,
    /// When that was, by the standby's clock.
    pub(super) heard_at: Option<Timestamp>,
    /// The oldest segment that the gateway still had.
    pub(super) first_segment: u32,
    #[serde(with = "as_list")]
    pub(super) files: BTreeMap<FileName, CopiedFile>,
}

/// JSON has text keys only.
mod as_list {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::{CopiedFile, FileName};

    pub(super) fn serialize<S: Serializer>(
        files: &BTreeMap<FileName, CopiedFile>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(files.values())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<FileName, CopiedFile>, D::Error> {
        let files = Vec::<CopiedFile>::deserialize(from)?;
        Ok(files.into_iter().map(|file| (file.name.clone(), file)).collect())
    }
}

impl CopiedFile {
    pub(super) fn new(name: FileName, capacity: u64) -> Self {
        Self { name, capacity, settled: 0, seal: None, parts: Vec::new() }
    }

    /// How many bytes of it are there.
    pub(super) fn len(&self) -> u64 {
        self.parts.iter().map(|part| part.used).sum()
    }

    /// Length and CRC-32C of what is there from `offset` on; `None` = that is no beginning of a part, or
    /// a part counts only in part.
    pub(super) fn tail(&self, offset: u64) -> Option<(u64, u32)> {
        let (mut at, mut bytes, mut checksum) = (0, 0, 0);
        for part in &self.parts {
            if at < offset && offset < at + part.used {
                return None;
            }
            if at >= offset {
                let length = usize::try_from(part.bytes).ok()?;
                if part.used < part.bytes {
                    return None;
                }
                checksum = crc32c::crc32c_combine(checksum, part.checksum, length);
                bytes += part.bytes;
            }
            at += part.used;
        }
        (offset <= at).then_some((bytes, checksum))
    }

    /// Leaves its first `end` bytes; gives the objects that are needed no more.
    pub(super) fn cut(&mut self, end: u64) -> Vec<String> {
        let (mut left, mut gone) = (end, Vec::new());
        if end < self.len() {
            self.seal = None;
        }
        self.parts.retain_mut(|part| {
            if left == 0 {
                gone.push(part.object.clone());
                return false;
            }
            part.used = part.used.min(left);
            left -= part.used;
            true
        });
        self.settled = self.settled.min(end);
        gone
    }
}

impl BucketManifest {
    /// The segments of the log, oldest first.
    pub(super) fn log(&self) -> impl DoubleEndedIterator<Item = (SegmentId, &CopiedFile)> {
        self.files.values().filter_map(|file| match &file.name {
            FileName::Log(name) => Some((*name, file)),
            FileName::Kept(_) | FileName::Keys(_) => None,
        })
    }

    /// The segment of this number.
    pub(super) fn segment(&self, number: u32) -> Option<(SegmentId, &CopiedFile)> {
        self.log().find(|(name, _)| name.number == number)
    }

    /// Where in the log it goes on: in the first segment that is not complete and that the gateway
    /// still has.
    pub(super) fn stand(&self) -> Option<CopyStand> {
        let mut followed = self.log().filter(|(name, _)| name.number >= self.first_segment);
        let unsealed = followed.find(|(_, file)| file.seal.is_none());
        let (name, file) = unsealed.or_else(|| self.log().next_back())?;
        Some(CopyStand { name, end: u32::try_from(file.len()).unwrap_or(u32::MAX) })
    }

    /// The names of all objects that it needs.
    pub(super) fn objects(&self) -> impl Iterator<Item = &CopiedPart> {
        self.files.values().flat_map(|file| &file.parts)
    }

    /// The one at `place`, with its version; `None` = there is none.
    pub(super) async fn read(
        place: &BucketPlace,
    ) -> Result<Option<(Self, Option<String>)>, BucketError> {
        let Some(found) = place.get(MANIFEST).await? else { return Ok(None) };
        let read = |err| BucketError::Manifest(place.to_string(), err);
        let manifest: Self = serde_json::from_slice(&found.bytes).map_err(read)?;
        if manifest.format == FORMAT {
            return Ok(Some((manifest, found.etag)));
        }
        let (place, found) = (place.to_string(), manifest.format);
        Err(BucketError::Format { place, found, ours: FORMAT })
    }

    /// Its bytes, with this version's format.
    pub(super) fn encode(&mut self) -> Result<Bytes, BucketError> {
        self.format = FORMAT;
        let json = serde_json::to_vec(self);
        json.map(Bytes::from).map_err(|err| BucketError::Manifest(MANIFEST.to_owned(), err))
    }
}

/// Whether an object of this name is one of ours.
pub(super) fn is_part_of_a_copy(name: &str) -> bool {
    let is_part = |name: &str| {
        let numbers = name.rsplit_once('.').and_then(|(_, numbers)| numbers.split_once('-'));
        numbers.is_some_and(|(run, number)| {
            run.len() == 8
                && run.bytes().all(|byte| byte.is_ascii_hexdigit())
                && number.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    match name.split_once('/') {
        Some(("log" | "kept" | "keys", name)) => is_part(name),
        Some(_) => false,
        None => name == MANIFEST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(parts: &[&str]) -> CopiedFile {
        let name = FileName::Kept(SegmentId { number: 1, salt: 7 });
        let mut file = CopiedFile::new(name, 100);
        for (n, part) in parts.iter().enumerate() {
            file.parts.push(CopiedPart {
                object: n.to_string(),
                bytes: part.len() as u64,
                checksum: crc32c::crc32c(part.as_bytes()),
                used: part.len() as u64,
                level: 0,
                etag: None,
            });
        }
        file
    }

    #[test]
    fn the_checksum_of_a_tail_is_that_of_its_parts_one_behind_the_other() {
        let file = file(&["one", "two", "three"]);
        let of = |text: &str| Some((text.len() as u64, crc32c::crc32c(text.as_bytes())));
        assert_eq!(file.tail(0), of("onetwothree"));
        assert_eq!(file.tail(3), of("twothree"));
        assert_eq!(file.tail(11), of(""));
        assert_eq!(file.tail(4), None, "in the middle of a part");
        assert_eq!(file.tail(12), None, "behind its end");
    }

    #[test]
    fn a_file_is_cut_at_any_byte() {
        for end in 0..=11 {
            let mut file = file(&["one", "two", "three"]);
            file.seal = Some(1);
            let gone = file.cut(end);
            assert_eq!(file.len(), end);
            assert_eq!(gone.len() + file.parts.len(), 3, "at {end}");
        }
        let mut file = file(&["one", "two"]);
        file.cut(4);
        assert_eq!(file.tail(0), None, "a part of an object has no checksum of its own");
    }
}
