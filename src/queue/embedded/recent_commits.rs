//! The newest commits in memory, as they were written: a subscription that keeps up reads no file.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, Weak};

use bytes::Bytes;

use super::record::{HEADER_BYTES, Header, Kind, Lsn, decode_event, position_of};
use crate::event::{Event, Position};
use crate::queue::names::Names;
use crate::sync::lock;

const BYTES_MAX: usize = 4 << 20;

/// How many bytes of a commit are copied out at once, for the events in them to share: an event
/// that waits for long keeps no more than this beside its own.
const RUN_BYTES: usize = 4 << 10;

/// A commit with events, as it stands in the log.
#[derive(Debug)]
pub(crate) struct CachedCommit {
    bytes: Box<[u8]>,
    at: Lsn,
    /// The position of its first event.
    first: Position,
    /// The position behind its last event.
    next: Position,
    /// Its events as far as some handler has them just now, by position: where several handlers
    /// keep up, they share an event and what was parsed of it.
    taken: Mutex<Vec<Weak<Event>>>,
}

/// An event and where the record behind it begins.
#[derive(Debug)]
pub(crate) struct CachedEvent {
    pub(crate) event: Arc<Event>,
    pub(crate) end: Lsn,
}

/// A bounded run of the newest commits.
#[derive(Debug, Default)]
pub(crate) struct RecentCommits(Mutex<Commits>);

#[derive(Debug, Default)]
struct Commits {
    commits: VecDeque<Arc<CachedCommit>>,
    bytes: usize,
}

impl RecentCommits {
    /// Adds what was committed; the oldest go.
    pub(crate) fn extend(&self, commit: CachedCommit) {
        let mut kept = lock(&self.0);
        // `from` searches by halves: positions ascend. There may be a gap, never an overlap.
        let newest = kept.commits.back();
        debug_assert!(newest.is_none_or(|newest| newest.next <= commit.first), "{commit:?}");
        kept.bytes += commit.size();
        kept.commits.push_back(Arc::new(commit));
        while kept.bytes > BYTES_MAX {
            let Some(oldest) = kept.commits.pop_front() else { break };
            kept.bytes -= oldest.size();
        }
    }

    /// Up to `max` events from `position` on, as many as one commit has; empty where that one is
    /// not kept. `is_shared` = other handlers may take the same ones.
    pub(crate) fn from(&self, position: Position, max: usize, is_shared: bool) -> Vec<CachedEvent> {
        let commit = {
            let kept = lock(&self.0);
            let index = kept.commits.partition_point(|commit| commit.next <= position);
            kept.commits.get(index).map(Arc::clone)
        };
        match commit.filter(|commit| commit.first <= position) {
            Some(commit) if is_shared => commit.share(position, max),
            Some(commit) => {
                let mut decoder = Decoder::of(&commit);
                let records = commit.events(position).take(max);
                records.map_while(|record| decoder.decode(record)).collect()
            }
            None => Vec::new(),
        }
    }
}

impl CachedCommit {
    /// A commit that begins at `at` and has the events from `first` to before `next`.
    pub(crate) fn new(bytes: &[u8], at: Lsn, first: Position, next: Position) -> Self {
        Self { bytes: bytes.into(), at, first, next, taken: Mutex::default() }
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.bytes.len()
    }

    /// The records of its events from `position` on.
    fn events(&self, position: Position) -> impl Iterator<Item = EventRecord> {
        let mut rest: &[u8] = &self.bytes;
        let mut end = self.at;
        std::iter::from_fn(move || {
            loop {
                let (head, behind) = rest.split_first_chunk::<HEADER_BYTES>()?;
                let header = Header::parse(head)?;
                let (kind, _) = header.kind_and_version();
                let (payload, behind) = behind.split_at_checked(header.payload_bytes as usize)?;
                rest = behind;
                end = end.behind(header.record_bytes());
                if kind == Kind::Event as u8 {
                    let at = position_of(payload)?;
                    if at >= position {
                        let from = self.bytes.len() - behind.len() - payload.len();
                        return Some(EventRecord { at, from, n_bytes: payload.len(), end });
                    }
                }
            }
        })
    }

    /// Which of its events is at `position`, or how many there are before it.
    fn index_of(&self, position: Position) -> usize {
        let n_before = position.events_since(self.first);
        debug_assert!(position <= self.next, "{position:?} is behind the commit");
        usize::try_from(n_before).unwrap_or(usize::MAX)
    }

    /// The same events as every other handler that has them.
    fn share(&self, position: Position, max: usize) -> Vec<CachedEvent> {
        let mut taken = lock(&self.taken);
        taken.resize(self.index_of(self.next), Weak::new());
        let mut recent = Vec::new();
        let mut decoder = Decoder::of(self);
        for record in self.events(position).take(max) {
            let slot = taken.get_mut(self.index_of(record.at));
            if let Some(event) = slot.as_ref().and_then(|slot| slot.upgrade()) {
                recent.push(CachedEvent { event, end: record.end });
                continue;
            }
            // No gap in what is given: what comes behind it is read from the file.
            let Some(made) = decoder.decode(record) else { break };
            if let Some(slot) = slot {
                *slot = Arc::downgrade(&made.event);
            }
            recent.push(made);
        }
        recent
    }
}

#[derive(Clone, Copy)]
struct EventRecord {
    at: Position,
    /// Where in the commit its payload begins.
    from: usize,
    n_bytes: usize,
    /// Where the next record begins.
    end: Lsn,
}

/// Makes events of a commit's records, in memory apart from it: one that waits for long must not
/// keep all of the commit.
struct Decoder<'w> {
    commit: &'w CachedCommit,
    /// What was copied last, and where in the commit it begins.
    run: (usize, Bytes),
    names: Names,
}

impl<'w> Decoder<'w> {
    fn of(commit: &'w CachedCommit) -> Self {
        Self { commit, run: (0, Bytes::new()), names: Names::default() }
    }

    fn decode(&mut self, record: EventRecord) -> Option<CachedEvent> {
        let (event, _) = decode_event(&self.payload(record)?, &mut self.names)?;
        Some(CachedEvent { event: Arc::new(event), end: record.end })
    }

    fn payload(&mut self, record: EventRecord) -> Option<Bytes> {
        let (start, bytes) = &self.run;
        let is_there = record.from + record.n_bytes <= start + bytes.len();
        if !is_there {
            let rest = self.commit.bytes.get(record.from..)?;
            let n_bytes = record.n_bytes.max(RUN_BYTES).min(rest.len());
            self.run = (record.from, Bytes::copy_from_slice(rest.get(..n_bytes)?));
        }
        let (start, bytes) = &self.run;
        let from = record.from.checked_sub(*start)?;
        Some(bytes.slice(from..from + record.n_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::event::{EventId, NewEvent, SourceName};
    use crate::queue::embedded::record::{SegmentId, UnitBuilder};

    /// A commit with the events `first..next`, each with `n_bytes` of body, between other records.
    fn commit(at: Lsn, first: u64, next: u64, n_bytes: usize) -> CachedCommit {
        let segment = SegmentId { number: at.segment(), salt: 7 };
        let mut batch = UnitBuilder::new(segment, at.offset(), Vec::new());
        batch.push(Kind::Settle, |out| out.extend_from_slice(b"another"));
        for position in first..next {
            let source = SourceName::parse("s").unwrap();
            let event = NewEvent::new(source, "t", Timestamp::from_millis(5), vec![b'x'; n_bytes]);
            batch.push_event(&event, EventId(uuid::Uuid::nil()), Position(position));
            batch.push(Kind::Filler, |_| {});
        }
        CachedCommit::new(batch.bytes(), at, Position(first), Position(next))
    }

    fn positions(tail: &RecentCommits, from: u64, max: usize) -> Vec<u64> {
        tail.from(Position(from), max, false).iter().map(|recent| recent.event.position.0).collect()
    }

    #[test]
    fn cached_commits_are_read_from_any_position() {
        let tail = RecentCommits::default();
        let start = Lsn::new(3, 100);
        assert!(positions(&tail, 1, 9).is_empty());
        tail.extend(commit(start, 5, 8, 10));
        tail.extend(commit(start, 8, 10, 10));
        assert_eq!(positions(&tail, 5, 9), [5, 6, 7]);
        assert_eq!(positions(&tail, 6, 1), [6]);
        assert_eq!(positions(&tail, 8, 9), [8, 9]);
        assert!(positions(&tail, 4, 9).is_empty(), "older ones are read from the file");
        assert!(positions(&tail, 10, 9).is_empty());
    }

    #[test]
    fn cached_event_says_where_the_next_record_begins() {
        let tail = RecentCommits::default();
        let commit = commit(Lsn::new(3, 100), 5, 6, 10);
        let filler = u32::try_from(HEADER_BYTES).unwrap();
        let end = 100 + u32::try_from(commit.bytes.len()).unwrap() - filler;
        tail.extend(commit);
        let recent = tail.from(Position(5), 1, false).pop().unwrap();
        assert_eq!(recent.end, Lsn::new(3, end));
        assert_eq!(recent.event.body, vec![b'x'; 10]);
    }

    #[test]
    fn event_is_shared_while_a_handler_has_it() {
        let tail = RecentCommits::default();
        tail.extend(commit(Lsn::new(1, 0), 5, 8, 10));
        let one = tail.from(Position(5), 9, true);
        let other = tail.from(Position(6), 1, true);
        assert!(Arc::ptr_eq(&one[1].event, &other[0].event));
        assert_eq!(one[1].end, other[0].end);
        drop((one, other));
        let again = tail.from(Position(5), 9, true);
        let again: Vec<u64> = again.iter().map(|recent| recent.event.position.0).collect();
        assert_eq!(again, [5, 6, 7]);
    }

    #[test]
    fn events_share_memory_with_few_others() {
        for (n_bytes, longest) in
            [(100, 24), (900, 4), (1_500, 2), (RUN_BYTES, 1), (3 * RUN_BYTES, 1)]
        {
            let tail = RecentCommits::default();
            tail.extend(commit(Lsn::new(1, 0), 1, 100, n_bytes));
            let recent = tail.from(Position(3), 80, false);
            assert_eq!(recent.len(), 80);
            assert!(recent.iter().all(|recent| recent.event.body == vec![b'x'; n_bytes]));
            // Two events of one run stand as far from each other as their records.
            let is_one_run = |two: &[CachedEvent]| {
                let apart = u64::from(two[1].end.offset() - two[0].end.offset());
                let begins = |recent: &CachedEvent| recent.event.body.as_ptr() as u64;
                begins(&two[1]).wrapping_sub(begins(&two[0])) == apart
            };
            let mut runs = vec![1];
            for two in recent.windows(2) {
                match runs.last_mut() {
                    Some(length) if is_one_run(two) => *length += 1,
                    _ => runs.push(1),
                }
            }
            assert!(runs.iter().all(|length| *length <= longest), "{n_bytes}: {runs:?}");
            assert!(runs.contains(&longest), "{n_bytes}: {runs:?}");
        }
    }

    #[test]
    fn oldest_commits_are_evicted() {
        let tail = RecentCommits::default();
        let start = Lsn::new(1, 0);
        for position in 1..=100 {
            tail.extend(commit(start, position, position + 1, BYTES_MAX / 16));
        }
        assert!(positions(&tail, 1, 1).is_empty());
        assert_eq!(positions(&tail, 100, 1), [100]);
        assert!(lock(&tail.0).bytes <= BYTES_MAX);
    }

    #[test]
    fn commit_larger_than_the_cache_is_not_cached() {
        let tail = RecentCommits::default();
        let start = Lsn::new(1, 0);
        tail.extend(commit(start, 1, 2, 2 * BYTES_MAX));
        assert!(positions(&tail, 1, 1).is_empty());
        assert_eq!(lock(&tail.0).bytes, 0);
    }
}
