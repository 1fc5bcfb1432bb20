//! Merging runs: 16 of one size become one, in pieces.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::super::super::storage::Storage;
use super::filter::BloomFilter;
use super::page::RunError;
use super::run_file::{KeyRun, RunCursor};
use super::run_writer::RunWriter;
use crate::clock::Timestamp;
use crate::event::{DedupeKey, EventId};

/// How many runs become one.
pub(super) const MERGED_RUNS: usize = 16;
/// Entries that one step moves: some 5 ms.
const STEP_ENTRIES: usize = 16_384;

/// Why a merge ended early.
#[derive(Debug)]
pub(super) enum MergeError {
    /// An input is damaged.
    Input(Arc<KeyRun>, RunError),
    /// The output cannot be written.
    Output(io::Error),
}

/// A merge that is being done.
#[derive(Debug)]
pub(super) struct Merge {
    inputs: Vec<Arc<KeyRun>>,
    /// Those that have entries left.
    cursors: Vec<RunCursor>,
    writer: RunWriter,
    last: Option<(DedupeKey, EventId)>,
}

impl Merge {
    /// Begins to merge runs that follow each other.
    pub(super) fn begin(
        storage: &Arc<dyn Storage>,
        folder: &Path,
        inputs: Vec<Arc<KeyRun>>,
    ) -> Result<Self, MergeError> {
        let start = inputs.iter().map(|run| run.header.records.start).min().unwrap_or_default();
        let end = inputs.iter().map(|run| run.header.records.end).max().unwrap_or_default();
        let n_keys = inputs.iter().map(|run| run.header.n_entries).sum();
        let mut cursors = Vec::new();
        for run in &inputs {
            let cursor = RunCursor::new(Arc::clone(run));
            cursors.push(cursor.map_err(|err| MergeError::Input(Arc::clone(run), err))?);
        }
        cursors.retain(|cursor| cursor.peek().is_some());
        let writer = RunWriter::create(storage, folder, start..end, n_keys);
        Ok(Self { inputs, cursors, writer: writer.map_err(MergeError::Output)?, last: None })
    }

    pub(super) fn inputs(&self) -> &[Arc<KeyRun>] {
        &self.inputs
    }

    /// Moves some entries; those that had expired at `now` go. Says whether that was all.
    pub(super) fn step(&mut self, now: Timestamp) -> Result<bool, MergeError> {
        for _ in 0..STEP_ENTRIES {
            let least = self
                .cursors
                .iter_mut()
                .enumerate()
                .filter_map(|(at, cursor)| cursor.peek().copied().map(|entry| (at, cursor, entry)))
                .min_by_key(|(_, _, entry)| (entry.key, entry.id));
            let Some((at, cursor, entry)) = least else { return Ok(true) };
            let result = cursor.advance();
            result.map_err(|err| MergeError::Input(Arc::clone(cursor.run()), err))?;
            if cursor.peek().is_none() {
                self.cursors.swap_remove(at);
            }
            let is_repeated = self.last == Some((entry.key, entry.id));
            if entry.expires_at() > now && !is_repeated {
                self.last = Some((entry.key, entry.id));
                self.writer.push(&entry).map_err(MergeError::Output)?;
            }
        }
        Ok(false)
    }

    /// The merged run; `None` = all had expired.
    pub(super) fn finish(self) -> io::Result<Option<(KeyRun, BloomFilter)>> {
        self.writer.finish()
    }

    /// Removes what was written.
    pub(super) fn abandon(&self) -> io::Result<()> {
        self.writer.abandon()
    }
}
