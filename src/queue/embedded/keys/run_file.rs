//! A run file: immutable, sorted keys.
//!
//! | pages | content |
//! |---|---|
//! | 1 | header |
//! | `n_entry_pages` | entries, by key and id |
//! | `n_fences` / 255 | the first key of every 64th page of entries |
//! | `n_blocks` / 63 | the filter's blocks |

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::super::codec::{Put, Take};
use super::super::super::storage::{OpenMode, Storage, StorageFile};
use super::super::record::Lsn;
use super::filter::{BLOCK_BYTES, Block, BloomFilter, block_may_hold, block_of};
use super::page::{ENTRIES_PER_PAGE, KEYS_PER_PAGE, PAGE_BYTES, Page, RunError, number_of};
use super::{CLOCK_STEP_MAX, KeyEntry, KeyProbe, Seen};
use crate::clock::Timestamp;
use crate::event::{DedupeKey, EventId};

/// One fence per so many pages of entries: 8 M keys have 22 KB of fences in memory.
pub(super) const FENCE_PAGES: u32 = 64;
pub(super) const BLOCKS_PER_PAGE: u32 = 63;
/// "gpkeys", and the version.
const MAGIC: [u8; 8] = *b"gpkeys\0\x01";

/// `keys/{from}-{through}.run`; `.new` while it is being written, `.bad` once a page of it could
/// not be read.
pub(super) fn run_path(folder: &Path, records: &Range<Lsn>, extension: &str) -> PathBuf {
    folder.join(format!("{:016x}-{:016x}.{extension}", records.start.0, records.end.0))
}

/// What a file's name says: the records, and the extension.
pub(super) fn parse_name(path: &Path) -> Option<(Range<Lsn>, &str)> {
    let (from, through) = path.file_stem()?.to_str()?.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok().map(Lsn);
    Some((number(from)?..number(through)?, path.extension()?.to_str()?))
}

/// The header of a run file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RunHeader {
    /// The records whose keys it has.
    pub(super) records: Range<Lsn>,
    pub(super) n_entries: u64,
    pub(super) n_entry_pages: u32,
    pub(super) n_fences: u32,
    pub(super) n_blocks: u32,
    received_min: Timestamp,
    received_max: Timestamp,
    /// When the last of its entries expires.
    pub(super) expires_at: Timestamp,
    /// When about half of its entries have expired.
    pub(super) half_expires_at: Timestamp,
}

impl RunHeader {
    pub(super) const fn new(records: Range<Lsn>) -> Self {
        Self {
            records,
            n_entries: 0,
            n_entry_pages: 0,
            n_fences: 0,
            n_blocks: 0,
            received_min: Timestamp::from_millis(i64::MAX),
            received_max: Timestamp::MIN,
            expires_at: Timestamp::MIN,
            half_expires_at: Timestamp::MIN,
        }
    }

    pub(super) fn count(&mut self, entry: &KeyEntry) {
        self.n_entries += 1;
        self.received_min = self.received_min.min(entry.received_at);
        self.received_max = self.received_max.max(entry.received_at);
        self.expires_at = self.expires_at.max(entry.expires_at());
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        for number in [self.records.start.0, self.records.end.0, self.n_entries] {
            out.put_u64(number);
        }
        for number in [self.n_entry_pages, self.n_fences, self.n_blocks] {
            out.put_raw(&number.to_le_bytes());
        }
        for at in [self.received_min, self.received_max, self.expires_at, self.half_expires_at] {
            out.put_u64(at.as_millis().cast_unsigned());
        }
        out
    }

    /// `None` where the numbers cannot belong to one file.
    fn decode(content: &[u8]) -> Option<Self> {
        let mut take = Take(content);
        if take.array()? != MAGIC {
            return None;
        }
        let mut header = Self::new(Lsn(take.u64()?)..Lsn(take.u64()?));
        header.n_entries = take.u64()?;
        for number in [&mut header.n_entry_pages, &mut header.n_fences, &mut header.n_blocks] {
            *number = u32::from_le_bytes(take.array()?);
        }
        for at in [
            &mut header.received_min,
            &mut header.received_max,
            &mut header.expires_at,
            &mut header.half_expires_at,
        ] {
            *at = Timestamp::from_millis(take.u64()?.cast_signed());
        }
        let is_one = header.n_entries.div_ceil(ENTRIES_PER_PAGE as u64)
            == u64::from(header.n_entry_pages)
            && header.n_entry_pages.div_ceil(FENCE_PAGES) == header.n_fences
            && header.n_blocks > 0;
        is_one.then_some(header)
    }

    /// The numbers of the first fence page, of the first filter page, and of the page behind. Until
    /// the file's size was looked at they may be anything: no file is as long as the largest.
    fn layout(&self) -> (u32, u32, u32) {
        let fences = self.n_entry_pages.saturating_add(1);
        let filter = fences.saturating_add(self.n_fences.div_ceil(KEYS_PER_PAGE));
        (fences, filter, filter.saturating_add(self.n_blocks.div_ceil(BLOCKS_PER_PAGE)))
    }

    pub(super) fn file_bytes(&self) -> u64 {
        u64::from(self.layout().2) * PAGE_BYTES as u64
    }

    pub(super) const fn filter_bytes(&self) -> usize {
        self.n_blocks as usize * BLOCK_BYTES
    }
}

#[derive(Debug)]
pub(super) struct KeyRun {
    pub(super) header: RunHeader,
    pub(super) file: Arc<dyn StorageFile>,
    pub(super) fences: Vec<DedupeKey>,
    /// Larger ids do not count: the log has lost their events.
    pub(super) ids_until: EventId,
}

impl KeyRun {
    /// Opens the run of these records: reads its header and its fences.
    pub(super) fn open(
        storage: &dyn Storage,
        path: &Path,
        records: &Range<Lsn>,
        ids_until: EventId,
    ) -> Result<Self, RunError> {
        let io = |source| RunError::Io { page: 0, source };
        let file = storage.open(path, OpenMode::Read).map_err(io)?;
        let header = RunHeader::decode(Page::read(file.as_ref(), 0)?.content());
        let header = header.filter(|header| header.records == *records).ok_or(RunError::Header)?;
        // A file that is cut off must not be found out page by page.
        if file.size().map_err(io)? < header.file_bytes() {
            return Err(RunError::Header);
        }
        let mut fences = Vec::new();
        let (first, behind, _) = header.layout();
        for page in first..behind {
            let page = Page::read(file.as_ref(), page)?;
            let keys = page.content().as_chunks::<16>().0.iter().map(|key| DedupeKey(*key));
            fences.extend(keys.take(header.n_fences as usize - fences.len()));
        }
        Ok(Self { header, file, fences, ids_until })
    }

    pub(super) fn verify(&self) -> Result<(), RunError> {
        let (_, _, behind) = self.header.layout();
        (0..behind).try_for_each(|page| Page::read(self.file.as_ref(), page).map(drop))
    }

    pub(super) fn load_filter(&self) -> Result<BloomFilter, RunError> {
        let mut blocks = Vec::new();
        let (_, first, behind) = self.header.layout();
        for page in first..behind {
            let page = Page::read(self.file.as_ref(), page)?;
            let n_left = self.header.n_blocks as usize - blocks.len();
            blocks.extend(blocks_of(&page).take(n_left.min(BLOCKS_PER_PAGE as usize)));
        }
        Ok(BloomFilter::from_blocks(blocks))
    }

    /// The event that the probe repeats. `filter` is the loaded one.
    pub(super) fn find(
        &self,
        probe: &KeyProbe,
        filter: Option<&BloomFilter>,
    ) -> Result<Option<Seen>, RunError> {
        let is_too_old = self.header.received_max.after(probe.window) <= probe.received_at;
        let is_too_new = probe.received_at.after(CLOCK_STEP_MAX) <= self.header.received_min;
        if is_too_old || is_too_new {
            return Ok(None);
        }
        let may_hold = match filter {
            Some(filter) => filter.may_hold(probe.key),
            None => self.file_may_hold(probe.key)?,
        };
        if may_hold { self.search(probe) } else { Ok(None) }
    }

    /// Asks the filter in the file.
    fn file_may_hold(&self, key: DedupeKey) -> Result<bool, RunError> {
        let block = block_of(key, self.header.n_blocks as usize);
        let (page, block) = (block / BLOCKS_PER_PAGE as usize, block % BLOCKS_PER_PAGE as usize);
        let page = Page::read(self.file.as_ref(), self.header.layout().1 + number_of(page))?;
        Ok(blocks_of(&page).nth(block).is_some_and(|block| block_may_hold(&block, key)))
    }

    fn search(&self, probe: &KeyProbe) -> Result<Option<Seen>, RunError> {
        let (mut found, mut bad_page) = (None, None);
        // Equal keys may go on in the next pages.
        for page in self.page_of(probe.key)..=self.header.n_entry_pages {
            let page = match Page::read(self.file.as_ref(), page) {
                Err(err @ RunError::Checksum { .. }) => {
                    bad_page = Some(err);
                    continue;
                }
                read => read?,
            };
            let counts = |entry: &KeyEntry| entry.key == probe.key && entry.id <= self.ids_until;
            let of_key = page.entries().filter(counts).map(|entry| entry.seen());
            found = probe.newest(of_key.chain(found));
            if page.entries().last().is_none_or(|entry| entry.key > probe.key) {
                break;
            }
        }
        match bad_page {
            Some(err) if found.is_none() => Err(err),
            Some(_) | None => Ok(found),
        }
    }

    /// The page, counted from 1, in which the first entry of a key is if there is one: the last one
    /// that begins with a smaller key.
    fn page_of(&self, key: DedupeKey) -> u32 {
        let n_smaller = self.fences.partition_point(|fence| *fence < key);
        let fence = number_of(n_smaller);
        let mut low = fence.saturating_sub(1) * FENCE_PAGES + 1;
        let mut high = (fence * FENCE_PAGES).min(self.header.n_entry_pages) + 1;
        while low + 1 < high {
            let middle = low.midpoint(high);
            // Pages that cannot be read are passed over: only their own keys are lost.
            let first_key = |page| Page::read(self.file.as_ref(), page).ok()?.entries().next();
            let readable = (middle..high).find_map(|page| Some((page, first_key(page)?.key)));
            match readable.filter(|(_, first)| *first < key) {
                Some((page, _)) => low = page,
                None => high = middle,
            }
        }
        low
    }
}

fn blocks_of(page: &Page) -> impl Iterator<Item = Block> {
    let blocks = page.content().as_chunks::<BLOCK_BYTES>().0.iter();
    blocks.map(|bytes| {
        let mut words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
        std::array::from_fn(|_| words.next().unwrap_or_default())
    })
}

/// Reads a run's entries in their order.
#[derive(Debug)]
pub(super) struct RunCursor {
    run: Arc<KeyRun>,
    next_page: u32,
    /// Of the current page, the next one last.
    entries: Vec<KeyEntry>,
}

impl RunCursor {
    pub(super) fn new(run: Arc<KeyRun>) -> Result<Self, RunError> {
        let mut cursor = Self { run, next_page: 1, entries: Vec::new() };
        cursor.fill()?;
        Ok(cursor)
    }

    pub(super) const fn run(&self) -> &Arc<KeyRun> {
        &self.run
    }

    pub(super) fn peek(&self) -> Option<&KeyEntry> {
        self.entries.last()
    }

    pub(super) fn advance(&mut self) -> Result<(), RunError> {
        self.entries.pop();
        self.fill()
    }

    fn fill(&mut self) -> Result<(), RunError> {
        while self.entries.is_empty() && self.next_page <= self.run.header.n_entry_pages {
            let page = Page::read(self.run.file.as_ref(), self.next_page)?;
            let counts = |entry: &KeyEntry| entry.id <= self.run.ids_until;
            self.entries.extend(page.entries().filter(counts));
            self.entries.reverse();
            self.next_page += 1;
        }
        Ok(())
    }
}
