//! What the simulation drives: a queue whose components are stepped by hand, behind as little as
//! the scheduler and the oracle need.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use gatepost_sim::clock::ManualClock;
use gatepost_sim::event::{
    Delivery, EventId, HandlerName, NewEvent, OrderKey, Position, Settlement,
};
use gatepost_sim::queue::{Appended, QueueError, Start};
use rand::rngs::StdRng;

use crate::damage::{Damage, Effects, Fault};

/// Names one call under way.
pub type Ticket = u64;

/// A call that is answered later, when the components have made their steps.
#[derive(Debug)]
pub enum Request {
    Append(NewEvent),
    /// All of them by one commit.
    AppendAll(Vec<NewEvent>),
    /// What the event would repeat, were it appended now.
    FindRepeated(NewEvent),
    Subscribe(HandlerName, Start),
    Forget(HandlerName),
    /// One handler's dead letters; all of them or the one at a position.
    Redrive(HandlerName, Option<Position>),
    DropDead(HandlerName, Option<Position>),
    Replay(HandlerName, Vec<Position>),
    Clean {
        is_full: bool,
    },
    Snapshot,
    Close,
}

/// What a call came to.
#[derive(Debug)]
pub enum Answer {
    Appended(Appended),
    AppendedAll(Vec<Appended>),
    Repeats(Option<EventId>),
    /// How many it was done to.
    Count(u64),
    Done,
}

/// What can be stepped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Committer,
    Allocator,
    Index,
}

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All that was written stays.
    Kill,
    /// What was not synced stays in parts.
    PowerCut { torn_sectors: bool },
}

/// How a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Delivered, skipped, dropped, or from before the subscription.
    Settled,
    Open,
    Waiting,
    Dead,
    Lost,
}

/// What the subject is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    pub retention: Duration,
    pub segment_bytes: u32,
    pub memtable_keys: usize,
    pub waiting_max: u64,
    /// The index answers wrongly or not at all, at random: nothing but lists may come of it.
    pub has_lying_index: bool,
}

/// A queue under a scheduler's hand.
pub trait Subject {
    /// A queue that is closed, on an empty disk.
    fn new(config: Config) -> Self;

    /// Opens what the disk has.
    fn open(&mut self, clock: &Arc<ManualClock>, seed: u64) -> Result<(), QueueError>;

    /// Ends the process: every call and subscription is gone.
    fn end(&mut self, end: End, random: &mut StdRng);

    /// Whether a write or sync has failed, after which only a restart helps.
    fn is_poisoned(&self) -> bool;

    fn start(&mut self, ticket: Ticket, request: Request);

    /// Nobody waits for the answer to a call any more; it may come all the same.
    fn abandon(&mut self, _ticket: Ticket) {}

    /// Answers that have come since.
    fn poll(&mut self) -> Vec<(Ticket, Result<Answer, QueueError>)>;

    /// `false` = it had nothing to do. `now` = time since it was opened.
    fn step(&mut self, part: Part, now: Duration) -> bool;

    /// Drops the subscription.
    fn unsubscribe(&mut self, handler: &HandlerName);

    fn take(&mut self, handler: &HandlerName, max: usize) -> Result<Vec<Delivery>, QueueError>;

    fn settle(&mut self, handler: &HandlerName, settlement: Settlement) -> Result<(), QueueError>;

    fn release(&mut self, handler: &HandlerName, delivery: Delivery) -> Result<(), QueueError>;

    fn is_key_waiting(&mut self, handler: &HandlerName, key: OrderKey, position: Position) -> bool;

    fn release_key(&mut self, handler: &HandlerName, key: OrderKey);

    /// `None` = the handler has no subscription, held or not.
    fn standing(&self, handler: &HandlerName, position: Position) -> Option<Standing>;

    /// Which of the handler's subscriptions, one after another, this is, where that is known.
    fn incarnation(&self, _handler: &HandlerName) -> Option<u64> {
        None
    }

    /// For people: what a failed run ended with.
    fn describe(&self) -> String;

    /// Opens copies of the disk, with and without what can be made anew, where there is such a
    /// thing, and says in what the handlers' states differ.
    fn compare_rebuilt(&self, clock: &Arc<ManualClock>) -> Result<(), String>;

    /// Damages files as they are now; says what that may have destroyed.
    fn damage(&mut self, damage: Damage) -> Effects;

    /// Has calls to the disk fail; `None` = none any more.
    fn set_fault(&mut self, fault: Option<Fault>) -> Effects;
}
