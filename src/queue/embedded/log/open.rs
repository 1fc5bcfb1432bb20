//! Looks at what is on disk when the log is opened. Only the newest segments are read.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::contents::{Contents, Recorded, events_within, openings_within};
use super::file_log::LogHead;
use super::options::{OpenError, OpenOptions};
use super::segment::{Facts, Segment};
use super::{Cause, Damage, FileLog, LogWriter};
use crate::event::{EventId, HandlerName, Position};
use crate::queue::embedded::record::{
    Incarnation, KeptEnd, Lsn, SegmentHead, SegmentId, SharedMark, next_number,
};
use crate::queue::storage::{OpenMode, Storage, if_there};

/// What is in the folder, before anything is changed.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) log: Arc<FileLog>,
    /// The newest segment's head; `None` = the log is new, or it cannot be read.
    #[cfg_attr(not(test), expect(dead_code, reason = "asked by tests only"))]
    pub(crate) head: Option<SegmentHead>,
    /// Behind the last whole record; `None` = the log is new.
    pub(crate) end: Option<Lsn>,
    /// The oldest segment that counts and the position that the next event had there. Its file may
    /// be missing.
    pub(crate) first: (u32, Position),
    /// 1 + the largest position that any whole record of the newest segment names, and as many more
    /// as its unreadable stretches can have held.
    pub(crate) next_position: Position,
    /// How many events newer segments can hold of which nothing can be read.
    pub(crate) doubtful_events: u64,
    pub(crate) newest_id: Option<EventId>,
    /// The number of the newest opening that there can have been; 0 = none.
    pub(crate) opening: u64,
    pub(crate) kept: KeptEnd,
    /// Every handler that has a subscription.
    pub(crate) handlers: BTreeMap<HandlerName, Incarnation>,
    /// The last record is `Closed`.
    pub(crate) is_closed: bool,
    /// How far a shared log was taken over, as the newest segment says.
    pub(crate) shared: Option<SharedMark>,
    /// Bytes of a torn last unit.
    pub(crate) torn_bytes: u64,
    /// Above every number seen on disk.
    pub(crate) next_number: u32,
    pub(super) live: Option<(Arc<Segment>, Contents)>,
    /// Made ahead of need, and never written to.
    pub(super) unused: Vec<SegmentId>,
    /// Begun, and nothing in it is whole; with how many bytes were written.
    pub(super) torn_heads: Vec<(SegmentId, u32)>,
}

/// An open log.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) survey: Survey,
    pub(crate) writer: LogWriter,
}

/// What the newest files hold.
#[derive(Debug, Default)]
struct Newest {
    live: Option<(SegmentId, Contents)>,
    unused: Vec<SegmentId>,
    torn_heads: Vec<(SegmentId, u32)>,
    /// Nothing whole was found in them, and not all of them can be read.
    unreadable: Vec<Damage>,
}

/// Of the files that count, from `first` on, each has a number of its own. Which of two is the right one only their
/// owner can say.
fn refuse_two_logs(files: &BTreeMap<SegmentId, u32>, first: u32) -> Result<(), OpenError> {
    let counts = || files.keys().filter(|id| id.number >= first);
    let same = counts().zip(counts().skip(1)).find(|(one, other)| one.number == other.number);
    same.map_or(Ok(()), |(one, other)| Err(two_logs(*one, *other)))
}

fn two_logs(one: SegmentId, other: SegmentId) -> OpenError {
    let [one, other] = [one, other].map(|id| format!("log/{}", id.file_name()));
    OpenError::TwoLogs { one, other }
}

impl FileLog {
    /// Looks at the log in `folder/log` and changes nothing.
    pub(crate) fn survey(
        storage: Arc<dyn Storage>,
        folder: &Path,
        options: &OpenOptions,
    ) -> Result<Survey, OpenError> {
        let log = Self::new(storage, folder, options);
        let mut files = log.files()?;
        let next_number = files.keys().next_back().map_or(1, |id| next_number(id.number));
        // Those of a large record are larger, none is smaller; a read-only open may not know the
        // size.
        let largest = files.values().max().copied().unwrap_or_default();
        let full_bytes = options.segment_bytes.min(largest);
        let mut newest = log.find_newest(&mut files, full_bytes, options)?;
        let first = newest.live.as_ref().map_or(0, |(_, contents)| contents.recorded.first.0);
        refuse_two_logs(&files, first)?;
        if let Some((live, contents)) = &mut newest.live {
            log.read_earlier(&files, *live, &mut contents.recorded)?;
        }
        log.fill_table(&files, &newest, options);
        log.find_cut_short(&files, full_bytes);
        let Newest { live, unused, torn_heads, unreadable } = newest;
        let doubtful = unreadable.iter().map(|damage| u64::from(damage.bytes)).sum();
        for damage in unreadable {
            log.note_damage(damage);
        }
        let live = live.and_then(|(id, contents)| Some((log.get(id.number)?, contents)));
        if let Some((segment, contents)) = &live {
            log.take_contents(segment, contents);
        }
        let contents = live.as_ref().map(|(_, contents)| contents);
        let recorded = contents.map(|contents| contents.recorded.clone()).unwrap_or_default();
        log.find_gaps(recorded.first.0);
        let head = log.head();
        Ok(Survey {
            head: recorded.head,
            end: contents.map(|_| head.next),
            first: match recorded.first {
                (0, _) => (head.first.segment().max(1), head.first_position.max(Position(1))),
                first => first,
            },
            next_position: head.next_position,
            doubtful_events: events_within(doubtful),
            newest_id: recorded.newest_id,
            opening: contents.map_or(0, Contents::opening) + openings_within(doubtful),
            kept: recorded.kept,
            handlers: recorded
                .handlers
                .into_iter()
                .filter_map(|(handler, its)| Some((handler, its?)))
                .collect(),
            is_closed: recorded.is_closed,
            shared: recorded.shared,
            torn_bytes: contents.map_or(0, Contents::torn_bytes),
            next_number,
            log: Arc::new(log),
            live,
            unused,
            torn_heads,
        })
    }

    /// Opens the log in `folder/log` and mends its end.
    pub(crate) fn open(
        storage: Arc<dyn Storage>,
        folder: &Path,
        options: &OpenOptions,
    ) -> Result<Opened, OpenError> {
        let log_folder = folder.join("log");
        let made = storage.create_folder(&log_folder).and_then(|()| storage.sync_folder(folder));
        made.map_err(OpenError::io(format!("making `{}`", log_folder.display())))?;
        Self::survey(storage, folder, options)?.mend()
    }

    /// Every segment file and its size.
    fn files(&self) -> Result<BTreeMap<SegmentId, u32>, OpenError> {
        let what = || format!("listing `{}`", self.folder.display());
        let paths = if_there(self.storage.list(&self.folder)).map_err(OpenError::io(what()))?;
        let mut files = BTreeMap::new();
        for path in paths.into_iter().flatten() {
            let Some(id) = SegmentId::of_file(&path) else { continue };
            // A segment goes at any time while another process has the log open.
            if let Some(size) = if_there(self.storage.size(&path)).map_err(OpenError::io(what()))? {
                // Behind 4 GiB no record is looked for.
                files.insert(id, u32::try_from(size).unwrap_or(u32::MAX));
            }
        }
        self.measure_aside();
        Ok(files)
    }

    /// Names the files of segments that count of which the end was cut off.
    fn find_cut_short(&self, files: &BTreeMap<SegmentId, u32>, full_bytes: u32) {
        let first = self.head().first.segment();
        for (id, capacity) in files.iter().filter(|(id, _)| id.number >= first) {
            if *capacity < full_bytes {
                self.note_damage(Damage::of(*id, *capacity..full_bytes, Cause::CutShort));
            }
        }
    }

    /// Looks at the newest files until one of them holds something whole. Of the others only those
    /// that count stay in `files`.
    fn find_newest(
        &self,
        files: &mut BTreeMap<SegmentId, u32>,
        full_bytes: u32,
        options: &OpenOptions,
    ) -> Result<Newest, OpenError> {
        let mut newest = Newest::default();
        let ids: Vec<SegmentId> = files.keys().rev().copied().collect();
        for id in ids {
            if newest.live.as_ref().is_some_and(|(live, _)| live.number != id.number) {
                break;
            }
            let Some(capacity) = files.get(&id).copied() else { continue };
            let contents = match self.storage.open(&self.path(id), OpenMode::Read) {
                Ok(file) => {
                    let torn = (options.drops_torn_units, options.synced_until);
                    Contents::read(&*file, id, capacity, torn)?.cut_short_of(full_bytes)
                }
                Err(err) if err.kind() == io::ErrorKind::NotFound => {
                    files.remove(&id);
                    continue;
                }
                Err(err) => Contents::unreadable(capacity, err.kind()),
            };
            if contents.end > 0 {
                if let Some((live, _)) = newest.live.replace((id, contents)) {
                    return Err(two_logs(id, live));
                }
            } else if let Some(damage) = contents.unreadable_damage(id) {
                newest.unreadable.push(damage);
            } else {
                files.remove(&id);
                match contents.used() {
                    0 => newest.unused.push(id),
                    n_bytes => newest.torn_heads.push((id, n_bytes)),
                }
            }
        }
        Ok(newest)
    }

    /// What a newest segment whose head cannot be read does not say, earlier ones do.
    fn read_earlier(
        &self,
        files: &BTreeMap<SegmentId, u32>,
        live: SegmentId,
        recorded: &mut Recorded,
    ) -> Result<(), OpenError> {
        let mut is_told = recorded.head.is_some();
        for (id, capacity) in files.range(..live).rev().filter(|(id, _)| id.number < live.number) {
            if is_told {
                break;
            }
            let earlier = match self.storage.open(&self.path(*id), OpenMode::Read) {
                Ok(file) => Contents::read(&*file, *id, *capacity, (false, Lsn(0)))?,
                // It is named when it is read for its records.
                Err(err) => Contents::unreadable(*capacity, err.kind()),
            };
            recorded.merge_earlier(&earlier);
            is_told = earlier.recorded.head.is_some();
        }
        Ok(())
    }

    fn fill_table(&self, files: &BTreeMap<SegmentId, u32>, newest: &Newest, options: &OpenOptions) {
        for (id, capacity) in files {
            let known = options.known.iter().find(|known| known.id == *id);
            let facts = Facts {
                first: known.and_then(|known| known.first),
                began_at: known.and_then(|known| known.began_at),
                ..Facts::default()
            };
            self.insert(Segment::new(*id, *capacity, facts));
        }
        let recorded = newest.live.as_ref().map(|(_, contents)| contents.recorded.first);
        let (number, position) = recorded.unwrap_or_default();
        let live = newest.live.as_ref().map_or(u32::MAX, |(id, _)| id.number);
        // Where nothing is left at the recorded one, it begins with what is left behind it.
        let first = self.at_or_after(number.min(live)).map(|segment| segment.id.number);
        let Some(first) = first else { return };
        self.head.send_modify(|head| head.first = Lsn::start_of(first));
        // Nothing was ever let go of a log that begins with its first segment: what cannot be read
        // of that is lost, not settled.
        let is_all_there = first == 1 && number == 0;
        let first_position = self.first_position_of(first).ok().flatten();
        let first_position = first_position.filter(|_| !is_all_there);
        let first_position = first_position.unwrap_or(position.max(Position(1)));
        self.head.send_modify(|head| {
            head.first_position = first_position;
            head.trimmed_before = if number > 0 { position } else { first_position };
        });
    }

    /// Makes what the newest segment holds readable.
    fn take_contents(&self, live: &Segment, contents: &Contents) {
        let recorded = &contents.recorded;
        self.offsets.begin_live(live.id.number, recorded.table.clone());
        live.update_facts(|facts| {
            if let Some(head) = &recorded.head {
                facts.first = Some(head.next);
                facts.began_at = Some(head.at);
            }
        });
        for damage in contents.damage(live.id) {
            self.note_damage(damage);
        }
        self.head.send_modify(|head: &mut LogHead| {
            head.next = Lsn::new(live.id.number, contents.end);
            head.next_position = contents.next_position().max(head.first_position);
        });
    }

    /// Names files that are gone: numbers that are left out from `first` on, unless the head behind
    /// the gap says that there never was anything between.
    fn find_gaps(&self, first: u32) {
        let ids: Vec<SegmentId> = self.segments().iter().map(|segment| segment.id).collect();
        if let Some(oldest) = ids.first().filter(|oldest| first > 0 && oldest.number > first)
            && self.has_previous(*oldest, first)
        {
            self.note_missing(first..oldest.number);
        }
        for pair in ids.windows(2) {
            let [before, behind] = pair else { continue };
            let gap = before.number + 1..behind.number;
            if !gap.is_empty() && self.has_previous(*behind, gap.start) {
                self.note_missing(gap);
            }
        }
    }

    fn note_missing(&self, numbers: Range<u32>) {
        let segment = SegmentId { number: numbers.start, salt: 0 };
        let cause = Cause::Missing { n_files: numbers.end - numbers.start };
        self.note_damage(Damage { segment, offset: 0, bytes: 0, cause });
    }

    /// Whether there was a segment from `first` on before this one, as far as its head tells.
    fn has_previous(&self, id: SegmentId, first: u32) -> bool {
        let previous = self.previous_of(id);
        let is_unknown = || self.get(id.number).is_some_and(|it| it.facts().is_head_bad);
        previous.map_or_else(is_unknown, |previous| previous >= first)
    }

    /// The number of the segment before, as a segment's head says.
    fn previous_of(&self, id: SegmentId) -> Option<u32> {
        let segment = self.get(id.number)?;
        self.read_head(&segment).ok()?;
        segment.facts().previous
    }
}
