//! Takes a stretch of the log into the index.

use std::io;
use std::sync::Arc;

use super::facts::facts_of_section;
use super::store::{StoreError, Write};
use super::zone::ZoneBuilder;
use super::{Index, Progress};
use crate::queue::embedded::kept::KeptLog;
use crate::queue::embedded::log::{FileLog, Found, LogHead, LogReader, ReadError};
use crate::queue::embedded::record::{Kind, Lsn, Record};

/// How much of the log one step reads: about a millisecond.
const STEP_BYTES: u64 = 256 << 10;

/// What the index is made from, and the index.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) log: Arc<FileLog>,
    pub(super) kept: Arc<KeptLog>,
    pub(super) index: Arc<Index>,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the kept log cannot be read")]
    Kept(#[from] io::Error),
}

/// Whether a piece of work was the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    More,
    Last,
}

/// A walk along the log.
#[derive(Debug)]
pub(super) struct Pass {
    reader: LogReader,
    zones: ZoneBuilder,
}

impl Pass {
    pub(super) fn new(log: &Arc<FileLog>, from: Lsn) -> Self {
        let reader = LogReader::new(Arc::clone(log), from);
        Self { reader, zones: ZoneBuilder::default() }
    }

    /// Everything before it is in the index, but for the zone that is being collected.
    pub(super) fn at(&self) -> Lsn {
        self.reader.at()
    }

    /// Where another pass must begin to have the same zones.
    pub(super) fn resume_at(&self) -> Lsn {
        self.zones.begin().unwrap_or(self.reader.at())
    }

    /// Takes in at most [`STEP_BYTES`] of what is before `end`.
    pub(super) fn step(
        &mut self,
        end: Lsn,
        head: LogHead,
        sources: &Sources,
    ) -> Result<Piece, StepError> {
        let mut writes = Vec::new();
        let mut n_bytes = 0_u64;
        let piece = loop {
            match self.reader.next(end) {
                Ok(Some(found)) => {
                    n_bytes += u64::from(found.bytes());
                    self.take_in(&found, head, &sources.log, &mut writes);
                }
                Ok(None) => break Ok(Piece::Last),
                Err(err) => break Err(err),
            }
            if n_bytes >= STEP_BYTES {
                break Ok(Piece::More);
            }
        };
        // The reader is behind what it has given, also where it failed then.
        sources.index.store.apply(writes)?;
        Ok(piece?)
    }

    /// Writes the zone that is being collected: nothing is behind it.
    pub(super) fn finish(mut self, index: &Index) -> Result<(), StoreError> {
        let zone = self.zones.take().map(|zone| zone.write());
        index.store.apply(zone.into_iter().collect())
    }

    fn take_in(&mut self, found: &Found, head: LogHead, log: &FileLog, writes: &mut Vec<Write>) {
        match found.kind {
            Kind::Event => match found.decode() {
                Some(Record::Event(event, _)) => {
                    writes.extend(self.zones.push(&event, found.lsn).map(|zone| zone.write()));
                }
                Some(_) | None => log.note_undecodable(found),
            },
            // What was said is found again by the record itself, where the delivery ended at once.
            Kind::Settle => match found.decode_settle() {
                Some(record) => {
                    for section in &record.sections {
                        facts_of_section(section, found.lsn, head.next_position, writes);
                    }
                }
                None => log.note_undecodable(found),
            },
            // No zone is in two segments.
            Kind::Head => writes.extend(self.zones.take().map(|zone| zone.write())),
            Kind::Subscribed
            | Kind::Forgotten
            | Kind::Trim
            | Kind::Opened
            | Kind::Closed
            | Kind::Filler
            | Kind::KeptChanges
            | Kind::KeptFooter
            | Kind::Shared => {}
        }
    }
}

impl Sources {
    /// The salt of the segment that `lsn` is in.
    pub(super) fn salt_of(&self, lsn: Lsn) -> Option<u64> {
        let segments = self.log.segments();
        segments.iter().find(|info| info.id.number == lsn.segment()).map(|info| info.id.salt)
    }

    /// Whether the log has everything that a store with this progress was made from, as far as can
    /// be told without reading it.
    pub(super) fn is_of_this_log(&self, progress: Progress, salt: u64) -> bool {
        progress.to <= self.log.head().next && self.salt_of(progress.to) == Some(salt)
    }
}
