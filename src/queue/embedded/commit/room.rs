//! Room in the log: going on to the next segment, and saying so where there is none.

use std::time::Duration;

use rand::RngCore;

use super::{Committer, NextSegment, NoRoom, Unit};
use crate::queue::embedded::log::{AllocateError, AllocatedSegment, AppendError, Reserve, Want};
use crate::queue::embedded::record::{HandlerHead, SegmentHead, SegmentId};

/// After the disk was found full: how long appends are refused without looking again.
const FULL_FOR: Duration = Duration::from_millis(250);
/// What the first record of an opening takes beside what is asked for.
const OPENING_BYTES: usize = 64;
/// Of what is kept for outcomes, the part that they leave for upkeep.
const UPKEEP_PART: usize = 16;

/// What room is made for. Each leaves alone what those below it need: on a full disk outcomes are
/// recorded still, and once nothing more of them can be, what frees the disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RoomFor {
    Events,
    Outcomes,
    /// Few small records: trims, subscriptions, the log's end.
    Upkeep,
}

impl RoomFor {
    const fn reserve(self) -> Reserve {
        match self {
            Self::Events => Reserve::Kept,
            Self::Outcomes => Reserve::ForOutcomes,
            Self::Upkeep => Reserve::Used,
        }
    }
}

impl Committer {
    /// Makes sure that a record of `needed` bytes fits in the live segment behind the unit, writing
    /// the unit and going on to the next segment where it does not. Where there is no next one,
    /// what others need of this one is left alone.
    pub(super) fn make_room(
        &mut self,
        unit: &mut Unit,
        needed: usize,
        room_for: RoomFor,
    ) -> Result<(), NoRoom> {
        let needed = needed + OPENING_BYTES;
        let spare = match room_for {
            RoomFor::Events => self.settle_room,
            RoomFor::Outcomes => self.settle_room / UPKEEP_PART,
            RoomFor::Upkeep => 0,
        };
        let must_roll = self.writer.needs_roll();
        let left =
            if must_roll { 0 } else { self.writer.room().saturating_sub(unit.builder.len()) };
        if needed + spare <= left {
            return Ok(());
        }
        let reserve = room_for.reserve();
        let segment = match &self.next_segment {
            NextSegment::Ready(_) if needed <= left => return Ok(()),
            NextSegment::Ready(_) => self.flush_and_take_segment(unit)?,
            NextSegment::Wanted => return Err(NoRoom::Wait),
            NextSegment::Failed { why, at } => {
                let is_fresh = *at + FULL_FOR > self.now;
                if is_fresh && reserve <= self.tried_with {
                    return Err(why.clone());
                }
                self.want_segment(reserve);
                return Err(NoRoom::Wait);
            }
        };
        let rolled = self.roll(segment, needed);
        unit.builder = self.writer.begin();
        unit.begin = self.writer.end();
        rolled
    }

    /// Writes the unit, so that the segment can be left.
    fn flush_and_take_segment(&mut self, unit: &mut Unit) -> Result<AllocatedSegment, NoRoom> {
        let full = std::mem::replace(unit, self.begin());
        if self.finish(full).is_err() {
            return Err(self.why_not_written());
        }
        match std::mem::replace(&mut self.next_segment, NextSegment::Wanted) {
            NextSegment::Ready(segment) => Ok(segment),
            other @ (NextSegment::Wanted | NextSegment::Failed { .. }) => {
                self.next_segment = other;
                Err(NoRoom::Wait)
            }
        }
    }

    /// Goes on to the next segment.
    fn roll(&mut self, segment: AllocatedSegment, needed: usize) -> Result<(), NoRoom> {
        let head = self.head();
        match self.writer.roll(segment, head, needed) {
            Ok(()) => {
                self.writer.publish(self.next_position);
                self.want_segment(Reserve::Kept);
                Ok(())
            }
            Err(err) => {
                self.want_segment(Reserve::Kept);
                Err(self.no_room(err))
            }
        }
    }

    /// What the next segment begins with.
    pub(crate) fn head(&self) -> SegmentHead {
        let handlers = self.handlers.iter().map(|(handler, incarnation)| HandlerHead {
            handler: handler.clone(),
            incarnation: *incarnation,
        });
        SegmentHead {
            at: self.core.clock.now(),
            next: self.next_position,
            newest_id: self.newest_id,
            opening: self.opening.number,
            first: self.first.0,
            first_position: self.first.1,
            kept: self.kept,
            // The writer knows where the segment before ends.
            previous: None,
            handlers: handlers.collect(),
        }
    }

    /// Asks the allocator for the segment behind the live one.
    pub(crate) fn want_segment(&mut self, reserve: Reserve) {
        let salt = self.random.next_u64();
        let id = SegmentId { number: self.writer.next_number().max(self.least_segment), salt };
        let want = Want { id, reserve };
        self.tried_with = reserve;
        self.next_segment = NextSegment::Wanted;
        if self.wants.send(want).is_err() {
            // The allocator ends after the committer only.
            let why = NoRoom::Full("no thread makes segments any more".into());
            self.next_segment = NextSegment::Failed { why, at: self.now };
        }
    }

    /// The allocator's answer.
    pub(super) fn segment_was_made(&mut self, made: Result<AllocatedSegment, AllocateError>) {
        self.next_segment = match made {
            Ok(segment) => NextSegment::Ready(segment),
            Err(err) => {
                let why = NoRoom::Full(err.to_string());
                if !self.is_full {
                    tracing::error!(error = %err, "No room for more events: they are refused");
                }
                self.is_full = true;
                NextSegment::Failed { why, at: self.now }
            }
        };
    }

    /// What a failed write means for the caller.
    pub(super) fn no_room(&mut self, err: AppendError) -> NoRoom {
        match err {
            AppendError::Full(why) | AppendError::Unavailable(why) => NoRoom::Full(why),
            AppendError::TooLarge { max } => {
                NoRoom::Full(format!("a record is larger than the {max} bytes of a segment"))
            }
            AppendError::Poisoned(err) => {
                self.poison(&err);
                NoRoom::Poisoned
            }
        }
    }

    /// Writes nothing more: what the disk holds is unknown, and only reopening can tell.
    fn poison(&mut self, err: &std::io::Error) {
        self.writer.poison();
        if !self.core.poisoned.send_replace(true) {
            tracing::error!(error = %err, "Writing the log failed: the queue stops until restart");
        }
    }
}
