//! The fixed part in front of each payload.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::values::offset_of;
use crate::queue::codec::Take;

/// Bytes in front of each payload.
pub(crate) const HEADER_BYTES: usize = 14;

/// The layout that is written.
const VERSION: u8 = 2;

/// What names a segment of the log or of the kept log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SegmentId {
    /// It ascends.
    pub number: u32,
    /// Drawn at random when the segment was made.
    pub salt: u64,
}

impl SegmentId {
    /// The name of its file, in the log and in the kept log alike.
    pub fn file_name(self) -> String {
        format!("{:010}-{:016x}.log", self.number, self.salt)
    }

    /// The segment whose file has this name. Numbers begin at 1.
    pub fn of_file(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let (number, salt) = name.strip_suffix(".log")?.split_once('-')?;
        let number = number.parse().ok()?;
        let id = Self { number, salt: u64::from_str_radix(salt, 16).ok()? };
        (number > 0 && id.file_name() == name).then_some(id)
    }
}

/// The number of the segment behind `number`. The last one stays: a log that came to it by itself
/// would have 64 PiB.
pub(crate) const fn next_number(number: u32) -> u32 {
    number.saturating_add(1)
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Head = 1,
    Event = 2,
    Settle = 3,
    Subscribed = 4,
    Forgotten = 5,
    Trim = 6,
    Opened = 7,
    Closed = 8,
    Filler = 9,
    KeptChanges = 10,
    KeptFooter = 11,
    Shared = 12,
}

impl Kind {
    #[cfg(feature = "test-support")]
    pub(crate) const ALL: [Self; 12] = [
        Self::Head,
        Self::Event,
        Self::Settle,
        Self::Subscribed,
        Self::Forgotten,
        Self::Trim,
        Self::Opened,
        Self::Closed,
        Self::Filler,
        Self::KeptChanges,
        Self::KeptFooter,
        Self::Shared,
    ];

    const fn of(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Head),
            2 => Some(Self::Event),
            3 => Some(Self::Settle),
            4 => Some(Self::Subscribed),
            5 => Some(Self::Forgotten),
            6 => Some(Self::Trim),
            7 => Some(Self::Opened),
            8 => Some(Self::Closed),
            9 => Some(Self::Filler),
            10 => Some(Self::KeptChanges),
            11 => Some(Self::KeptFooter),
            12 => Some(Self::Shared),
            _ => None,
        }
    }
}

/// What precedes a payload, as it was read. Nothing of it is checked yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) payload_bytes: u32,
    crc: u32,
    pub(crate) batch_start: u32,
    kind: u8,
    version: u8,
}

/// What the bytes of a record are worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Validity {
    /// The CRC is right.
    Whole(Header, Kind),
    /// The CRC is right, and this version does not know the kind or the layout.
    Unsupported(Header),
    /// No record of this segment, or no longer one.
    Bad,
}

impl Header {
    /// Reads a header; zeros are none, because no kind and no version is 0.
    pub(crate) fn parse(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let mut take = Take(bytes);
        let payload_bytes = u32::from_le_bytes(take.array()?);
        let crc = u32::from_le_bytes(take.array()?);
        let batch_start = u32::from_le_bytes(take.array()?);
        let (kind, version) = (take.u8()?, take.u8()?);
        (kind != 0 && version != 0).then_some(Self {
            payload_bytes,
            crc,
            batch_start,
            kind,
            version,
        })
    }

    /// Whether it says that it is an event of this version.
    pub(crate) const fn is_event(&self) -> bool {
        self.kind == Kind::Event as u8 && self.version == VERSION
    }

    /// Bytes of the whole record.
    pub(crate) const fn record_bytes(&self) -> usize {
        HEADER_BYTES + self.payload_bytes as usize
    }

    /// Kind and version as they stand in the bytes, for people.
    pub(crate) const fn kind_and_version(&self) -> (u8, u8) {
        (self.kind, self.version)
    }

    /// The CRC of what is under it before the payload.
    pub(super) fn prefix_crc(&self, segment: SegmentId) -> u32 {
        prefix_crc(segment, self.batch_start, self.kind, self.version)
    }

    /// Checks a record by its payload, which has the length that this header names.
    pub(crate) fn check(self, payload: &[u8], segment: SegmentId) -> Validity {
        self.judge(crc32c::crc32c_append(self.prefix_crc(segment), payload))
    }

    /// The same record, once the CRC of all of it is known.
    pub(super) fn judge(self, crc: u32) -> Validity {
        match Kind::of(self.kind).filter(|_| self.version == VERSION) {
            _ if crc != self.crc => Validity::Bad,
            Some(kind) => Validity::Whole(self, kind),
            None => Validity::Unsupported(self),
        }
    }
}

/// Checks the record that begins at index `at` of bytes of `segment`.
pub(crate) fn examine(bytes: &[u8], at: usize, segment: SegmentId) -> Validity {
    let record = || {
        let tail = bytes.get(at..)?;
        let header = Header::parse(tail.first_chunk()?)?;
        Some((header, tail.get(HEADER_BYTES..header.record_bytes())?))
    };
    let Some((header, payload)) = record() else { return Validity::Bad };
    header.check(payload, segment)
}

fn prefix_crc(segment: SegmentId, batch_start: u32, kind: u8, version: u8) -> u32 {
    let mut prefix = [kind; 18];
    let (salt, rest) = prefix.split_at_mut(8);
    salt.copy_from_slice(&segment.salt.to_le_bytes());
    let (number, rest) = rest.split_at_mut(4);
    number.copy_from_slice(&segment.number.to_le_bytes());
    let (start, tail) = rest.split_at_mut(4);
    start.copy_from_slice(&batch_start.to_le_bytes());
    tail.copy_from_slice(&[kind, version]);
    crc32c::crc32c(&prefix)
}

/// The header of a record that is written.
pub(super) fn header_bytes(
    segment: SegmentId,
    batch_start: u32,
    kind: Kind,
    payload: &[u8],
) -> [u8; HEADER_BYTES] {
    let kind = kind as u8;
    let crc = crc32c::crc32c_append(prefix_crc(segment, batch_start, kind, VERSION), payload);
    let [p0, p1, p2, p3] = offset_of(payload.len()).to_le_bytes();
    let [c0, c1, c2, c3] = crc.to_le_bytes();
    let [s0, s1, s2, s3] = batch_start.to_le_bytes();
    [p0, p1, p2, p3, c0, c1, c2, c3, s0, s1, s2, s3, kind, VERSION]
}

/// Makes the record that `record` begins with one of a newer version, whole as it is.
#[cfg(test)]
pub(crate) fn make_newer(record: &mut [u8], segment: SegmentId) {
    let version = VERSION + 1;
    record[13] = version;
    let header = Header::parse(record.first_chunk().unwrap()).unwrap();
    let payload = &record[HEADER_BYTES..header.record_bytes()];
    let crc = crc32c::crc32c_append(header.prefix_crc(segment), payload);
    record[4..8].copy_from_slice(&crc.to_le_bytes());
}
