//! Snapshots of the handlers' states: written beside the running queue, read at a start.
//!
//! A snapshot is fuzzy: it begins with an LSN that the committer notes between two units, and each
//! state is walked through in steps while it goes on changing. Everything from that LSN on is
//! applied again at a start; changes are absolute, so that makes it exact.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::commit::{Request, SnapshotBasis};
use super::core::Core;
use super::record::Lsn;
use super::snapshot_file::{Snapshot, SnapshotHeader, SnapshotSegment, SnapshotWriter};
use super::state::SnapshotWalk;
use super::subscription::HandlerCell;
use crate::event::EventId;
use crate::queue::QueueError;
use crate::queue::storage::{OpenMode, Storage, if_there};
use crate::sync::lock;

/// How many changes are walked through under one hold of a handler's lock: at most 0.3 ms.
const CHUNK_CHANGES: usize = 1_000;
/// How many snapshots stay: where the newer one is bad, the older one serves.
const GENERATIONS: usize = 2;

/// The folder of the snapshots, `state/N.snap`.
#[derive(Debug)]
pub(crate) struct Snapshots {
    storage: Arc<dyn Storage>,
    folder: PathBuf,
    newest: Mutex<Newest>,
}

/// What is known of the newest snapshot.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Newest {
    pub(crate) number: u64,
    /// Records from here on are applied on top of it.
    pub(crate) replay_from: Lsn,
    /// Records from here on have keys that are not in run files.
    pub(crate) keys_from: Lsn,
    /// The largest id in it.
    pub(crate) id_max: Option<EventId>,
    pub(crate) bytes: u64,
}

impl Newest {
    /// Before it nothing of the log is needed to start.
    pub(crate) fn needs_from(&self) -> Lsn {
        self.replay_from.min(self.keys_from)
    }
}

/// Whether a snapshot's keys must be in run files as far as its states reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeysOf {
    Everything,
    WhatIsWritten,
}

fn number_of(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_suffix(".snap")?.parse().ok()
}

impl Snapshots {
    pub(crate) fn new(storage: Arc<dyn Storage>, folder: PathBuf) -> Self {
        Self { storage, folder, newest: Mutex::default() }
    }

    pub(crate) fn newest(&self) -> Newest {
        *lock(&self.newest)
    }

    /// The newest snapshot that is whole, first; then the ones before it. One that cannot be read
    /// is named in the log: it costs time only.
    pub(crate) fn load(&self) -> io::Result<Vec<Snapshot>> {
        self.storage.create_folder(&self.folder)?;
        let mut numbers: Vec<u64> =
            self.storage.list(&self.folder)?.iter().filter_map(|path| number_of(path)).collect();
        numbers.sort_unstable_by(|one, other| other.cmp(one));
        lock(&self.newest).number = numbers.first().copied().unwrap_or(0);
        if !numbers.is_empty() {
            // A name that an earlier process gave and could not sync counts from here on.
            self.storage.sync_folder(&self.folder)?;
        }
        let mut snapshots = Vec::new();
        for number in numbers {
            let path = self.path(number);
            match self.read(&path).map(|bytes| (Snapshot::decode(&bytes), bytes.len())) {
                Ok((Some(snapshot), n_bytes)) => {
                    if snapshots.is_empty() {
                        self.note(number, &snapshot.header, n_bytes as u64);
                    }
                    snapshots.push(snapshot);
                }
                Ok((None, _)) => {
                    tracing::warn!(file = %path.display(), "A snapshot is damaged; it is not used");
                }
                Err(err) => {
                    tracing::warn!(file = %path.display(), error = %err, "A snapshot cannot be read");
                }
            }
        }
        Ok(snapshots)
    }

    /// Reads every snapshot, newest first: from where the log must go on with it, or what is wrong
    /// with it. Changes nothing; one that goes meanwhile is left out.
    pub(crate) fn examine(&self) -> io::Result<Vec<(String, Result<Lsn, String>)>> {
        let mut paths = if_there(self.storage.list(&self.folder))?.unwrap_or_default();
        paths.retain(|path| number_of(path).is_some());
        paths.sort_unstable_by_key(|path| std::cmp::Reverse(number_of(path)));
        let mut found = Vec::new();
        for path in paths {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let state = match if_there(self.read(&path)) {
                Ok(Some(bytes)) => Snapshot::decode(&bytes)
                    .map(|snapshot| snapshot.header.replay_from)
                    .ok_or_else(|| "not as it was written".to_owned()),
                Ok(None) => continue,
                Err(err) => Err(format!("cannot be read ({err})")),
            };
            found.push((name.to_owned(), state));
        }
        Ok(found)
    }

    /// The snapshot that was loaded first cannot be used: a new one is needed soon.
    pub(crate) fn distrust_newest(&self) {
        let number = lock(&self.newest).number;
        *lock(&self.newest) = Newest { number, ..Newest::default() };
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.storage.open(path, OpenMode::Read)?;
        let n_bytes = usize::try_from(file.size()?).unwrap_or(usize::MAX);
        let mut bytes = vec![0; n_bytes];
        let n_read = file.read_at(&mut bytes, 0)?;
        bytes.truncate(n_read);
        Ok(bytes)
    }

    pub(crate) async fn write(&self, core: &Core, keys: KeysOf) -> Result<(), QueueError> {
        let basis = self.begin(core, keys).await?;
        let header = header_of(core, &basis);
        let mut writer = SnapshotWriter::new(&header);
        let mut pieces = Vec::new();
        for cell in &basis.handlers {
            walk(cell, &mut writer, &mut pieces).await;
        }
        // What was walked through is in the log before the snapshot counts.
        core.ask(Request::Recorded).await?;
        pieces.extend(writer.finish());
        self.store(&header, &pieces).map_err(|source| QueueError::Io {
            what: format!("writing a snapshot into `{}`", self.folder.display()),
            source,
        })
    }

    async fn begin(&self, core: &Core, keys: KeysOf) -> Result<SnapshotBasis, QueueError> {
        if keys == KeysOf::Everything {
            core.ask(Request::FreezeKeys).await?;
            core.write_frozen_keys()?;
        }
        core.ask(Request::BeginSnapshot).await
    }

    fn store(&self, header: &SnapshotHeader, bytes: &[u8]) -> io::Result<()> {
        let number = self.newest().number + 1;
        let part = self.folder.join("part");
        if self.storage.list(&self.folder)?.contains(&part) {
            self.storage.remove(&part)?;
        }
        let file = self.storage.open(&part, OpenMode::Create)?;
        file.write_all_at(bytes, 0)?;
        file.sync_data()?;
        self.storage.rename(&part, &self.path(number))?;
        self.storage.sync_folder(&self.folder)?;
        self.note(number, header, bytes.len() as u64);
        self.remove_old(number)
    }

    fn note(&self, number: u64, header: &SnapshotHeader, bytes: u64) {
        let SnapshotHeader { replay_from, keys_from, newest_id: id_max, .. } = *header;
        *lock(&self.newest) = Newest { number, replay_from, keys_from, id_max, bytes };
    }

    fn remove_old(&self, newest: u64) -> io::Result<()> {
        let oldest = (newest + 1).saturating_sub(GENERATIONS as u64);
        for path in self.storage.list(&self.folder)? {
            if number_of(&path).is_some_and(|number| number < oldest) {
                self.storage.remove(&path)?;
            }
        }
        Ok(())
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:010}.snap"))
    }

    /// Bytes of the snapshots.
    pub(crate) fn bytes(&self) -> u64 {
        self.newest().bytes.saturating_mul(GENERATIONS as u64)
    }
}

/// Adds one handler's state, as it is while it changes.
async fn walk(cell: &Arc<HandlerCell>, writer: &mut SnapshotWriter, pieces: &mut Vec<u8>) {
    // Noted behind the LSN: what is settled from here on is recorded behind it.
    let high = cell.lock().state.high();
    writer.begin_handler(&cell.handler, cell.incarnation, high);
    let mut walk = SnapshotWalk::new();
    loop {
        let changes = cell.lock().state.chunk(&mut walk, high, CHUNK_CHANGES);
        if changes.is_empty() && walk.is_done() {
            return;
        }
        writer.changes(&changes);
        pieces.extend(writer.take_bytes());
        tokio::task::yield_now().await;
    }
}

fn header_of(core: &Core, basis: &SnapshotBasis) -> SnapshotHeader {
    let mut segments = Vec::new();
    for info in core.log.segments() {
        // What was not asked for yet is read on demand.
        if let (Some(first), Some(began_at)) = (info.first, info.began_at) {
            let (number, salt) = (info.id.number, info.id.salt);
            segments.push(SnapshotSegment { number, salt, first, began_at });
        }
    }
    SnapshotHeader {
        replay_from: basis.replay_from,
        at: core.clock.now(),
        next_position: basis.next_position,
        newest_id: basis.newest_id,
        opening: basis.opening,
        kept: basis.kept,
        keys_from: basis.keys_from,
        segments,
    }
}
