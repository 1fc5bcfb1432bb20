//! SEAM: the durable, ordered log of events, and each handler's own place in it.
//!
//! What every backend promises, each a function of the conformance suite in `tests/it/queue`:
//!
//! 1. `append` answers `Ok` only when the event survives a power cut from then on.
//! 2. Positions ascend by one in the order of the log, ids with them, and both are never reused.
//! 3. An event whose dedupe key was seen within its window is not stored again: the first id comes
//!    back. The check and the append are one step.
//! 4. Every subscription sees every event from its start on, oldest first, whatever the others do.
//! 5. At least once: a delivery that was taken and not settled comes back at the next start. One
//!    that was settled does not, except for those of the last settle batch (at most 100 ms) after a
//!    crash.
//! 6. A delivery that waits (a retry, a held one) leaves the cursor's path: what comes after it in
//!    the log is not kept waiting by the queue.
//! 7. Nothing that is not settled by every subscription is ever removed.
//! 8. No held delivery is stranded, and none overtakes: when the entry in front of it in the line
//!    of its order key leaves that line (settled for good, dropped, or settled with another key),
//!    the first of the line becomes due if it is a held one. At every start the same is done for
//!    all lines, except that a held delivery with unsettled events of the log before it is not an
//!    entry any more: it comes again from the log, in its place.
//! 9. No clock stalls a retry: a due time that lies further away at a start than the wait that was
//!    asked for counts as that wait from then on.

pub mod embedded;
pub(crate) mod invariant;
pub mod storage;

pub(crate) mod codec;
pub(crate) mod detach;
pub(crate) mod ids;
mod names;

use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::event::{
    Delivery, ErrorText, Event, EventId, EventType, HandlerName, NewEvent, OrderKey, Output,
    Position, Progress, Settled, SourceName,
};

pub mod tools;

/// The durable log.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Stores `event`. `Ok` = it survives a power cut from here on.
    ///
    /// Dropping the future does not undo the append: the event is then stored or not, and a
    /// sender that repeats is recognised by the dedupe key.
    async fn append(&self, event: NewEvent) -> Result<Appended, QueueError>;

    /// Stores `events`, which came in one request, by one durable commit: all of them or none.
    /// Each is looked up by its own dedupe key. The answers are in the order of the events.
    ///
    /// They must fit into one unit: at most [`APPEND_ALL_MAX`] events.
    async fn append_all(&self, events: Vec<NewEvent>) -> Result<Vec<Appended>, QueueError>;

    /// The handler's own place in the log, made durable before this returns; a new one begins at
    /// `start`. A handler has one subscription at a time: the second call while the first one is
    /// alive is [`QueueError::Busy`].
    async fn subscribe(
        &self,
        handler: &HandlerName,
        start: Start,
    ) -> Result<Box<dyn Subscription>, QueueError>;

    /// Removes the handler's place: its retries, held deliveries and dead letters are gone.
    /// `false` = there was none. [`QueueError::Busy`] while it is subscribed.
    async fn forget(&self, handler: &HandlerName) -> Result<bool, QueueError>;

    /// One event, while it is retained.
    async fn get(&self, id: EventId) -> Result<Option<Event>, QueueError>;

    /// Events as `query` asks for them.
    async fn list(&self, query: EventQuery) -> Result<Vec<Event>, QueueError>;

    /// The same, for `most` at the longest: it says how far it came, and where to go on.
    async fn search(&self, query: EventQuery, _most: Duration) -> Result<Searched, QueueError> {
        let events = self.list(query).await?;
        let looked_at = events.len() as u64;
        Ok(Searched { events, next: None, looked_at })
    }

    /// What each handler did with one event, in the order of the attempts.
    async fn history(&self, position: Position) -> Result<Vec<DeliveryHistory>, QueueError>;

    /// Dead letters that match, oldest first.
    async fn dead(&self, filter: DeadFilter) -> Result<Vec<DeadLetter>, QueueError>;

    /// [`Queue::history`] of each of `positions`, in their order, where a backend can do that for
    /// less: what a list of events shows.
    async fn histories(
        &self,
        positions: &[Position],
    ) -> Result<Vec<Vec<DeliveryHistory>>, QueueError> {
        let mut histories = Vec::with_capacity(positions.len());
        for position in positions {
            histories.push(self.history(*position).await?);
        }
        Ok(histories)
    }

    /// Dead letters that match, oldest first, without their events: to count and to group them.
    async fn dead_records(&self, filter: DeadFilter) -> Result<Vec<DeadRecord>, QueueError> {
        let letters = self.dead(filter).await?.into_iter();
        let records = letters.map(|letter| DeadRecord {
            handler: letter.handler,
            position: letter.position,
            fact: Some((letter.died_at, letter.reason)),
        });
        Ok(records.collect())
    }

    /// Deliveries that match whose events cannot be read, by handler and position; none where the
    /// filter asks for a reason or a time.
    async fn lost(&self, _filter: DeadFilter) -> Result<Vec<LostDeliveries>, QueueError> {
        Ok(Vec::new())
    }

    /// Makes the dead letters that match due at once, as new deliveries from attempt 1; says how
    /// many. One that held its order key stays in front of that key's line.
    async fn redrive(&self, filter: DeadFilter) -> Result<u64, QueueError>;

    /// [`Queue::redrive`] or [`Queue::drop_dead`] of just these dead letters; says how many of them
    /// there still were.
    async fn change_dead(
        &self,
        letters: Vec<(HandlerName, Position)>,
        change: DeadChange,
    ) -> Result<u64, QueueError> {
        let mut count = 0;
        for (handler, position) in letters {
            let position = Some(position);
            let filter = DeadFilter { handler: Some(handler), position, ..DeadFilter::default() };
            count += match change {
                DeadChange::Redrive => self.redrive(filter).await?,
                DeadChange::Drop => self.drop_dead(filter).await?,
            };
        }
        Ok(count)
    }

    /// Gives up the dead letters that match for good; says how many. One that held its order key
    /// lets the next of that key go.
    async fn drop_dead(&self, filter: DeadFilter) -> Result<u64, QueueError>;

    /// Makes retained events due again for `handler`, as new deliveries from attempt 1, in the
    /// order of the log. A delivery that is not settled yet stays as it is. Says how many of the
    /// events there are: none of those that are gone, none at all where the handler has no place.
    /// Takes many at once, since all of one call are made durable together.
    async fn replay(
        &self,
        handler: &HandlerName,
        positions: &[Position],
    ) -> Result<u64, QueueError>;

    /// Figures of this moment.
    fn stats(&self) -> QueueStats;

    /// Whether a durable write would succeed just now, tried by one.
    async fn probe(&self) -> Result<(), QueueError>;

    /// Writes what waits and lets go of the data folder. Calls after it are
    /// [`QueueError::Closed`].
    async fn close(&self) -> Result<(), QueueError>;
}

/// One handler's own place in the log.
#[async_trait]
pub trait Subscription: Send + Sync {
    /// Up to `max` due deliveries, at least one; entries of their own (retries) that are due come
    /// first, by due time, then the log in order. Waits until there is one. A delivery that is
    /// taken is not given out again while this subscription lives. Stops early behind the one with
    /// which the bodies pass [`TAKE_BYTES_MAX`] together.
    ///
    /// Dropping the future takes nothing: it is made anew in each turn of a loop. While it waits it
    /// looks again at least every [`LOOK_AGAIN`].
    async fn next(&self, max: usize) -> Result<Vec<Delivery>, QueueError>;

    /// Uses the delivery up. All of the outcome is recorded or none of it. It is durable within
    /// 100 ms; a crash before that brings the delivery back. Settlements are recorded in the order
    /// of the calls, so that a crash loses the last ones only.
    ///
    /// A settlement without an attempt leaves the delivery's attempt number as it is.
    async fn settle(&self, delivery: Delivery, settled: Settled) -> Result<(), QueueError>;

    /// [`Subscription::settle`] of each in this order, where a backend can do that for less. What
    /// comes behind an error is not settled.
    async fn settle_all(&self, settled: Vec<(Delivery, Settled)>) -> Result<(), QueueError> {
        for (delivery, settled) in settled {
            self.settle(delivery, settled).await?;
        }
        Ok(())
    }

    /// Gives a delivery back untried: it is due again at once.
    async fn release(&self, delivery: Delivery) -> Result<(), QueueError>;

    /// Whether an earlier delivery of `order_key` than `position` waits as an entry of its own:
    /// a retry, a held one (due or not), or a dead letter that holds its key. One that is taken
    /// does not count, its taker knows of it. Asked once per event: it must cost next to nothing
    /// where nothing waits.
    async fn is_key_waiting(
        &self,
        order_key: OrderKey,
        position: Position,
    ) -> Result<bool, QueueError>;

    /// Makes the first in the line of `order_key` due if it is a held one: its forerunner, a
    /// delivery out of the log, is settled. `false` = it is not (none, a retry, a dead letter that
    /// holds its key, one that is due already). Need not be durable.
    async fn release_key(&self, order_key: OrderKey) -> Result<bool, QueueError>;

    /// What is due now or later: the log's rest behind the cursor, and the entries of their own.
    fn backlog(&self) -> Backlog;
}

/// The most events of one [`Queue::append_all`].
pub const APPEND_ALL_MAX: usize = 4_096;

/// How many bytes of bodies one [`Subscription::next`] gives before it stops; at least one
/// delivery is given whatever its size. It bounds what a handler's loop holds in memory, but for
/// what keeps each of them: some 5 KiB at most.
pub const TAKE_BYTES_MAX: usize = 4 << 20;

/// How long a waiting [`Subscription::next`] sleeps at most before it looks again: timers stand
/// still while the machine is suspended, and a bell may be missed.
pub const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Where a new subscription begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Behind the newest event: only what comes from here on.
    Now,
    /// At the oldest retained event.
    Oldest,
}

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// Stored under this id.
    Stored(EventId),
    /// Seen before within the window, under this id. Nothing was stored.
    Duplicate(EventId),
}

impl Appended {
    /// The event's id, the first one's for a duplicate.
    pub const fn id(self) -> EventId {
        match self {
            Self::Stored(id) | Self::Duplicate(id) => id,
        }
    }
}

/// Which events to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// Only this source.
    pub source: Option<SourceName>,
    /// Only types that match this pattern, where `*` stands for any run of characters.
    pub event_type: Option<String>,
    /// Only events received at or after this moment.
    pub since: Option<Timestamp>,
    /// Only events received before this moment.
    pub until: Option<Timestamp>,
    /// What must be in the body, all of it.
    pub body: Vec<BodyFilter>,
    /// Only events that have such a delivery.
    pub delivery: Option<DeliveryFilter>,
    /// Only positions before this one (paging backwards) or after it (forwards).
    pub cursor: Option<Position>,
    /// From which end.
    pub order: ListOrder,
    /// At most this many; at least 1 and at most [`EventQuery::LIMIT_MAX`] are given.
    pub limit: usize,
    /// Ends behind the event with which the bodies come to this many bytes; `None` = however large
    /// they are.
    pub bytes_max: Option<usize>,
}

/// Which deliveries of an event count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// Only this handler's.
    pub handler: Option<HandlerName>,
    /// Only those that stand so.
    pub state: Option<DeliveryState>,
}

/// What a search found within its time.
#[derive(Debug)]
pub struct Searched {
    /// What was found, in the order that was asked for.
    pub events: Vec<Event>,
    /// The cursor to go on with; `None` = everything was looked at.
    pub next: Option<Position>,
    /// How many positions were looked at or known not to match.
    pub looked_at: u64,
}

/// What must be in an event's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyFilter {
    /// These bytes, anywhere.
    Contains(Vec<u8>),
    /// At this JSON pointer (RFC 6901) a text with this content, or another value that is written
    /// so.
    JsonEquals {
        /// Where.
        pointer: String,
        /// What.
        value: String,
    },
}

impl EventQuery {
    /// The most events that one call gives.
    pub const LIMIT_MAX: usize = 1_000;

    /// Whether a list ends at this many events with so many bytes of bodies: there may be more
    /// behind it. One that ended before has all there are.
    pub fn is_full(&self, n_events: usize, body_bytes: usize) -> bool {
        let limit = self.limit.clamp(1, Self::LIMIT_MAX);
        let is_heavy = self.bytes_max.is_some_and(|bytes_max| body_bytes >= bytes_max);
        n_events >= limit || n_events > 0 && is_heavy
    }
}

/// From which end a list begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListOrder {
    /// Newest first, going back.
    #[default]
    Newest,
    /// Oldest first, going forward.
    Oldest,
}

/// Which dead letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadFilter {
    /// Only this handler's.
    pub handler: Option<HandlerName>,
    /// Only this event.
    pub position: Option<Position>,
    /// Only those whose reason contains this text.
    pub reason: Option<String>,
    /// Only those that died at or after this moment.
    pub since: Option<Timestamp>,
    /// Only those that died before this moment.
    pub until: Option<Timestamp>,
    /// At most this many; `None` = all.
    pub limit: Option<usize>,
}

/// A delivery that will not be tried again by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Whose it is.
    pub handler: HandlerName,
    /// The event's name.
    pub id: EventId,
    /// The event's place.
    pub position: Position,
    /// The event's source.
    pub source: SourceName,
    /// The event's type.
    pub event_type: EventType,
    /// When the event came in.
    pub received_at: Timestamp,
    /// How many tries there were.
    pub attempts: u32,
    /// When it was given up.
    pub died_at: Timestamp,
    /// Why.
    pub reason: ErrorText,
}

/// A dead letter without its event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadRecord {
    /// Whose it is.
    pub handler: HandlerName,
    /// The event's place.
    pub position: Position,
    /// When it died and why; `None` = the index does not have it yet.
    pub fact: Option<(Timestamp, ErrorText)>,
}

/// What is done to dead letters by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadChange {
    /// They are tried again.
    Redrive,
    /// They are given up for good.
    Drop,
}

/// Deliveries of one handler whose events cannot be read: dead as well, but without a name. They
/// are redriven and dropped like dead letters, by position or all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostDeliveries {
    /// Whose they are.
    pub handler: HandlerName,
    /// Their events' places.
    pub positions: Range<Position>,
}

/// What one handler did with one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryHistory {
    /// Whose it is.
    pub handler: HandlerName,
    /// How it stands.
    pub state: DeliveryState,
    /// Its tries, oldest first.
    pub attempts: Vec<AttemptRecord>,
}

/// How a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// The cursor has not reached it, or it is being tried.
    Pending,
    /// The handler has the event.
    Delivered,
    /// The filter said no.
    Skipped,
    /// To be tried again.
    Retry,
    /// Waits for an earlier event with the same order key.
    Held,
    /// Will not be tried again by itself.
    Dead,
}

/// One try in a delivery's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRecord {
    /// Which try, counted from 1.
    pub number: u32,
    /// When it began, by the wall clock.
    pub started_at: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// What it led to.
    pub led_to: DeliveryState,
    /// What went wrong; empty where nothing did.
    pub error: ErrorText,
    /// The status that the other side answered.
    pub status: Option<u16>,
    /// What the other side said, for people.
    pub output: Output,
    /// How far it came, for the next try.
    pub progress: Option<Progress>,
}

/// A subscription's figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Backlog {
    /// Events behind the cursor, taken ones included.
    pub in_log: u64,
    /// Retries and held deliveries.
    pub waiting: u64,
    /// Dead letters.
    pub dead: u64,
    /// When the oldest event that is not settled came in; dead letters do not count.
    pub oldest_pending_at: Option<Timestamp>,
}

/// The queue's figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Retained events.
    pub events: u64,
    /// Bytes on disk, the log and what is derived from it.
    pub bytes: u64,
    /// The newest position; 0 = none yet.
    pub last: Position,
    /// Bytes of the log that the derived state has not taken in yet.
    pub lag_bytes: u64,
    /// Every handler that has a place, subscribed or not.
    pub handlers: Vec<(HandlerName, Backlog)>,
    /// Damage found in the log, for people; empty = none.
    pub damage: Vec<String>,
}

/// Why the queue could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// No room: try again when something was removed.
    #[error("the queue has no room: {0}")]
    Full(String),
    /// Too much at once: try again in a moment.
    #[error("the queue is behind: {0}")]
    Behind(&'static str),
    /// A sync failed: nothing is known about what was written since the last good one, and only a
    /// restart can find out.
    #[error("the queue is poisoned by a failed write and must be reopened")]
    Poisoned,
    /// The subscription is held by somebody else.
    #[error("handler `{0}` is already subscribed")]
    Busy(HandlerName),
    /// The queue was closed.
    #[error("the queue is closed")]
    Closed,
    /// The data folder is held by another process.
    #[error("`{folder}` is held by {holder}")]
    Held {
        /// The data folder.
        folder: String,
        /// Who holds it, for people.
        holder: String,
    },
    /// The data folder belongs to another user: what is made there by this one would keep the
    /// service from starting.
    #[error(
        "`{folder}` belongs to the user `{owner}`; run this as that user: sudo -u '{owner}' gatepost …"
    )]
    ForeignOwner {
        /// The data folder.
        folder: String,
        /// Its owner.
        owner: String,
    },
    /// A newer version wrote the data folder, and nothing in it was changed.
    #[error("`{folder}` was written by a newer version of gatepost ({found}); use that version")]
    Unsupported {
        /// The data folder, or the file.
        folder: String,
        /// What was found.
        found: String,
    },
    /// A record that should be readable is not.
    #[error("the queue is damaged: {0}")]
    Corrupt(String),
    /// The system said no.
    #[error("{what} failed")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}
