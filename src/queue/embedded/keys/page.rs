//! The pages of a run file: 4 KiB each, the last 4 bytes a CRC-32C over the page's number and its
//! content.

use std::io;
use std::time::Duration;

use uuid::Uuid;

use super::super::super::codec::{Put, Take};
use super::super::super::storage::StorageFile;
use super::KeyEntry;
use crate::clock::Timestamp;
use crate::event::{DedupeKey, EventId};

pub(super) const PAGE_BYTES: usize = 4096;
const CRC_BYTES: usize = 4;
/// Key and id in 16 bytes each, received at and window in milliseconds in 6 bytes each.
const ENTRY_BYTES: usize = 44;
/// A page of entries begins with their number in 2 bytes.
pub(super) const ENTRIES_PER_PAGE: usize = (PAGE_BYTES - CRC_BYTES - 2) / ENTRY_BYTES;
pub(super) const KEYS_PER_PAGE: u32 = 255;

/// Why a run, or a page of it, does not count.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    #[error("page {page} cannot be read")]
    Io {
        page: u32,
        #[source]
        source: io::Error,
    },
    #[error("page {page} has a wrong checksum")]
    Checksum { page: u32 },
    #[error("the header is none of a key run")]
    Header,
}

/// The number of a run's page, fence or block: a run of 4 billion blocks would have 256 GiB of them.
pub(super) fn number_of(index: usize) -> u32 {
    debug_assert!(u32::try_from(index).is_ok(), "no run has {index} pages, fences or blocks");
    u32::try_from(index).unwrap_or(u32::MAX)
}

fn crc(number: u32, content: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&number.to_le_bytes()), content)
}

/// Appends the page `number` with this content, filled up with zeros.
pub(super) fn put_page(number: u32, content: &[u8], out: &mut Vec<u8>) {
    debug_assert!(content.len() <= PAGE_BYTES - CRC_BYTES, "a page's content fits");
    let begin = out.len();
    out.put_raw(content);
    out.resize(begin + PAGE_BYTES - CRC_BYTES, 0);
    let crc = crc(number, out.get(begin..).unwrap_or_default());
    out.put_raw(&crc.to_le_bytes());
}

/// A page whose checksum is right.
#[derive(Debug)]
pub(super) struct Page([u8; PAGE_BYTES]);

impl Page {
    pub(super) fn read(file: &dyn StorageFile, page: u32) -> Result<Self, RunError> {
        let mut bytes = [0; PAGE_BYTES];
        let offset = u64::from(page) * PAGE_BYTES as u64;
        let n_read =
            file.read_at(&mut bytes, offset).map_err(|source| RunError::Io { page, source })?;
        let (content, checksum) = bytes.split_at(PAGE_BYTES - CRC_BYTES);
        let is_right = n_read == PAGE_BYTES && crc(page, content).to_le_bytes() == checksum;
        if is_right { Ok(Self(bytes)) } else { Err(RunError::Checksum { page }) }
    }

    pub(super) fn content(&self) -> &[u8] {
        self.0.split_at(PAGE_BYTES - CRC_BYTES).0
    }

    /// Its entries, if it is a page of entries.
    pub(super) fn entries(&self) -> impl Iterator<Item = KeyEntry> {
        let mut take = Take(self.content());
        let n_entries = take.array().map_or(0, u16::from_le_bytes);
        (0..n_entries).map_while(move |_| take_entry(&mut take))
    }
}

pub(super) fn put_entry(entry: &KeyEntry, out: &mut Vec<u8>) {
    const LARGEST: i64 = (1 << 47) - 1;
    let received_at = entry.received_at.as_millis().clamp(-LARGEST, LARGEST);
    let window = i64::try_from(entry.window.as_millis()).map_or(LARGEST, |ms| ms.min(LARGEST));
    out.put_raw(&entry.key.0);
    out.put_raw(entry.id.0.as_bytes());
    for number in [received_at, window] {
        let [six @ .., _, _] = number.to_le_bytes();
        out.put_raw(&six);
    }
}

fn take_entry(take: &mut Take<'_>) -> Option<KeyEntry> {
    let key = DedupeKey(take.array()?);
    let id = EventId(Uuid::from_bytes(take.array()?));
    let received_at = Timestamp::from_millis(take_six(take)?);
    let window = Duration::from_millis(u64::try_from(take_six(take)?).ok()?);
    Some(KeyEntry { key, id, received_at, window })
}

/// Six bytes with their sign.
fn take_six(take: &mut Take<'_>) -> Option<i64> {
    let mut bytes = [0; 8];
    bytes.last_chunk_mut::<6>()?.copy_from_slice(&take.array::<6>()?);
    Some(i64::from_le_bytes(bytes) >> 16)
}
