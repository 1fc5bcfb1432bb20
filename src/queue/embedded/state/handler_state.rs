//! One handler's deliveries.

use std::ops::Range;
use std::time::Duration;

use super::chunked_map::ChunkedMap;
use super::position_set::PositionSet;
use crate::clock::{Timestamp, whole_millis};
use crate::event::{ErrorText, OrderKey, Position};
use crate::queue::embedded::record::{DeliveryRecord, Incarnation, NewState};

/// A delivery that is to be tried again, in 48 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WaitingDelivery {
    due: Timestamp,
    wait_millis: u64,
    /// [`NEVER`] = there was no try.
    first_attempt_at: Timestamp,
    attempts: u32,
    has_order_key: bool,
    order_key: [u8; 16],
}

/// Stands for "no time" where an `Option` would take 8 bytes more.
const NEVER: Timestamp = Timestamp::MIN;

impl WaitingDelivery {
    fn of(
        change: &DeliveryRecord,
        due: Timestamp,
        wait: Duration,
        order_key: Option<OrderKey>,
    ) -> Self {
        Self {
            due,
            wait_millis: whole_millis(wait),
            first_attempt_at: change.first_attempt_at.unwrap_or(NEVER),
            attempts: change.attempts,
            has_order_key: order_key.is_some(),
            order_key: order_key.map_or([0; 16], |key| key.0),
        }
    }

    /// Not before this moment of the steady clock.
    #[cfg(test)]
    pub(crate) const fn due(&self) -> Timestamp {
        self.due
    }

    /// How far away [`WaitingDelivery::due`] was when it was settled.
    pub(crate) const fn wait(&self) -> Duration {
        Duration::from_millis(self.wait_millis)
    }

    /// When it is due for a process that began at `started`: no later than its wait from then on,
    /// so that a clock that was set back does not stall it.
    pub(crate) fn due_from(&self, started: Timestamp) -> Timestamp {
        self.due.min(started.after(self.wait()))
    }

    pub(crate) const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// When the first try began, by the steady clock; `None` = there was none.
    pub(crate) fn first_attempt_at(&self) -> Option<Timestamp> {
        Some(self.first_attempt_at).filter(|at| *at != NEVER)
    }

    pub(crate) fn order_key(&self) -> Option<OrderKey> {
        self.has_order_key.then_some(OrderKey(self.order_key))
    }

    pub(super) fn to_change(self, position: Position) -> DeliveryRecord {
        let (due, wait, order_key) = (self.due, self.wait(), self.order_key());
        DeliveryRecord {
            attempts: self.attempts,
            first_attempt_at: self.first_attempt_at(),
            ..DeliveryRecord::of(position, 1, NewState::Retry { due, wait, order_key })
        }
    }
}

/// The state of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Delivered, skipped or dropped, or from before the subscription.
    Settled,
    /// To be delivered from the log or the kept log.
    Open,
    /// To be tried again.
    Waiting,
    Dead,
    /// A dead letter for which later events of its order key wait.
    DeadHolding,
    /// Its event could not be read.
    Lost,
    /// At or behind `high`: nothing is recorded of it yet.
    Unread,
}

/// How many deliveries stand how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) open: u64,
    pub(crate) waiting: u64,
    /// All dead letters, those that hold a key among them.
    pub(crate) dead: u64,
    pub(crate) holding: u64,
    pub(crate) lost: u64,
}

/// What is recorded of one handler's deliveries. Every position below `high` is in exactly one of
/// the sets, or settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HandlerState {
    incarnation: Incarnation,
    pub(super) high: Position,
    pub(super) open: PositionSet,
    pub(super) waiting: ChunkedMap<WaitingDelivery>,
    pub(super) dead: PositionSet,
    pub(super) holding: ChunkedMap<OrderKey>,
    pub(super) lost: PositionSet,
}

impl HandlerState {
    /// A subscription that begins: everything before its first position counts as settled.
    pub(crate) fn new(incarnation: Incarnation) -> Self {
        Self {
            incarnation,
            high: incarnation.since,
            open: PositionSet::new(),
            waiting: ChunkedMap::default(),
            dead: PositionSet::new(),
            holding: ChunkedMap::default(),
            lost: PositionSet::new(),
        }
    }

    /// The state that a snapshot begins with: `changes` below `high` follow by
    /// [`HandlerState::apply`].
    pub(crate) fn restored(incarnation: Incarnation, high: Position) -> Self {
        Self { high, ..Self::new(incarnation) }
    }

    pub(crate) const fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Puts the positions that `change` names where it says and takes them out of everything else.
    ///
    /// The first position that is not below `high` moves `high` behind itself; what was jumped over
    /// is open. Applying a change twice is as good as once.
    pub(crate) fn apply(&mut self, change: &DeliveryRecord) {
        let position = change.first;
        debug_assert!(change.count <= 1 || !change.to.is_of_one(), "{change:?}");
        let range = change.positions();
        if range.is_empty() {
            return;
        }
        self.take_out(range.clone());
        match &change.to {
            NewState::Delivered | NewState::Skipped | NewState::Dropped => {}
            NewState::Retry { due, wait, order_key } => {
                self.waiting.insert(position, WaitingDelivery::of(change, *due, *wait, *order_key));
            }
            NewState::Dead { order_key: Some(order_key), .. } => {
                self.holding.insert(position, *order_key);
            }
            NewState::Dead { order_key: None, .. } => self.dead.insert_range(range),
            NewState::Open => self.open.insert_range(range),
            NewState::Lost => self.lost.insert_range(range),
        }
    }

    /// Makes `range` lie below `high` and in no set.
    fn take_out(&mut self, range: Range<Position>) {
        let high = self.high;
        if range.end > high {
            self.high = range.end;
            self.open.insert_range(high..range.start);
        }
        if range.start >= high {
            return;
        }
        // A position is in one set only: mostly the search ends with the first.
        let n_positions = range.end.min(high).events_since(range.start);
        if self.open.remove_range(range.clone()) == n_positions {
            return;
        }
        if n_positions == 1 {
            self.waiting.remove(range.start);
            self.holding.remove(range.start);
        } else {
            self.waiting.remove_range(range.clone());
            self.holding.remove_range(range.clone());
        }
        self.dead.remove_range(range.clone());
        self.lost.remove_range(range);
    }

    pub(crate) fn status(&self, position: Position) -> Status {
        if position >= self.high {
            Status::Unread
        } else if self.open.contains(position) {
            Status::Open
        } else if self.waiting.contains(position) {
            Status::Waiting
        } else if self.dead.contains(position) {
            Status::Dead
        } else if self.holding.contains(position) {
            Status::DeadHolding
        } else if self.lost.contains(position) {
            Status::Lost
        } else {
            Status::Settled
        }
    }

    /// Where delivering from the log goes on: everything before it is settled, waits, died or was
    /// lost.
    #[cfg(test)]
    pub(crate) fn cursor(&self) -> Position {
        self.open.first().unwrap_or(self.high)
    }

    /// Behind the last position of which anything is recorded.
    pub(crate) const fn high(&self) -> Position {
        self.high
    }

    pub(crate) fn counts(&self) -> Counts {
        let holding = self.holding.len() as u64;
        Counts {
            open: self.open.len(),
            waiting: self.waiting.len() as u64,
            dead: self.dead.len() + holding,
            holding,
            lost: self.lost.len(),
        }
    }

    pub(crate) const fn open(&self) -> &PositionSet {
        &self.open
    }

    pub(crate) const fn waiting(&self) -> &ChunkedMap<WaitingDelivery> {
        &self.waiting
    }

    /// Dead letters that hold no order key.
    pub(crate) const fn dead(&self) -> &PositionSet {
        &self.dead
    }

    /// Dead letters that hold their order key.
    pub(crate) const fn holding(&self) -> &ChunkedMap<OrderKey> {
        &self.holding
    }

    pub(crate) const fn lost(&self) -> &PositionSet {
        &self.lost
    }

    /// The positions of `range` whose events are still needed, in ascending order: open, waiting
    /// and dead ones.
    pub(crate) fn alive_in(&self, range: Range<Position>) -> Vec<Position> {
        let sets = [&self.open, &self.dead];
        let ranges = sets.into_iter().flat_map(|set| set.iter_within(range.clone()));
        let positions = ranges.flat_map(|range| (range.start.0..range.end.0).map(Position));
        let waiting = self.waiting.iter_from(range.start).map(|(position, _)| position);
        let holding = self.holding.iter_from(range.start).map(|(position, _)| position);
        let mut alive: Vec<Position> = positions
            .chain(waiting.take_while(|position| *position < range.end))
            .chain(holding.take_while(|position| *position < range.end))
            .collect();
        alive.sort_unstable();
        alive
    }

    /// Whether any event of `range` is still needed.
    pub(crate) fn is_alive_in(&self, range: Range<Position>) -> bool {
        let is_within = |first: Option<Position>| first.is_some_and(|first| first < range.end);
        self.open.intersects(range.clone())
            || self.dead.intersects(range.clone())
            || is_within(self.waiting.iter_from(range.start).next().map(|(first, _)| first))
            || is_within(self.holding.iter_from(range.start).next().map(|(first, _)| first))
    }

    /// The positions of `range` whose events could not be read, in ascending order.
    pub(crate) fn lost_in(&self, range: Range<Position>) -> Vec<Position> {
        let ranges = self.lost.iter_within(range);
        ranges.flat_map(|range| (range.start.0..range.end.0).map(Position)).collect()
    }

    /// Whether any event of `range` could not be read.
    pub(crate) fn has_lost_in(&self, range: Range<Position>) -> bool {
        self.lost.intersects(range)
    }

    /// The first event that is still needed, `high` not counted.
    #[cfg(test)]
    pub(crate) fn oldest_alive(&self) -> Option<Position> {
        let holding = self.holding.first().map(|(position, _)| position);
        self.oldest_pending().into_iter().chain(self.dead.first()).chain(holding).min()
    }

    /// The first event that is to be delivered, at once or later, `high` not counted.
    pub(crate) fn oldest_pending(&self) -> Option<Position> {
        let waiting = self.waiting.first().map(|(position, _)| position);
        self.open.first().into_iter().chain(waiting).min()
    }

    /// The change that makes of `position` what it is; `None` = nothing is recorded of it. A dead
    /// letter's reason and a settled delivery's way of being settled are not part of the state.
    pub(crate) fn change_of(&self, position: Position) -> Option<DeliveryRecord> {
        let single = |to| Some(DeliveryRecord::of(position, 1, to));
        match self.status(position) {
            Status::Settled => single(NewState::Delivered),
            Status::Open => single(NewState::Open),
            Status::Waiting => self.waiting.get(position).map(|it| it.to_change(position)),
            Status::Dead => single(dead(None)),
            Status::DeadHolding => single(dead(self.holding.get(position).copied())),
            Status::Lost => single(NewState::Lost),
            Status::Unread => None,
        }
    }

    /// About how many bytes of memory it takes.
    #[cfg(test)]
    pub(crate) fn memory_bytes(&self) -> usize {
        // Nodes of a `BTreeMap` with ascending keys are half full.
        let n_ranges = self.open.n_ranges() + self.dead.n_ranges() + self.lost.n_ranges();
        size_of::<Self>()
            + n_ranges * 2 * size_of::<(u64, u64)>()
            + self.waiting.memory_bytes()
            + self.holding.memory_bytes()
    }

    /// What is wrong with it, if anything: every position is in one set only, and below `high`.
    #[cfg(test)]
    pub(crate) fn check(&self) -> Result<(), String> {
        let sets = [("open", &self.open), ("dead", &self.dead), ("lost", &self.lost)];
        let ranges = sets
            .into_iter()
            .flat_map(|(name, set)| set.iter_ranges().map(move |range| (range, name)));
        let waiting = self.waiting.iter().map(|(position, _)| (position, "waiting"));
        let holding = self.holding.iter().map(|(position, _)| (position, "holding"));
        let singles =
            waiting.chain(holding).map(|(position, name)| (position..position.next(), name));
        let mut all: Vec<(Range<Position>, &str)> = ranges.chain(singles).collect();
        all.sort_unstable_by_key(|(range, _)| range.start);
        let mut before: Option<(Range<Position>, &str)> = None;
        for (range, name) in all {
            if range.end > self.high {
                let (high, last) = (self.high.0, range.end.0);
                return Err(format!("`{name}` reaches to {last}, `high` is {high}"));
            }
            if let Some((earlier, its_name)) = before
                && earlier.end > range.start
            {
                let position = range.start.0;
                return Err(format!("{position} is in `{its_name}` and in `{name}`"));
            }
            before = Some((range, name));
        }
        Ok(())
    }
}

/// Dead, as far as the state knows of it.
pub(super) fn dead(order_key: Option<OrderKey>) -> NewState {
    NewState::Dead { died_at: Timestamp::default(), reason: ErrorText::default(), order_key }
}
