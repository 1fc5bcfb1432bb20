//! One event for one handler, and how it is settled.

use std::sync::Arc;

use super::Event;
use super::outcome::{Attempt, OrderKey, Outcome, Progress};
use crate::clock::Timestamp;

/// One event for one handler, taken from a subscription and not settled yet. It is used up by
/// settling it; dropped, it comes back at the next start.
#[derive(Debug)]
pub struct Delivery {
    pub event: Arc<Event>,
    /// Which try this is, counted from 1; 0 = by hand, see [`Delivery::by_hand`].
    pub attempt: u32,
    /// When the first try began, by the steady clock; `None` on the first. The wall clock would
    /// use up a retry policy's total time by being set.
    pub first_attempt_at: Option<Timestamp>,
    /// Whether an earlier event with the same order key made it wait, a retry or a replay brought
    /// it back: it is then an entry of its own beside the cursor.
    pub origin: Origin,
    /// How often the handler was done with the event before: more than 0 for a replay. The loop
    /// looks it up for handlers that tell a replay from a repeat; 0 in the queue.
    pub replay: u32,
    /// How far the newest try came that said so: looked up as `replay` is.
    pub progress: Option<Progress>,
    /// What it waits in line for, where its handler keeps an order: the loop works it out; `None` in
    /// the queue.
    pub order_key: Option<OrderKey>,
}

impl Delivery {
    /// The attempt of a delivery that an owner makes by hand, beside the queue: receivers see it,
    /// and no try of the queue has this number.
    const BY_HAND: u32 = 0;

    /// A delivery of `event` by hand: `gatepost handlers try`.
    pub fn by_hand(event: Arc<Event>) -> Self {
        Self {
            event,
            attempt: Self::BY_HAND,
            first_attempt_at: None,
            origin: Origin::Log,
            replay: 0,
            progress: None,
            order_key: None,
        }
    }

    /// The first delivery of `event`, as the queue would make it: to look at what is made of it.
    pub fn first(event: Arc<Event>) -> Self {
        Self { attempt: 1, ..Self::by_hand(event) }
    }

    /// Whether it is one by hand: what people read of it says so.
    pub fn is_by_hand(&self) -> bool {
        self.attempt == Self::BY_HAND
    }
}

/// How a delivery came to be due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The cursor reached its event in the log, and no try of it was recorded. It may have waited behind another
    /// with the same order key since.
    Log,
    /// It may have been tried before: a retry, a redriven dead letter, a replay, or one that was open when the
    /// subscription began.
    Entry,
}

/// The end of a delivery for now: it is used up, and comes back as another one or not at all.
#[derive(Debug)]
pub struct Settlement {
    pub delivery: Delivery,
    pub outcome: Outcome,
    /// The try that led to it; a delivery that was skipped or held was not tried.
    pub attempt: Option<Attempt>,
}
