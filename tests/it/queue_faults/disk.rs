//! A file system in memory that can lose what was not synced, run full, and fail.
//!
//! Every inode has what a reader sees and what is on the platter, in sectors of 512 bytes. A power
//! cut keeps each sector that was not synced or loses it, by chance, and of the names given since
//! the folder's last sync a first part, as a journalling file system does.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use gatepost::queue::journal::{File, FileSystem};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const SECTOR: usize = 512;

/// What a call would change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Write,
    Sync,
    Names,
}

/// How calls fail.
#[derive(Clone, Copy, Debug)]
struct Fault {
    call: Call,
    kind: ErrorKind,
    /// How many bytes of a write get through before it fails.
    short: usize,
}

#[derive(Debug, Default)]
struct Inode {
    seen: Vec<u8>,
    platter: Vec<u8>,
    dirty: BTreeSet<usize>,
}

type Node = Arc<Mutex<Inode>>;

#[derive(Clone, Debug)]
enum NameChange {
    Link(PathBuf, Node),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf),
}

#[derive(Debug, Default)]
struct State {
    seen: BTreeMap<PathBuf, Node>,
    platter: BTreeMap<PathBuf, Node>,
    pending: Vec<NameChange>,
    /// Calls that change something, so far.
    n_calls: u64,
    cut_at: Option<u64>,
    is_cut: bool,
    fault: Option<Fault>,
    /// The number of the error with which files and folders cannot be opened.
    unopened: Option<i32>,
    free: Option<u64>,
}

/// The file system. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

fn apply(names: &mut BTreeMap<PathBuf, Node>, change: &NameChange) {
    match change {
        NameChange::Link(path, node) => {
            names.insert(path.clone(), Arc::clone(node));
        }
        NameChange::Unlink(path) => {
            names.remove(path);
        }
        NameChange::Rename(from, to) => {
            if let Some(node) = names.remove(from) {
                names.insert(to.clone(), node);
            }
        }
    }
}

impl Inode {
    fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        if self.seen.len() < end {
            self.seen.resize(end, 0);
        }
        self.seen[offset..end].copy_from_slice(bytes);
        if !bytes.is_empty() {
            self.dirty.extend(offset / SECTOR..=(end - 1) / SECTOR);
        }
    }

    fn sync(&mut self) {
        let dirty = std::mem::take(&mut self.dirty);
        for sector in dirty {
            self.keep(sector);
        }
    }

    fn keep(&mut self, sector: usize) {
        let (begin, end) = (sector * SECTOR, ((sector + 1) * SECTOR).min(self.seen.len()));
        if self.platter.len() < end {
            self.platter.resize(end, 0);
        }
        self.platter[begin..end].copy_from_slice(&self.seen[begin..end]);
    }

    fn after_power_cut(&mut self, random: &mut StdRng) -> Self {
        // Sometimes all is lost, sometimes nothing: the ends are where mistakes are.
        let chance = [0.0, 0.5, 0.5, 0.9, 1.0][random.random_range(0..5)];
        for sector in std::mem::take(&mut self.dirty) {
            if random.random_bool(chance) {
                self.keep(sector);
            }
        }
        Self { seen: self.platter.clone(), platter: self.platter.clone(), dirty: BTreeSet::new() }
    }
}

impl Disk {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// The power goes at the `n`th call that changes something: part of it may get through, and
    /// every later call fails.
    pub(crate) fn cut_at(&self, n: u64) {
        self.lock().cut_at = Some(n);
    }

    pub(crate) fn n_calls(&self) -> u64 {
        self.lock().n_calls
    }

    /// All calls of this sort fail from now on; `short` bytes of a write get through.
    pub(crate) fn fail(&self, call: Call, kind: ErrorKind, short: usize) {
        self.lock().fault = Some(Fault { call, kind, short });
    }

    /// No file or folder can be opened from now on: the system's error of this number.
    pub(crate) fn fail_to_open(&self, errno: i32) {
        self.lock().unopened = Some(errno);
    }

    pub(crate) fn work_again(&self) {
        self.lock().fault = None;
        self.lock().unopened = None;
    }

    /// How many bytes are said to be free.
    pub(crate) fn set_free(&self, bytes: u64) {
        self.lock().free = Some(bytes);
    }

    /// What is found when the power is back.
    pub(crate) fn power_cut(&self, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let mut state = self.lock();
        state.is_cut = true;
        let mut names = state.platter.clone();
        let n_kept = random.random_range(0..=state.pending.len());
        state.pending.iter().take(n_kept).for_each(|change| apply(&mut names, change));
        let names = names.into_iter().map(|(path, node)| {
            let after = node.lock().unwrap().after_power_cut(&mut random);
            (path, Arc::new(Mutex::new(after)))
        });
        let names: BTreeMap<PathBuf, Node> = names.collect();
        let state = State { seen: names.clone(), platter: names, ..State::default() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// What is found when only the process was killed: all that was written, synced or not.
    pub(crate) fn killed(&self) -> Self {
        let mut state = self.lock();
        let found = State {
            seen: state.seen.clone(),
            platter: state.platter.clone(),
            pending: state.pending.clone(),
            ..State::default()
        };
        state.is_cut = true;
        Self(Arc::new(Mutex::new(found)))
    }

    /// The files, for tests that spoil them.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.lock().seen.keys().cloned().collect()
    }

    pub(crate) fn read(&self, path: &Path) -> Vec<u8> {
        self.lock().seen[path].lock().unwrap().seen.clone()
    }

    /// Gives all files the folder `to` in place of `from`.
    pub(crate) fn move_all(&self, from: &Path, to: &Path) {
        let mut state = self.lock();
        let moved = state.seen.iter().map(|(path, node)| {
            let seen = node.lock().unwrap().seen.clone();
            let inode = Inode { platter: seen.clone(), seen, dirty: BTreeSet::new() };
            (to.join(path.strip_prefix(from).unwrap()), Arc::new(Mutex::new(inode)))
        });
        let moved: BTreeMap<PathBuf, Node> = moved.collect();
        state.seen = moved.clone();
        state.platter = moved;
        state.pending.clear();
    }

    /// Puts other bytes into a file, on the platter too.
    pub(crate) fn spoil(&self, path: &Path, bytes: Vec<u8>) {
        let node = Arc::clone(&self.lock().seen[path]);
        let mut inode = node.lock().unwrap();
        inode.platter.clone_from(&bytes);
        inode.seen = bytes;
        inode.dirty.clear();
    }
}

impl State {
    /// Counts a call; `Some` = it fails after this many bytes.
    fn count(&mut self, call: Call) -> Option<(usize, Error)> {
        self.n_calls += 1;
        if self.cut_at.is_some_and(|cut| self.n_calls == cut) {
            self.is_cut = true;
            // The last write may have got through: then it is lost or not like any other.
            return Some((usize::MAX, Error::other("the power went")));
        }
        if self.is_cut {
            return Some((0, Error::other("the power is gone")));
        }
        let fault = self.fault.filter(|fault| fault.call == call)?;
        Some((fault.short, fault.kind.into()))
    }

    fn change(&mut self, change: NameChange) -> Result<()> {
        if let Some((through, err)) = self.count(Call::Names) {
            if through == usize::MAX {
                apply(&mut self.seen, &change);
                self.pending.push(change);
            }
            return Err(err);
        }
        apply(&mut self.seen, &change);
        self.pending.push(change);
        Ok(())
    }
}

impl State {
    fn check_opening(&self) -> Result<()> {
        self.unopened.map_or(Ok(()), |errno| Err(Error::from_raw_os_error(errno)))
    }
}

impl FileSystem for Disk {
    fn open(&self, path: &Path, create: bool) -> Result<Arc<dyn File>> {
        let mut state = self.lock();
        state.check_opening()?;
        if let Some(node) = state.seen.get(path) {
            let node = Arc::clone(node);
            return Ok(Arc::new(Handle { disk: self.clone(), node }));
        }
        if !create {
            return Err(ErrorKind::NotFound.into());
        }
        let node = Node::default();
        state.change(NameChange::Link(path.to_owned(), Arc::clone(&node)))?;
        Ok(Arc::new(Handle { disk: self.clone(), node }))
    }

    fn list(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        let state = self.lock();
        Ok(state.seen.keys().filter(|path| path.parent() == Some(folder)).cloned().collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.lock().change(NameChange::Rename(from.to_owned(), to.to_owned()))
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.lock().change(NameChange::Unlink(path.to_owned()))
    }

    fn sync_folder(&self, _folder: &Path) -> Result<()> {
        let mut state = self.lock();
        state.check_opening()?;
        if let Some((_, err)) = state.count(Call::Sync) {
            return Err(err);
        }
        let pending = std::mem::take(&mut state.pending);
        for change in &pending {
            apply(&mut state.platter, change);
        }
        Ok(())
    }

    fn free_bytes(&self, _folder: &Path) -> Result<u64> {
        Ok(self.lock().free.unwrap_or(1 << 40))
    }
}

#[derive(Debug)]
struct Handle {
    disk: Disk,
    node: Node,
}

impl File for Handle {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let inode = self.node.lock().unwrap();
        let offset = usize::try_from(offset).unwrap().min(inode.seen.len());
        let n = buffer.len().min(inode.seen.len() - offset);
        buffer[..n].copy_from_slice(&inode.seen[offset..offset + n]);
        Ok(n)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let failed = self.disk.lock().count(Call::Write);
        let (through, result) = match failed {
            None => (bytes.len(), Ok(())),
            Some((through, err)) => (through.min(bytes.len()), Err(err)),
        };
        let mut inode = self.node.lock().unwrap();
        inode.write(&bytes[..through], usize::try_from(offset).unwrap());
        result
    }

    fn sync_data(&self) -> Result<()> {
        let failed = self.disk.lock().count(Call::Sync);
        if let Some((_, err)) = failed {
            return Err(err);
        }
        self.node.lock().unwrap().sync();
        Ok(())
    }

    fn size(&self) -> Result<u64> {
        Ok(self.node.lock().unwrap().seen.len() as u64)
    }
}
