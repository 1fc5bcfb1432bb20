//! One handler's place in memory: the window of deliveries between its cursor and what it has
//! read, its entries that the index does not know yet, and what waits to be recorded.
//!
//! The window begins at the cursor. A delivery out of the log is a slot in it until it is settled;
//! the cursor moves over settled slots. An entry of its own lives in the index; a change of one is
//! in the overlay from the moment it is made until the index has it, so that what is asked here
//! is always up to date.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;

use super::kept::Kept;
use super::overlay::Overlay;
use super::shared::lock;
use crate::clock::Timestamp;
use crate::event::{Delivery, HandlerName, OrderKey, Position};
use crate::queue::journal::Reader;
use crate::queue::record::{Change, Place, Section, State};

/// How far reading may run ahead of the oldest delivery that is not settled. Large, so that one
/// that hangs until its timeout holds up nobody.
pub(crate) const WINDOW_MAX: usize = 65_536;

/// How many changes may wait to be recorded before settling waits too.
const OUTBOX_MAX: usize = 16_384;
/// The same in bytes of error texts.
const OUTBOX_BYTES_MAX: usize = 2 << 20;

/// A delivery out of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// Given out; when the event came in.
    Taken(Timestamp),
    /// Settled, or an entry of its own.
    Done,
}

/// What changes under the lock.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) is_subscribed: bool,
    /// The handler's place is being taken away: nobody may take hold of it any more.
    pub(crate) is_forgotten: bool,
    pub(crate) cursor: Position,
    pub(crate) window: VecDeque<Slot>,
    /// Runs behind the cursor that were done when the window was last empty.
    pub(crate) ahead: Vec<(Position, u64)>,
    pub(crate) reader: Option<Reader>,
    /// Events of entries that come again soon.
    pub(crate) kept: Kept,
    /// Entries that are given out.
    pub(crate) taken: HashSet<Position>,
    /// Held entries that come again from the log, in their place.
    pub(crate) relogged: HashSet<Position>,
    /// Deliveries that were given back.
    pub(crate) returned: BTreeMap<Position, Delivery>,
    /// Keys of which the first in line is to be let go once the index can be asked.
    pub(crate) unreleased: Vec<OrderKey>,
    pub(crate) overlay: Overlay,
    outbox: Vec<Change>,
    outbox_bytes: usize,
    /// The number of the flush that will take the outbox.
    flush: u64,
}

/// A handler's place, subscribed or not.
#[derive(Debug)]
pub(crate) struct SubscriptionState {
    pub(crate) handler: HandlerName,
    inner: Mutex<Inner>,
    /// Rung when something may have become due other than by the log or the clock.
    pub(crate) bell: Notify,
    /// Rung when the outbox was recorded.
    pub(crate) recorded: Notify,
}

impl SubscriptionState {
    pub(crate) fn new(handler: HandlerName, place: &Place) -> Self {
        let inner = Inner {
            is_subscribed: false,
            is_forgotten: false,
            cursor: place.cursor,
            window: VecDeque::new(),
            ahead: place.ahead.clone(),
            reader: None,
            kept: Kept::default(),
            taken: HashSet::new(),
            relogged: HashSet::new(),
            returned: BTreeMap::new(),
            unreleased: Vec::new(),
            overlay: Overlay::default(),
            outbox: Vec::new(),
            outbox_bytes: 0,
            flush: 1,
        };
        Self { handler, inner: Mutex::new(inner), bell: Notify::new(), recorded: Notify::new() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// What waits to be recorded, with the place that goes with it, and the flush's number.
    pub(crate) fn collect(&self) -> Option<(Section, u64)> {
        let mut inner = self.lock();
        if inner.outbox.is_empty() {
            return None;
        }
        let changes = std::mem::take(&mut inner.outbox);
        inner.outbox_bytes = 0;
        let flush = inner.flush;
        inner.flush += 1;
        let place = inner.place();
        Some((Section { handler: self.handler.clone(), place, changes }, flush))
    }

    /// Takes back what could not be recorded, to try again.
    pub(crate) fn uncollect(&self, mut changes: Vec<Change>) {
        let mut inner = self.lock();
        changes.append(&mut inner.outbox);
        inner.outbox_bytes = changes.iter().map(error_bytes).sum();
        inner.outbox = changes;
    }

    /// The index has taken in what `flush` recorded.
    pub(crate) fn indexed(&self, flush: u64) {
        self.lock().overlay.forget_through(flush);
    }
}

impl Inner {
    /// The next position to read from the log.
    pub(crate) fn next_to_read(&self) -> Position {
        Position(self.cursor.0.saturating_add(self.window.len() as u64))
    }

    /// Whether more may be read from the log.
    pub(crate) fn has_window(&self) -> bool {
        self.window.len() < WINDOW_MAX
    }

    /// Whether settling must wait until the outbox was recorded.
    pub(crate) fn is_outbox_full(&self) -> bool {
        self.outbox.len() >= OUTBOX_MAX || self.outbox_bytes >= OUTBOX_BYTES_MAX
    }

    /// Whether the log's event at `position` was settled before the window began.
    pub(crate) fn is_done_before(&self, position: Position) -> bool {
        !self.relogged.contains(&position)
            && self
                .ahead
                .iter()
                .any(|(first, count)| position >= *first && position.0 - first.0 < *count)
    }

    /// The place: the cursor, and runs of what is done behind it.
    pub(crate) fn place(&self) -> Place {
        let mut ahead: Vec<(Position, u64)> = Vec::new();
        let mut add = |position: Position| match ahead.last_mut() {
            Some((first, count)) if first.0 + *count == position.0 => *count += 1,
            Some(_) | None => ahead.push((position, 1)),
        };
        let mut position = self.cursor;
        for slot in &self.window {
            if *slot == Slot::Done {
                add(position);
            }
            position = position.next();
        }
        // What was done before the window began and has not been read again yet.
        for (first, count) in &self.ahead {
            for ahead in first.0.max(position.0)..first.0.saturating_add(*count) {
                if !self.relogged.contains(&Position(ahead)) {
                    add(Position(ahead));
                }
            }
        }
        Place { cursor: self.cursor, ahead }
    }

    /// Passes over positions up to `next` that cannot be read.
    pub(crate) fn pass_to(&mut self, next: Position) {
        if self.window.is_empty() {
            self.cursor = self.cursor.max(next);
            return;
        }
        for _ in self.next_to_read().0..next.0 {
            self.window.push_back(Slot::Done);
        }
    }

    /// Marks a slot as done and moves the cursor over what is done.
    pub(crate) fn finish(&mut self, position: Position) {
        let index = position.0.checked_sub(self.cursor.0).and_then(|i| usize::try_from(i).ok());
        if let Some(slot) = index.and_then(|index| self.window.get_mut(index)) {
            *slot = Slot::Done;
        }
        self.relogged.remove(&position);
        self.advance();
    }

    /// Moves the cursor over what is done.
    pub(crate) fn advance(&mut self) {
        while self.window.front() == Some(&Slot::Done) {
            self.window.pop_front();
            self.cursor = self.cursor.next();
        }
        let cursor = self.cursor;
        self.ahead.retain(|(first, count)| first.0.saturating_add(*count) > cursor.0);
    }

    /// Puts a change where it is seen at once and will be recorded; `true` = the committer must
    /// be told, since nothing waited before. Changes are recorded in the order of these calls.
    #[must_use]
    pub(crate) fn record(&mut self, change: Change, had_entry: bool) -> bool {
        if change.state.is_entry() || had_entry {
            self.overlay.insert(self.flush, &change);
        }
        self.outbox_bytes += error_bytes(&change);
        self.outbox.push(change);
        self.outbox.len() == 1
    }

    /// Forgets who has what: whoever had it is gone. What was taken and not settled comes again.
    pub(crate) fn detach(&mut self) {
        let Place { cursor, ahead } = self.place();
        self.cursor = cursor;
        self.ahead = ahead;
        self.window.clear();
        self.reader = None;
        self.kept.clear();
        self.taken.clear();
        self.relogged.clear();
        self.returned.clear();
        self.is_subscribed = false;
    }
}

fn error_bytes(change: &Change) -> usize {
    change.attempt.as_ref().map_or(0, |attempt| attempt.error.as_str().len())
}

/// A due entry is one that is to be tried at `due`.
pub(crate) fn due_of(state: &State) -> Option<(Timestamp, Duration)> {
    match state {
        State::Retry { due, wait, .. } => Some((*due, *wait)),
        State::Held { .. }
        | State::Dead { .. }
        | State::Delivered
        | State::Skipped
        | State::Dropped => None,
    }
}
