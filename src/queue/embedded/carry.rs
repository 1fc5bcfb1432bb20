//! How deliveries stand, told for another queue, and taken over from one.

use std::time::Duration;

use super::commit::{Request, Since};
use super::core::Core;
use super::embedded_queue::EmbeddedQueue;
use super::record::{DeliveryRecord, Incarnation, NewState};
use super::state::{HandlerState, Status};
use super::subscription::{HandlerCell, SharedChange};
use crate::clock::Timestamp;
use crate::event::{ErrorText, HandlerName, OrderKey, Position};
use crate::queue::{CarriedState, QueueError};

/// How many deliveries are changed before they are recorded: it bounds what waits in memory.
const CHANGES_AT_ONCE: usize = 4_096;

/// The two clocks at one moment.
#[derive(Clone, Copy, Debug)]
struct ClockPair {
    steady: Timestamp,
    wall: Timestamp,
}

impl ClockPair {
    fn now(core: &Core) -> Self {
        Self { steady: core.clock.steady(), wall: core.clock.now() }
    }

    /// The wall clock's time of a moment of the steady clock.
    fn wall_of(self, steady: Timestamp) -> Timestamp {
        shifted(steady, self.steady, self.wall)
    }

    fn steady_of(self, wall: Timestamp) -> Timestamp {
        shifted(wall, self.wall, self.steady)
    }
}

/// `at`, which a clock says that stands at `from`, as one says it that stands at `to`.
fn shifted(at: Timestamp, from: Timestamp, to: Timestamp) -> Timestamp {
    if at >= from { to.after(at.since(from)) } else { to.before(from.since(at)) }
}

impl EmbeddedQueue {
    /// How each handler's delivery of each of `positions` stands.
    pub(super) async fn carried_of(
        &self,
        positions: &[Position],
    ) -> Result<Vec<Vec<(HandlerName, CarriedState)>>, QueueError> {
        self.ready().await?;
        // Why a dead letter died is in the index only.
        self.recorded_and_indexed().await?;
        let now = ClockPair::now(&self.core);
        let mut carried: Vec<Vec<(HandlerName, CarriedState)>> = Vec::new();
        let mut dead: Vec<Vec<DeadOne>> = Vec::new();
        let cells = self.core.handlers();
        for position in positions {
            let (mut known, mut dead_here) = (Vec::new(), Vec::new());
            for cell in &cells {
                match stands(&cell.lock().state, *position, now) {
                    Stands::So(state) => {
                        known.extend(state.map(|state| (cell.handler.clone(), state)));
                    }
                    Stands::Dead(key) => {
                        dead_here.push((*position, cell.handler.clone(), cell.incarnation, key));
                    }
                }
            }
            carried.push(known);
            dead.push(dead_here);
        }
        self.read(move |reading| {
            for (known, dead) in carried.iter_mut().zip(dead) {
                for (position, handler, incarnation, order_key) in dead {
                    let fact = reading.dead_fact(&handler, incarnation, position);
                    let (died_at, reason, attempts) = fact.map_or_else(
                        || (None, ErrorText::default(), 0),
                        |fact| (Some(fact.died_at), fact.reason, fact.attempts),
                    );
                    let state = CarriedState::Dead { died_at, reason, attempts, order_key };
                    known.push((handler, state));
                }
            }
            Ok(carried)
        })
        .await
    }

    /// What deliveries of another queue are here, by this machine's clocks.
    pub fn carried_changes(&self, deliveries: Vec<(Position, CarriedState)>) -> Vec<SharedChange> {
        let now = ClockPair::now(&self.core);
        // What is open comes by itself.
        let changed = deliveries.into_iter().filter(|(_, state)| *state != CarriedState::Open);
        let records = changed.map(|(position, state)| record(position, state, now));
        records.map(SharedChange::of).collect()
    }

    /// Has a handler's open deliveries stand as `changes` say; how many were open. `None` = the handler has
    /// no subscription.
    pub fn carry_shared(
        &self,
        handler: &HandlerName,
        changes: Vec<SharedChange>,
    ) -> Result<Option<u64>, QueueError> {
        let Some(cell) = self.core.handler(handler) else { return Ok(None) };
        self.carry_into(&cell, changes).map(Some)
    }

    fn carry_into(
        &self,
        cell: &HandlerCell,
        changes: Vec<SharedChange>,
    ) -> Result<u64, QueueError> {
        let (n_changed, wake) = cell.carry(changes);
        self.core.wake(wake)?;
        Ok(n_changed)
    }

    /// The same, durably, for a handler that is given a subscription where it has none.
    pub(super) async fn carry(
        &self,
        handler: &HandlerName,
        deliveries: Vec<(Position, CarriedState)>,
    ) -> Result<u64, QueueError> {
        self.ready().await?;
        let Some(first) = deliveries.iter().map(|(position, _)| *position).min() else {
            return Ok(0);
        };
        let since = Since::At(first);
        self.core.ask(|reply| Request::Subscribe(handler.clone(), since, reply)).await?;
        let cell = self.core.handler(handler).ok_or(QueueError::Closed)?;
        let mut changes = self.carried_changes(deliveries).into_iter().peekable();
        let mut n_changed = 0;
        while changes.peek().is_some() {
            let some = changes.by_ref().take(CHANGES_AT_ONCE).collect();
            n_changed += self.carry_into(&cell, some)?;
            self.core.ask(Request::Recorded).await?;
        }
        Ok(n_changed)
    }
}

/// A dead letter whose reason the index has: its place, its handler's, and the key that it holds.
type DeadOne = (Position, HandlerName, Incarnation, Option<OrderKey>);

/// How a delivery stands, but for what only the index knows.
enum Stands {
    /// `None` = its event cannot be read, so there is nothing to carry.
    So(Option<CarriedState>),
    /// With the key that it holds.
    Dead(Option<OrderKey>),
}

fn stands(state: &HandlerState, position: Position, now: ClockPair) -> Stands {
    Stands::So(match state.status(position) {
        Status::Settled => Some(CarriedState::Settled),
        Status::Open | Status::Unread => Some(CarriedState::Open),
        Status::Waiting => state.waiting().get(position).map(|waiting| CarriedState::Waiting {
            due: now.wall_of(waiting.due_from(now.steady)),
            attempts: waiting.attempts(),
            first_attempt_at: waiting.first_attempt_at().map(|at| now.wall_of(at)),
            order_key: waiting.order_key(),
        }),
        Status::Dead => return Stands::Dead(None),
        Status::DeadHolding => {
            return Stands::Dead(state.holding().get(position).copied());
        }
        Status::Lost => None,
    })
}

fn record(position: Position, state: CarriedState, now: ClockPair) -> DeliveryRecord {
    match state {
        CarriedState::Settled => DeliveryRecord::of(position, 1, NewState::Delivered),
        CarriedState::Open => DeliveryRecord::of(position, 1, NewState::Open),
        CarriedState::Waiting { due, attempts, first_attempt_at, order_key } => {
            let due = now.steady_of(due);
            let wait: Duration = due.since(now.steady);
            let to = NewState::Retry { due, wait, order_key };
            let first_attempt_at = first_attempt_at.map(|at| now.steady_of(at));
            DeliveryRecord { attempts, first_attempt_at, ..DeliveryRecord::of(position, 1, to) }
        }
        CarriedState::Dead { died_at, reason, attempts, order_key } => {
            let died_at = died_at.unwrap_or(now.wall);
            let to = NewState::Dead { died_at, reason, order_key };
            DeliveryRecord { attempts, ..DeliveryRecord::of(position, 1, to) }
        }
    }
}
