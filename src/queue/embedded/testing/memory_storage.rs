//! A file system in memory that can lose what was not synced, run full, and fail.
//!
//! A power cut keeps each sector of 512 bytes that was not synced or loses it, by chance, and of
//! the names given, changed and removed since their folder's last sync a first part, as a
//! journalling file system does. Folders are there from the moment they are made.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rand::{Rng, RngCore};

use super::faults::{Call, Faults, Verdict};
use super::inode::Inode;
use super::names::{NameChange, Names, Node};
use crate::queue::storage::{OpenMode, Storage, StorageFile};
use crate::sync::lock;

/// What a power cut does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CrashOptions {
    /// A sector that was being written may hold the beginning of the new bytes and the end of the
    /// old ones.
    pub torn_sectors: bool,
}

#[derive(Debug, Default)]
struct State {
    folders: BTreeSet<PathBuf>,
    names: Names,
    durable_names: Names,
    unsynced: Vec<NameChange>,
    faults: Option<Arc<dyn Faults>>,
    free: Option<u64>,
    calls: Option<Vec<(Call, PathBuf)>>,
    is_killed: bool,
}

/// The file system. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct MemoryStorage(Arc<Mutex<State>>);

impl State {
    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.unsynced.push(change);
    }

    fn sync_folder(&mut self, folder: &Path) {
        let mut left: Vec<NameChange> = Vec::new();
        for change in std::mem::take(&mut self.unsynced) {
            if change.is_in(folder) {
                // What is durable now includes what came of the file before, in whichever folder.
                left.retain(|earlier| !Arc::ptr_eq(&earlier.node, &change.node));
                change.apply(&mut self.durable_names);
            } else {
                left.push(change);
            }
        }
        self.unsynced = left;
    }

    fn missing(&self, path: &Path) -> io::Error {
        let is_there = self.names.contains_key(path);
        debug_assert!(!is_there, "asked only where it is missing");
        io::Error::new(ErrorKind::NotFound, format!("`{}` is not there", path.display()))
    }
}

impl MemoryStorage {
    pub fn new() -> Self {
        Self::default()
    }

    /// What a power cut leaves: of each file any of the sectors that were not synced, of the names
    /// any first part of the changes that were not synced. Nothing of it fails, and it has the
    /// room that this one has. This one stays as it is.
    #[must_use]
    pub fn crash(&self, rng: &mut impl RngCore, options: CrashOptions) -> Self {
        let state = lock(&self.0);
        let mut names = state.durable_names.clone();
        let n_kept = match rng.random_range(0..4) {
            0 => 0,
            1 => state.unsynced.len(),
            _ => rng.random_range(0..=state.unsynced.len()),
        };
        for change in state.unsynced.iter().take(n_kept) {
            change.apply(&mut names);
        }
        for node in names.values_mut() {
            let crashed = lock(node).after_power_cut(rng, options.torn_sectors);
            *node = Arc::new(Mutex::new(crashed));
        }
        Self::of(&state, names.clone(), names, Vec::new())
    }

    /// What a killed process leaves: all that was written, as far from durable as it is. Every
    /// call to this one fails from here on.
    #[must_use]
    pub fn kill(&self) -> Self {
        let left = self.copy();
        lock(&self.0).is_killed = true;
        left
    }

    /// The same with files of its own: what happens to one of them does not happen to the other.
    #[must_use]
    pub fn copy(&self) -> Self {
        let state = lock(&self.0);
        let mut copies: BTreeMap<*const Mutex<Inode>, Node> = BTreeMap::new();
        let (mut names, mut durable) = (state.names.clone(), state.durable_names.clone());
        let mut unsynced = state.unsynced.clone();
        let nodes = names.values_mut().chain(durable.values_mut());
        for node in nodes.chain(unsynced.iter_mut().map(|change| &mut change.node)) {
            let made = copies.entry(Arc::as_ptr(node));
            let made = made.or_insert_with(|| Arc::new(Mutex::new(lock(node).clone())));
            *node = Arc::clone(made);
        }
        Self::of(&state, names, durable, unsynced)
    }

    fn of(state: &State, names: Names, durable: Names, unsynced: Vec<NameChange>) -> Self {
        Self(Arc::new(Mutex::new(State {
            folders: state.folders.clone(),
            names,
            durable_names: durable,
            unsynced,
            free: state.free,
            ..State::default()
        })))
    }

    pub fn set_faults(&self, faults: Arc<dyn Faults>) {
        lock(&self.0).faults = Some(faults);
    }

    /// Asks `rule` before each call from here on, as [`Faults::before`].
    pub fn fail(&self, rule: impl Fn(Call, &Path, u64, usize) -> Verdict + Send + Sync + 'static) {
        self.set_faults(Arc::new(rule));
    }

    pub fn clear_faults(&self) {
        lock(&self.0).faults = None;
    }

    /// By how many bytes files may still grow; `None` = any number.
    pub fn set_free(&self, free: Option<u64>) {
        lock(&self.0).free = free;
    }

    /// Flips one bit, as rot does; durable at once. Nothing where the file is not so long.
    pub fn flip_bit(&self, path: &Path, offset: u64, bit: u8) {
        self.spoil(path, |inode| inode.flip_bit(offset, bit));
    }

    /// Cuts a file to `len` bytes; durable at once.
    pub fn cut(&self, path: &Path, len: u64) {
        self.spoil(path, |inode| inode.cut(len));
    }

    fn spoil(&self, path: &Path, how: impl FnOnce(&mut Inode)) {
        let node = lock(&self.0).names.get(path).cloned();
        if let Some(node) = node {
            how(&mut lock(&node));
        }
    }

    /// Removes a file; durable at once.
    pub fn remove_now(&self, path: &Path) {
        let mut state = lock(&self.0);
        if let Some(node) = state.names.remove(path) {
            state.unsynced.retain(|change| !Arc::ptr_eq(&change.node, &node));
            state.durable_names.retain(|_, durable| !Arc::ptr_eq(durable, &node));
        }
    }

    /// Removes a folder and the files in it; durable at once.
    pub fn remove_folder_now(&self, folder: &Path) {
        self.paths().iter().filter(|at| at.starts_with(folder)).for_each(|at| self.remove_now(at));
        lock(&self.0).folders.retain(|known| !known.starts_with(folder));
    }

    /// Puts a file there, in place of what has that name; durable at once.
    pub fn put_now(&self, path: &Path, bytes: Vec<u8>) {
        self.remove_now(path);
        let node = Arc::new(Mutex::new(Inode::durable(bytes)));
        let mut state = lock(&self.0);
        state.names.insert(path.to_owned(), Arc::clone(&node));
        state.durable_names.insert(path.to_owned(), node);
    }

    pub fn paths(&self) -> Vec<PathBuf> {
        lock(&self.0).names.keys().cloned().collect()
    }

    pub fn bytes(&self, path: &Path) -> Option<Vec<u8>> {
        let node = lock(&self.0).names.get(path).cloned()?;
        Some(lock(&node).bytes().to_vec())
    }

    /// The same as they were written: without the bits that [`MemoryStorage::flip_bit`] flipped and
    /// that were not written over since.
    pub fn written(&self, path: &Path) -> Option<Vec<u8>> {
        let node = lock(&self.0).names.get(path).cloned()?;
        Some(lock(&node).written())
    }

    /// Remembers calls that succeed from here on.
    pub fn record_calls(&self) {
        lock(&self.0).calls = Some(Vec::new());
    }

    /// The calls since then, and begins anew.
    pub fn take_calls(&self) -> Vec<(Call, PathBuf)> {
        lock(&self.0).calls.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Asks the faults; `Some(n)` = only so many bytes.
    fn before(
        &self,
        call: Call,
        path: &Path,
        offset: u64,
        len: usize,
    ) -> io::Result<Option<usize>> {
        let (faults, is_killed) = {
            let state = lock(&self.0);
            (state.faults.clone(), state.is_killed)
        };
        if is_killed {
            return Err(io::Error::other("the process was killed"));
        }
        match faults.map_or(Verdict::Ok, |faults| faults.before(call, path, offset, len)) {
            Verdict::Ok => Ok(None),
            Verdict::Error(kind) => Err(kind.into()),
            Verdict::Errno(errno) => Err(io::Error::from_raw_os_error(errno)),
            Verdict::Short(n_bytes) => Ok(Some(n_bytes.min(len))),
        }
    }

    fn done(state: &mut State, call: Call, path: &Path) {
        if let Some(calls) = &mut state.calls {
            calls.push((call, path.to_owned()));
        }
    }

    /// A change of names, once the faults have agreed.
    fn names(
        &self,
        call: Call,
        path: &Path,
        change: impl FnOnce(&mut State) -> io::Result<()>,
    ) -> io::Result<()> {
        self.before(call, path, 0, 0)?;
        let mut state = lock(&self.0);
        change(&mut state)?;
        Self::done(&mut state, call, path);
        Ok(())
    }
}

impl Storage for MemoryStorage {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn StorageFile>> {
        let is_there = lock(&self.0).names.contains_key(path);
        let is_made = !is_there && mode == OpenMode::Create;
        let call = if is_made { Call::Create } else { Call::Open };
        self.before(call, path, 0, 0)?;
        let mut state = lock(&self.0);
        if is_made {
            if !path.parent().is_some_and(|folder| state.folders.contains(folder)) {
                return Err(state.missing(path));
            }
            let (added, node) = (Some(path.to_owned()), Node::default());
            state.change(NameChange { removed: None, added, node });
        }
        let Some(node) = state.names.get(path).cloned() else { return Err(state.missing(path)) };
        Self::done(&mut state, call, path);
        Ok(Arc::new(OpenFile { storage: self.clone(), path: path.to_owned(), node, mode }))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        self.before(Call::List, folder, 0, 0)?;
        let mut state = lock(&self.0);
        if !state.folders.contains(folder) {
            return Err(state.missing(folder));
        }
        Self::done(&mut state, Call::List, folder);
        let inside = state.names.keys().filter(|path| path.parent() == Some(folder));
        Ok(inside.cloned().collect())
    }

    fn size(&self, path: &Path) -> io::Result<u64> {
        self.before(Call::List, path, 0, 0)?;
        let state = lock(&self.0);
        let size = state.names.get(path).map(|node| lock(node).bytes().len() as u64);
        size.ok_or_else(|| state.missing(path))
    }

    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        // As by mkdir(2): one that is there is no change.
        if lock(&self.0).folders.contains(folder) {
            return Ok(());
        }
        self.before(Call::Create, folder, 0, 0)?;
        let mut state = lock(&self.0);
        state.folders.extend(folder.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.names(Call::Rename, from, |state| {
            let Some(node) = state.names.get(from).cloned() else {
                return Err(state.missing(from));
            };
            let (removed, added) = (Some(from.to_owned()), Some(to.to_owned()));
            state.change(NameChange { removed, added, node });
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.names(Call::Remove, path, |state| {
            let Some(node) = state.names.get(path).cloned() else {
                return Err(state.missing(path));
            };
            let size = lock(&node).bytes().len() as u64;
            state.free = state.free.map(|free| free.saturating_add(size));
            state.change(NameChange { removed: Some(path.to_owned()), added: None, node });
            Ok(())
        })
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.names(Call::SyncFolder, folder, |state| {
            state.sync_folder(folder);
            Ok(())
        })
    }

    fn free_bytes(&self, _folder: &Path) -> io::Result<u64> {
        Ok(lock(&self.0).free.unwrap_or(1 << 50))
    }
}

#[derive(Debug)]
struct OpenFile {
    storage: MemoryStorage,
    path: PathBuf,
    node: Node,
    mode: OpenMode,
}

impl StorageFile for OpenFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let short = self.storage.before(Call::Read, &self.path, offset, buffer.len())?;
        let n_read = lock(&self.node).read_at(buffer, offset);
        MemoryStorage::done(&mut lock(&self.storage.0), Call::Read, &self.path);
        Ok(short.map_or(n_read, |short| short.min(n_read)))
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.mode == OpenMode::Read {
            return Err(io::Error::from(ErrorKind::PermissionDenied));
        }
        let short = self.storage.before(Call::Write, &self.path, offset, bytes.len())?;
        let mut state = lock(&self.storage.0);
        let mut inode = lock(&self.node);
        let mut n_bytes = short.unwrap_or(bytes.len());
        if let Some(free) = &mut state.free {
            let size = inode.bytes().len() as u64;
            let fits = (size + *free).saturating_sub(offset);
            n_bytes = n_bytes.min(usize::try_from(fits).unwrap_or(usize::MAX));
            *free -= (offset + n_bytes as u64).saturating_sub(size).min(*free);
        }
        inode.write(bytes.get(..n_bytes).unwrap_or(bytes), offset);
        if short.is_some() {
            return Err(io::Error::other("the write stopped early"));
        }
        if n_bytes < bytes.len() {
            return Err(ErrorKind::StorageFull.into());
        }
        MemoryStorage::done(&mut state, Call::Write, &self.path);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.storage.before(Call::Sync, &self.path, 0, 0)?;
        lock(&self.node).sync();
        MemoryStorage::done(&mut lock(&self.storage.0), Call::Sync, &self.path);
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(lock(&self.node).bytes().len() as u64)
    }
}

#[cfg(test)]
mod tests;
