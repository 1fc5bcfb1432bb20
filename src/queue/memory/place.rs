//! One handler's place: where its cursor stands, and what lies behind it and is not settled.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::event::{
    Attempt, Delivery, ErrorText, Event, HandlerName, OrderKey, Origin, Outcome, Position, Settled,
};
use crate::queue::{AttemptRecord, Backlog, DeliveryHistory, DeliveryState, TAKE_BYTES_MAX};

/// A handler's place in the log.
#[derive(Debug, Default)]
pub(super) struct Place {
    pub(super) is_subscribed: bool,
    start: Position,
    /// What the cursor gives out next.
    next: Position,
    /// Everything that the cursor has passed.
    slots: BTreeMap<Position, Slot>,
    index: Index,
}

/// One delivery that left the log.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    stand: Stand,
    is_taken: bool,
    /// Tries of the present delivery; a redrive or replay starts at 0 again.
    pub(super) tried: u32,
    first_attempt_at: Option<Timestamp>,
    /// The line that it stands in.
    order_key: Option<OrderKey>,
    attempts: Vec<AttemptRecord>,
}

#[derive(Clone, Debug)]
enum Stand {
    /// Taken from the log, or given back to it.
    Log,
    Retry {
        at: Timestamp,
        wait: Duration,
    },
    Held {
        /// Set when it was let go.
        due: Option<Timestamp>,
    },
    /// Redriven or replayed.
    Anew {
        at: Timestamp,
    },
    Dead {
        at: Timestamp,
        reason: ErrorText,
    },
    Delivered,
    Skipped,
}

/// What follows from the slots, kept so that nothing has to be searched.
#[derive(Debug, Default)]
struct Index {
    /// Taken from the log and not settled.
    open: BTreeSet<Position>,
    /// The part of `open` that was given back.
    returned: BTreeSet<Position>,
    /// Retries, held ones and those that begin anew.
    waiting: BTreeSet<Position>,
    dead: BTreeSet<Position>,
    /// When each entry that is not taken is due.
    due: BTreeSet<(Timestamp, Position)>,
    lines: HashMap<OrderKey, BTreeSet<Position>>,
}

/// How a delivery stood before it was settled.
#[derive(Debug)]
pub(super) struct Undo {
    position: Position,
    before: Slot,
}

impl Slot {
    fn from_log() -> Self {
        Self {
            stand: Stand::Log,
            is_taken: false,
            tried: 0,
            first_attempt_at: None,
            order_key: None,
            attempts: Vec::new(),
        }
    }

    fn due(&self) -> Option<Timestamp> {
        match self.stand {
            Stand::Retry { at, .. } | Stand::Anew { at } => Some(at),
            Stand::Held { due } => due,
            Stand::Log | Stand::Dead { .. } | Stand::Delivered | Stand::Skipped => None,
        }
    }

    /// When a dead letter died, and of what.
    pub(super) fn dead_since(&self) -> Option<(Timestamp, ErrorText)> {
        match &self.stand {
            Stand::Dead { at, reason } => Some((*at, reason.clone())),
            _ => None,
        }
    }

    fn state(&self) -> DeliveryState {
        match self.stand {
            Stand::Log | Stand::Anew { .. } => DeliveryState::Pending,
            Stand::Retry { .. } => DeliveryState::Retry,
            Stand::Held { .. } => DeliveryState::Held,
            Stand::Dead { .. } => DeliveryState::Dead,
            Stand::Delivered => DeliveryState::Delivered,
            Stand::Skipped => DeliveryState::Skipped,
        }
    }

    fn settle(&mut self, settled: Settled, now: Timestamp) {
        let Settled { outcome, attempt } = settled;
        self.is_taken = false;
        (self.stand, self.order_key) = match outcome {
            Outcome::Delivered => (Stand::Delivered, None),
            Outcome::Skipped => (Stand::Skipped, None),
            Outcome::Retry { at, order_key } => {
                (Stand::Retry { at, wait: at.since(now) }, order_key)
            }
            Outcome::Held { order_key } => (Stand::Held { due: None }, Some(order_key)),
            Outcome::Dead { order_key } => {
                let (at, reason) = attempt.as_ref().map_or_else(
                    || (now, ErrorText::default()),
                    |tried| (tried.started_at.after(tried.duration), tried.error.clone()),
                );
                (Stand::Dead { at, reason }, order_key)
            }
        };
        if let Some(attempt) = attempt {
            self.note(attempt, now);
        }
    }

    fn note(&mut self, attempt: Attempt, now: Timestamp) {
        self.tried = self.tried.saturating_add(1);
        self.first_attempt_at.get_or_insert(now.before(attempt.duration));
        self.attempts.push(AttemptRecord {
            number: self.tried,
            started_at: attempt.started_at,
            duration: attempt.duration,
            led_to: self.state(),
            error: attempt.error,
            status: attempt.status,
        });
    }
}

impl Index {
    fn add(&mut self, position: Position, slot: &Slot) {
        match slot.stand {
            Stand::Log => {
                self.open.insert(position);
                if !slot.is_taken {
                    self.returned.insert(position);
                }
            }
            Stand::Retry { .. } | Stand::Held { .. } | Stand::Anew { .. } => {
                self.waiting.insert(position);
            }
            Stand::Dead { .. } => {
                self.dead.insert(position);
            }
            Stand::Delivered | Stand::Skipped => {}
        }
        if let Some(due) = slot.due().filter(|_| !slot.is_taken) {
            self.due.insert((due, position));
        }
        if let Some(key) = slot.order_key {
            self.lines.entry(key).or_default().insert(position);
        }
    }

    fn remove(&mut self, position: Position, slot: &Slot) {
        self.open.remove(&position);
        self.returned.remove(&position);
        self.waiting.remove(&position);
        self.dead.remove(&position);
        if let Some(due) = slot.due() {
            self.due.remove(&(due, position));
        }
        if let Some(key) = slot.order_key
            && let Some(line) = self.lines.get_mut(&key)
        {
            line.remove(&position);
            if line.is_empty() {
                self.lines.remove(&key);
            }
        }
    }
}

impl Place {
    pub(super) fn starting_at(next: Position) -> Self {
        Self { start: next, next, ..Self::default() }
    }

    /// Changes a slot (an untouched one if there is none) and everything that follows from it.
    fn change(&mut self, position: Position, step: impl FnOnce(&mut Slot)) {
        let slot = self.slots.entry(position).or_insert_with(Slot::from_log);
        self.index.remove(position, slot);
        step(slot);
        self.index.add(position, slot);
    }

    fn is_taken(&self, position: Position) -> bool {
        self.slots.get(&position).is_some_and(|slot| slot.is_taken)
    }

    /// What a start does: whatever was taken is free again, held deliveries with unsettled events
    /// of the log before them go back to it, and the first of every line is let go.
    pub(super) fn restart(&mut self, now: Timestamp) {
        self.is_subscribed = false;
        for slot in self.slots.values_mut() {
            slot.is_taken = false;
            if let Stand::Retry { at, wait } = &mut slot.stand {
                *at = (*at).min(now.after(*wait));
            }
        }
        let floor = self.index.open.first().copied().unwrap_or(self.next);
        for (_, slot) in self.slots.range_mut(floor..) {
            if let Stand::Held { .. } = slot.stand {
                slot.stand = Stand::Log;
                slot.order_key = None;
            }
        }
        self.index = Index::default();
        for (position, slot) in &self.slots {
            self.index.add(*position, slot);
        }
        let keys: Vec<OrderKey> = self.index.lines.keys().copied().collect();
        for key in keys {
            self.release_key(key, now);
        }
    }

    pub(super) fn take<'a>(
        &mut self,
        max: usize,
        now: Timestamp,
        last: Position,
        event: impl Fn(Position) -> Option<&'a Arc<Event>>,
    ) -> Vec<Delivery> {
        let mut taken = Vec::new();
        let mut n_bytes = 0;
        while taken.len() < max && n_bytes < TAKE_BYTES_MAX {
            let Some((position, origin)) = self.first_due(now, last) else { break };
            let Some(event) = event(position) else { break };
            self.change(position, |slot| slot.is_taken = true);
            let Some(slot) = self.slots.get(&position) else { break };
            n_bytes += event.body.len();
            taken.push(Delivery {
                event: Arc::clone(event),
                attempt: slot.tried.saturating_add(1),
                first_attempt_at: slot.first_attempt_at,
                origin,
                replay: 0,
            });
        }
        taken
    }

    /// The first of what is due; moves the cursor where that is where it came from.
    fn first_due(&mut self, now: Timestamp, last: Position) -> Option<(Position, Origin)> {
        if let Some((at, position)) = self.index.due.first()
            && *at <= now
        {
            return Some((*position, Origin::Entry));
        }
        if let Some(position) = self.index.returned.first() {
            return Some((*position, Origin::Log));
        }
        let position = self.next;
        if position > last {
            return None;
        }
        self.next = position.next();
        Some((position, Origin::Log))
    }

    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.index.due.first().map(|(at, _)| *at)
    }

    /// Settles what is taken; anything else (it came back in the meantime) stays as it is.
    pub(super) fn settle(
        &mut self,
        position: Position,
        settled: Settled,
        now: Timestamp,
    ) -> Option<Undo> {
        let before = self.slots.get(&position).filter(|slot| slot.is_taken)?.clone();
        self.change(position, |slot| slot.settle(settled, now));
        self.let_next_go(position, before.order_key, now);
        Some(Undo { position, before })
    }

    /// Puts a delivery back to where it stood before it was settled.
    pub(super) fn undo(&mut self, undo: Undo) {
        self.change(undo.position, |slot| *slot = undo.before);
    }

    pub(super) fn release(&mut self, position: Position) {
        if self.is_taken(position) {
            self.change(position, |slot| slot.is_taken = false);
        }
    }

    /// After a change: when `position` has left the line of `key`, the next one may go.
    fn let_next_go(&mut self, position: Position, key: Option<OrderKey>, now: Timestamp) {
        let stays = self.slots.get(&position).and_then(|slot| slot.order_key) == key;
        if let Some(key) = key.filter(|_| !stays) {
            self.release_key(key, now);
        }
    }

    pub(super) fn is_key_waiting(&self, key: OrderKey, position: Position) -> bool {
        let line = self.index.lines.get(&key);
        line.is_some_and(|line| line.range(..position).any(|earlier| !self.is_taken(*earlier)))
    }

    pub(super) fn release_key(&mut self, key: OrderKey, now: Timestamp) -> bool {
        let first = self.index.lines.get(&key).and_then(|line| line.first().copied());
        let Some((position, slot)) = first.and_then(|first| Some((first, self.slots.get(&first)?)))
        else {
            return false;
        };
        let is_held = matches!(slot.stand, Stand::Held { due: None });
        if is_held {
            self.change(position, |slot| slot.stand = Stand::Held { due: Some(now) });
        }
        is_held
    }

    /// Makes an event due again from attempt 1. A dead letter that held its key stays in line.
    pub(super) fn begin_anew(&mut self, position: Position, now: Timestamp) {
        self.change(position, |slot| {
            slot.stand = Stand::Anew { at: now };
            slot.tried = 0;
            slot.first_attempt_at = None;
        });
    }

    /// Gives a dead letter up for good: nobody is going to deliver it, which is what a filter says.
    pub(super) fn drop_dead(&mut self, position: Position, now: Timestamp) {
        let key = self.slots.get(&position).and_then(|slot| slot.order_key);
        self.change(position, |slot| {
            slot.stand = Stand::Skipped;
            slot.order_key = None;
        });
        self.let_next_go(position, key, now);
    }

    /// Whether a delivery of this event is still to come by itself.
    pub(super) fn is_pending(&self, position: Position) -> bool {
        position >= self.next
            || self.index.open.contains(&position)
            || self.index.waiting.contains(&position)
    }

    pub(super) fn dead(&self) -> impl Iterator<Item = (Position, &Slot)> {
        self.index
            .dead
            .iter()
            .filter_map(|position| self.slots.get(position).map(|slot| (*position, slot)))
    }

    pub(super) fn history(
        &self,
        handler: &HandlerName,
        position: Position,
    ) -> Option<DeliveryHistory> {
        let (state, attempts) = match self.slots.get(&position) {
            Some(slot) => (slot.state(), slot.attempts.clone()),
            None if position >= self.start => (DeliveryState::Pending, Vec::new()),
            None => return None,
        };
        Some(DeliveryHistory { handler: handler.clone(), state, attempts })
    }

    /// The first event that is neither settled nor dead; behind the newest when there is none.
    pub(super) fn oldest_pending(&self) -> Option<Position> {
        let behind = [self.index.open.first(), self.index.waiting.first()];
        behind.into_iter().flatten().copied().chain([self.next]).min()
    }

    pub(super) fn backlog(&self, last: Position, oldest_pending_at: Option<Timestamp>) -> Backlog {
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let behind = last.next().0.saturating_sub(self.next.0);
        Backlog {
            in_log: behind.saturating_add(count(self.index.open.len())),
            waiting: count(self.index.waiting.len()),
            dead: count(self.index.dead.len()),
            oldest_pending_at,
        }
    }
}
