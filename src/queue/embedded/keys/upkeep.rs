//! What the housekeeper does with the runs, each call a small step.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::super::super::storage::{OpenMode, if_there};
use super::super::record::Lsn;
use super::filter::BloomFilter;
use super::memtable::FrozenKeys;
use super::merge::{MERGED_RUNS, Merge, MergeError};
use super::run_file::{KeyRun, run_path};
use super::run_writer::RunWriter;
use super::runs::KeyRuns;
use super::slot::{Health, Place, RunList, Slot};
use super::{Generation, KeyOptions, Step};
use crate::clock::Timestamp;
use crate::sync::lock;

impl KeyRuns {
    /// Writes the oldest frozen memtable as a run file.
    pub(crate) fn write_step(&self) -> io::Result<Step> {
        let list = self.list();
        let frozen = list.slots.iter().find_map(|slot| match &slot.place {
            Place::Frozen(frozen) => Some((frozen, slot.generation)),
            Place::File { .. } | Place::Unreadable { .. } => None,
        });
        let Some((frozen, generation)) = frozen else { return Ok(Step::Idle) };
        let written = self.write(frozen)?;
        self.update(|list| {
            list.slots.retain(|slot| slot.generation != generation);
            list.written_through = list.written_through.max(frozen.records.end);
            if let Some(written) = written {
                list.put(self.slot_of(written, generation));
            }
        });
        Ok(Step::Again)
    }

    fn write(&self, frozen: &FrozenKeys) -> io::Result<Option<(KeyRun, BloomFilter)>> {
        let records = frozen.records.clone();
        let n_keys = frozen.entries.len() as u64;
        let mut writer = RunWriter::create(&self.storage, &self.folder, records, n_keys)?;
        for entry in &*frozen.entries {
            writer.push(entry)?;
        }
        writer.finish()
    }

    fn slot_of(&self, (run, filter): (KeyRun, BloomFilter), generation: Generation) -> Slot {
        let records = run.header.records.clone();
        let path = run_path(&self.folder, &records, "run");
        let (run, filter) = (Arc::new(run), Some(Arc::new(filter)));
        let place = Place::File { run, filter, health: Health::Whole, path };
        Slot { records, generation, place }
    }

    /// Loads the filter of the newest run whose filter is to be in memory and is not.
    pub(crate) fn load_step(&self) -> Step {
        let list = self.list();
        let is_missing = |run: &&Arc<KeyRun>| {
            let mut slots = list.slots.iter().filter(|slot| slot.is_file_of(run));
            slots.any(|slot| slot.whole_run().is_some() && !slot.has_filter())
        };
        let Some(run) = list.fitting(self.options.filter_memory).find(is_missing) else {
            return Step::Idle;
        };
        match run.load_filter() {
            Ok(loaded) => self.update(|list| {
                let loaded = Arc::new(loaded);
                for slot in list.slots.iter_mut().filter(|slot| slot.is_file_of(run)) {
                    slot.set_filter(Some(Arc::clone(&loaded)));
                }
            }),
            Err(err) => self.set_damaged(run, &err),
        }
        Step::Again
    }

    /// Does a piece of a merge. Keys that had expired at `now` go; a `now` that cannot be trusted
    /// is to be given as the smallest time.
    pub(crate) fn merge_step(&self, now: Timestamp) -> io::Result<Step> {
        let mut own = lock(&self.merge);
        let merge = match own.take() {
            Some(merge) => Some(Ok(merge)),
            None => self
                .list()
                .mergeable(self.options, now)
                .map(|inputs| Merge::begin(&self.storage, &self.folder, inputs)),
        };
        let Some(merge) = merge else { return Ok(Step::Idle) };
        *own = self.advance(merge, now)?;
        Ok(Step::Again)
    }

    /// Writes the runs that reach beyond the log's `end` anew, without the keys of events that it has
    /// lost: once there are newer events, nothing tells these keys from others.
    pub(crate) fn drop_lost(&self, end: Lsn) -> io::Result<()> {
        let list = self.list();
        let beyond = list.slots.iter().filter(|slot| slot.records.end > end);
        for run in beyond.filter_map(Slot::whole_run) {
            let mut merge = Merge::begin(&self.storage, &self.folder, vec![Arc::clone(run)]);
            while let Some(unfinished) = self.advance(merge, Timestamp::MIN)? {
                merge = Ok(unfinished);
            }
        }
        Ok(())
    }

    /// Does a piece of a merge, and gives it back unless it has ended.
    fn advance(
        &self,
        merge: Result<Merge, MergeError>,
        now: Timestamp,
    ) -> io::Result<Option<Merge>> {
        match merge.and_then(|merge| self.try_advance(merge, now)) {
            Ok(unfinished) => Ok(unfinished),
            // It begins anew, with other inputs.
            Err(MergeError::Input(run, err)) => {
                self.set_damaged(&run, &err);
                Ok(None)
            }
            Err(MergeError::Output(err)) => Err(err),
        }
    }

    fn try_advance(&self, mut merge: Merge, now: Timestamp) -> Result<Option<Merge>, MergeError> {
        match merge.step(now) {
            Ok(false) => return Ok(Some(merge)),
            Ok(true) => {}
            Err(err) => {
                if let Err(err) = merge.abandon() {
                    tracing::warn!("an unfinished key run cannot be removed: {err}");
                }
                return Err(err);
            }
        }
        let inputs = merge.inputs().to_vec();
        let output = merge.finish().map_err(MergeError::Output)?;
        self.replace(&inputs, output).map_err(MergeError::Output)?;
        Ok(None)
    }

    /// Puts the output of a merge in the place of its inputs, whose files go.
    fn replace(
        &self,
        inputs: &[Arc<KeyRun>],
        output: Option<(KeyRun, BloomFilter)>,
    ) -> io::Result<()> {
        let is_input = |slot: &Slot| inputs.iter().any(|run| slot.is_file_of(run));
        let list = self.list();
        let replaced: Vec<&Slot> = list.slots.iter().filter(|slot| is_input(slot)).collect();
        let generation = replaced.iter().map(|slot| slot.generation).max().unwrap_or_default();
        let output = output.map(|output| self.slot_of(output, generation));
        // A run that was merged alone has its name already.
        let own_path = output.as_ref().and_then(Slot::path).cloned();
        self.update(|list| {
            list.slots.retain(|slot| !is_input(slot));
            if let Some(output) = output {
                list.put(output);
            }
        });
        let paths = replaced.iter().filter_map(|slot| slot.path());
        paths
            .filter(|path| Some(*path) != own_path.as_ref())
            .try_for_each(|path| self.remove_file(path))
    }

    /// Removes the runs all of whose keys had expired at `now`, which must be a time that can be
    /// trusted: not one right after the clock has jumped.
    pub(crate) fn expire(&self, now: Timestamp) -> io::Result<()> {
        let is_over = |slot: &Slot| slot.run().is_some_and(|run| run.header.expires_at <= now);
        let list = self.list();
        let over: Vec<_> = list.slots.iter().filter(|slot| is_over(slot)).collect();
        if over.is_empty() {
            return Ok(());
        }
        self.update(|list| list.slots.retain(|slot| !is_over(slot)));
        over.iter().filter_map(|slot| slot.path()).try_for_each(|path| self.remove_file(path))
    }

    /// There is no run of these records, whose keys are to be remade from the log. An empty file says
    /// so to the next start; `false` = it cannot be made, and that one takes repeats of them for events.
    pub(crate) fn set_missing(&self, records: Range<Lsn>) -> bool {
        if records.is_empty() {
            return true;
        }
        let path = run_path(&self.folder, &records, "bad");
        let made = self.storage.open(&path, OpenMode::Create);
        let made = made.and_then(|_| self.storage.sync_folder(&self.folder));
        let is_noted = made.is_ok();
        if let Err(err) = made {
            tracing::warn!(error = %err, "That dedupe keys are missing cannot be noted");
        }
        self.note_missing(&path);
        let place = Place::Unreadable { path };
        self.update(|list| {
            list.written_through = list.written_through.max(records.end);
            list.put(Slot { records, generation: list.generation, place });
        });
        is_noted
    }

    /// The oldest record whose key is to be remade from the log.
    pub(crate) fn remakes_from(&self) -> Option<Lsn> {
        self.list().slots.iter().find(|slot| slot.is_damaged()).map(|slot| slot.records.start)
    }

    /// The records of a run that is damaged, as far as they were not remade yet. Where the log still has
    /// them, their keys are to be added again as frozen memtables; then `remade` is to be called.
    pub(crate) fn next_to_remake(&self) -> io::Result<Option<Range<Lsn>>> {
        let list = self.list();
        let Some(slot) = list.slots.iter().find(|slot| slot.is_damaged()) else { return Ok(None) };
        let aside = slot.path().map(|path| path.with_extension("bad"));
        if let Some((path, aside)) = slot.path().zip(aside).filter(|(path, aside)| *path != aside) {
            // So that a start does not take the remade runs for left-over inputs of this one.
            // Where it is missing, an earlier call has done it and could not sync it.
            if_there(self.storage.rename(path, &aside))?;
            self.storage.sync_folder(&self.folder)?;
            self.rename_damage(path, &aside);
            self.update(|list| {
                for own in list.slots.iter_mut().filter(|own| own.path() == Some(path)) {
                    own.set_path(aside.clone());
                }
            });
        }
        Ok(Some(slot.records.clone()))
    }

    /// The keys of `records` before `through` were added again, as far as the log has them: from `first`
    /// on.
    pub(crate) fn remade(&self, records: &Range<Lsn>, first: Lsn, through: Lsn) -> io::Result<()> {
        while self.write_step()? == Step::Again {}
        let is_it = |slot: &Slot| slot.records == *records && slot.is_damaged();
        if through < records.end {
            self.update(|list| {
                for own in list.slots.iter_mut().filter(|own| is_it(own)) {
                    own.records.start = through;
                }
                list.sort();
            });
            return Ok(());
        }
        let list = self.list();
        for slot in list.slots.iter().filter(|slot| is_it(slot)) {
            // Of a run that is remade in part, the pages that can be read still count.
            let is_whole = slot.run().is_some_and(|run| first <= run.header.records.start);
            let goes = is_whole || !slot.is_readable();
            self.update(|list| {
                list.slots.retain(|own| !(goes && is_it(own)));
                for own in list.slots.iter_mut().filter(|own| is_it(own)) {
                    own.set_health(Health::Remade);
                }
            });
            if let Some(path) = slot.path().filter(|_| goes) {
                self.remove_file(path)?;
            }
        }
        Ok(())
    }
}

impl RunList {
    /// Runs that are to be merged: 16 of one size that follow each other, or one of whose keys half
    /// has expired (keys with a long window keep those with a short one).
    fn mergeable(&self, options: KeyOptions, now: Timestamp) -> Option<Vec<Arc<KeyRun>>> {
        let runs: Vec<Option<&Arc<KeyRun>>> = self.slots.iter().map(Slot::whole_run).collect();
        let is_half_over =
            |run: &&&Arc<KeyRun>| run.header.half_expires_at <= now && now < run.header.expires_at;
        let has_hole = |runs: &[Arc<KeyRun>]| self.has_damaged_in(runs);
        let mut half_over = runs.iter().flatten().filter(is_half_over);
        if let Some(run) = half_over.find(|run| !has_hole(std::slice::from_ref(**run))) {
            return Some(vec![Arc::clone(run)]);
        }
        runs.windows(MERGED_RUNS).find_map(|runs| {
            let runs: Vec<Arc<KeyRun>> =
                runs.iter().map(|run| run.cloned()).collect::<Option<_>>()?;
            let size = runs.first()?.size(options);
            let is_mergeable =
                size != RunSize::Large && runs.iter().all(|run| run.size(options) == size);
            (is_mergeable && !has_hole(&runs)).then_some(runs)
        })
    }

    /// Whether records between the first and the last one of these runs are still to be remade. A run
    /// that is merged of them claims all between: a start would remove what was remade inside of it.
    fn has_damaged_in(&self, runs: &[Arc<KeyRun>]) -> bool {
        let start = runs.iter().map(|run| run.header.records.start).min();
        let end = runs.iter().map(|run| run.header.records.end).max();
        let Some((start, end)) = start.zip(end) else { return false };
        let mut damaged = self.slots.iter().filter(|slot| slot.is_damaged());
        damaged.any(|slot| slot.records.start < end && start < slot.records.end)
    }
}

/// How often the keys of a run were merged, by their number: small runs stay small until there are
/// enough of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RunSize {
    Small,
    Medium,
    Large,
}

impl KeyRun {
    fn size(&self, options: KeyOptions) -> RunSize {
        // Halfway to 16 and 256 memtables: repeated and expired keys go in merging.
        let small = options.memtable_keys as u64 * (MERGED_RUNS as u64 / 2);
        match self.header.n_entries {
            n if n < small => RunSize::Small,
            n if n < small * MERGED_RUNS as u64 => RunSize::Medium,
            _ => RunSize::Large,
        }
    }
}
