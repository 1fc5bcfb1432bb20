//! The ring's file: [`MAGIC`], then records, each a change of the ring.
//!
//! | bytes | field |
//! |---|---|
//! | 4 | length of the payload, little endian |
//! | 4 | CRC-32C of the payload |
//! | 1 | kind: 1 request, 2 removed, 3 last number |
//! | varint | number |
//! | rest | of a request: time, and as byte strings source, client, method, path, reason, headers; then the raw body |
//!
//! It is appended to until it is twice as large as the ring, and then written anew beside itself.
//! So is it with the first writing of each run, and after one that failed: what follows a
//! torn record would not be read.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::entries::{BYTES_MAX, ENTRIES_MAX, Entries, FILE_BYTES_MAX, Unwritten};
use super::request::RejectedRequest;
use crate::clock::Timestamp;
use crate::event::{Headers, SourceName};
use crate::files;
use crate::queue::codec::{Put, Take};

/// Says what the file is, and in which version.
const MAGIC: &[u8; 8] = b"gprejct1";
const KIND_REQUEST: u8 = 1;
const KIND_REMOVED: u8 = 2;
const KIND_LAST: u8 = 3;
/// Bytes in front of each payload.
const HEADER_BYTES: usize = 8;
/// No payload is longer: a request of the ring and what its record adds to it.
const PAYLOAD_BYTES_MAX: usize = BYTES_MAX + 1024;
/// When the file is written anew.
const RECORDS_MAX: usize = 2 * ENTRIES_MAX;

/// The file, open for writing where its end is known to be good.
#[derive(Debug)]
pub(super) struct RejectedFile {
    path: PathBuf,
    end: Option<End>,
}

#[derive(Debug)]
struct End {
    file: File,
    bytes: u64,
    n_records: usize,
}

impl RejectedFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, end: None }
    }

    /// Brings the file up to date. After a failure it is as it was, or ends in half a record.
    pub(super) fn write(&mut self, unwritten: &Unwritten) -> io::Result<()> {
        // Gone until it is known that all went well.
        let end = match self.end.take() {
            Some(end) => self.append(end, unwritten)?,
            None => self.anew(unwritten)?,
        };
        self.end = Some(end);
        Ok(())
    }

    /// Adds what is new, or writes all anew where that would be too much.
    fn append(&self, end: End, unwritten: &Unwritten) -> io::Result<End> {
        let new = || unwritten.requests.iter().filter(|one| one.number >= unwritten.first_new);
        // Each removed, and the last.
        let n_numbers = unwritten.removed.len() + 1;
        let n_new = new().count() + n_numbers;
        // A number has few bytes; a request has its own estimate.
        let bytes_new: usize = new().map(|one| one.bytes()).sum::<usize>() + n_numbers * 32;
        let is_full =
            end.n_records + n_new > RECORDS_MAX || end.bytes + bytes_new as u64 > FILE_BYTES_MAX;
        if is_full {
            return self.anew(unwritten);
        }
        let mut writer = Records::new(end);
        // First what is gone: a reader of the file never has more than the ring had.
        for number in &unwritten.removed {
            writer.number(KIND_REMOVED, *number)?;
        }
        for request in new() {
            writer.request(request)?;
        }
        if new().next_back().is_none_or(|newest| newest.number < unwritten.last) {
            // The newest was dropped before it was written: its number is not given again.
            writer.number(KIND_LAST, unwritten.last)?;
        }
        writer.finish()
    }

    fn anew(&self, unwritten: &Unwritten) -> io::Result<End> {
        let staging = files::staging(&self.path);
        files::remove(&staging)?;
        // Bodies are in it: for its owner only, from the first byte on.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&staging)?;
        let mut writer = Records::new(End { file, bytes: 0, n_records: 0 });
        writer.raw(MAGIC)?;
        for request in &unwritten.requests {
            writer.request(request)?;
        }
        // Behind them: a number that was given and removed is not given again.
        writer.number(KIND_LAST, unwritten.last)?;
        let end = writer.finish()?;
        std::fs::rename(&staging, &self.path)?;
        Ok(end)
    }
}

/// Writes records behind each other.
struct Records {
    writer: BufWriter<File>,
    bytes: u64,
    count: usize,
    payload: Vec<u8>,
}

impl Records {
    fn new(end: End) -> Self {
        let End { file, bytes, n_records } = end;
        Self { writer: BufWriter::new(file), bytes, count: n_records, payload: Vec::new() }
    }

    fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes += bytes.len() as u64;
        self.writer.write_all(bytes)
    }

    fn number(&mut self, kind: u8, number: u64) -> io::Result<()> {
        self.payload.clear();
        self.payload.put_u8(kind);
        self.payload.put_varint(number);
        self.record()
    }

    fn request(&mut self, request: &RejectedRequest) -> io::Result<()> {
        self.payload.clear();
        encode(request, &mut self.payload);
        self.record()
    }

    fn record(&mut self) -> io::Result<()> {
        let payload = std::mem::take(&mut self.payload);
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
        self.raw(&length.to_le_bytes())?;
        self.raw(&crc32c::crc32c(&payload).to_le_bytes())?;
        self.raw(&payload)?;
        self.count += 1;
        self.payload = payload;
        Ok(())
    }

    fn finish(self) -> io::Result<End> {
        let file = self.writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(End { file, bytes: self.bytes, n_records: self.count })
    }
}

fn encode(request: &RejectedRequest, out: &mut Vec<u8>) {
    let client = request.client.map(|client| client.to_string()).unwrap_or_default();
    out.put_u8(KIND_REQUEST);
    out.put_varint(request.number);
    out.put_signed(request.received_at.as_millis());
    out.put_bytes(request.source.as_str().as_bytes());
    out.put_bytes(client.as_bytes());
    out.put_bytes(request.method.as_bytes());
    out.put_bytes(request.path_and_query.as_bytes());
    out.put_bytes(request.reason.as_bytes());
    out.put_bytes(request.headers.encoded());
    out.put_raw(&request.body);
}

/// What one record says.
#[derive(Debug)]
pub(crate) enum Record {
    Request(RejectedRequest),
    Removed(u64),
    Last(u64),
}

/// Reads a payload; `None` = it makes no sense. Never panics.
pub(crate) fn decode(payload: &[u8]) -> Option<Record> {
    let mut take = Take(payload);
    let kind = take.u8()?;
    let number = take.varint()?;
    match kind {
        KIND_REMOVED => return Some(Record::Removed(number)),
        KIND_LAST => return Some(Record::Last(number)),
        KIND_REQUEST => {}
        _ => return None,
    }
    let received_at = Timestamp::from_millis(take.signed()?);
    let source = SourceName::parse(take.text()?).ok()?;
    let client = match take.text()? {
        "" => None,
        text => Some(text.parse().ok()?),
    };
    Some(Record::Request(RejectedRequest {
        number,
        received_at,
        source,
        client,
        method: take.text()?.to_owned(),
        path_and_query: take.text()?.to_owned(),
        reason: take.text()?.to_owned(),
        headers: Headers::from_encoded(Bytes::copy_from_slice(take.bytes()?)),
        body: Bytes::copy_from_slice(take.0),
    }))
}

/// Takes what the file at `path` holds into `entries`, up to the first record that is not whole.
/// No file is an empty one.
pub(super) fn read(path: &Path, entries: &mut Entries) -> io::Result<()> {
    match File::open(path) {
        Ok(file) => read_from(BufReader::new(file), entries),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(err) => Err(err),
    }
}

pub(super) fn read_from(file: impl Read, entries: &mut Entries) -> io::Result<()> {
    // The file may be anything: no more is read than was ever written.
    let mut file = file.take(2 * FILE_BYTES_MAX);
    let mut magic = [0; MAGIC.len()];
    file.read_exact(&mut magic)?;
    if magic != *MAGIC {
        return Err(bad("it is not a file of rejected requests, or of another version"));
    }
    let mut payload = Vec::new();
    while let Some((length, crc)) = read_header(&mut file)? {
        if length > PAYLOAD_BYTES_MAX {
            return Err(bad("a record is too long"));
        }
        payload.clear();
        if file.by_ref().take(length as u64).read_to_end(&mut payload)? < length {
            return Err(bad("its last record is cut off"));
        }
        if crc32c::crc32c(&payload) != crc {
            return Err(bad("a record is damaged"));
        }
        take_in(&payload, entries)?;
    }
    Ok(())
}

/// Takes what a payload says into `entries`.
pub(super) fn take_in(payload: &[u8], entries: &mut Entries) -> io::Result<()> {
    match decode(payload).ok_or_else(|| bad("a record makes no sense"))? {
        Record::Request(request) => entries.restore(request),
        Record::Removed(number) => entries.remove(number),
        Record::Last(number) => entries.skip_to(number),
    }
    Ok(())
}

/// Length and checksum of the next payload; `None` at the end.
fn read_header(file: &mut impl Read) -> io::Result<Option<(usize, u32)>> {
    let mut header = Vec::with_capacity(HEADER_BYTES);
    file.by_ref().take(HEADER_BYTES as u64).read_to_end(&mut header)?;
    if header.is_empty() {
        return Ok(None);
    }
    let mut take = Take(&header);
    let field = |bytes: Option<[u8; 4]>| bytes.map(u32::from_le_bytes);
    match (field(take.array()), field(take.array())) {
        (Some(length), Some(crc)) => Ok(Some((usize::try_from(length).unwrap_or(usize::MAX), crc))),
        _ => Err(bad("its last record is cut off")),
    }
}

fn bad(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
