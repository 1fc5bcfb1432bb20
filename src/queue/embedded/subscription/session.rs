//! What a subscription adds to its handler's state while it lives: what is given out, what is ready
//! and what is parked. All of it is gone when the subscription is dropped, and made anew from the
//! state by the next one.
//!
//! Invariants:
//!
//! * A position that is given out is in `leased` or `leased_waiting`, in neither `unread` nor a
//!   key queue, and lies before `next_read`.
//! * `due` holds the waiting deliveries that may be tried by time: without a key, or at the head of
//!   their key's queue while none of that key is given out.
//! * A position of the state's `open` set before `next_read` is in `unread`, given out or parked.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::key_queues::{Effects, KeyQueues, Parked, Ready, Slot};
use crate::clock::Timestamp;
use crate::event::{OrderKey, Origin, Position};
use crate::queue::embedded::record::{DeliveryRecord, NewState};
use crate::queue::embedded::state::{HandlerState, PositionSet, Status, WaitingDelivery};

/// How many deliveries out of the log may be given out at once. Large, so that one that hangs until
/// its timeout delays no other.
const LEASED_MAX: u64 = 65_536;

/// A delivery that is to be given out, before its event is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chosen {
    pub(crate) position: Position,
    pub(crate) attempts: u32,
    pub(crate) first_attempt_at: Option<Timestamp>,
    pub(crate) origin: Origin,
}

#[derive(Debug)]
pub(crate) struct Session {
    /// The next position to read from the log in order.
    next_read: Position,
    /// Positions before `next_read` that are to be given out.
    unread: PositionSet,
    /// Given out, apart from those in `leased_waiting`.
    leased: PositionSet,
    /// Given out of a wait (retries, and released ones): the key whose queue they left, and since when they
    /// are due, which may be sooner than the state says.
    leased_waiting: BTreeMap<Position, (Option<OrderKey>, Timestamp)>,
    /// Those of the parked ones that wait in the state as well.
    parked_retries: BTreeSet<Position>,
    /// Those that were parked and may have been tried before, until they are settled.
    parked_again: BTreeSet<Position>,
    keys: KeyQueues,
    due: BTreeSet<(Timestamp, Position)>,
}

const fn only(position: Position) -> Range<Position> {
    position..position.next()
}

impl Session {
    /// The session of a subscription that begins with `state` at `now`, by the steady clock.
    pub(crate) fn begin(state: &HandlerState, now: Timestamp) -> Self {
        let mut session = Self {
            next_read: state.high(),
            unread: state.open().clone(),
            leased: PositionSet::default(),
            leased_waiting: BTreeMap::new(),
            parked_retries: BTreeSet::new(),
            parked_again: BTreeSet::new(),
            keys: KeyQueues::default(),
            due: BTreeSet::new(),
        };
        for (position, key) in state.holding().iter() {
            let effects = session.keys.insert(*key, position, Slot::Holding);
            session.follow(effects);
        }
        for (position, waiting) in state.waiting().iter() {
            session.wait(position, waiting.due_from(now), waiting.order_key());
        }
        session
    }

    pub(crate) const fn next_read(&self) -> Position {
        self.next_read
    }

    /// Whether more may be given out of the log.
    pub(crate) fn has_window(&self) -> bool {
        self.leased.len() < LEASED_MAX
    }

    /// How many deliveries of the log are parked. Retries that are parked are not counted: the state has
    /// them among those that wait.
    pub(crate) fn n_parked(&self) -> u64 {
        (self.keys.n_parked() - self.parked_retries.len()) as u64
    }

    /// Whether a delivery waits for an earlier one of its key.
    pub(crate) fn is_held(&self, position: Position) -> bool {
        self.keys.is_parked(position)
    }

    pub(crate) fn is_leased(&self, position: Position) -> bool {
        self.leased.contains(position) || self.leased_waiting.contains_key(&position)
    }

    /// Whether an earlier delivery of `key` than `position` waits.
    pub(crate) fn is_key_waiting(&self, key: OrderKey, position: Position) -> bool {
        self.keys.is_waiting(key, position)
    }

    /// The moment at which the next waiting delivery is due.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(due, _)| *due)
    }

    /// The waiting deliveries that are due next, before them those that were given out: a handler that
    /// is left alone holds up to a buffer of these.
    pub(crate) fn next_tries(
        &self,
        state: &HandlerState,
        now: Timestamp,
        max: usize,
    ) -> Vec<(Position, Timestamp)> {
        let due_of = |position: &Position| {
            let waiting = state.waiting().get(*position)?;
            Some((waiting.due_from(now), *position))
        };
        let mut given_out: Vec<_> = self.leased_waiting.keys().filter_map(due_of).collect();
        given_out.sort_unstable();
        let tries = given_out.into_iter().chain(self.due.iter().copied()).take(max);
        tries.map(|(due, position)| (position, due)).collect()
    }

    /// Chooses up to `max` deliveries and counts them as given out: waiting ones by their due time,
    /// then open ones by position.
    pub(crate) fn choose(
        &mut self,
        state: &HandlerState,
        now: Timestamp,
        max: usize,
    ) -> Vec<Chosen> {
        let mut chosen = Vec::new();
        while chosen.len() < max
            && let Some((due, position)) = self.due.first().copied()
            && due <= now
        {
            self.due.pop_first();
            chosen.push(self.lease(state, position, due));
        }
        while chosen.len() < max
            && self.has_window()
            && let Some(position) = self.unread.pop_first()
        {
            chosen.push(self.lease(state, position, now));
        }
        chosen
    }

    fn lease(&mut self, state: &HandlerState, position: Position, due: Timestamp) -> Chosen {
        if let Some(waiting) = state.waiting().get(position) {
            if let Some(key) = waiting.order_key() {
                self.keys.lease(key, position);
            }
            self.leased_waiting.insert(position, (waiting.order_key(), due));
            self.parked_retries.remove(&position);
            let (attempts, first_attempt_at) = (waiting.attempts(), waiting.first_attempt_at());
            return Chosen { position, attempts, first_attempt_at, origin: Origin::Entry };
        }
        let origin = if let Some(key) = self.keys.key_of_parked(position) {
            self.keys.lease(key, position);
            self.leased_waiting.insert(position, (Some(key), due));
            if self.parked_again.contains(&position) { Origin::Entry } else { Origin::Log }
        } else {
            self.leased.insert_range(only(position));
            match state.status(position) {
                Status::Open => Origin::Entry,
                Status::Settled
                | Status::Waiting
                | Status::Dead
                | Status::DeadHolding
                | Status::Lost
                | Status::Unread => Origin::Log,
            }
        };
        Chosen { position, attempts: 0, first_attempt_at: None, origin }
    }

    /// The deliveries in `read` came out of the log in order; what comes next is behind them.
    pub(crate) fn lease_from_log(&mut self, read: Range<Position>) {
        debug_assert!(read.start == self.next_read, "the log is read in order");
        self.next_read = read.end;
        self.leased.insert_range(read);
    }

    /// Gives back a delivery that was given out and not tried: what was due stays so.
    pub(crate) fn give_back(&mut self, state: &HandlerState, position: Position) {
        let Some((key, due)) = self.leased_waiting.remove(&position) else {
            if self.leased.remove_range(only(position)) > 0 {
                self.unread.insert_range(only(position));
            }
            return;
        };
        match (key, state.waiting().get(position).map(|_| due)) {
            (Some(key), Some(due)) => {
                let effects = self.keys.give_back(key, position, Slot::Waiting { due });
                self.follow(effects);
            }
            (Some(key), None) => {
                let effects = self.keys.give_back(key, position, Slot::Released);
                self.follow(effects);
            }
            (None, Some(due)) => {
                self.due.insert((due, position));
            }
            (None, None) => self.unread.insert_range(only(position)),
        }
    }

    /// Parks a delivery that was given out and not tried, behind an earlier one of `key`.
    pub(crate) fn park(&mut self, position: Position, key: OrderKey, parked: Parked) {
        match parked {
            Parked::New => {}
            Parked::Again => drop(self.parked_again.insert(position)),
            Parked::Retry => drop(self.parked_retries.insert(position)),
        }
        let effects = match self.leased_waiting.remove(&position) {
            Some((Some(before), _)) if before == key => {
                self.keys.give_back(key, position, Slot::Parked)
            }
            Some((before, _)) => {
                self.leave(before);
                self.keys.insert(key, position, Slot::Parked)
            }
            None => {
                self.leased.remove_range(only(position));
                self.keys.insert(key, position, Slot::Parked)
            }
        };
        self.follow(effects);
    }

    /// A delivery that was given out was settled, and is in its new state.
    pub(crate) fn settled(&mut self, position: Position, to: &NewState) {
        self.parked_again.remove(&position);
        let before = self.leased_waiting.remove(&position).and_then(|(key, _)| key);
        self.leased.remove_range(only(position));
        let (key, slot) = match *to {
            NewState::Retry { due, order_key: None, .. } => {
                self.due.insert((due, position));
                return self.leave(before);
            }
            NewState::Retry { due, order_key: Some(key), .. } => (key, Slot::Waiting { due }),
            NewState::Dead { order_key: Some(key), .. } => (key, Slot::Holding),
            NewState::Dead { order_key: None, .. }
            | NewState::Delivered
            | NewState::Skipped
            | NewState::Dropped
            | NewState::Open
            | NewState::Lost => return self.leave(before),
        };
        let effects = if before == Some(key) {
            self.keys.give_back(key, position, slot)
        } else {
            self.leave(before);
            self.keys.insert(key, position, slot)
        };
        self.follow(effects);
    }

    /// Deliveries that were given out are given up: their events cannot be read.
    pub(crate) fn lose(&mut self, positions: Range<Position>) {
        self.leased.remove_range(positions.clone());
        let waiting: Vec<Position> =
            self.leased_waiting.range(positions).map(|(position, _)| *position).collect();
        for position in waiting {
            self.parked_again.remove(&position);
            let key = self.leased_waiting.remove(&position).and_then(|(key, _)| key);
            self.leave(key);
        }
    }

    /// Deliveries that are not given out were changed by hand: dead letters redriven or dropped,
    /// settled ones opened again. `before` = the state's change of a single position, as it was.
    pub(crate) fn changed(&mut self, change: &DeliveryRecord, held: Option<OrderKey>) {
        let position = change.first;
        match change.to {
            NewState::Open => self.unread.insert_range(change.positions()),
            NewState::Retry { due, order_key, .. } => self.wait(position, due, order_key),
            NewState::Dropped | NewState::Delivered | NewState::Skipped | NewState::Lost => {
                self.parked_retries.remove(&position);
                self.parked_again.remove(&position);
                let ready = held.and_then(|key| self.keys.remove(key, position));
                self.make_ready(ready);
            }
            NewState::Dead { .. } => {}
        }
    }

    /// An open delivery stands in its new state, which another queue gave it. One that is given out stays
    /// so until its call has ended; what was not read up to here comes by itself, in its order.
    pub(crate) fn carried(&mut self, position: Position, to: &NewState) {
        if position >= self.next_read {
            self.unread.insert_range(self.next_read..position);
            self.next_read = position.next();
        } else if self.is_leased(position) {
            return;
        }
        self.unread.remove_range(only(position));
        let parked = self.keys.key_of_parked(position);
        let ready = parked.and_then(|key| self.keys.remove(key, position));
        self.make_ready(ready);
        match *to {
            NewState::Retry { due, order_key, .. } => self.wait(position, due, order_key),
            NewState::Dead { order_key: Some(key), .. } => {
                let effects = self.keys.insert(key, position, Slot::Holding);
                self.follow(effects);
            }
            NewState::Open
            | NewState::Dead { order_key: None, .. }
            | NewState::Delivered
            | NewState::Skipped
            | NewState::Dropped
            | NewState::Lost => {}
        }
    }

    /// Makes the head of `key`'s queue ready if it is parked; `false` = it is not, or a delivery of
    /// the key is given out.
    pub(crate) fn release_key(&mut self, key: OrderKey) -> bool {
        if !self.keys.is_head_parked(key) {
            return false;
        }
        let ready = self.keys.release(key);
        self.make_ready(ready);
        true
    }

    /// Makes the waiting delivery that is due next due at `now`; `false` = none waits.
    pub(crate) fn hasten(&mut self, state: &HandlerState, now: Timestamp) -> bool {
        let Some((due, position)) = self.due.pop_first() else { return false };
        let due = due.min(now);
        if let Some(key) = state.waiting().get(position).and_then(WaitingDelivery::order_key) {
            // The queue of its key must name the same moment, by which it is withdrawn.
            self.keys.hasten(key, position, due);
        }
        self.due.insert((due, position));
        true
    }

    fn leave(&mut self, key: Option<OrderKey>) {
        let ready = key.and_then(|key| self.keys.leave(key));
        self.make_ready(ready);
    }

    fn wait(&mut self, position: Position, due: Timestamp, key: Option<OrderKey>) {
        match key {
            None => {
                self.due.insert((due, position));
            }
            Some(key) => {
                let effects = self.keys.insert(key, position, Slot::Waiting { due });
                self.follow(effects);
            }
        }
    }

    fn follow(&mut self, Effects { ready, withdrawn }: Effects) {
        match withdrawn {
            Some(Ready::Now(position)) => {
                self.unread.remove_range(only(position));
            }
            Some(Ready::From { position, due }) => {
                self.due.remove(&(due, position));
            }
            None => {}
        }
        self.make_ready(ready);
    }

    fn make_ready(&mut self, ready: Option<Ready>) {
        match ready {
            Some(Ready::Now(position)) => self.unread.insert_range(only(position)),
            Some(Ready::From { position, due }) => {
                self.due.insert((due, position));
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests;
