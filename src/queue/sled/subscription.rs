//! Taking and settling deliveries.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::index::Entry;
use super::shared::{Job, Shared};
use super::state::{Inner, SubscriptionState};
use crate::event::{Delivery, OrderKey, Origin, Outcome, Position, Settled};
use crate::pace::Steps;
use crate::queue::record::{Change, State};
use crate::queue::{Backlog, LOOK_AGAIN, QueueError, Subscription};

mod lines;
mod take;

pub(crate) use lines::let_first_go;
use lines::{first_in_line, let_go};

/// How long to wait before the index is asked again.
const INDEX_WAIT: Duration = Duration::from_millis(50);

/// How many deliveries out of the log are settled in one go: some 10 µs, for which the committer
/// may wait.
const SETTLED_AT_ONCE: usize = 64;

/// A handler's hold on its place. Dropping it gives the place free; what was taken and not
/// settled comes again.
#[derive(Debug)]
pub(crate) struct SledSubscription {
    shared: Arc<Shared>,
    state: Arc<SubscriptionState>,
}

impl Drop for SledSubscription {
    fn drop(&mut self) {
        self.state.lock().detach();
    }
}

impl SledSubscription {
    /// Takes hold of a place that nobody holds. The index is up to date with it.
    pub(crate) fn attach(
        shared: Arc<Shared>,
        state: &Arc<SubscriptionState>,
    ) -> Result<Self, QueueError> {
        let subscription = {
            let mut inner = state.lock();
            if inner.is_subscribed || inner.is_forgotten {
                return Err(QueueError::Busy(state.handler.clone()));
            }
            inner.is_subscribed = true;
            Self { shared, state: Arc::clone(state) }
        };
        subscription.put_lines_in_order()?;
        subscription.bring_near_what_a_clock_moved_away()?;
        Ok(subscription)
    }

    /// Held entries with unsettled events of the log before them come again from the log: the one
    /// that they wait for may be among those. Of every other line the first is let go.
    fn put_lines_in_order(&self) -> Result<(), QueueError> {
        let index = self.shared.index()?;
        let handler = &self.state.handler;
        let mut inner = self.state.lock();
        let cursor = inner.cursor;
        for position in index.positions(handler, cursor..=Position(u64::MAX))? {
            let entry = index.entry(handler, position)?;
            if matches!(entry, Some(Entry { change: Change { state: State::Held { .. }, .. }, .. }))
            {
                inner.relogged.insert(position);
            }
        }
        let mut must_tell = false;
        for position in index.line_heads(handler)? {
            if !inner.relogged.contains(&position)
                && let Some(entry) = index.entry(handler, position)?
            {
                must_tell |= let_go(&self.shared, &self.state, &mut inner, &entry.change);
            }
        }
        drop(inner);
        self.tell(must_tell)
    }

    /// A due time that is further away than the wait that was asked for was set by a clock that
    /// has been set back since.
    fn bring_near_what_a_clock_moved_away(&self) -> Result<(), QueueError> {
        let index = self.shared.index()?;
        let now = self.shared.clock.steady();
        let handler = &self.state.handler;
        let mut must_tell = false;
        let mut after = None;
        loop {
            let found = index.due(handler, after, 1_000)?;
            let Some(last) = found.last() else { break };
            after = Some(*last);
            for (due, position) in found.into_iter().filter(|(due, _)| *due > now) {
                let Some(Entry { mut change, .. }) = index.entry(handler, position)? else {
                    continue;
                };
                if let State::Retry { due: at, wait, .. } = &mut change.state
                    && due.since(now) > *wait
                {
                    *at = now.after(*wait);
                    must_tell |= self.state.lock().record(change, true);
                }
            }
        }
        self.tell(must_tell)
    }

    /// Wakes the committer where something waits to be recorded.
    fn tell(&self, must_tell: bool) -> Result<(), QueueError> {
        if must_tell { self.shared.send(Job::Settle) } else { Ok(()) }
    }

    /// An entry as it is just now.
    fn entry(&self, inner: &Inner, position: Position) -> Result<Option<Change>, QueueError> {
        entry_of(&self.shared, &self.state, inner, position)
    }

    /// Settles the first ones, as many as there is room for and as may be settled in one go; gives
    /// how many. An error but [`QueueError::Closed`] changes nothing.
    fn settle_some(&self, settled: &[(Delivery, Settled)]) -> Result<usize, QueueError> {
        let mut n_settled = 0;
        let mut must_tell = false;
        let mut inner = self.state.lock();
        for (delivery, settled) in settled.iter().take(SETTLED_AT_ONCE) {
            if inner.is_outbox_full() {
                break;
            }
            match self.settle_now(&mut inner, delivery, settled) {
                Ok(must) => must_tell |= must,
                Err(err) if n_settled == 0 => return Err(err),
                // It comes again when this one is the first.
                Err(_) => break,
            }
            n_settled += 1;
            // For an entry the index is asked, which takes longer.
            if delivery.origin == Origin::Entry {
                break;
            }
        }
        drop(inner);
        self.tell(must_tell)?;
        Ok(n_settled)
    }

    /// Writes down what became of a delivery; `must tell`. An error changes nothing.
    fn settle_now(
        &self,
        inner: &mut Inner,
        delivery: &Delivery,
        settled: &Settled,
    ) -> Result<bool, QueueError> {
        let position = delivery.event.position;
        let before = match delivery.origin {
            Origin::Log if !inner.relogged.contains(&position) => None,
            Origin::Log | Origin::Entry => self.entry(inner, position)?,
        };
        let change = self.change(delivery, settled.clone());
        inner.kept.keep(&delivery.event, &change.state);
        let key_after = change.state.order_key();
        let mut must_tell = inner.record(change, before.is_some());
        match delivery.origin {
            Origin::Log => inner.finish(position),
            Origin::Entry => {
                inner.taken.remove(&position);
            }
        }
        let key_before = before.and_then(|change| change.state.order_key());
        if let Some(key) = key_before.filter(|_| key_before != key_after) {
            match let_first_go(&self.shared, &self.state, inner, key) {
                Ok((_, must)) => must_tell |= must,
                // The outcome stands; the line is let go when the index can be asked.
                Err(_) => inner.unreleased.push(key),
            }
        }
        Ok(must_tell)
    }

    fn change(&self, delivery: &Delivery, settled: Settled) -> Change {
        let Settled { outcome, attempt } = settled;
        let steady = self.shared.clock.steady();
        let attempts = match attempt {
            Some(_) => delivery.attempt,
            None => delivery.attempt.saturating_sub(1),
        };
        let first_attempt_at = delivery
            .first_attempt_at
            .or_else(|| attempt.as_ref().map(|attempt| steady.before(attempt.duration)));
        let state = match outcome {
            Outcome::Delivered => State::Delivered,
            Outcome::Skipped => State::Skipped,
            Outcome::Retry { at, order_key } => {
                State::Retry { due: at, wait: at.since(steady), order_key }
            }
            Outcome::Held { order_key } => State::Held { order_key },
            Outcome::Dead { order_key } => State::Dead {
                died_at: self.shared.now(),
                reason: attempt.as_ref().map(|attempt| attempt.error.clone()).unwrap_or_default(),
                order_key,
            },
        };
        let first_attempt_at = first_attempt_at.filter(|_| state.is_entry());
        Change { position: delivery.event.position, state, attempts, first_attempt_at, attempt }
    }

    /// Does `step` as soon as the index can be asked: while it is made anew, who needs it waits.
    async fn with_index<T>(
        &self,
        step: impl Fn() -> Result<T, QueueError> + Send,
    ) -> Result<T, QueueError> {
        loop {
            match step() {
                Err(QueueError::Behind(_)) => {}
                done => return done,
            }
            self.shared.check_open()?;
            tokio::select! {
                () = tokio::time::sleep(INDEX_WAIT) => {}
                () = self.shared.closed.cancelled() => {}
            }
        }
    }

    /// Waits until what is settled was recorded: there is a bound to what waits for that.
    async fn wait_until_recorded(&self) -> Result<(), QueueError> {
        let mut poisoned = self.shared.poisoned.subscribe();
        loop {
            self.shared.check_open()?;
            // Listen before looking: whatever comes in between rings a bell that is heard.
            let recorded = self.state.recorded.notified();
            if !self.state.lock().is_outbox_full() {
                return Ok(());
            }
            if *poisoned.borrow_and_update() {
                return Err(QueueError::Poisoned);
            }
            tokio::select! {
                () = recorded => {}
                () = self.shared.closed.cancelled() => {}
                changed = poisoned.changed() => changed.map_err(|_| QueueError::Closed)?,
            }
        }
    }

    /// Settles all of them, and waits where there is no room for what is to be recorded.
    async fn settle_in_order(&self, settled: Vec<(Delivery, Settled)>) -> Result<(), QueueError> {
        let mut rest = VecDeque::from(settled);
        let mut steps = Steps::start();
        while !rest.is_empty() {
            self.shared.check_open()?;
            let n_settled = self.with_index(|| self.settle_some(rest.as_slices().0)).await?;
            if n_settled == 0 {
                self.wait_until_recorded().await?;
            }
            rest.drain(..n_settled);
            steps.look();
        }
        Ok(())
    }

    /// How long to sleep until an entry is due.
    fn until_due(&self) -> Duration {
        let inner = self.state.lock();
        let horizon = self.shared.clock.steady().after(LOOK_AGAIN);
        let next = self.due(&inner, horizon, 1).ok().and_then(|due| due.first().copied());
        let wait = next.map_or(LOOK_AGAIN, |(due, _)| due.since(self.shared.clock.steady()));
        wait.clamp(Duration::from_millis(1), LOOK_AGAIN)
    }
}

/// An entry as it is just now, the index's lag included.
pub(crate) fn entry_of(
    shared: &Shared,
    state: &SubscriptionState,
    inner: &Inner,
    position: Position,
) -> Result<Option<Change>, QueueError> {
    if let Some(change) = inner.overlay.get(position) {
        return Ok(change.state.is_entry().then(|| change.clone()));
    }
    Ok(shared.index()?.entry(&state.handler, position)?.map(|entry| entry.change))
}

#[async_trait]
impl Subscription for SledSubscription {
    async fn next(&self, max: usize) -> Result<Vec<Delivery>, QueueError> {
        let mut log = self.shared.durable.subscribe();
        loop {
            // Listen before looking: whatever comes in between rings a bell that is heard.
            self.shared.check_open()?;
            log.borrow_and_update();
            let rung = self.state.bell.notified();
            tokio::pin!(rung);
            rung.as_mut().enable();
            let deliveries = match self.take(max) {
                Err(QueueError::Behind(_)) => Vec::new(),
                taken => taken?,
            };
            if !deliveries.is_empty() {
                return Ok(deliveries);
            }
            let wait = self.until_due();
            tokio::select! {
                () = rung => {}
                () = self.shared.closed.cancelled() => {}
                changed = log.changed() => changed.map_err(|_| QueueError::Closed)?,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn settle(&self, delivery: Delivery, settled: Settled) -> Result<(), QueueError> {
        self.settle_in_order(vec![(delivery, settled)]).await
    }

    async fn settle_all(&self, settled: Vec<(Delivery, Settled)>) -> Result<(), QueueError> {
        self.settle_in_order(settled).await
    }

    async fn release(&self, delivery: Delivery) -> Result<(), QueueError> {
        let mut inner = self.state.lock();
        match delivery.origin {
            Origin::Log => {
                inner.returned.insert(delivery.event.position, delivery);
            }
            Origin::Entry => {
                inner.taken.remove(&delivery.event.position);
            }
        }
        drop(inner);
        self.state.bell.notify_waiters();
        Ok(())
    }

    async fn is_key_waiting(
        &self,
        order_key: OrderKey,
        position: Position,
    ) -> Result<bool, QueueError> {
        let is_waiting = || {
            let inner = self.state.lock();
            let index = self.shared.index()?;
            if inner.overlay.has_no_lines() && index.counts(&self.state.handler).keyed == 0 {
                return Ok(false);
            }
            let is_it = |waiting: &Position| {
                !inner.taken.contains(waiting) && !inner.relogged.contains(waiting)
            };
            let first = first_in_line(&self.shared, &self.state, &inner, order_key, is_it)?;
            Ok(first.is_some_and(|first| first < position))
        };
        self.with_index(is_waiting).await
    }

    async fn release_key(&self, order_key: OrderKey) -> Result<bool, QueueError> {
        let release = || {
            let mut inner = self.state.lock();
            let_first_go(&self.shared, &self.state, &mut inner, order_key)
        };
        let (is_released, must_tell) = self.with_index(release).await?;
        self.tell(must_tell)?;
        Ok(is_released)
    }

    fn backlog(&self) -> Backlog {
        super::figures::backlog(&self.shared, &self.state)
    }
}
