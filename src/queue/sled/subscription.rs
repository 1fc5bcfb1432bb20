//! Taking and settling deliveries.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use super::index::Entry;
use super::lookup::{self, read_failed};
use super::shared::{Job, Shared, lock};
use super::state::{Inner, Slot, SubscriptionState};
use crate::clock::{Stopwatch, Timestamp};
use crate::event::{Delivery, Event, OrderKey, Origin, Outcome, Position, Settled};
use crate::queue::journal::Reader;
use crate::queue::record::{Change, Record, State};
use crate::queue::{Backlog, LOOK_AGAIN, QueueError, Subscription, TAKE_BYTES_MAX};

/// How long to wait before the index is asked again.
const INDEX_WAIT: Duration = Duration::from_millis(50);

/// A handler's hold on its place. Dropping it gives the place free; what was taken and not
/// settled comes again.
#[derive(Debug)]
pub(crate) struct SledSubscription {
    shared: Arc<Shared>,
    state: Arc<SubscriptionState>,
    /// When deliveries were last given out.
    given: Mutex<Option<Stopwatch>>,
}

/// How long events gather once a subscription has caught up while more come in. An event after a
/// pause is given out at once.
const GATHER: Duration = Duration::from_millis(20);

impl Drop for SledSubscription {
    fn drop(&mut self) {
        self.state.lock().detach();
    }
}

/// Deliveries that are being taken, up to a number and a size.
struct Basket {
    deliveries: Vec<Delivery>,
    max: usize,
    bytes: usize,
}

impl Basket {
    fn is_full(&self) -> bool {
        self.deliveries.len() >= self.max || self.bytes >= TAKE_BYTES_MAX
    }

    fn room(&self) -> usize {
        self.max.saturating_sub(self.deliveries.len())
    }

    fn push(&mut self, delivery: Delivery) {
        self.bytes += delivery.event.body.len();
        self.deliveries.push(delivery);
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
            Self { shared, state: Arc::clone(state), given: Mutex::default() }
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

    /// Takes what is due just now.
    fn take(&self, max: usize) -> Result<Vec<Delivery>, QueueError> {
        let mut basket = Basket { deliveries: Vec::new(), max: max.max(1), bytes: 0 };
        let mut inner = self.state.lock();
        // Without the index entries wait; the log goes on.
        match self
            .let_unreleased_go(&mut inner)
            .and_then(|()| self.take_entries(&mut inner, &mut basket))
        {
            Ok(()) | Err(QueueError::Behind(_)) => {}
            Err(err) => return Err(err),
        }
        while !basket.is_full()
            && let Some((_, delivery)) = inner.returned.pop_first()
        {
            basket.push(delivery);
        }
        self.take_log(&mut inner, &mut basket)?;
        Ok(basket.deliveries)
    }

    fn let_unreleased_go(&self, inner: &mut Inner) -> Result<(), QueueError> {
        while let Some(key) = inner.unreleased.last().copied() {
            let must_tell = let_first_go(&self.shared, &self.state, inner, key)?.1;
            inner.unreleased.pop();
            self.tell(must_tell)?;
        }
        Ok(())
    }

    fn take_entries(&self, inner: &mut Inner, basket: &mut Basket) -> Result<(), QueueError> {
        let now = self.shared.clock.steady();
        for (due, position) in self.due(inner, basket.room())? {
            if due > now || basket.is_full() {
                break;
            }
            let Some(change) = self.entry(inner, position)? else { continue };
            let Some((event, _)) = lookup::event_at(&self.shared, position)? else {
                tracing::error!(
                    handler.name = %self.state.handler,
                    position = position.0,
                    "The event of a waiting delivery is gone; the delivery is given up"
                );
                let gone = Change { state: State::Dropped, ..change };
                let must_tell = inner.record(gone, true);
                self.tell(must_tell)?;
                continue;
            };
            inner.taken.insert(position);
            basket.push(Delivery {
                event: Arc::new(event),
                attempt: change.attempts.saturating_add(1),
                first_attempt_at: change.first_attempt_at,
                origin: Origin::Entry,
            });
        }
        Ok(())
    }

    /// Up to `limit` retries that nobody has, by due time.
    fn due(&self, inner: &Inner, limit: usize) -> Result<Vec<(Timestamp, Position)>, QueueError> {
        let handler = &self.state.handler;
        let mut due: Vec<_> =
            inner.overlay.due().filter(|(_, p)| !inner.taken.contains(p)).take(limit).collect();
        let index = self.shared.index()?;
        if index.counts(handler).waiting > 0 {
            let more = limit + inner.taken.len() + inner.overlay.len();
            let known = index.due(handler, None, more)?;
            due.extend(known.into_iter().filter(|(_, position)| {
                !inner.taken.contains(position) && !inner.overlay.holds(*position)
            }));
        }
        due.sort_unstable();
        due.truncate(limit);
        Ok(due)
    }

    fn take_log(&self, inner: &mut Inner, basket: &mut Basket) -> Result<(), QueueError> {
        let durable = self.shared.durable();
        while !basket.is_full() && inner.has_window() && inner.next_to_read() < durable.next {
            let position = inner.next_to_read();
            let recent = self.shared.tail.from(position, basket.room());
            if recent.is_empty() {
                self.read_one(inner, basket)?;
                continue;
            }
            for recent in recent {
                if basket.is_full() || !inner.has_window() {
                    break;
                }
                // The file goes on behind what came from memory.
                inner.reader = inner.reader.take().map(|mut reader| {
                    reader.seek(recent.end, recent.event.position.next());
                    reader
                });
                Self::take_event(inner, basket, recent.event);
            }
        }
        inner.advance();
        Ok(())
    }

    /// Takes the next event out of the file.
    fn read_one(&self, inner: &mut Inner, basket: &mut Basket) -> Result<(), QueueError> {
        let durable = self.shared.durable();
        let position = inner.next_to_read();
        let mut reader = inner.reader.take().unwrap_or_else(|| {
            let at = lookup::locate(&self.shared, position);
            Reader::new(Arc::clone(&self.shared.segments), at)
        });
        while let Some(found) = reader.next(durable.end).map_err(read_failed)? {
            if let Record::Event(event, _) = found.decode().map_err(read_failed)?
                && event.position >= position
            {
                // What lies in between cannot be read, and the reader has said so.
                inner.pass_to(event.position);
                Self::take_event(inner, basket, Arc::new(event));
                inner.reader = Some(reader);
                return Ok(());
            }
        }
        inner.pass_to(durable.next);
        inner.reader = Some(reader);
        Ok(())
    }

    fn take_event(inner: &mut Inner, basket: &mut Basket, event: Arc<Event>) {
        if inner.is_done_before(event.position) {
            inner.window.push_back(Slot::Done);
            return;
        }
        inner.window.push_back(Slot::Taken(event.received_at));
        let origin = Origin::Log;
        basket.push(Delivery { event, attempt: 1, first_attempt_at: None, origin });
    }

    /// Writes down what became of a delivery; `must tell`. An error changes nothing.
    fn settle_now(&self, delivery: &Delivery, settled: &Settled) -> Result<bool, QueueError> {
        let mut inner = self.state.lock();
        let position = delivery.event.position;
        let before = match delivery.origin {
            Origin::Log if !inner.relogged.contains(&position) => None,
            Origin::Log | Origin::Entry => self.entry(&inner, position)?,
        };
        let change = self.change(delivery, settled.clone());
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
            match let_first_go(&self.shared, &self.state, &mut inner, key) {
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

    /// How long to let events gather before looking again, after some were just given out. A
    /// sender that is at it sends more: taking them together costs each far less.
    fn gather(&self) -> Option<Duration> {
        let given = *lock(&self.given);
        let rest = given.map(|given| GATHER.saturating_sub(given.elapsed()));
        rest.filter(|rest| !rest.is_zero())
    }

    /// How long to sleep until an entry is due.
    fn until_due(&self) -> Duration {
        let inner = self.state.lock();
        let next = self.due(&inner, 1).ok().and_then(|due| due.first().copied());
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

/// The front of a key's line.
fn line(
    shared: &Shared,
    state: &SubscriptionState,
    inner: &Inner,
    key: OrderKey,
) -> Result<Vec<Position>, QueueError> {
    let mut line: Vec<Position> = inner.overlay.line(key).collect();
    let index = shared.index()?;
    if index.counts(&state.handler).keyed > 0 {
        // Enough to see past those that are taken or changed.
        let limit = 2 + inner.taken.len() + inner.overlay.len() + inner.relogged.len();
        let known = index.line(&state.handler, key, limit)?;
        line.extend(known.into_iter().filter(|position| !inner.overlay.holds(*position)));
    }
    line.sort_unstable();
    Ok(line)
}

/// Makes a held delivery due now; `true` = the committer must be told.
fn let_go(shared: &Shared, state: &SubscriptionState, inner: &mut Inner, change: &Change) -> bool {
    let State::Held { order_key } = change.state else { return false };
    let due = shared.clock.steady();
    let retry = State::Retry { due, wait: Duration::ZERO, order_key: Some(order_key) };
    state.bell.notify_waiters();
    inner.record(Change { state: retry, ..change.clone() }, true)
}

/// Makes the first of a line due if it is a held one: whether it did, and whether the committer
/// must be told.
pub(crate) fn let_first_go(
    shared: &Shared,
    state: &SubscriptionState,
    inner: &mut Inner,
    key: OrderKey,
) -> Result<(bool, bool), QueueError> {
    let first = line(shared, state, inner, key)?.into_iter().next();
    let first = first.filter(|p| !inner.taken.contains(p) && !inner.relogged.contains(p));
    let Some(first) = first else { return Ok((false, false)) };
    match entry_of(shared, state, inner, first)? {
        Some(change) if matches!(change.state, State::Held { .. }) => {
            Ok((true, let_go(shared, state, inner, &change)))
        }
        Some(_) | None => Ok((false, false)),
    }
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
                *lock(&self.given) = Some(Stopwatch::start());
                return Ok(deliveries);
            }
            if let Some(rest) = self.gather() {
                tokio::time::sleep(rest).await;
                continue;
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
        self.shared.check_open()?;
        if self.state.lock().is_outbox_full() {
            self.wait_until_recorded().await?;
        }
        let must_tell = self.with_index(|| self.settle_now(&delivery, &settled)).await?;
        self.tell(must_tell)
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
            let line = line(&self.shared, &self.state, &inner, order_key)?;
            Ok(line.into_iter().any(|waiting| {
                waiting < position
                    && !inner.taken.contains(&waiting)
                    && !inner.relogged.contains(&waiting)
            }))
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
