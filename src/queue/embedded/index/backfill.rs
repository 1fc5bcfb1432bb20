//! Fills the index in backwards: the log's older segments, newest first, then the kept log.

use super::facts::facts_of_change;
use super::pass::{Pass, Piece, Sources, StepError};
use crate::queue::embedded::log::{LogHead, ReadError};
use crate::queue::embedded::record::Lsn;

/// How many of the kept log's changes one write takes in.
const WRITE_CHANGES: usize = 4_096;

/// How far the index is filled in.
#[derive(Debug)]
pub(super) struct Backfill {
    /// Everything from here on is in the index.
    from: Lsn,
    /// The segment that is being read, and its number.
    segment: Option<(u32, Pass)>,
    kept: KeptPhase,
}

#[derive(Debug)]
enum KeptPhase {
    /// It goes on behind the segment of this number.
    Behind(u32),
    Done,
}

impl Backfill {
    pub(super) fn new(from: Lsn, has_kept: bool) -> Self {
        let kept = if has_kept { KeptPhase::Done } else { KeptPhase::Behind(0) };
        Self { from, segment: None, kept }
    }

    pub(super) fn from(&self) -> Lsn {
        self.from
    }

    pub(super) fn has_kept(&self) -> bool {
        matches!(self.kept, KeptPhase::Done)
    }

    /// What is before `first` is gone from the log.
    pub(super) fn skip_to(&mut self, first: Lsn) {
        self.from = self.from.max(first);
        self.segment = None;
    }

    pub(super) fn step(&mut self, head: LogHead, sources: &Sources) -> Result<Piece, StepError> {
        if self.from > head.first {
            self.segment_step(head, sources)?;
            return Ok(Piece::More);
        }
        self.segment = None;
        let KeptPhase::Behind(number) = self.kept else { return Ok(Piece::Last) };
        let Some((read, changes)) = sources.kept.changes_behind(number, None)? else {
            self.kept = KeptPhase::Done;
            return Ok(Piece::More);
        };
        let mut changes = changes.peekable();
        while changes.peek().is_some() {
            let mut writes = Vec::new();
            for (handler, incarnation, lsn, change) in changes.by_ref().take(WRITE_CHANGES) {
                facts_of_change(&handler, incarnation, &change, lsn, &mut writes);
            }
            sources.index.store.apply(writes)?;
        }
        self.kept = KeptPhase::Behind(read);
        Ok(Piece::More)
    }

    fn segment_step(&mut self, head: LogHead, sources: &Sources) -> Result<(), StepError> {
        let Some((number, pass)) = &mut self.segment else {
            let numbers = sources.log.segments().into_iter().map(|info| info.id.number);
            match numbers.filter(|number| *number < self.from.segment()).max() {
                Some(number) => {
                    let pass = Pass::new(&sources.log, Lsn::start_of(number));
                    self.segment = Some((number, pass));
                }
                None => self.from = head.first,
            }
            return Ok(());
        };
        let begin = Lsn::start_of(*number);
        match pass.step(self.from, head, sources) {
            Ok(Piece::More) => {}
            Ok(Piece::Last) => {
                if let Some((_, pass)) = self.segment.take() {
                    pass.finish(&sources.index)?;
                }
                self.from = begin;
            }
            // It went while it was read, and every segment before it.
            Err(StepError::Read(ReadError::Trimmed)) => self.segment = None,
            Err(err) => return Err(err),
        }
        Ok(())
    }
}
