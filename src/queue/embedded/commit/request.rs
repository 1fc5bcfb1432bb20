//! What the committer is asked for.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::event::{EventId, HandlerName, NewEvent, Position};
use crate::queue::embedded::keys::{Generation, KeyProbe, Probed};
use crate::queue::embedded::log::{AllocateError, AllocatedSegment};
use crate::queue::embedded::record::{KeptEnd, Lsn, SharedMark};
use crate::queue::embedded::recovery::RecoveredStates;
use crate::queue::embedded::subscription::HandlerCell;
use crate::queue::{Appended, QueueError, Start};

/// An answer on its way back to a caller, who may be gone.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, QueueError>>;

/// The answer to an append, and the event itself: memory is given back for less by the thread that
/// took it, and that is not the committer's.
pub(crate) type AppendReply = oneshot::Sender<(Result<Appended, QueueError>, NewEvent)>;

/// An event that is to be stored.
#[derive(Debug)]
pub(crate) struct AppendRequest {
    pub(crate) event: NewEvent,
    /// The id that it has from elsewhere: it keeps it where it can.
    pub(crate) named: Option<EventId>,
    /// The key runs that the caller has looked through, so that no cold read stands on the one
    /// writer: only newer ones are left.
    pub(crate) probed: Generation,
    pub(crate) reply: AppendReply,
    pub(crate) group: Group,
}

/// The rest of the events that are stored by one commit, from this one on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Group {
    /// How many follow.
    pub(crate) n_more: usize,
    /// What the records of those that follow take at most.
    pub(crate) more_bytes: usize,
}

/// Where a new subscription begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// Behind the newest event.
    Next,
    /// At the oldest event that is retained.
    Oldest,
    /// At this one, whether it is retained or not.
    At(Position),
}

impl From<Start> for Since {
    fn from(start: Start) -> Self {
        match start {
            Start::Now => Self::Next,
            Start::Oldest => Self::Oldest,
        }
    }
}

/// Events out of a log that several nodes share, in its order.
#[derive(Debug)]
pub(crate) struct SharedUnit {
    pub(crate) events: Vec<SharedEvent>,
    /// How far the shared log is taken over with them.
    pub(crate) mark: SharedMark,
}

/// An event to which its node has given its id.
#[derive(Debug)]
pub(crate) struct SharedEvent {
    pub(crate) event: NewEvent,
    pub(crate) id: EventId,
    /// Nothing is asked twice: of the runs that were asked here only the answer is left.
    pub(crate) probed: Probed,
}

/// What the committer is asked for. All but appends and settlements are done after every outbox was
/// recorded, in the order in which they came.
#[derive(Debug)]
pub(crate) enum Request {
    Append(AppendRequest),
    /// All of them by one commit.
    AppendAll(Vec<AppendRequest>),
    /// Some outbox is no longer empty.
    Settle,
    /// Gives a handler a subscription, unless it has one.
    Subscribe(HandlerName, Since, Reply<()>),
    /// Removes a subscription that is free and cannot be held any more.
    Forget(Arc<HandlerCell>, Reply<()>),
    /// The next segment was made, or could not be.
    Allocated(Result<AllocatedSegment, AllocateError>),
    /// The handlers' states were made out of the log.
    Recovered(Box<RecoveredStates>),
    /// Answered once everything that was settled before is recorded.
    Recorded(Reply<()>),
    /// Answered with what a snapshot begins with.
    BeginSnapshot(Reply<SnapshotBasis>),
    /// Answered with the stored event that an event with this key would repeat.
    FindRepeated(KeyProbe, Reply<Option<EventId>>),
    /// Hands the newest dedupe keys over, to be written as a run.
    FreezeKeys(Reply<()>),
    /// Records how far the kept log counts and, with `first`, that the log begins with that segment
    /// and position.
    Trim {
        first: Option<(u32, Position)>,
        kept: KeptEnd,
        reply: Reply<()>,
    },
    /// Stores what was taken over from a shared log, by one commit with how far that goes.
    Shared(Box<SharedUnit>, Reply<Vec<Appended>>),
    /// Writes a record that says nothing, to see whether that works.
    Probe(Reply<()>),
    /// Records what waits, marks the log as closed and ends.
    Close(Reply<()>),
}

/// The queue at one LSN, between two units.
#[derive(Debug)]
pub(crate) struct SnapshotBasis {
    /// Records from here on are applied on top of the snapshot.
    pub(crate) replay_from: Lsn,
    pub(crate) next_position: Position,
    pub(crate) newest_id: Option<EventId>,
    pub(crate) opening: u64,
    pub(crate) kept: KeptEnd,
    /// Records before it have their keys in run files.
    pub(crate) keys_from: Lsn,
    /// Every handler that has a subscription.
    pub(crate) handlers: Vec<Arc<HandlerCell>>,
}
