//! What the records say, apart from their bytes.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::event::{Attempt, ErrorText, EventId, HandlerName, OrderKey, Position};

/// Where a record begins in the log: the segment's number in the upper 32 bits, the byte offset
/// in the lower ones. Ascends with the log and is never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Lsn(pub(crate) u64);

impl Lsn {
    /// The record at `offset` of segment `number`, which counts from 1.
    pub(crate) const fn new(number: u32, offset: u32) -> Self {
        Self((number as u64) << 32 | offset as u64)
    }

    /// The beginning of a segment.
    pub(crate) const fn start_of(number: u32) -> Self {
        Self::new(number, 0)
    }

    /// `n_bytes` further on in the same segment.
    pub(crate) fn behind(self, n_bytes: usize) -> Self {
        Self::new(self.segment(), end_of(self.offset(), n_bytes))
    }

    /// The last one before this one, which is behind a record.
    pub(crate) fn previous(self) -> Self {
        debug_assert!(self.0 > 0, "a log without records has no last one");
        Self(self.0.saturating_sub(1))
    }

    /// How many bytes there are from `earlier`, which is in the same segment and not behind this.
    pub(crate) fn bytes_since(self, earlier: Self) -> u32 {
        let is_behind = earlier.segment() == self.segment() && earlier <= self;
        debug_assert!(is_behind, "{earlier} is not before {self}, or in another segment");
        self.offset().saturating_sub(earlier.offset())
    }

    /// About how many bytes of the log lie between this and `end`; 0 = `end` is not behind it.
    pub(crate) fn bytes_until(self, end: Self, segment_bytes: u64) -> u64 {
        if end <= self {
            return 0;
        }
        let bytes = u64::from(end.segment() - self.segment()) * segment_bytes;
        // A segment of a large record is longer than others.
        (bytes + u64::from(end.offset())).saturating_sub(self.offset().into())
    }

    pub(crate) const fn segment(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub(crate) const fn offset(self) -> u32 {
        (self.0 & 0xffff_ffff) as u32
    }
}

/// A number of bytes of a segment, or an index into them, as an offset: segments are far below 4 GiB.
pub(crate) fn offset_of(index: usize) -> u32 {
    debug_assert!(u32::try_from(index).is_ok(), "an index of {index} is in no segment");
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// Where `n_bytes` from offset `begin` on end.
pub(crate) fn end_of(begin: u32, n_bytes: usize) -> u32 {
    offset_of(begin as usize + n_bytes)
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {} at byte {}", self.segment(), self.offset())
    }
}

/// One life of a handler's subscription, from `subscribe` to `forget`: what was recorded for
/// another one is void.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Incarnation {
    /// Where its `Subscribed` record is.
    pub(crate) subscribed: Lsn,
    pub(crate) since: Position,
}

/// What a change makes of the deliveries that it names: an absolute assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NewState {
    Delivered,
    /// The filter said no.
    Skipped,
    /// A dead letter that was dropped, or that expired.
    Dropped,
    /// To be tried again.
    Retry {
        /// Not before this moment of the steady clock.
        due: Timestamp,
        /// How far away `due` was when it was settled: a clock set back must not stall it.
        wait: Duration,
        order_key: Option<OrderKey>,
    },
    /// Will not be tried again by itself.
    Dead {
        died_at: Timestamp,
        reason: ErrorText,
        /// The key that it holds, where later events of the key wait for it.
        order_key: Option<OrderKey>,
    },
    /// To be delivered from the log (or the kept log), as a new delivery from attempt 1.
    Open,
    /// Its event could not be read.
    Lost,
}

/// A change of the deliveries `first .. first + count` of one handler. `count` is 1 for `Retry` and
/// for `Dead` with an order key; bytes that say otherwise make no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeliveryRecord {
    pub(crate) first: Position,
    pub(crate) count: u64,
    pub(crate) to: NewState,
    pub(crate) attempts: u32,
    /// When the first try began, by the steady clock, where the delivery goes on.
    pub(crate) first_attempt_at: Option<Timestamp>,
    /// The try that led to it, where there was one.
    pub(crate) attempt: Option<Attempt>,
}

impl DeliveryRecord {
    /// A change without a try.
    pub(crate) const fn of(first: Position, count: u64, to: NewState) -> Self {
        Self { first, count, to, attempts: 0, first_attempt_at: None, attempt: None }
    }

    /// The same of all of `positions`.
    pub(crate) fn of_all(positions: Range<Position>, to: NewState) -> Self {
        Self::of(positions.start, positions.end.events_since(positions.start), to)
    }

    /// Whether it says how its deliveries stand and no more: made of a handler's state, which does
    /// not know when and why a dead letter died.
    pub(crate) fn is_bare(&self) -> bool {
        match &self.to {
            NewState::Dead { died_at, .. } => *died_at == Timestamp::default(),
            NewState::Delivered
            | NewState::Skipped
            | NewState::Dropped
            | NewState::Retry { .. }
            | NewState::Open
            | NewState::Lost => self.attempt.is_none(),
        }
    }

    pub(crate) const fn positions(&self) -> Range<Position> {
        self.first..self.first.after(self.count)
    }
}

/// One handler's part of a settle record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) handler: HandlerName,
    pub(crate) incarnation: Incarnation,
    /// The number of the opening (later: of the lease) under which it was settled.
    pub(crate) epoch: u64,
    pub(crate) changes: Vec<DeliveryRecord>,
}

/// Outcomes that are recorded together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SettleRecord {
    /// When they were written, by the wall clock.
    pub(crate) at: Timestamp,
    pub(crate) sections: Vec<Section>,
}

/// How far the kept log counts: bytes before it are damage where they are bad, bytes behind it
/// are left-overs of a copy that was not finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeptEnd {
    /// The newest kept segment; 0 = there is none.
    pub(crate) number: u32,
    pub(crate) offset: u32,
}

/// A handler as each segment's head names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HandlerHead {
    pub(crate) handler: HandlerName,
    pub(crate) incarnation: Incarnation,
}

/// What is known of a sealed segment: where its records end, and where some of its events stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SegmentEnd {
    pub(crate) number: u32,
    /// Behind its last record.
    pub(crate) end: u32,
    /// Ascending pairs: the event at this position begins at this offset. One per 64 KiB.
    pub(crate) table: Vec<(Position, u32)>,
}

/// The first record of each segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHead {
    /// When the segment began, by the wall clock: everything in earlier ones is older.
    pub(crate) at: Timestamp,
    /// The position that the next event gets.
    pub(crate) next: Position,
    /// The newest event's id.
    pub(crate) newest_id: Option<EventId>,
    /// The number of this opening of the queue.
    pub(crate) opening: u64,
    /// The oldest segment that counts: what is before it are left-overs.
    pub(crate) first: u32,
    /// The position that the next event had where that segment begins.
    pub(crate) first_position: Position,
    pub(crate) kept: KeptEnd,
    /// The segment before; `None` in the first one.
    pub(crate) previous: Option<SegmentEnd>,
    /// Every handler that has a subscription, by name.
    pub(crate) handlers: Vec<HandlerHead>,
}

/// Changes of one handler that the kept log holds, each with the LSN of the record that it was
/// first part of. Of one position the change with the highest LSN counts, within one unit the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptChanges {
    pub(crate) handler: HandlerName,
    pub(crate) incarnation: Incarnation,
    pub(crate) changes: Vec<(Lsn, DeliveryRecord)>,
}

/// What a kept segment holds: the first record of the kept segment after it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeptFooter {
    /// Where the segment ends; bytes behind that do not count.
    pub(crate) end: KeptEnd,
    /// Its events, by position.
    pub(crate) events: Vec<KeptEvent>,
    /// Positions that its changes name and whose event it does not hold, ascending.
    pub(crate) mentions: Vec<Position>,
}

/// Stands behind what was taken over from a log that several nodes share: how far that goes, and what
/// its taker has to remember with it. Events without it count for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SharedMark {
    /// The newest unit of the shared log that was taken over.
    pub(crate) sequence: u64,
    /// The taker's own bytes.
    pub(crate) note: Vec<u8>,
}

/// Where an event is in its kept segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeptEvent {
    pub(crate) position: Position,
    pub(crate) offset: u32,
    /// Bytes of its record, and of the changes that were written with it.
    pub(crate) bytes: u32,
}
