//! The newest keys, in memory.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::super::record::Lsn;
use super::{KeyEntry, KeyOptions, KeyProbe, Seen};
use crate::event::DedupeKey;

/// The newest keys; the committer's own.
#[derive(Debug)]
pub(crate) struct KeyMemtable {
    from: Lsn,
    options: KeyOptions,
    /// By key, then by the record that brought it: one key may have been stored twice.
    entries: BTreeMap<(DedupeKey, Lsn), KeyEntry>,
    begin: Option<Lsn>,
}

impl KeyMemtable {
    /// Holds the keys of the records from `from` on.
    pub(crate) const fn new(from: Lsn, options: KeyOptions) -> Self {
        Self { from, options, entries: BTreeMap::new(), begin: None }
    }

    pub(crate) fn insert(&mut self, entry: KeyEntry, lsn: Lsn) {
        self.entries.insert((entry.key, lsn), entry);
        self.begin = Some(self.begin.map_or(lsn, |begin| begin.min(lsn)));
    }

    /// Forgets the keys of a commit that failed, which began at `lsn`.
    pub(crate) fn remove_from(&mut self, lsn: Lsn) {
        self.entries.retain(|(_, at), _| *at < lsn);
        self.begin = self.begin.filter(|begin| *begin < lsn);
    }

    /// The event in it that the probe repeats.
    pub(crate) fn get(&self, probe: &KeyProbe) -> Option<Seen> {
        let of_key = (probe.key, Lsn(0))..=(probe.key, Lsn(u64::MAX));
        probe.newest(self.entries.range(of_key).map(|(_, entry)| entry.seen()))
    }

    /// The oldest record whose key is in it.
    #[cfg(test)]
    pub(crate) const fn begin(&self) -> Option<Lsn> {
        self.begin
    }

    /// Whether it is to be frozen, at this end of the log.
    ///
    /// It goes by its own part of the log, whether or not the frozen ones before it are written:
    /// else each commit would freeze a few keys while the cleaner is late, and it would never
    /// catch up (6,000 keys became thousands of runs, and a test took 180 s instead of 0.3 s).
    pub(crate) fn is_full(&self, log_end: Lsn, segment_bytes: u64) -> bool {
        self.entries.len() >= self.options.memtable_keys
            || self.from.bytes_until(log_end, segment_bytes) >= self.options.memtable_log_bytes
    }

    /// Takes out all keys, those of the records before `through`; the next ones begin there.
    pub(crate) fn freeze(&mut self, through: Lsn) -> FrozenKeys {
        let records = self.from..through;
        self.from = through;
        self.begin = None;
        let entries = std::mem::take(&mut self.entries).into_values().collect();
        FrozenKeys { records, entries }
    }
}

/// A memtable on its way into a run file.
#[derive(Clone, Debug)]
pub(crate) struct FrozenKeys {
    /// The records whose keys these are.
    pub(super) records: Range<Lsn>,
    /// By key.
    pub(super) entries: Arc<[KeyEntry]>,
}

impl FrozenKeys {
    pub(super) fn get(&self, probe: &KeyProbe) -> Option<Seen> {
        let first = self.entries.partition_point(|entry| entry.key < probe.key);
        let of_key = self.entries.iter().skip(first).take_while(|entry| entry.key == probe.key);
        probe.newest(of_key.map(KeyEntry::seen))
    }
}
