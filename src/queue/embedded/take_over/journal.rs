//! Version 1's journal, as far as it must still be read: segments `00000000000000000001.seg` and
//! on, each a run of records.
//!
//! | bytes | field |
//! |---|---|
//! | 4 | length of the payload, little endian |
//! | 4 | CRC-32C over segment number, batch start, kind, version and payload |
//! | 4 | batch start: where in the segment the commit that wrote this record began |
//! | 1 | kind: 1 event, 2 settled, 3 checkpoint, 4 carried, 5 keys, 6 filler |
//! | 1 | version of the payload's layout: 1 |
//! | n | payload |

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::STUB_NAME;
use super::record::{Kind, Record};
use crate::queue::codec::Take;
use crate::queue::embedded::record::find_record;
use crate::queue::storage::{OpenMode, Storage};

const HEADER_BYTES: usize = 14;
const VERSION: u8 = 1;

/// Where a record begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Location {
    segment: u64,
    offset: usize,
}

/// The segments of a folder, oldest first.
#[derive(Debug)]
pub(super) struct Journal {
    storage: Arc<dyn Storage>,
    segments: Vec<(u64, PathBuf)>,
}

impl Journal {
    /// Lists the segments in `folder`, but for the stub, and reads nothing yet.
    pub(super) fn open(storage: Arc<dyn Storage>, folder: &Path) -> io::Result<Self> {
        let files = storage.list(folder)?.into_iter().filter(|path| !path.ends_with(STUB_NAME));
        let mut segments: Vec<(u64, PathBuf)> =
            files.filter_map(|path| Some((number_of(&path)?, path))).collect();
        segments.sort_unstable();
        Ok(Self { storage, segments })
    }

    /// Whether everything since the very first event is still there.
    pub(super) fn has_first_segment(&self) -> bool {
        self.segments.first().is_none_or(|(number, _)| *number == 1)
    }

    /// Every whole record in the order of the journal; `visit` stops at an error. Takes the memory
    /// of one segment, 16 MiB. What a newer version wrote is an error.
    pub(super) fn each<E: From<io::Error>>(
        &self,
        mut visit: impl FnMut(Location, Record) -> Result<(), E>,
    ) -> Result<(), E> {
        for (number, path) in &self.segments {
            let bytes = self.read(path)?;
            let segment = Segment { number: *number, bytes: &bytes };
            let mut end = 0;
            while let Some((at, header)) = segment.find(end) {
                if at > end {
                    let n_bytes = at - end;
                    tracing::error!(segment = number, offset = end, n_bytes, "Unreadable");
                }
                end = at + header.record_bytes();
                if let Some(record) = segment.decode(at, &header)? {
                    visit(Location { segment: *number, offset: at }, record)?;
                }
            }
        }
        Ok(())
    }

    fn read(&self, path: &Path) -> io::Result<Bytes> {
        let file = self.storage.open(path, OpenMode::Read)?;
        let size = usize::try_from(file.size()?).map_err(io::Error::other)?;
        let mut bytes = vec![0; size];
        let n_read = file.read_at(&mut bytes, 0)?;
        bytes.truncate(n_read);
        Ok(bytes.into())
    }
}

/// The number in a segment's file name.
fn number_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?.strip_suffix(".seg")?;
    (name.len() == 20).then(|| name.parse().ok())?
}

#[derive(Clone, Copy, Debug)]
struct Header {
    payload_bytes: u32,
    crc: u32,
    batch_start: u32,
    kind: u8,
    version: u8,
}

impl Header {
    /// Reads a header; zeros are none.
    fn parse(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let mut take = Take(bytes);
        let payload_bytes = u32::from_le_bytes(take.array()?);
        let crc = u32::from_le_bytes(take.array()?);
        let batch_start = u32::from_le_bytes(take.array()?);
        let (kind, version) = (take.u8()?, take.u8()?);
        let is_header = kind != 0 && version != 0;
        is_header.then_some(Self { payload_bytes, crc, batch_start, kind, version })
    }

    fn crc_of(&self, segment: u64, payload: &[u8]) -> u32 {
        let crc = crc32c::crc32c(&segment.to_le_bytes());
        let crc = crc32c::crc32c_append(crc, &self.batch_start.to_le_bytes());
        let crc = crc32c::crc32c_append(crc, &[self.kind, self.version]);
        crc32c::crc32c_append(crc, payload)
    }

    const fn record_bytes(&self) -> usize {
        HEADER_BYTES + self.payload_bytes as usize
    }
}

/// A segment's bytes.
#[derive(Clone, Copy, Debug)]
struct Segment<'a> {
    number: u64,
    bytes: &'a Bytes,
}

impl Segment<'_> {
    /// The first whole record at or behind index `from`.
    fn find(&self, from: usize) -> Option<(usize, Header)> {
        find_record(self.bytes, from, |at| Some((at, self.valid_at(at)?)))
    }

    fn valid_at(&self, at: usize) -> Option<Header> {
        let tail = self.bytes.get(at..)?;
        let header = Header::parse(tail.first_chunk()?)?;
        // Told first, because it is told for less than the checksum of what may be megabytes.
        if header.batch_start as usize > at {
            return None;
        }
        let payload = tail.get(HEADER_BYTES..header.record_bytes())?;
        (header.crc_of(self.number, payload) == header.crc).then_some(header)
    }

    /// What the record at `at` says; `None` = whole bytes that make no sense.
    fn decode(&self, at: usize, header: &Header) -> io::Result<Option<Record>> {
        let place = || format!("segment {} at byte {at}", self.number);
        let Some(kind) = Kind::of(header.kind).filter(|_| header.version == VERSION) else {
            let what = format!("{}: a record was written by a newer version of gatepost", place());
            return Err(io::Error::new(io::ErrorKind::Unsupported, what));
        };
        let payload = self.bytes.slice(at + HEADER_BYTES..at + header.record_bytes());
        let record = Record::decode(kind, &payload);
        if record.is_none() {
            tracing::error!(at = place(), "A record of the old journal is left out");
        }
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::super::STUB;
    use super::*;

    #[test]
    fn the_stub_is_refused_as_of_a_newer_version() {
        let bytes = Bytes::from_static(&STUB);
        let stub = Segment { number: u64::MAX, bytes: &bytes };
        assert_eq!(STUB_NAME, format!("{}.seg", u64::MAX));
        let (at, header) = stub.find(0).unwrap();
        assert_eq!(stub.decode(at, &header).unwrap_err().kind(), io::ErrorKind::Unsupported);
    }
}
