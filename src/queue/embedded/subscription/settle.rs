//! Settling: a settlement changes the state at once, and is recorded within 100 ms.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::cell::{Live, Wake};
use super::{EmbeddedSubscription, Parked};
use crate::clock::Timestamp;
use crate::event::{Delivery, OrderKey, Origin, Outcome, Settlement};
use crate::pace::Steps;
use crate::queue::QueueError;
use crate::queue::embedded::record::{DeliveryRecord, NewState};
use crate::queue::embedded::state::HandlerState;

/// How many deliveries are settled under one hold of the lock: some 10 µs.
const SETTLED_AT_ONCE: usize = 64;

impl EmbeddedSubscription {
    /// Settles all of them in this order, and waits where there is no room for what is to be
    /// recorded.
    pub(super) async fn settle_in_order(
        &self,
        settlements: Vec<Settlement>,
    ) -> Result<(), QueueError> {
        let mut rest = VecDeque::from(settlements);
        let mut steps = Steps::start();
        while !rest.is_empty() {
            self.core.check_open()?;
            if !self.settle_some(&mut rest)? {
                self.wait_until_recorded().await?;
            }
            steps.look();
        }
        Ok(())
    }

    /// Settles the first ones; `false` = there is no room for what is to be recorded.
    fn settle_some(&self, rest: &mut VecDeque<Settlement>) -> Result<bool, QueueError> {
        let now = self.core.clock.steady();
        let mut wake = Wake::Nobody;
        let mut live = self.cell.lock();
        let mut n_settled = 0;
        while n_settled < SETTLED_AT_ONCE && !rest.is_empty() && !self.cell.is_outbox_full() {
            let Some(settlement) = rest.pop_front() else { break };
            wake = wake.and(self.settle_one(&mut live, settlement, now));
            n_settled += 1;
        }
        drop(live);
        self.core.wake(wake)?;
        Ok(n_settled > 0)
    }

    fn settle_one(&self, live: &mut Live, settlement: Settlement, now: Timestamp) -> Wake {
        let event = &settlement.delivery.event;
        let position = event.position;
        let Live { state, session, retry_cache, .. } = live;
        let Some(session) = session else { return Wake::Nobody };
        debug_assert!(session.is_leased(position), "a delivery is settled that was not given out");
        let held = held_by(&settlement.outcome);
        if let Some(key) = held.filter(|key| is_told(state, &settlement, *key)) {
            retry_cache.keep(event, Duration::ZERO);
            session.park(position, key, parked(state, &settlement.delivery));
            return Wake::Nobody;
        }
        let event = Arc::clone(event);
        let record = record_of(settlement, now, self.core.clock.now());
        if let NewState::Retry { wait, .. } = record.to {
            retry_cache.keep(&event, wait);
        }
        match held {
            Some(key) => session.park(position, key, Parked::Retry),
            None => session.settled(position, &record.to),
        }
        self.cell.record(live, record)
    }

    /// Makes the head of a key's queue ready if it is parked.
    pub(crate) fn release_head(&self, key: OrderKey) -> bool {
        let is_released =
            self.cell.lock().session.as_mut().is_some_and(|session| session.release_key(key));
        if is_released {
            self.cell.bell.notify_waiters();
        }
        is_released
    }

    /// Makes the waiting delivery that is due next due at once.
    pub(crate) fn hasten_next(&self) -> bool {
        let now = self.core.clock.steady();
        let mut live = self.cell.lock();
        let Live { state, session, .. } = &mut *live;
        let is_hastened = session.as_mut().is_some_and(|session| session.hasten(state, now));
        drop(live);
        if is_hastened {
            self.cell.bell.notify_waiters();
        }
        is_hastened
    }

    /// Waits until what is settled was recorded: there is a bound to what waits for that.
    async fn wait_until_recorded(&self) -> Result<(), QueueError> {
        let mut poisoned = self.core.poisoned.subscribe();
        loop {
            self.core.check_open()?;
            // Listen before looking: what is recorded in between rings a bell that is heard.
            let recorded = self.cell.recorded.notified();
            tokio::pin!(recorded);
            recorded.as_mut().enable();
            self.core.drive();
            if !self.cell.is_outbox_full() {
                return Ok(());
            }
            if *poisoned.borrow_and_update() {
                return Err(QueueError::Poisoned);
            }
            tokio::select! {
                () = recorded => {}
                () = self.core.closed.cancelled() => {}
                changed = poisoned.changed() => changed.map_err(|_| QueueError::Closed)?,
            }
        }
    }
}

/// The key whose queue the delivery waits in, untried.
pub(super) fn held_by(outcome: &Outcome) -> Option<OrderKey> {
    match outcome {
        Outcome::Held { order_key } => Some(*order_key),
        Outcome::Delivered | Outcome::Skipped | Outcome::Retry { .. } | Outcome::Dead { .. } => {
            None
        }
    }
}

/// Whether nothing needs to be recorded of a delivery that is held by `key`: one that waits in the
/// state with this key stays as it is there; one that was never tried comes again from the log after
/// a start.
pub(super) fn is_told(state: &HandlerState, settlement: &Settlement, key: OrderKey) -> bool {
    let waiting = state.waiting().get(settlement.delivery.event.position);
    settlement.attempt.is_none() && waiting.is_none_or(|it| it.order_key() == Some(key))
}

pub(super) fn parked(state: &HandlerState, delivery: &Delivery) -> Parked {
    match delivery.origin {
        _ if state.waiting().get(delivery.event.position).is_some() => Parked::Retry,
        Origin::Entry => Parked::Again,
        Origin::Log => Parked::New,
    }
}

/// What an outcome makes of its delivery.
pub(super) fn record_of(
    settlement: Settlement,
    steady: Timestamp,
    wall: Timestamp,
) -> DeliveryRecord {
    let Settlement { delivery, outcome, attempt } = settlement;
    let attempts = match attempt {
        Some(_) => delivery.attempt,
        None => delivery.attempt.saturating_sub(1),
    };
    let began_at = || attempt.as_ref().map(|attempt| steady.before(attempt.duration));
    let first_attempt_at = delivery.first_attempt_at.or_else(began_at);
    let to = match outcome {
        Outcome::Delivered => NewState::Delivered,
        Outcome::Skipped => NewState::Skipped,
        Outcome::Retry { at, order_key } => {
            NewState::Retry { due: at, wait: at.since(steady), order_key }
        }
        // It was tried, so it is no longer a delivery that the log can bring again as new.
        Outcome::Held { order_key } => {
            NewState::Retry { due: steady, wait: Duration::ZERO, order_key: Some(order_key) }
        }
        Outcome::Dead { order_key } => NewState::Dead {
            died_at: wall,
            reason: attempt.as_ref().map(|attempt| attempt.error.clone()).unwrap_or_default(),
            order_key,
        },
    };
    let goes_on = matches!(to, NewState::Retry { .. });
    let first_attempt_at = first_attempt_at.filter(|_| goes_on);
    DeliveryRecord {
        first: delivery.event.position,
        count: 1,
        to,
        attempts,
        first_attempt_at,
        attempt,
    }
}
