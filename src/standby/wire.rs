//! What gateway and standby say to each other: JSON, and in a batch the bytes behind it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::queue::embedded::{LogPlace, SegmentId};

/// How far a copy of a segment goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyStand {
    pub name: SegmentId,
    /// So many bytes of it, from its beginning, are there and whole.
    pub end: u32,
}

impl CopyStand {
    /// The place in the log.
    pub fn place(&self) -> LogPlace {
        LogPlace { segment: self.name.number, offset: self.end }
    }
}

/// What a standby says first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// The layout of its copy.
    pub format: u32,
    /// Its program's version, for people.
    pub version: String,
    /// Its machine's name, for people.
    pub name: String,
    /// Whose copy it holds; `None` = it holds none yet.
    pub gateway: Option<String>,
    /// How far the copy goes, and the CRC-32C of that segment's bytes.
    pub stand: Option<(CopyStand, u32)>,
}

/// What it is answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Welcome {
    /// The layout of the gateway's queue.
    pub format: u32,
    /// The gateway's program's version, for people.
    pub version: String,
    /// The gateway's id.
    pub gateway: String,
    /// Names this standby until the gateway ends.
    pub session: String,
}

/// How much of a file of the kept log a copy has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptPart {
    pub name: SegmentId,
    pub bytes: u32,
}

/// How much of a file of dedupe keys a copy has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPart {
    /// Which.
    pub name: String,
    /// So many bytes.
    pub bytes: u64,
}

/// A standby's question: what comes next?
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pull {
    /// From [`Welcome::session`].
    pub session: String,
    /// Where in the log to go on; `None` = at its beginning.
    pub from: Option<CopyStand>,
    /// Everything before it is durable in the copy.
    pub durable: LogPlace,
    /// What the copy has of the kept log.
    pub kept: Vec<KeptPart>,
    /// What it has of the dedupe keys.
    pub keys: Vec<KeyPart>,
    /// How long to wait where there is nothing yet.
    pub wait_ms: u64,
}

/// A file of the queue's folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileName {
    /// A segment of the log.
    Log(SegmentId),
    Kept(SegmentId),
    Keys(String),
}

/// Bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePart {
    /// Of which.
    pub file: FileName,
    /// Where in the file they begin.
    pub offset: u64,
    /// How many there are.
    pub bytes: usize,
    /// Their CRC-32C.
    pub checksum: u32,
    /// How long the file is or will become.
    pub capacity: u64,
}

/// What all of a sealed segment must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    pub name: SegmentId,
    /// How many bytes of it count.
    pub end: u32,
    /// Their CRC-32C.
    pub checksum: u32,
}

/// The first part of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PulledParts {
    /// What the bytes behind it are, in the order in which they are to be written.
    pub chunks: Vec<FilePart>,
    /// Segments that are complete with them.
    pub sealed: Vec<Seal>,
    /// How far the gateway's log went.
    pub head: LogPlace,
    /// The position that its next event gets.
    pub next_position: u64,
    /// The copy goes up to `head` with these chunks, and has all that this relies on.
    pub is_complete: bool,
    /// The oldest segment of the log that counts.
    pub first_segment: u32,
    /// All files of the kept log, with how many of their bytes will never change.
    pub kept: Vec<KeptPart>,
    /// All files of dedupe keys, with how long they are.
    pub keys: Vec<KeyPart>,
    /// A standby that has the log up to here needs no files that are missing in these lists.
    pub lists_count_from: LogPlace,
}

/// Why bytes are no batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what came is not what was sent: {0}")]
pub struct Garbled(pub &'static str);

/// Bytes in front of a batch's JSON: its length and its CRC-32C.
const HEAD_BYTES: usize = 8;

impl PulledParts {
    /// Takes files that came later into the lists, which say nothing of what is newer than they are.
    pub(super) fn add_newer(&mut self, chunks: &[FilePart]) {
        for FilePart { file, capacity, .. } in chunks {
            match file {
                FileName::Log(_) => {}
                FileName::Kept(name) if self.kept.iter().any(|part| part.name == *name) => {}
                FileName::Kept(name) => self.kept.push(KeptPart { name: *name, bytes: 0 }),
                FileName::Keys(name) if self.keys.iter().any(|part| part.name == *name) => {}
                FileName::Keys(name) => {
                    self.keys.push(KeyPart { name: name.clone(), bytes: *capacity });
                }
            }
        }
    }

    /// The bytes of an answer.
    pub fn encode(&self, payload: &[u8]) -> serde_json::Result<Bytes> {
        let json = serde_json::to_vec(self)?;
        let mut bytes = Vec::with_capacity(HEAD_BYTES + json.len() + payload.len());
        bytes.extend(u32::try_from(json.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend(crc32c::crc32c(&json).to_le_bytes());
        bytes.extend(json);
        bytes.extend(payload);
        Ok(bytes.into())
    }

    /// Reads an answer, and checks it by lengths and checksums: gives each chunk with its bytes.
    pub fn decode(answer: &Bytes) -> Result<(Self, Vec<Bytes>), Garbled> {
        let number = |at: usize| {
            let bytes = answer.get(at..)?.first_chunk()?;
            Some(u32::from_le_bytes(*bytes))
        };
        let (length, checksum) = number(0).zip(number(4)).ok_or(Garbled("it is cut short"))?;
        let begin = HEAD_BYTES.saturating_add(length as usize);
        let json = answer.get(HEAD_BYTES..begin).ok_or(Garbled("it is cut short"))?;
        if crc32c::crc32c(json) != checksum {
            return Err(Garbled("its list has another checksum"));
        }
        let batch: Self =
            serde_json::from_slice(json).map_err(|_| Garbled("its list cannot be read"))?;
        let (mut at, mut parts) = (begin, Vec::with_capacity(batch.chunks.len()));
        for chunk in &batch.chunks {
            let end = at.saturating_add(chunk.bytes);
            if end > answer.len() {
                return Err(Garbled("it is cut short"));
            }
            let part = answer.slice(at..end);
            if crc32c::crc32c(&part) != chunk.checksum {
                return Err(Garbled("a part of it has another checksum"));
            }
            parts.push(part);
            at = end;
        }
        if at == answer.len() { Ok((batch, parts)) } else { Err(Garbled("it is too long")) }
    }
}
