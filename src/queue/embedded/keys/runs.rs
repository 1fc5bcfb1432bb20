//! All runs: opening, and the lookup.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use uuid::Uuid;

use super::super::super::storage::{Storage, if_there};
use super::super::record::Lsn;
use super::memtable::FrozenKeys;
use super::merge::Merge;
use super::page::RunError;
use super::run_file::{KeyRun, parse_name};
use super::slot::{Health, Place, RunList, Slot};
use super::{Generation, KeyOptions, KeyProbe, Probed, Seen};
use crate::event::EventId;
use crate::sync::lock;

/// Older keys: frozen memtables and run files. Lookups come from any thread; all other calls that
/// read or write files from one, the housekeeper.
#[derive(Debug)]
pub(crate) struct KeyRuns {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) folder: PathBuf,
    pub(super) options: KeyOptions,
    list: Mutex<Arc<RunList>>,
    /// By file: the first thing that was found wrong.
    damage: Mutex<BTreeMap<PathBuf, String>>,
    pub(super) merge: Mutex<Option<Merge>>,
}

impl KeyRuns {
    /// Opens the run files: reads their headers, not their filters. Ids above `newest_id` (the
    /// log's newest; `None` = the log never had an event) do not count: the log has lost those
    /// events, and their repeats are to be stored.
    pub(crate) fn open(
        storage: Arc<dyn Storage>,
        folder: &Path,
        newest_id: Option<EventId>,
        options: KeyOptions,
    ) -> io::Result<Self> {
        storage.create_folder(folder)?;
        let runs = Self {
            storage,
            folder: folder.to_path_buf(),
            options,
            list: Mutex::default(),
            damage: Mutex::default(),
            merge: Mutex::default(),
        };
        let ids_until = newest_id.unwrap_or(EventId(Uuid::nil()));
        let mut list = RunList { generation: Generation(1), ..RunList::default() };
        for path in runs.storage.list(folder)? {
            let Some((records, extension)) = parse_name(&path) else { continue };
            let health = match extension {
                "run" => Health::Whole,
                "bad" => Health::Damaged,
                // A run that was not finished.
                "new" => {
                    if_there(runs.storage.remove(&path))?;
                    continue;
                }
                _ => continue,
            };
            let opened = KeyRun::open(runs.storage.as_ref(), &path, &records, ids_until);
            let place = match opened {
                Ok(run) => Place::File { run: Arc::new(run), filter: None, health, path },
                Err(err) => {
                    runs.note(&path, &err);
                    Place::Unreadable { path }
                }
            };
            list.written_through = list.written_through.max(records.end);
            list.put(Slot { records, generation: list.generation, place });
        }
        if !list.slots.is_empty() {
            // A name that an earlier process gave and could not sync counts from here on.
            runs.storage.sync_folder(folder)?;
        }
        runs.remove_merged(&mut list)?;
        runs.update(|own| *own = list);
        Ok(runs)
    }

    /// Removes the inputs of a merge whose output was finished before a crash. The runs that were
    /// remade for a damaged one are inside its records, too: those stay.
    fn remove_merged(&self, list: &mut RunList) -> io::Result<()> {
        let mut covered = Lsn::default();
        let mut merged = Vec::new();
        list.slots.retain(|slot| {
            let is_merged = slot.records.end <= covered;
            if is_merged {
                merged.extend(slot.path().cloned());
            } else if slot.whole_run().is_some() {
                covered = slot.records.end;
            }
            !is_merged
        });
        merged.iter().try_for_each(|path| self.remove_file(path))
    }

    /// The sizes that it was opened with.
    pub(crate) const fn options(&self) -> KeyOptions {
        self.options
    }

    /// The newest event that the probe repeats, among the runs that came after `after`, and what to
    /// give as `after` to ask only newer ones. What cannot be read counts as not seen.
    pub(crate) fn lookup(&self, probe: &KeyProbe, after: Generation) -> Probed {
        let list = self.list();
        let newer = list.slots.iter().filter(|slot| slot.generation > after);
        let seen = newer.filter_map(|slot| self.find(slot, probe)).max_by_key(|seen| seen.id);
        (seen, list.generation)
    }

    fn find(&self, slot: &Slot, probe: &KeyProbe) -> Option<Seen> {
        match &slot.place {
            Place::Frozen(frozen) => frozen.get(probe),
            Place::Unreadable { .. } | Place::File { health: Health::Failing, .. } => None,
            Place::File { run, filter, .. } => {
                run.find(probe, filter.as_deref()).unwrap_or_else(|err| {
                    self.set_damaged(run, &err);
                    None
                })
            }
        }
    }

    /// Adds a frozen memtable, in memory until `write_step` has written it.
    pub(crate) fn add_frozen(&self, frozen: FrozenKeys) {
        self.update(|list| {
            if frozen.entries.is_empty() {
                // No file is needed to say that there were no keys.
                list.written_through = list.written_through.max(frozen.records.end);
                return;
            }
            list.generation = Generation(list.generation.0 + 1);
            let (records, generation) = (frozen.records.clone(), list.generation);
            list.put(Slot { records, generation, place: Place::Frozen(frozen) });
        });
    }

    /// All keys of the records before it are in run files. A snapshot's `keys_from` may be later:
    /// where there were no keys there is no file.
    pub(crate) fn written_through(&self) -> Lsn {
        let list = self.list();
        let is_frozen = |slot: &&Slot| matches!(slot.place, Place::Frozen(_));
        let oldest = list.slots.iter().find(is_frozen).map(|slot| slot.records.start);
        oldest.map_or(list.written_through, |oldest| oldest.min(list.written_through))
    }

    /// How many runs there are, in memory and on disk.
    pub(crate) fn n_runs(&self) -> usize {
        self.list().slots.len()
    }

    /// Bytes on disk.
    pub(crate) fn bytes(&self) -> u64 {
        self.list().slots.iter().filter_map(Slot::run).map(|run| run.header.file_bytes()).sum()
    }

    /// Bytes of memory that frozen keys, filters and fences take.
    #[cfg(test)]
    pub(crate) fn memory_bytes(&self) -> usize {
        self.list().memory_bytes()
    }

    /// What cannot be read: one line for each file.
    pub(crate) fn damage(&self) -> Vec<String> {
        let damage = lock(&self.damage);
        damage.iter().map(|(path, cause)| format!("`{}`: {cause}", path.display())).collect()
    }

    pub(super) fn list(&self) -> Arc<RunList> {
        Arc::clone(&lock(&self.list))
    }

    /// Changes the list; lookups that are under way go on with the old one.
    pub(super) fn update(&self, change: impl FnOnce(&mut RunList)) {
        let mut list = lock(&self.list);
        let list = Arc::make_mut(&mut *list);
        change(list);
        list.drop_unfit_filters(self.options.filter_memory);
    }

    /// Notes that a run could not be read; its keys are to be remade.
    pub(super) fn set_damaged(&self, run: &Arc<KeyRun>, err: &RunError) {
        self.update(|list| {
            let Some(slot) = list.of_run(run) else { return };
            match err {
                RunError::Io { .. } => slot.set_health(Health::Failing),
                RunError::Checksum { .. } | RunError::Header if slot.whole_run().is_some() => {
                    slot.set_health(Health::Damaged);
                }
                RunError::Checksum { .. } | RunError::Header => {}
            }
            if let Some(path) = slot.path() {
                self.note(path, err);
            }
        });
    }

    fn note(&self, path: &Path, err: &RunError) {
        let mut damage = lock(&self.damage);
        if !damage.contains_key(path) {
            let cause = match err {
                RunError::Io { source, .. } => format!("{err}: {source}"),
                RunError::Checksum { .. } | RunError::Header => err.to_string(),
            };
            let path = path.to_path_buf();
            tracing::warn!(path = %path.display(), "a key run is damaged: {cause}");
            damage.insert(path, cause);
        }
    }

    pub(super) fn note_missing(&self, path: &Path) {
        let what = "dedupe keys are missing and are read off the log again".to_owned();
        lock(&self.damage).insert(path.to_path_buf(), what);
    }

    pub(super) fn rename_damage(&self, from: &Path, to: &Path) {
        let mut damage = lock(&self.damage);
        if let Some(cause) = damage.remove(from) {
            damage.insert(to.to_path_buf(), cause);
        }
    }

    /// Removes a run's file, and what was found wrong with it.
    pub(super) fn remove_file(&self, path: &Path) -> io::Result<()> {
        lock(&self.damage).remove(path);
        if_there(self.storage.remove(path)).map(drop)
    }
}
