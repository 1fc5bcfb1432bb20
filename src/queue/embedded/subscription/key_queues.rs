//! The order keys of one handler's deliveries that wait: per key a queue by position.
//!
//! Invariants:
//!
//! * A delivery that is given out is in no queue; its key counts it as leased.
//! * Only the head of a queue can be given out, and only while nothing of its key is leased.
//! * A parked delivery becomes the ready head by a release: of its key, or because what was in
//!   front of it left the key. It never becomes ready because it was parked first.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::event::{OrderKey, Position};

/// What a delivery was before it was parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parked {
    /// It came out of the log, and no try of it was recorded.
    New,
    /// It may have been tried before.
    Again,
    /// It waits in the state.
    Retry,
}

/// How a delivery waits in the queue of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// To be tried again, not before `due`.
    Waiting { due: Timestamp },
    /// A dead letter that holds its key.
    Holding,
    /// Behind an earlier delivery of the key.
    Parked,
    /// Parked before, and ready to be given out.
    Released,
}

/// What a step did to the head of a key's queue: for the caller, who keeps what is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ready {
    /// This delivery may be given out from `due` on.
    From { position: Position, due: Timestamp },
    /// This delivery may be given out.
    Now(Position),
}

impl Ready {
    const fn position(self) -> Position {
        match self {
            Self::From { position, .. } | Self::Now(position) => position,
        }
    }
}

/// The effects of a step: what became ready, and what was ready and is not any more.
#[derive(Debug, Default)]
pub(super) struct Effects {
    pub(super) ready: Option<Ready>,
    pub(super) withdrawn: Option<Ready>,
}

#[derive(Debug, Default)]
struct KeyQueue {
    slots: BTreeMap<Position, Slot>,
    /// Deliveries that were given out of this queue and are not settled.
    n_leased: u32,
}

/// All key queues of one handler.
#[derive(Debug, Default)]
pub(super) struct KeyQueues {
    queues: BTreeMap<OrderKey, KeyQueue>,
    /// The key of each parked or released delivery: neither is in the handler's state.
    parked: BTreeMap<Position, OrderKey>,
}

impl KeyQueues {
    /// How many deliveries are parked or released.
    pub(super) fn n_parked(&self) -> usize {
        self.parked.len()
    }

    pub(super) fn is_parked(&self, position: Position) -> bool {
        self.parked.contains_key(&position)
    }

    /// Whether an earlier delivery of `key` than `position` waits.
    pub(super) fn is_waiting(&self, key: OrderKey, position: Position) -> bool {
        let head = self.queues.get(&key).and_then(|queue| queue.slots.first_key_value());
        head.is_some_and(|(head, _)| *head < position)
    }

    /// Puts a delivery into the queue of its key.
    pub(super) fn insert(&mut self, key: OrderKey, position: Position, slot: Slot) -> Effects {
        let queue = self.queues.entry(key).or_default();
        let head_before = queue.slots.first_key_value().map(|(head, slot)| (*head, *slot));
        queue.slots.insert(position, slot);
        if matches!(slot, Slot::Parked | Slot::Released) {
            self.parked.insert(position, key);
        }
        let withdrawn = match head_before {
            Some((head, before)) if position < head => match before {
                Slot::Waiting { due } => Some(Ready::From { position: head, due }),
                Slot::Released => {
                    queue.slots.insert(head, Slot::Parked);
                    Some(Ready::Now(head))
                }
                Slot::Holding | Slot::Parked => None,
            },
            Some(_) | None => None,
        };
        Effects { ready: self.ready_head(key, position), withdrawn }
    }

    /// What `position` is as the head of its key's queue, now that it was put there.
    fn ready_head(&self, key: OrderKey, position: Position) -> Option<Ready> {
        self.head(key).filter(|ready| ready.position() == position)
    }

    /// The head of the key's queue where it may be given out: nothing of the key is leased.
    fn head(&self, key: OrderKey) -> Option<Ready> {
        let queue = self.queues.get(&key).filter(|queue| queue.n_leased == 0)?;
        let (position, slot) = queue.slots.first_key_value()?;
        match *slot {
            Slot::Waiting { due } => Some(Ready::From { position: *position, due }),
            Slot::Released => Some(Ready::Now(*position)),
            Slot::Holding | Slot::Parked => None,
        }
    }

    /// Takes a delivery out of the queue of its key to give it out.
    pub(super) fn lease(&mut self, key: OrderKey, position: Position) {
        let queue = self.queues.entry(key).or_default();
        queue.slots.remove(&position);
        queue.n_leased += 1;
        self.parked.remove(&position);
    }

    /// A waiting delivery is due at `due` by now.
    pub(super) fn hasten(&mut self, key: OrderKey, position: Position, due: Timestamp) {
        let slots = self.queues.get_mut(&key).map(|queue| &mut queue.slots);
        if let Some(slot @ Slot::Waiting { .. }) = slots.and_then(|slots| slots.get_mut(&position))
        {
            *slot = Slot::Waiting { due };
        }
    }

    /// The key of a parked or released delivery.
    pub(super) fn key_of_parked(&self, position: Position) -> Option<OrderKey> {
        self.parked.get(&position).copied()
    }

    /// A delivery that was given out of `key`'s queue comes back into it.
    pub(super) fn give_back(&mut self, key: OrderKey, position: Position, slot: Slot) -> Effects {
        self.unlease(key);
        let Effects { ready, withdrawn } = self.insert(key, position, slot);
        // One that came to stand before it meanwhile could not be given out until now.
        Effects { ready: ready.or_else(|| self.head(key)), withdrawn }
    }

    /// A delivery that was given out of `key`'s queue has left the key for good: the next is ready.
    pub(super) fn leave(&mut self, key: OrderKey) -> Option<Ready> {
        self.unlease(key);
        self.release(key).or_else(|| self.head(key))
    }

    fn unlease(&mut self, key: OrderKey) {
        if let Some(queue) = self.queues.get_mut(&key) {
            debug_assert!(queue.n_leased > 0, "a delivery comes back to a key that leased none");
            queue.n_leased = queue.n_leased.saturating_sub(1);
        }
    }

    /// Takes a delivery that is not given out from its key's queue (a dead letter that is dropped):
    /// where it was the head, the next is ready.
    pub(super) fn remove(&mut self, key: OrderKey, position: Position) -> Option<Ready> {
        self.parked.remove(&position);
        let queue = self.queues.get_mut(&key)?;
        let was_head = queue.slots.first_key_value().is_some_and(|(head, _)| *head == position);
        queue.slots.remove(&position);
        if was_head { self.release(key) } else { None }
    }

    /// Makes the head of `key`'s queue ready where it is parked, and says what the head is where it
    /// can be given out by itself. Nothing while a delivery of the key is given out.
    pub(super) fn release(&mut self, key: OrderKey) -> Option<Ready> {
        let queue = self.queues.get_mut(&key)?;
        if queue.n_leased > 0 {
            return None;
        }
        let Some(mut head) = queue.slots.first_entry() else {
            self.queues.remove(&key);
            return None;
        };
        let position = *head.key();
        match *head.get() {
            Slot::Parked => {
                head.insert(Slot::Released);
                Some(Ready::Now(position))
            }
            Slot::Waiting { due } => Some(Ready::From { position, due }),
            Slot::Holding | Slot::Released => None,
        }
    }

    /// Whether the head of `key`'s queue is parked and could be released just now.
    pub(super) fn is_head_parked(&self, key: OrderKey) -> bool {
        self.queues.get(&key).is_some_and(|queue| {
            queue.n_leased == 0
                && queue.slots.first_key_value().is_some_and(|(_, slot)| *slot == Slot::Parked)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: OrderKey = OrderKey([1; 16]);

    fn at(position: u64) -> Position {
        Position(position)
    }

    fn due(millis: i64) -> Slot {
        Slot::Waiting { due: Timestamp::from_millis(millis) }
    }

    #[test]
    fn parked_head_waits_for_a_release() {
        let mut queues = KeyQueues::default();
        assert_eq!(queues.insert(KEY, at(5), Slot::Parked).ready, None);
        assert!(queues.is_waiting(KEY, at(6)) && !queues.is_waiting(KEY, at(5)));
        assert_eq!(queues.release(KEY), Some(Ready::Now(at(5))));
        assert_eq!(queues.release(KEY), None, "it is ready already");
    }

    #[test]
    fn only_the_head_is_ready_and_nothing_while_one_is_leased() {
        let mut queues = KeyQueues::default();
        let five = queues.insert(KEY, at(5), due(50));
        assert_eq!(
            five.ready,
            Some(Ready::From { position: at(5), due: Timestamp::from_millis(50) })
        );
        assert_eq!(queues.insert(KEY, at(7), due(1)).ready, None);
        let three = queues.insert(KEY, at(3), due(90));
        assert_eq!(three.withdrawn, five.ready, "an earlier one takes its place");
        queues.lease(KEY, at(3));
        assert_eq!(queues.release(KEY), None);
        let back = queues.give_back(KEY, at(3), due(100));
        assert!(matches!(back.ready, Some(Ready::From { position, .. }) if position == at(3)));
        queues.lease(KEY, at(3));
        assert!(
            matches!(queues.leave(KEY), Some(Ready::From { position, .. }) if position == at(5))
        );
    }

    #[test]
    fn head_that_came_while_another_was_leased_is_ready_when_that_comes_back() {
        let mut queues = KeyQueues::default();
        queues.insert(KEY, at(5), due(0));
        queues.lease(KEY, at(5));
        assert_eq!(queues.insert(KEY, at(2), due(94)).ready, None);
        let two = Ready::From { position: at(2), due: Timestamp::from_millis(94) };
        assert_eq!(queues.give_back(KEY, at(5), due(0)).ready, Some(two));
    }

    #[test]
    fn released_head_is_parked_again_behind_an_earlier_one() {
        let mut queues = KeyQueues::default();
        queues.insert(KEY, at(5), Slot::Parked);
        queues.release(KEY);
        let effects = queues.insert(KEY, at(2), Slot::Holding);
        assert_eq!((effects.ready, effects.withdrawn), (None, Some(Ready::Now(at(5)))));
        assert_eq!(queues.remove(KEY, at(2)), Some(Ready::Now(at(5))), "the holder was dropped");
    }
}
