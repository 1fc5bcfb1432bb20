//! How deliveries and the queue stand, for people.

use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::event::{
    ErrorText, EventId, EventType, HandlerName, OrderKey, Output, Position, Progress, SourceName,
};

/// A delivery that will not be tried again by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    pub handler: HandlerName,
    pub id: EventId,
    pub position: Position,
    pub source: SourceName,
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// When the event came in.
    pub received_at: Timestamp,
    /// How many tries there were, those before it was redriven among them. 0 = not known.
    pub attempts: u32,
    pub died_at: Timestamp,
    pub reason: ErrorText,
}

/// A dead letter without its event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadRecord {
    pub handler: HandlerName,
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

/// What became of a delivery that was to be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayResult {
    /// It is due again, as a new delivery.
    Restarted,
    /// It stays as it is, since it is not settled yet: it comes by itself.
    Pending,
    /// The event is gone, or the handler has no place.
    Gone,
}

/// Deliveries of one handler whose events cannot be read: dead as well, but without a name. They
/// are redriven and dropped like dead letters, by position or all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostDeliveries {
    pub handler: HandlerName,
    pub positions: Range<Position>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadListing {
    /// Those with their events, oldest first.
    pub letters: Vec<DeadLetter>,
    /// Those whose events cannot be read any more.
    pub unreadable: Vec<DeadRecord>,
}

/// What one handler did with one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryHistory {
    pub handler: HandlerName,
    pub state: DeliveryState,
    /// Its tries, oldest first.
    pub attempts: Vec<AttemptRecord>,
    /// How many of them belong to what was let go: a dead letter that was dropped or replayed.
    pub n_let_go: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// The cursor has not reached it, or it is being tried.
    Pending,
    Delivered,
    /// The filter said no.
    Skipped,
    /// To be tried again.
    #[serde(alias = "waiting")]
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
    pub duration: Duration,
    pub led_to: DeliveryState,
    /// What went wrong; empty where nothing did.
    pub error: ErrorText,
    /// The status that the other side answered.
    pub status: Option<u16>,
    /// What the other side said, for people.
    pub output: Output,
    /// How far it came, for the next try.
    pub progress: Option<Progress>,
    /// How long the next try was put off, where that is still recorded; told by `Queue::history` alone.
    pub planned: Option<PlannedWait>,
}

/// How long a try is put off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedWait {
    /// From the end of the try before on.
    pub wait: Duration,
    /// It does not wait for a time: an event before it in its line is not settled.
    pub is_held: bool,
}

/// How a delivery stands, as it is carried from one queue into another. All times are of the wall clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CarriedState {
    /// Delivered, skipped or dropped, or from before its handler's place.
    Settled,
    /// It was not tried, or waits behind another one of its order key.
    Open,
    /// To be tried again.
    Waiting {
        /// Not before this moment.
        due: Timestamp,
        attempts: u32,
        first_attempt_at: Option<Timestamp>,
        /// The key whose later events wait for it.
        order_key: Option<OrderKey>,
    },
    Dead {
        /// When it was given up; `None` = that is not known.
        died_at: Option<Timestamp>,
        /// Why; empty where that is not known.
        reason: ErrorText,
        /// How many tries there were.
        attempts: u32,
        /// The key whose later events wait for it.
        order_key: Option<OrderKey>,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Backlog {
    /// Events behind the cursor, taken ones included.
    pub in_log: u64,
    /// Retries and held deliveries.
    pub waiting: u64,
    pub dead: u64,
    /// When the oldest event that is not settled came in; dead letters do not count.
    pub oldest_pending_at: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Retained events.
    pub events: u64,
    /// Bytes on disk, the log and what is derived from it.
    pub bytes: u64,
    /// Bytes of files that could not be read and were put aside, for people to look at and to remove. They
    /// are no part of `bytes`, nor of `disk_max`.
    pub aside_bytes: u64,
    /// The newest position; 0 = none yet.
    pub last: Position,
    /// Bytes of the log that the derived state has not taken in yet.
    pub lag_bytes: u64,
    /// Every handler that has a place, subscribed or not.
    pub handlers: Vec<(HandlerName, Backlog)>,
    /// Damage found in the log, for people; empty = none.
    pub damage: Vec<String>,
    /// Why no event is taken in just now, for people.
    pub refuses: Option<String>,
}
