//! From the log into the buffer: what is wanted, in which order, and what has to wait in the log.

use std::time::Duration;

use tokio::time::Instant;

use super::state::Worker;
use crate::clock::Timestamp;
use crate::deliver::attempt::unclear;
use crate::deliver::buffer::PendingDelivery;
use crate::deliver::matching::{Match, evaluate};
use crate::event::{Delivery, OrderKey, Outcome, Settlement};
use crate::pace;
use crate::queue::QueueError;

/// How long deliveries gather for a handler that takes many in one call, once it has caught up
/// while more come in: a sync of its own for every few events competes with the way in for the
/// disk. What comes after a pause is delivered at once.
const GATHER: Duration = Duration::from_millis(5);

impl Worker<'_> {
    /// How many deliveries to take now. What waits for a handler that takes nothing waits in the log,
    /// where it costs nothing.
    pub(super) fn room(&self) -> usize {
        let is_paused = self.pause_left(self.context.clock.steady()).is_some();
        if is_paused || self.gathers_until.is_some() { 0 } else { self.buffer.room() }
    }

    /// Lets deliveries gather where that saves calls. A configured batch has a wait of its own; with
    /// `order_by` only one delivery per key is ready, so waiting gains nothing.
    pub(super) fn gather(&mut self, has_caught_up: bool) {
        let policy = &self.context.policy;
        let saves_calls = self.batch_max > 1 && policy.batch.is_none() && policy.order_by.is_none();
        self.gathers_until = (has_caught_up && saves_calls).then(|| Instant::now() + GATHER);
    }

    /// Settles at once what the handler does not want; gives the rest, each with its order key.
    pub(super) async fn filter(
        &mut self,
        mut taken: Vec<Delivery>,
    ) -> Result<Vec<Delivery>, QueueError> {
        if self.context.policy.order_by.is_some() {
            // Entries come by due time; of two with the same key the earlier event goes first.
            taken.sort_by_key(|delivery| delivery.event.position);
        }
        let (mut wanted, mut skipped) = (Vec::with_capacity(taken.len()), Vec::new());
        for delivery in pace::in_steps(taken) {
            match evaluate(&self.context.policy, &delivery.event) {
                Match::Skip => {
                    let outcome = Outcome::Skipped;
                    self.context.metrics.settled(&outcome);
                    skipped.push(Settlement { delivery, outcome, attempt: None });
                }
                Match::Error(reason) => {
                    self.in_flight.push(Box::pin(unclear(self.context, delivery, reason)));
                }
                Match::Take(order_key) => wanted.push(Delivery { order_key, ..delivery }),
            }
        }
        self.subscription.settle_all(skipped).await?;
        Ok(wanted)
    }

    /// Puts each delivery behind the others of its key.
    pub(super) async fn enqueue(&mut self, wanted: Vec<Delivery>) -> Result<(), QueueError> {
        for delivery in wanted {
            let pending = PendingDelivery { send_by: self.send_by(&delivery), delivery };
            match pending.delivery.order_key {
                None => self.enqueue_unordered(pending),
                Some(key) => self.enqueue_ordered(pending, key).await?,
            }
        }
        Ok(())
    }

    fn enqueue_unordered(&mut self, pending: PendingDelivery) {
        let is_full = self.buffer.push(pending).is_err();
        debug_assert!(!is_full, "only key queues have a limit of their own");
    }

    /// Puts a delivery into its key queue, or holds it in the log where others of the key wait there.
    async fn enqueue_ordered(
        &mut self,
        pending: PendingDelivery,
        key: OrderKey,
    ) -> Result<(), QueueError> {
        let position = pending.delivery.event.position;
        let must_wait = self.buffer.has_overflowed(key)
            || self.subscription.is_key_waiting(key, position).await?;
        let refused = if must_wait { Err(pending) } else { self.buffer.push(pending) };
        let Err(PendingDelivery { delivery, .. }) = refused else { return Ok(()) };
        let is_here = self.buffer.has(key);
        self.buffer.mark_overflowed(key);
        self.hold_one(delivery, key).await?;
        if !is_here {
            // The delivery in front may have been dropped while this one was being held.
            self.subscription.release_key(key).await?;
        }
        Ok(())
    }

    /// When a delivery goes even without a full batch: counted from when it came in, so that
    /// restarts do not put a digest off for ever.
    fn send_by(&self, delivery: &Delivery) -> Timestamp {
        let Some(batch) = &self.context.policy.batch else { return self.context.clock.steady() };
        let received_at = delivery.event.received_at;
        let age = self.context.clock.now().since(received_at);
        let wait = batch.wait.after(received_at);
        self.context.clock.steady().after(wait.saturating_sub(age))
    }

    async fn hold_one(
        &mut self,
        delivery: Delivery,
        order_key: OrderKey,
    ) -> Result<(), QueueError> {
        let outcome = Outcome::Held { order_key };
        self.subscription.settle(Settlement { delivery, outcome, attempt: None }).await
    }

    /// Holds in the log what cannot wait here, then releases there the keys that have drained here.
    pub(super) async fn hold(&mut self, held: Vec<PendingDelivery>) -> Result<(), QueueError> {
        for PendingDelivery { delivery, .. } in held {
            if let Some(key) = delivery.order_key {
                self.hold_one(delivery, key).await?;
            }
        }
        for key in self.buffer.take_drained_keys() {
            self.subscription.release_key(key).await?;
        }
        Ok(())
    }
}
