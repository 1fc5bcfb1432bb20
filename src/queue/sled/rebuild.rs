//! Making the index from the journal: all of it, or what it lacks.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::dedupe::{RecentKeys, Runs, Seen};
use super::index::{Index, IndexError, Indexed, Progress};
use super::indexer::{Applied, Applier};
use crate::event::{Dedupe, Event, Position};
use crate::queue::journal::{Found, Location, Reader, Segments};
use crate::queue::record::{KeyEntry, Keys, Record};

/// Why the index could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RebuildError {
    #[error("the index cannot be written")]
    Index(#[from] IndexError),
    #[error("the journal cannot be read")]
    Journal(#[source] io::Error),
    #[error("the damaged index `{}` cannot be moved aside", .0.display())]
    Aside(PathBuf, #[source] io::Error),
}

/// An index that has everything.
#[derive(Debug)]
pub(crate) struct Rebuilt {
    pub(crate) index: Index,
    pub(crate) runs: Runs,
    /// The position that the next event gets by what the journal holds.
    pub(crate) next_in_journal: Position,
    /// The same, and no less than what was known before.
    pub(crate) next: Position,
}

/// Makes the index anew from the whole journal up to `end`; what was there is moved aside. The
/// next event's position is at least `known`.
pub(crate) fn from_journal(
    segments: &Arc<Segments>,
    folder: &Path,
    end: Location,
    known: Position,
) -> Result<Rebuilt, RebuildError> {
    move_aside(folder)?;
    let index = Index::open(folder)?;
    let runs = Runs::default();
    let first = segments.at_or_after(0).map_or(Position(1), |segment| segment.first);
    let mut replay = Replay::new(&index, &runs, first);
    replay.run(segments, Location::start_of(0), end)?;
    let (mut keys, next_in_journal) = (replay.keys, replay.next);
    let next_in_journal =
        segments.all().iter().map(|segment| segment.first).fold(next_in_journal, Position::max);
    let next = next_in_journal.max(known);
    if let Some(generation) = keys.close(next) {
        index.put_key_run(generation.run, &generation.page_keys())?;
        runs.add(generation.run, &generation.page_keys());
    }
    index.set_progress(Progress { at: end, next })?;
    Ok(Rebuilt { index, runs, next_in_journal, next })
}

/// Where a compacted index is made, and where the old one is put until the new one is in place.
pub(crate) fn compaction_folders(folder: &Path) -> (PathBuf, PathBuf) {
    (folder.with_extension("new"), folder.with_extension("old"))
}

/// Ends a compaction that a crash cut short: the old index is as good as the new one.
pub(crate) fn settle_compaction(folder: &Path) -> io::Result<()> {
    let (new, old) = compaction_folders(folder);
    if !folder.exists() && old.exists() {
        std::fs::rename(&old, folder)?;
    }
    remove_all(&new)?;
    remove_all(&old)
}

/// Gives a damaged index another name, in place of an earlier damaged one: one is enough to look
/// into what happened.
fn move_aside(folder: &Path) -> Result<(), RebuildError> {
    if !folder.exists() {
        return Ok(());
    }
    let aside = folder.with_extension("damaged");
    let moved = remove_all(&aside).and_then(|()| std::fs::rename(folder, &aside));
    moved.map_err(|err| RebuildError::Aside(folder.to_owned(), err))
}

pub(crate) fn remove_all(path: &Path) -> io::Result<()> {
    let removed = match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(err) => Err(err),
    };
    match removed {
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Takes a stretch of the journal in.
pub(crate) struct Replay<'a> {
    index: &'a Index,
    runs: &'a Runs,
    applier: Applier,
    /// From where on the index lacks anything.
    index_from: Location,
    /// From where on keys are in no run.
    keys_from: Position,
    pub(crate) keys: RecentKeys,
    /// The position that the next event gets.
    pub(crate) next: Position,
}

impl<'a> Replay<'a> {
    pub(crate) fn new(index: &'a Index, runs: &'a Runs, keys_from: Position) -> Self {
        Self {
            index,
            runs,
            applier: Applier::default(),
            index_from: Location::start_of(0),
            keys_from,
            keys: RecentKeys::new(keys_from),
            next: Position(1),
        }
    }

    /// What stands before `at` is in the index already.
    pub(crate) fn index_from(mut self, progress: Progress) -> Self {
        self.index_from = progress.at;
        self.next = progress.next;
        self
    }

    /// Reads from `at` to `end`.
    pub(crate) fn run(
        &mut self,
        segments: &Arc<Segments>,
        at: Location,
        end: Location,
    ) -> Result<(), RebuildError> {
        let mut reader = Reader::new(Arc::clone(segments), at);
        while let Some(found) = reader.next(end).map_err(RebuildError::Journal)? {
            match found.decode() {
                Ok(record) => self.take_in(&found, record)?,
                Err(err) => tracing::error!(error = %err, "A record is not understood"),
            }
        }
        Ok(self.applier.end_block(self.index)?)
    }

    fn take_in(&mut self, found: &Found, record: Record) -> Result<(), RebuildError> {
        let at = found.at;
        let applied = match record {
            Record::Event(event, dedupe) => {
                self.next = self.next.max(event.position.next());
                self.remember_key(found, &event, &dedupe)?;
                Applied::Event(Indexed::of(&event), at)
            }
            Record::Settled(batch) => Applied::Settled { at, batch },
            Record::Checkpoint(places) => {
                self.next = self.next.max(places.next);
                Applied::Checkpoint { at, places }
            }
            Record::Carried(event, _) => {
                let n_bytes = found.payload.len() as u64;
                Applied::Carried { position: event.position, at, n_bytes }
            }
            Record::Keys(keys) => {
                let (Some(first), Some(last)) = (keys.0.first(), keys.0.last()) else {
                    return Ok(());
                };
                let (first, last) = (first.position, last.position);
                // Of an index that is made anew these keys are not in any run yet.
                if last < self.keys_from {
                    self.add_old_keys(&keys)?;
                }
                Applied::KeyRecord { first, last, at }
            }
            Record::Filler => return Ok(()),
        };
        if at < self.index_from {
            return Ok(());
        }
        Ok(self.applier.apply(self.index, &applied)?)
    }

    fn remember_key(
        &mut self,
        found: &Found,
        event: &Event,
        dedupe: &Dedupe,
    ) -> Result<(), RebuildError> {
        if event.position < self.keys_from {
            return Ok(());
        }
        if let Dedupe::Within { key, window } = dedupe {
            let (id, position, received_at) = (event.id, event.position, event.received_at);
            let seen = Seen { id, position, received_at };
            self.keys.insert(*key, seen, received_at.after(*window));
        }
        let n_bytes = u64::from(found.end.offset.saturating_sub(found.at.offset));
        if let Some(generation) = self.keys.committed(event.position.next(), n_bytes) {
            self.index.put_key_run(generation.run, &generation.page_keys())?;
            self.runs.add(generation.run, &generation.page_keys());
            generation.set_written();
        }
        Ok(())
    }

    /// Keys of events whose segment is gone: a run of their own, unless there is one.
    fn add_old_keys(&mut self, keys: &Keys) -> Result<(), RebuildError> {
        let (Some(first), Some(last)) = (keys.0.first(), keys.0.last()) else { return Ok(()) };
        if self.runs.covers(first.position, last.position) {
            return Ok(());
        }
        let expires_at = keys.0.iter().map(KeyEntry::expires_at).max().unwrap_or_default();
        let run = super::index::KeyRun { first: first.position, last: last.position, expires_at };
        let mut page_keys: Vec<_> =
            keys.0.iter().map(|entry| (super::dedupe::prefix(entry.key), entry.position)).collect();
        page_keys.sort_unstable();
        self.index.put_key_run(run, &page_keys)?;
        self.runs.add(run, &page_keys);
        Ok(())
    }
}
