//! The committer, the only writer of the log: takes whatever waits, writes it with one write and
//! one fdatasync, and only then answers.
//!
//! Invariants:
//!
//! * The duplicate check and the append are one step: there is no other writer.
//! * An answer goes out after the sync that covers it, for a duplicate after the sync of the event
//!   that it repeats; and after the log's head was published, so that who was answered can read.
//! * Settlements are collected at most [`SETTLE_EVERY`] after they were made, per handler in the
//!   order of the calls.
//! * A commit that failed leaves ids aside everything as it was: positions, keys and outboxes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rand::rngs::StdRng;

use super::core::{Core, Step};
use super::keys::KeyMemtable;
use super::log::{AllocatedSegment, LogWriter, Reserve, Want};
use super::record::{Incarnation, KeptEnd, Lsn, UnitBuilder};
use super::subscription::HandlerCell;
use crate::event::{EventId, HandlerName, NewEvent, Position};
use crate::queue::ids::Ids;
use crate::queue::{APPEND_ALL_MAX, Appended, QueueError};

mod append;
mod control;
mod finish;
mod request;
mod room;
mod settle;
mod shared;

pub(crate) use append::{probe_of, record_bytes};
pub(crate) use request::{
    AppendReply, AppendRequest, Group, Reply, Request, SharedEvent, SharedUnit, Since,
    SnapshotBasis,
};

/// How long settlements are collected before they are recorded.
pub(crate) const SETTLE_EVERY: Duration = Duration::from_millis(40);
/// How many appends one unit takes at most.
const UNIT_EVENTS_MAX: usize = APPEND_ALL_MAX;

/// Called with the duration of each commit and the number of events in it.
pub type CommitObserver = Box<dyn Fn(Duration, usize) + Send>;

/// The committer's own state.
pub(crate) struct Committer {
    pub(crate) core: Arc<Core>,
    pub(crate) writer: LogWriter,
    /// The way to the allocator.
    pub(crate) wants: mpsc::Sender<Want>,
    pub(crate) next_segment: NextSegment,
    /// Every handler that has a subscription, as the log has it.
    pub(crate) handlers: BTreeMap<HandlerName, Incarnation>,
    pub(crate) next_position: Position,
    pub(crate) newest_id: Option<EventId>,
    pub(crate) ids: Ids,
    pub(crate) opening: Opening,
    /// The oldest segment that counts, and its first position.
    pub(crate) first: (u32, Position),
    pub(crate) kept: KeptEnd,
    pub(crate) memtable: KeyMemtable,
    /// The least number that the next segment may have.
    pub(crate) least_segment: u32,
    /// For the salts of segments.
    pub(crate) random: StdRng,
    pub(crate) observer: CommitObserver,
    /// How much of the live segment is kept for outcomes where there is no room for another.
    pub(crate) settle_room: usize,
    pub(crate) segment_bytes: u64,
    /// What the last segment that was asked for may use of the bytes that else stay free.
    pub(crate) tried_with: Reserve,
    /// There was no room when it was looked for last.
    pub(crate) is_full: bool,
    pub(crate) inbox: Inbox,
    /// The moment of this step.
    pub(crate) now: Duration,
}

/// What was asked and is not done.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    pub(crate) appends: VecDeque<AppendRequest>,
    pub(crate) others: VecDeque<Request>,
    /// When the first outbox came to hold something that is not recorded.
    pub(crate) settles_since: Option<Duration>,
    /// The room that the last event wanted that there was none for; 0 = there was for one since.
    pub(crate) refused_bytes: usize,
}

/// The segment behind the live one.
#[derive(Debug)]
pub(crate) enum NextSegment {
    /// The allocator makes it.
    Wanted,
    /// It can be used.
    Ready(AllocatedSegment),
    /// It could not be made.
    Failed { why: NoRoom, at: Duration },
}

/// Why something cannot be written just now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// The next segment is being made.
    Wait,
    /// There is no room on the disk, or in the limits of the process.
    Full(String),
    /// A write or sync failed.
    Poisoned,
}

/// This opening of the queue, which is recorded with the first thing that is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    pub(crate) number: u64,
    pub(crate) is_recorded: bool,
}

/// What one write carries.
struct Unit {
    builder: UnitBuilder,
    /// Where it begins.
    begin: Lsn,
    appends: Vec<Answer>,
    n_events: usize,
    sections: Vec<Collected>,
    has_opening: bool,
}

/// An append that is answered with the unit.
struct Answer {
    reply: AppendReply,
    appended: Appended,
    event: NewEvent,
}

/// A handler's part of the unit's settle record.
struct Collected {
    cell: Arc<HandlerCell>,
    changes: Vec<super::record::DeliveryRecord>,
}

impl Committer {
    /// Takes a request, to be done by the next step.
    pub(crate) fn accept(&mut self, request: Request) {
        match request {
            Request::Append(append) => self.inbox.appends.push_back(append),
            Request::AppendAll(appends) => self.inbox.appends.extend(appends),
            Request::Settle => {
                self.inbox.settles_since.get_or_insert(self.now);
            }
            Request::Allocated(made) => self.segment_was_made(made),
            Request::Recovered(recovered) => self.adopt(*recovered),
            other => self.inbox.others.push_back(other),
        }
    }

    /// The moment at which what is accepted next has come.
    pub(crate) fn set_now(&mut self, now: Duration) {
        self.now = now;
    }

    /// Whether a unit's worth of appends waits.
    pub(crate) fn has_full_unit(&self) -> bool {
        self.inbox.appends.len() >= UNIT_EVENTS_MAX
    }

    /// Writes what waits, and answers.
    pub(crate) fn step(&mut self, now: Duration) -> Step {
        self.now = now;
        let mut unit = self.begin();
        self.add_appends(&mut unit);
        let settles = self.add_settles_if_due(&mut unit);
        let is_written = self.finish(unit).is_ok();
        let settled = if is_written { settles } else { Err(self.why_not_written()) };
        match self.do_others(&settled) {
            Step::Idle => self.next_step(),
            step => step,
        }
    }

    fn next_step(&self) -> Step {
        let waits_for_segment = matches!(self.next_segment, NextSegment::Wanted);
        if !self.inbox.appends.is_empty() && !waits_for_segment {
            return Step::Again;
        }
        match self.inbox.settles_since {
            Some(since) => Step::At(since + SETTLE_EVERY),
            None => Step::Idle,
        }
    }

    fn why_not_written(&self) -> NoRoom {
        if self.core.is_poisoned() {
            NoRoom::Poisoned
        } else {
            NoRoom::Full("the last commit did not fit on the disk".into())
        }
    }

    /// An empty unit behind what was written.
    fn begin(&mut self) -> Unit {
        Unit {
            builder: self.writer.begin(),
            begin: self.writer.end(),
            appends: Vec::new(),
            n_events: 0,
            sections: Vec::new(),
            has_opening: false,
        }
    }

    /// The unit's records, to add one. The first record of an opening says its number.
    fn records<'u>(&self, unit: &'u mut Unit) -> &'u mut UnitBuilder {
        if !self.opening.is_recorded && !unit.has_opening {
            unit.has_opening = true;
            unit.builder.push_opened(self.opening.number, self.core.clock.now());
        }
        &mut unit.builder
    }
}

impl NoRoom {
    fn error(&self) -> QueueError {
        match self {
            Self::Wait => QueueError::Full("the next segment of the log is not ready".into()),
            Self::Full(why) => QueueError::Full(why.clone()),
            Self::Poisoned => QueueError::Poisoned,
        }
    }
}
