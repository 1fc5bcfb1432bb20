//! Writing a run file: entries in the order of their keys, then fences, the filter, and the header
//! last.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use super::super::super::codec::Put;
use super::super::super::storage::{OpenMode, Storage, StorageFile, if_there};
use super::super::record::Lsn;
use super::KeyEntry;
use super::filter::BloomFilter;
use super::page::{ENTRIES_PER_PAGE, KEYS_PER_PAGE, PAGE_BYTES, number_of, put_entry, put_page};
use super::run_file::{BLOCKS_PER_PAGE, FENCE_PAGES, KeyRun, RunHeader, run_path};
use crate::clock::Timestamp;
use crate::event::{DedupeKey, EventId};

/// Written at once.
const BUFFER_BYTES: usize = 256 << 10;
/// Synced after so many bytes: one sync of a whole merged run (400 MB) would hold up commits.
const SYNC_BYTES: u64 = 4 << 20;
/// Every so many entries one tells when half of the run has expired.
const SAMPLE: u64 = 64;

/// Writes one run file, under a name of its own until it is whole.
#[derive(Debug)]
pub(super) struct RunWriter {
    storage: Arc<dyn Storage>,
    folder: PathBuf,
    temporary: PathBuf,
    file: Arc<dyn StorageFile>,
    header: RunHeader,
    buffer: Vec<u8>,
    /// Bytes written, and those of them that are synced.
    written: u64,
    synced: u64,
    n_pages: u32,
    /// The entries of the next page.
    page: Vec<u8>,
    n_in_page: u16,
    fences: Vec<DedupeKey>,
    filter: BloomFilter,
    expiries: Vec<Timestamp>,
}

impl RunWriter {
    /// Begins a run of the keys of these records, at most `n_keys`.
    pub(super) fn create(
        storage: &Arc<dyn Storage>,
        folder: &Path,
        records: Range<Lsn>,
        n_keys: u64,
    ) -> io::Result<Self> {
        let temporary = run_path(folder, &records, "new");
        if_there(storage.remove(&temporary))?;
        let file = storage.open(&temporary, OpenMode::Create)?;
        Ok(Self {
            storage: Arc::clone(storage),
            folder: folder.to_path_buf(),
            temporary,
            file,
            header: RunHeader::new(records),
            buffer: Vec::new(),
            written: PAGE_BYTES as u64,
            synced: 0,
            n_pages: 1,
            page: Vec::with_capacity(PAGE_BYTES),
            n_in_page: 0,
            fences: Vec::new(),
            filter: BloomFilter::new(n_keys),
            expiries: Vec::new(),
        })
    }

    /// Adds an entry; they come in the order of their keys.
    pub(super) fn push(&mut self, entry: &KeyEntry) -> io::Result<()> {
        if usize::from(self.n_in_page) == ENTRIES_PER_PAGE {
            self.end_page()?;
        }
        if self.n_in_page == 0 && self.header.n_entry_pages.is_multiple_of(FENCE_PAGES) {
            self.fences.push(entry.key);
        }
        if self.header.n_entries.is_multiple_of(SAMPLE) {
            self.expiries.push(entry.expires_at());
        }
        put_entry(entry, &mut self.page);
        self.n_in_page += 1;
        self.filter.insert(entry.key);
        self.header.count(entry);
        Ok(())
    }

    fn end_page(&mut self) -> io::Result<()> {
        if self.n_in_page == 0 {
            return Ok(());
        }
        let mut content = self.n_in_page.to_le_bytes().to_vec();
        content.put_raw(&self.page);
        self.page.clear();
        self.n_in_page = 0;
        self.header.n_entry_pages += 1;
        self.put(&content)
    }

    fn put(&mut self, content: &[u8]) -> io::Result<()> {
        put_page(self.n_pages, content, &mut self.buffer);
        self.n_pages += 1;
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.buffer, self.written)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        if self.written - self.synced >= SYNC_BYTES {
            self.file.sync_data()?;
            self.synced = self.written;
        }
        Ok(())
    }

    /// Makes the run durable under its own name. `None` = it has no entries, and no file.
    pub(super) fn finish(mut self) -> io::Result<Option<(KeyRun, BloomFilter)>> {
        self.end_page()?;
        if self.header.n_entries == 0 {
            self.abandon()?;
            return Ok(None);
        }
        self.put_fences_and_filter()?;
        self.flush()?;
        self.expiries.sort_unstable();
        let half = self.expiries.get(self.expiries.len() / 2);
        self.header.half_expires_at = half.copied().unwrap_or(self.header.expires_at);
        let mut header = Vec::new();
        put_page(0, &self.header.encode(), &mut header);
        self.file.write_all_at(&header, 0)?;
        self.file.sync_data()?;
        let path = run_path(&self.folder, &self.header.records, "run");
        self.storage.rename(&self.temporary, &path)?;
        self.storage.sync_folder(&self.folder)?;
        // All of its events are in the log.
        let ids_until = EventId(Uuid::max());
        let run = KeyRun { header: self.header, file: self.file, fences: self.fences, ids_until };
        Ok(Some((run, self.filter)))
    }

    fn put_fences_and_filter(&mut self) -> io::Result<()> {
        self.header.n_fences = number_of(self.fences.len());
        self.header.n_blocks = number_of(self.filter.blocks().len());
        let keys = self.fences.chunks(KEYS_PER_PAGE as usize);
        let fences = keys.map(|keys| keys.iter().flat_map(|key| key.0).collect::<Vec<u8>>());
        let blocks = self.filter.blocks().chunks(BLOCKS_PER_PAGE as usize);
        let blocks = blocks
            .map(|blocks| blocks.iter().flatten().flat_map(|word| word.to_le_bytes()).collect());
        // Copied, since `put` needs all of `self`: at most 17 MB, for 8 M keys.
        for content in fences.chain(blocks).collect::<Vec<_>>() {
            self.put(&content)?;
        }
        Ok(())
    }

    /// Removes what was written.
    pub(super) fn abandon(&self) -> io::Result<()> {
        if_there(self.storage.remove(&self.temporary)).map(drop)
    }
}
