//! Deliveries that were taken and whose calls have not begun.
//!
//! Deliveries with an order key wait in that key's queue, and only one call at a time takes from a
//! key queue. A key queue that grows too long *overflows*: later deliveries of the key are held in
//! the log, so that one busy key neither fills the memory nor keeps other keys from being taken.
//! Once a key queue has overflowed, every later delivery of its key is held too, or it would
//! overtake those; when the key queue has drained, the log is asked to release the key's first one.

use std::collections::{HashMap, VecDeque};

use crate::clock::Timestamp;
use crate::event::{Delivery, OrderKey};
use crate::queue::TAKE_BYTES_MAX;

/// How many deliveries are taken ahead, at least: enough that taking costs little per delivery.
const TAKEN_MIN: usize = 256;

/// How many are taken ahead, at most, unless there are even more calls at once.
const TAKEN_MAX: usize = 4_096;

/// From this attempt on a delivery goes alone, so that one that breaks its batches does not use up
/// the attempts of the others.
const ALONE_FROM: u32 = 4;

/// A delivery that the handler wants.
#[derive(Debug)]
pub(super) struct PendingDelivery {
    pub(super) delivery: Delivery,
    /// When it goes even if its batch is not full.
    pub(super) send_by: Timestamp,
}

/// Whether `pending` may go in the same call as those of `batch`.
fn takes(batch: &[Delivery], pending: &PendingDelivery, max: usize) -> bool {
    let goes_alone = |attempt: u32| attempt >= ALONE_FROM;
    match batch.first() {
        None => true,
        Some(first) => {
            batch.len() < max && !goes_alone(first.attempt) && !goes_alone(pending.delivery.attempt)
        }
    }
}

#[derive(Debug, Default)]
struct KeyQueue {
    is_in_call: bool,
    waiting: VecDeque<PendingDelivery>,
    has_overflowed: bool,
}

#[derive(Debug)]
enum ReadyItem {
    /// A delivery without an order key.
    Free(PendingDelivery),
    /// The first of this key. Invariant: a key queue with waiting deliveries and no call in flight
    /// is in `ready` exactly once.
    KeyQueue(OrderKey),
}

#[derive(Debug)]
pub(super) struct Buffer {
    n_max: usize,
    /// The longest key queue: those of all concurrent calls fill half of the buffer at most, so that
    /// other keys are taken too.
    key_queue_max: usize,
    ready: VecDeque<ReadyItem>,
    key_queues: HashMap<OrderKey, KeyQueue>,
    n_pending: usize,
    /// Waiting deliveries whose key has a call in flight.
    n_blocked: usize,
    n_bytes: usize,
    /// Keys whose queue has drained here while the log may hold more of them.
    drained: Vec<OrderKey>,
}

impl Buffer {
    /// A buffer for `concurrency` calls at once, each with at most `batch_max` deliveries.
    pub(super) fn new(concurrency: usize, batch_max: usize) -> Self {
        let least = TAKEN_MIN.max(concurrency.saturating_mul(4));
        let wanted = concurrency.saturating_mul(batch_max).saturating_mul(2);
        let n_max = wanted.clamp(least, least.max(TAKEN_MAX));
        Self {
            n_max,
            key_queue_max: (n_max / 2 / concurrency.max(1)).max(1),
            ready: VecDeque::new(),
            key_queues: HashMap::new(),
            n_pending: 0,
            n_blocked: 0,
            n_bytes: 0,
            drained: Vec::new(),
        }
    }

    /// All deliveries that are here.
    pub(super) fn len(&self) -> usize {
        self.n_pending
    }

    /// Those that a call could take.
    pub(super) fn n_ready(&self) -> usize {
        debug_assert!(self.n_blocked <= self.n_pending, "blocked deliveries are pending ones");
        self.n_pending.saturating_sub(self.n_blocked)
    }

    /// How many more deliveries to take; 0 where it is not worth asking.
    pub(super) fn room(&self) -> usize {
        let room = self.n_max.saturating_sub(self.n_pending);
        if self.is_heavy() || room < self.n_max / 4 { 0 } else { room }
    }

    /// Whether there are as many bytes here as there should be.
    pub(super) fn is_heavy(&self) -> bool {
        self.n_bytes >= TAKE_BYTES_MAX
    }

    /// When the first of the ready ones goes even without a full batch.
    pub(super) fn send_by(&self) -> Option<Timestamp> {
        let first_of = |item: &ReadyItem| match item {
            ReadyItem::Free(pending) => Some(pending.send_by),
            ReadyItem::KeyQueue(key) => {
                self.key_queues.get(key)?.waiting.iter().map(|pending| pending.send_by).min()
            }
        };
        self.ready.iter().filter_map(first_of).min()
    }

    /// Whether a delivery of this key is here, or on its way.
    pub(super) fn has(&self, key: OrderKey) -> bool {
        self.key_queues.contains_key(&key)
    }

    /// Whether later deliveries of this key must be held.
    pub(super) fn has_overflowed(&self, key: OrderKey) -> bool {
        self.key_queues.get(&key).is_some_and(|queue| queue.has_overflowed)
    }

    /// A delivery of this key, which is here, is held: later ones must be too.
    pub(super) fn mark_overflowed(&mut self, key: OrderKey) {
        if let Some(queue) = self.key_queues.get_mut(&key) {
            queue.has_overflowed = true;
        }
    }

    /// Adds a delivery, or gives it back when its key queue is full.
    pub(super) fn push(&mut self, pending: PendingDelivery) -> Result<(), PendingDelivery> {
        let n_bytes = pending.delivery.event.body.len();
        match pending.delivery.order_key {
            None => self.ready.push_back(ReadyItem::Free(pending)),
            Some(key) => {
                let queue = self.key_queues.entry(key).or_default();
                let is_heavy = queue.is_in_call && self.n_bytes >= TAKE_BYTES_MAX / 2;
                if queue.waiting.len() >= self.key_queue_max || is_heavy {
                    return Err(pending);
                }
                if queue.is_in_call {
                    self.n_blocked += 1;
                } else if queue.waiting.is_empty() {
                    self.ready.push_back(ReadyItem::KeyQueue(key));
                }
                queue.waiting.push_back(pending);
            }
        }
        self.n_pending += 1;
        self.n_bytes += n_bytes;
        Ok(())
    }

    /// Up to `max` deliveries for one call.
    pub(super) fn take_batch(&mut self, max: usize) -> Vec<Delivery> {
        let mut batch = Vec::new();
        while let Some(item) = self.ready.pop_front() {
            let unused = match item {
                ReadyItem::Free(pending) => {
                    self.add_free(pending, max, &mut batch).map(ReadyItem::Free)
                }
                ReadyItem::KeyQueue(key) => {
                    (!self.add_from_key(key, max, &mut batch)).then_some(ReadyItem::KeyQueue(key))
                }
            };
            if let Some(item) = unused {
                self.ready.push_front(item);
                break;
            }
        }
        batch
    }

    /// Adds the delivery to the batch, or gives it back.
    fn add_free(
        &mut self,
        pending: PendingDelivery,
        max: usize,
        batch: &mut Vec<Delivery>,
    ) -> Option<PendingDelivery> {
        if !takes(batch, &pending, max) {
            return Some(pending);
        }
        self.put(pending, batch);
        None
    }

    /// Adds the key's first deliveries to the batch; `false` = none of them fits.
    fn add_from_key(&mut self, key: OrderKey, max: usize, batch: &mut Vec<Delivery>) -> bool {
        let mut has_begun = false;
        loop {
            let Some(queue) = self.key_queues.get_mut(&key) else { return true };
            let takes = queue.waiting.front().is_some_and(|pending| takes(batch, pending, max));
            let pending = if takes { queue.waiting.pop_front() } else { None };
            let Some(pending) = pending else {
                if has_begun {
                    queue.is_in_call = true;
                    self.n_blocked += queue.waiting.len();
                }
                return has_begun;
            };
            has_begun = true;
            self.put(pending, batch);
        }
    }

    fn put(&mut self, pending: PendingDelivery, batch: &mut Vec<Delivery>) {
        subtract(&mut self.n_pending, 1);
        subtract(&mut self.n_bytes, pending.delivery.event.body.len());
        batch.push(pending.delivery);
    }

    /// The call of `key` has settled its deliveries for good: the next ones may be called.
    pub(super) fn unblock_key(&mut self, key: OrderKey) {
        let Some(queue) = self.key_queues.get_mut(&key) else { return };
        queue.is_in_call = false;
        subtract(&mut self.n_blocked, queue.waiting.len());
        if !queue.waiting.is_empty() {
            self.ready.push_back(ReadyItem::KeyQueue(key));
            return;
        }
        if queue.has_overflowed {
            self.drained.push(key);
        }
        self.key_queues.remove(&key);
    }

    /// A delivery of `key`'s call stays in the log, in front of its key queue. Gives the rest of
    /// the key queue, which must be held in the log too.
    pub(super) fn block_key(&mut self, key: OrderKey) -> Vec<PendingDelivery> {
        let Some(queue) = self.key_queues.remove(&key) else { return Vec::new() };
        subtract(&mut self.n_blocked, queue.waiting.len());
        subtract(&mut self.n_pending, queue.waiting.len());
        for pending in &queue.waiting {
            subtract(&mut self.n_bytes, pending.delivery.event.body.len());
        }
        self.drained.push(key);
        queue.waiting.into()
    }

    /// Keys whose first held delivery the queue may let go, if nothing is in front of it there.
    pub(super) fn take_drained_keys(&mut self) -> Vec<OrderKey> {
        std::mem::take(&mut self.drained)
    }
}

/// Takes `n` off a counter that has counted them.
fn subtract(counter: &mut usize, n: usize) {
    debug_assert!(*counter >= n, "a counter of the buffer is off");
    *counter = counter.saturating_sub(n);
}

#[cfg(test)]
mod tests;
