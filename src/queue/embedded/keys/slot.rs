//! The list of all runs: what is known of each.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use super::super::record::Lsn;
use super::Generation;
#[cfg(test)]
use super::KeyEntry;
use super::filter::BloomFilter;
use super::memtable::FrozenKeys;
use super::run_file::KeyRun;

/// What is known of a run file's pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    Whole,
    /// A page has a wrong checksum: the keys are to be remade from the log.
    Damaged,
    /// The disk does not give a page, which may take it seconds each time: to be remade, and not
    /// asked any more.
    Failing,
    /// What the log still had was remade; the readable pages count until they expire.
    Remade,
}

/// Where the keys of a run are.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// In memory: not written yet.
    Frozen(FrozenKeys),
    File {
        run: Arc<KeyRun>,
        filter: Option<Arc<BloomFilter>>,
        health: Health,
        path: PathBuf,
    },
    /// In a file of which not even the header can be read.
    Unreadable {
        path: PathBuf,
    },
}

/// One run.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) records: Range<Lsn>,
    pub(super) generation: Generation,
    pub(super) place: Place,
}

impl Slot {
    /// The run of an open file.
    pub(super) const fn run(&self) -> Option<&Arc<KeyRun>> {
        match &self.place {
            Place::File { run, .. } => Some(run),
            Place::Frozen(_) | Place::Unreadable { .. } => None,
        }
    }

    /// The run of an open file in which no damage was found.
    pub(super) const fn whole_run(&self) -> Option<&Arc<KeyRun>> {
        match &self.place {
            Place::File { run, health: Health::Whole, .. } => Some(run),
            Place::Frozen(_) | Place::File { .. } | Place::Unreadable { .. } => None,
        }
    }

    pub(super) fn is_file_of(&self, run: &Arc<KeyRun>) -> bool {
        self.run().is_some_and(|own| Arc::ptr_eq(own, run))
    }

    pub(super) const fn path(&self) -> Option<&PathBuf> {
        match &self.place {
            Place::File { path, .. } | Place::Unreadable { path } => Some(path),
            Place::Frozen(_) => None,
        }
    }

    pub(super) fn set_path(&mut self, to: PathBuf) {
        match &mut self.place {
            Place::File { path, .. } | Place::Unreadable { path } => *path = to,
            Place::Frozen(_) => {}
        }
    }

    pub(super) const fn is_damaged(&self) -> bool {
        match &self.place {
            Place::File { health, .. } => matches!(health, Health::Damaged | Health::Failing),
            Place::Unreadable { .. } => true,
            Place::Frozen(_) => false,
        }
    }

    /// Whether lookups may ask it.
    pub(super) const fn is_readable(&self) -> bool {
        match &self.place {
            Place::File { health, .. } => !matches!(health, Health::Failing),
            Place::Frozen(_) => true,
            Place::Unreadable { .. } => false,
        }
    }

    pub(super) const fn set_health(&mut self, to: Health) {
        if let Place::File { health, .. } = &mut self.place {
            *health = to;
        }
    }

    pub(super) const fn has_filter(&self) -> bool {
        matches!(&self.place, Place::File { filter: Some(_), .. })
    }

    pub(super) fn set_filter(&mut self, to: Option<Arc<BloomFilter>>) {
        if let Place::File { filter, .. } = &mut self.place {
            *filter = to;
        }
    }

    #[cfg(test)]
    fn memory_bytes(&self) -> usize {
        match &self.place {
            Place::Frozen(frozen) => frozen.entries.len() * size_of::<KeyEntry>(),
            Place::File { run, filter, .. } => {
                let filter = filter.as_ref().map_or(0, |_| run.header.filter_bytes());
                run.fences.len() * 16 + filter
            }
            Place::Unreadable { .. } => 0,
        }
    }
}

/// All runs, by the records whose keys they have.
#[derive(Clone, Debug, Default)]
pub(super) struct RunList {
    pub(super) slots: Vec<Slot>,
    /// The newest slot's.
    pub(super) generation: Generation,
    pub(super) written_through: Lsn,
}

impl RunList {
    pub(super) fn put(&mut self, slot: Slot) {
        self.slots.push(slot);
        self.sort();
    }

    pub(super) fn sort(&mut self) {
        let order = |slot: &Slot| (slot.records.start, std::cmp::Reverse(slot.records.end));
        self.slots.sort_by_key(order);
    }

    pub(super) fn of_run(&mut self, run: &Arc<KeyRun>) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|slot| slot.is_file_of(run))
    }

    /// The runs whose filters are to be in memory: the newest ones, as far as `bytes` go.
    pub(super) fn fitting(&self, bytes: usize) -> impl Iterator<Item = &Arc<KeyRun>> {
        let mut room = FilterRoom(bytes);
        self.slots.iter().rev().filter_map(Slot::run).filter(move |run| room.fits(run))
    }

    pub(super) fn drop_unfit_filters(&mut self, bytes: usize) {
        let mut room = FilterRoom(bytes);
        for slot in self.slots.iter_mut().rev() {
            if !slot.run().is_some_and(|run| room.fits(run)) {
                slot.set_filter(None);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn memory_bytes(&self) -> usize {
        self.slots.iter().map(Slot::memory_bytes).sum()
    }
}

/// The bytes that are left for filters.
struct FilterRoom(usize);

impl FilterRoom {
    fn fits(&mut self, run: &KeyRun) -> bool {
        let rest = self.0.checked_sub(run.header.filter_bytes());
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }
}
