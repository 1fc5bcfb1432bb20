//! The segments that writer, readers and the cleaner share.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use tokio::sync::watch;

use super::blocks::{Patience, Stretch};
use super::damage::DamageList;
use super::offsets::OffsetTables;
use super::segment::{Facts, Holders, Segment};
use super::spare::{Spare, SpareFile};
use super::{Cause, Damage, Found, OpenOptions, SegmentInfo, is_scarce};
use crate::clock::Clock;
use crate::event::Position;
use crate::queue::embedded::record::{Lsn, SegmentId, end_of, next_number};
use crate::queue::invariant::invariant;
use crate::queue::storage::{Storage, StorageFile, if_there};
use crate::sync;
use crate::sync::lock;

/// Files of sealed segments that stay open between reads.
const OPEN_FILES_MAX: usize = 64;

/// What is readable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogHead {
    /// Where the oldest segment that counts begins.
    pub(crate) first: Lsn,
    /// The position that the next event had there.
    pub(crate) first_position: Position,
    /// Events before it were let go; `first_position`, unless files from there on are missing.
    pub(crate) trimmed_before: Position,
    /// Behind the newest record that is synced.
    pub(crate) next: Lsn,
    /// The position that the next event gets.
    pub(crate) next_position: Position,
}

/// Why something was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The disk did not answer: try again in a second. A segment that fails for 10 s is read by
    /// blocks from then on, and what of it cannot be read is damage.
    #[error("`{file}` cannot be read")]
    Io {
        file: String,
        #[source]
        source: io::Error,
    },
    /// What was asked for stood before the log's first segment: look in the kept log.
    #[error("the log does not go back so far any more")]
    Trimmed,
}

/// What becomes of a removed segment's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    /// It serves again as `spare` where that is of use, else it is deleted.
    Spare,
    Delete,
    /// It is moved into `aside/`.
    Aside,
}

/// The log's files: the table of segments, what is damaged, and how far it is synced.
#[derive(Debug)]
pub(crate) struct FileLog {
    pub(super) storage: Arc<dyn Storage>,
    /// `log/`.
    pub(super) folder: PathBuf,
    /// `aside/`.
    pub(super) aside: PathBuf,
    pub(crate) segment_bytes: u32,
    pub(super) disk_reserve: u64,
    clock: Arc<dyn Clock>,
    pub(super) table: RwLock<BTreeMap<u32, Arc<Segment>>>,
    /// Most recently used first.
    open_files: Mutex<VecDeque<(u32, Arc<dyn StorageFile>)>>,
    pub(super) offsets: OffsetTables,
    damage: DamageList,
    patience: Patience,
    pub(super) spare: SpareFile,
    pub(super) aside_bytes: AtomicU64,
    /// What the cleaner keeps for itself of the room that must stay free.
    pub(crate) ballast_bytes: AtomicU64,
    pub(super) head: watch::Sender<LogHead>,
    followed_to: AtomicU64,
    /// The heads of earlier segments were looked at.
    pub(super) heads_from: AtomicU32,
}

impl FileLog {
    /// A log without segments.
    pub(super) fn new(storage: Arc<dyn Storage>, folder: &Path, options: &OpenOptions) -> Self {
        Self {
            storage,
            folder: folder.join("log"),
            aside: folder.join("aside"),
            segment_bytes: options.segment_bytes,
            disk_reserve: options.disk_reserve,
            clock: Arc::clone(&options.clock),
            table: RwLock::default(),
            open_files: Mutex::default(),
            offsets: OffsetTables::default(),
            damage: DamageList::default(),
            patience: Patience::default(),
            spare: SpareFile::default(),
            aside_bytes: AtomicU64::new(0),
            ballast_bytes: AtomicU64::new(0),
            head: watch::Sender::new(LogHead::default()),
            followed_to: AtomicU64::new(0),
            heads_from: AtomicU32::new(0),
        }
    }

    /// The log is open: a disk that does not answer is asked again for 10 s from here on, before
    /// what it does not give is damage.
    pub(crate) fn begin_serving(&self) {
        self.patience.begin_serving();
    }

    /// What is readable; no I/O.
    pub(crate) fn head(&self) -> LogHead {
        *self.head.borrow()
    }

    /// Wakes when [`FileLog::head`] changes.
    pub(crate) fn watch(&self) -> watch::Receiver<LogHead> {
        self.head.subscribe()
    }

    /// Notes how far the index has read the log.
    pub(crate) fn note_followed(&self, to: Lsn) {
        self.followed_to.store(to.0, Ordering::Release);
    }

    /// Whether everything before `lsn` was read for people's sake.
    pub(crate) fn is_followed_to(&self, lsn: Lsn) -> bool {
        self.followed_to.load(Ordering::Acquire) >= lsn.0
    }

    /// The segments that count, oldest first.
    pub(crate) fn segments(&self) -> Vec<SegmentInfo> {
        let first = self.head().first.segment();
        self.with_table(|table| table.range(first..).map(|(_, segment)| segment.info()).collect())
    }

    /// Segments before the first one that counts whose files are there: they wait for
    /// [`FileLog::remove`], or an earlier run of the process did not come to it.
    pub(crate) fn trimmed_segments(&self) -> Vec<SegmentId> {
        let first = self.head().first.segment();
        self.with_table(|table| table.range(..first).map(|(_, segment)| segment.id).collect())
    }

    /// Bytes of the segments and of the spare one. What is in `aside/` is for people and not the queue's
    /// to free, so nothing is refused for it: see [`FileLog::aside_bytes`].
    pub(crate) fn bytes(&self) -> u64 {
        let in_table: u64 = self
            .with_table(|table| table.values().map(|segment| u64::from(segment.capacity)).sum());
        let spare = if self.spare.is_there() { u64::from(self.segment_bytes) } else { 0 };
        in_table + spare
    }

    /// Bytes of the files in `aside/`, as they were when they were last counted.
    pub(crate) fn aside_bytes(&self) -> u64 {
        self.aside_bytes.load(Ordering::Relaxed)
    }

    /// Makes segment `first` the oldest one that counts. From here on what is before it is
    /// [`ReadError::Trimmed`].
    pub(crate) fn trim(&self, first: u32) -> Result<(), ReadError> {
        let position = self.first_position_of(first)?;
        self.begin_at(first, position.unwrap_or(self.head().first_position));
        Ok(())
    }

    /// `position` = the position that the next event had when segment `first` began.
    pub(super) fn begin_at(&self, first: u32, position: Position) {
        self.head.send_if_modified(|head| {
            let is_later = first > head.first.segment();
            if is_later {
                head.first = Lsn::start_of(first);
                head.first_position = position.max(head.first_position);
                head.trimmed_before = head.first_position;
            }
            is_later
        });
    }

    /// Takes the file of a trimmed segment away. Where that fails, it may be called again.
    pub(crate) fn remove(&self, number: u32, removal: Removal) -> io::Result<()> {
        let is_trimmed = number < self.head().first.segment();
        if !invariant!(is_trimmed, "segment {number} is removed and was not trimmed") {
            return Err(io::Error::other("the segment counts"));
        }
        let Some(segment) = self.get(number) else { return Ok(()) };
        self.forget_open_file(number);
        let holders = segment.close();
        self.take_away(&segment, removal, holders)?;
        self.write_table(|table| table.remove(&number));
        self.offsets.forget(number);
        self.damage.forget(number);
        self.patience.forget(number);
        Ok(())
    }

    fn take_away(&self, segment: &Segment, removal: Removal, holders: Holders) -> io::Result<()> {
        let path = self.path(segment.id);
        let is_spare = (removal, holders) == (Removal::Spare, Holders::None)
            && segment.capacity == self.segment_bytes
            && self.spare.change(Spare::None, Spare::InUse);
        // What is missing was taken away before.
        match removal {
            Removal::Spare if is_spare => {
                let renamed = if_there(self.storage.rename(&path, &self.spare_path()));
                let is_there = matches!(renamed, Ok(Some(())));
                self.spare.set(if is_there { Spare::Ready } else { Spare::None });
                renamed?;
            }
            // A reader may still read a file that has no name any more.
            Removal::Spare | Removal::Delete => drop(if_there(self.storage.remove(&path))?),
            Removal::Aside => {
                self.storage.create_folder(&self.aside)?;
                let to = self.aside.join(segment.id.file_name());
                if_there(self.storage.rename(&path, &to))?;
                self.measure_aside();
                self.storage.sync_folder(&self.aside)?;
            }
        }
        self.storage.sync_folder(&self.folder)
    }

    /// Removes the spare file, where there is one that is not in use: it is not worth its room.
    pub(crate) fn drop_spare(&self) -> io::Result<()> {
        if !self.spare.change(Spare::Ready, Spare::InUse) {
            return Ok(());
        }
        let removed = if_there(self.storage.remove(&self.spare_path()));
        self.spare.set(if removed.is_ok() { Spare::None } else { Spare::Ready });
        removed.map(drop)
    }

    pub(crate) fn damage(&self) -> Vec<Damage> {
        self.damage.all()
    }

    /// Whether any of the damage may be none once the disk answers again, or a file is put back.
    pub(crate) fn may_come_back(&self) -> bool {
        let is_of_disk = |cause: &Cause| matches!(cause, Cause::Io(_) | Cause::Missing { .. });
        self.damage().iter().any(|damage| is_of_disk(&damage.cause))
    }

    /// Names damage, and logs it the first time.
    pub(crate) fn note_damage(&self, damage: Damage) {
        self.damage.note(damage);
    }

    /// Names what stood behind `end`, up to the event before `next`: it is gone with its files.
    pub(crate) fn note_lost_end(&self, end: Lsn, next: Position) {
        let segment = self
            .get(end.segment())
            .map_or_else(|| SegmentId { number: end.segment(), salt: 0 }, |segment| segment.id);
        // A key run alone tells no position.
        let n_events = self.head().next_position.events_until(next);
        let cause = Cause::LostEnd { n_events };
        self.note_damage(Damage { segment, offset: end.offset(), bytes: 0, cause });
    }

    /// Names a record that is whole and makes no sense.
    pub(crate) fn note_undecodable(&self, found: &Found) {
        let Some(segment) = self.get(found.lsn.segment()) else { return };
        self.note_damage(Damage {
            segment: segment.id,
            offset: found.lsn.offset(),
            bytes: found.bytes(),
            cause: Cause::Undecodable,
        });
    }

    /// Forgets a segment's damage, before it is read once more.
    pub(crate) fn forget_damage(&self, number: u32) {
        self.damage.forget(number);
    }

    pub(super) fn path(&self, id: SegmentId) -> PathBuf {
        self.folder.join(id.file_name())
    }

    pub(super) fn spare_path(&self) -> PathBuf {
        self.folder.join("spare")
    }

    fn with_table<T>(&self, look: impl FnOnce(&BTreeMap<u32, Arc<Segment>>) -> T) -> T {
        look(&sync::read(&self.table))
    }

    fn write_table<T>(&self, change: impl FnOnce(&mut BTreeMap<u32, Arc<Segment>>) -> T) -> T {
        change(&mut sync::write(&self.table))
    }

    pub(super) fn insert(&self, segment: Segment) -> Arc<Segment> {
        let segment = Arc::new(segment);
        self.write_table(|table| table.insert(segment.id.number, Arc::clone(&segment)));
        segment
    }

    pub(super) fn get(&self, number: u32) -> Option<Arc<Segment>> {
        self.with_table(|table| table.get(&number).cloned())
    }

    /// The segment of this number or, where there is none, the next one.
    pub(super) fn at_or_after(&self, number: u32) -> Option<Arc<Segment>> {
        self.with_table(|table| {
            table.range(number..).next().map(|(_, segment)| Arc::clone(segment))
        })
    }

    /// The segment behind that of this number.
    pub(super) fn behind(&self, number: u32) -> Option<Arc<Segment>> {
        self.at_or_after(next_number(number)).filter(|segment| segment.id.number > number)
    }

    /// The file of a segment; it stays open for a while.
    pub(super) fn file_of(&self, segment: &Segment) -> io::Result<Arc<dyn StorageFile>> {
        let file = segment.open(&*self.storage, &self.folder)?;
        let number = segment.id.number;
        let mut open_files = lock(&self.open_files);
        let index = open_files.iter().position(|(open, _)| *open == number);
        let entry = index.and_then(|index| open_files.remove(index));
        open_files.push_front(entry.unwrap_or_else(|| (number, Arc::clone(&file))));
        open_files.truncate(OPEN_FILES_MAX);
        Ok(file)
    }

    fn forget_open_file(&self, number: u32) {
        let mut open_files = lock(&self.open_files);
        open_files.retain(|(open, _)| *open != number);
    }

    /// Reads from a segment; an error until its disk has not answered for 10 s.
    pub(super) fn read(
        &self,
        segment: &Segment,
        from: u32,
        n_bytes: usize,
    ) -> Result<Stretch, ReadError> {
        let file = match self.file_of(segment) {
            Ok(file) => file,
            Err(err) => {
                let source = self.wait_for(segment, err)?;
                return Ok(Stretch::unreadable(from..end_of(from, n_bytes), source.kind()));
            }
        };
        match Stretch::read(&*file, from, n_bytes) {
            Ok(stretch) => Ok(stretch),
            Err(err) => {
                self.wait_for(segment, err)?;
                Ok(Stretch::read_blocks(&*file, from, n_bytes))
            }
        }
    }

    /// An error for the reader, until the disk has failed for 10 s.
    fn wait_for(&self, segment: &Segment, err: io::Error) -> Result<io::Error, ReadError> {
        if segment.id.number < self.head().first.segment() {
            return Err(ReadError::Trimmed);
        }
        // Too few handles or too little memory say nothing about the disk.
        if !is_scarce(&err) && self.patience.is_over(segment.id.number, self.clock.steady()) {
            return Ok(err);
        }
        Err(ReadError::Io { file: format!("log/{}", segment.id.file_name()), source: err })
    }

    pub(super) fn facts_of(&self, segment: &Segment) -> Result<Facts, ReadError> {
        self.read_head(segment)?;
        Ok(segment.facts())
    }
}
