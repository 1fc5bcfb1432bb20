//! A handler's way to its place.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::place::Place;
use super::{Shared, State, UNDO_MAX};
use crate::clock::Clock;
use crate::event::{Delivery, HandlerName, OrderKey, Position, Settled};
use crate::queue::{Backlog, LOOK_AGAIN, QueueError, Subscription};

/// Frees the place when it is dropped.
pub(super) struct MemorySubscription {
    pub(super) handler: HandlerName,
    pub(super) opening: u64,
    pub(super) shared: Arc<Shared>,
    pub(super) clock: Arc<dyn Clock>,
}

impl MemorySubscription {
    fn with_place<T>(
        &self,
        step: impl FnOnce(&mut State, &mut Place) -> T,
    ) -> Result<T, QueueError> {
        let mut state = self.shared.open(self.opening)?;
        // Out of the map for the step, which may also look at the events.
        let Some(mut place) = state.places.remove(&self.handler) else {
            return Err(QueueError::Closed);
        };
        let result = step(&mut state, &mut place);
        state.places.insert(self.handler.clone(), place);
        Ok(result)
    }

    fn take(&self, max: usize) -> Result<(Vec<Delivery>, Duration), QueueError> {
        let now = self.clock.steady();
        self.with_place(|state, place| {
            let taken = place.take(max, now, state.last(), |position| state.event(position));
            let wait = place.next_due().map_or(LOOK_AGAIN, |due| due.since(now).min(LOOK_AGAIN));
            (taken, wait)
        })
    }
}

#[async_trait]
impl Subscription for MemorySubscription {
    async fn next(&self, max: usize) -> Result<Vec<Delivery>, QueueError> {
        loop {
            // Listen before looking: an append in between rings a bell that somebody hears.
            let mut bell = pin!(self.shared.bell.notified());
            bell.as_mut().enable();
            let (taken, wait) = self.take(max)?;
            if !taken.is_empty() {
                return Ok(taken);
            }
            // Bell or time: both are a reason to look again.
            tokio::select! {
                () = bell => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn settle(&self, delivery: Delivery, settled: Settled) -> Result<(), QueueError> {
        let now = self.clock.steady();
        let position = delivery.event.position;
        self.with_place(|state, place| {
            if let Some(undo) = place.settle(position, settled, now) {
                if state.undo.len() >= UNDO_MAX {
                    state.undo.drain(..UNDO_MAX / 2);
                }
                state.undo.push((self.handler.clone(), undo));
            }
        })?;
        self.shared.bell.notify_waiters();
        Ok(())
    }

    async fn release(&self, delivery: Delivery) -> Result<(), QueueError> {
        self.with_place(|_, place| place.release(delivery.event.position))?;
        self.shared.bell.notify_waiters();
        Ok(())
    }

    async fn is_key_waiting(
        &self,
        order_key: OrderKey,
        position: Position,
    ) -> Result<bool, QueueError> {
        self.with_place(|_, place| place.is_key_waiting(order_key, position))
    }

    async fn release_key(&self, order_key: OrderKey) -> Result<bool, QueueError> {
        let now = self.clock.steady();
        let is_released = self.with_place(|_, place| place.release_key(order_key, now))?;
        self.shared.bell.notify_waiters();
        Ok(is_released)
    }

    fn backlog(&self) -> Backlog {
        let state = self.shared.lock();
        state.places.get(&self.handler).map(|place| state.backlog(place)).unwrap_or_default()
    }
}

impl Drop for MemorySubscription {
    fn drop(&mut self) {
        let now = self.clock.steady();
        if self.with_place(|_, place| place.restart(now)).is_err() {
            // The disk was opened anew, or closed: its places are not this one's any more.
        }
    }
}
