//! The queue as one node's copy of a log that several nodes share: that log gives the order, and every
//! node makes the same of it. What only this node does (freeing segments, its index) stays its own.

use std::ops::Range;
use std::sync::Arc;

use super::commit::{self, Request, SharedEvent, SharedUnit, Since};
use super::core::off_thread;
use super::embedded_queue::EmbeddedQueue;
use super::events::event_at;
use super::keys::Generation;
use super::log::Finder;
use super::record::SharedMark;
use super::stats;
use super::subscription::{EmbeddedSubscription, SharedChange};
use crate::event::{
    Dedupe, DedupeKey, Delivery, Event, EventId, HandlerName, NewEvent, OrderKey, Position,
    Settlement,
};
use crate::queue::{Appended, Backlog, QueueError, Subscription};
use crate::sync::lock;

impl EmbeddedQueue {
    /// How far the shared log was taken over when this copy was opened, and what was noted with it.
    pub fn taken_over(&self) -> Option<(u64, &[u8])> {
        self.shared.as_ref().map(|mark| (mark.sequence, mark.note.as_slice()))
    }

    /// Why it takes no event in just now, for people.
    pub fn refuses(&self) -> Option<String> {
        self.core.refuses()
    }

    /// What cannot be read of it, for people.
    pub fn damage(&self) -> Vec<String> {
        self.core.damage()
    }

    /// The same without dedupe keys, which are made anew from the log: events or outcomes that are missing here.
    pub fn damaged_records(&self) -> Vec<String> {
        self.core.damaged_records()
    }

    /// Stores `events`, which are the next ones of the shared log, with how far that is taken over and
    /// a note for the next start: all of it by one durable commit. Says of each what became of it; a
    /// repeat within its window is not stored. Of [`Dedupe::Unanswered`] only the node knows that
    /// answered: it stores no key here.
    pub async fn take_over(
        &self,
        events: Vec<(NewEvent, EventId)>,
        sequence: u64,
        note: Vec<u8>,
    ) -> Result<Vec<Appended>, QueueError> {
        let prepared = events.into_iter().map(|(mut event, id)| {
            if let Dedupe::Unanswered { .. } = event.dedupe {
                event.dedupe = Dedupe::Off;
            }
            // No cold read of a key run stands on the one writer.
            let probe = commit::probe_of(&event);
            let probed = probe.map(|probe| self.core.keys.lookup(&probe, Generation::default()));
            SharedEvent { event, id, probed: probed.unwrap_or_default() }
        });
        let events = prepared.collect();
        // What a damaged run does not tell is no answer: the others know it. The cleaner remakes it at
        // its next look; what was remade since the look-up is asked again by the committer.
        if self.core.keys.remakes_from().is_some() {
            let why = "dedupe keys are damaged and are read off the log again first";
            return Err(QueueError::Full(why.to_owned()));
        }
        let unit = SharedUnit { events, mark: SharedMark { sequence, note } };
        self.core.ask(|reply| Request::Shared(Box::new(unit), reply)).await
    }

    /// Applies changes that a node has made to a handler's deliveries. `false` = the handler has no
    /// subscription.
    pub fn apply_shared(
        &self,
        handler: &HandlerName,
        changes: Vec<SharedChange>,
    ) -> Result<bool, QueueError> {
        let Some(cell) = self.core.handler(handler) else { return Ok(false) };
        let wake = cell.apply_shared(changes);
        self.core.wake(wake)?;
        Ok(true)
    }

    /// Gives a handler a subscription, unless it has one: from `since` on, or behind the newest event.
    /// That holds it for no one.
    pub async fn begin_subscription(
        &self,
        handler: &HandlerName,
        since: Option<Position>,
    ) -> Result<(), QueueError> {
        self.ready().await?;
        let since = since.map_or(Since::Next, Since::At);
        self.core.ask(|reply| Request::Subscribe(handler.clone(), since, reply)).await
    }

    /// Whether a handler has a subscription.
    pub fn has_subscription(&self, handler: &HandlerName) -> bool {
        self.core.handler(handler).is_some()
    }

    /// Takes hold of a handler's subscription.
    pub fn attach(&self, handler: &HandlerName) -> Result<SharedSession, QueueError> {
        let cell = self.core.handler(handler).ok_or(QueueError::Closed)?;
        let subscription = EmbeddedSubscription::attach(Arc::clone(&self.core), cell)?;
        Ok(SharedSession { subscription })
    }

    /// What a handler has before it; nothing where it has no subscription.
    pub fn backlog(&self, handler: &HandlerName) -> Backlog {
        let cell = self.core.handler(handler);
        cell.map(|cell| stats::backlog(&self.core, &cell)).unwrap_or_default()
    }

    /// Positions whose events could not be read when they were to be given to a handler.
    pub fn lost_of(&self, handler: &HandlerName) -> Vec<Range<Position>> {
        let cell = self.core.handler(handler);
        cell.map(|cell| cell.lock().state.lost().iter_ranges().collect()).unwrap_or_default()
    }

    /// Every position before this one is settled or lost for a handler; `None` = it has no subscription.
    pub fn pending_from(&self, handler: &HandlerName) -> Option<Position> {
        let cell = self.core.handler(handler)?;
        let live = cell.lock();
        Some(live.state.oldest_pending().unwrap_or_else(|| live.state.high()))
    }

    /// The event whose answer cannot have arrived, by the key of an equal request.
    pub fn unanswered(&self, key: DedupeKey) -> Option<EventId> {
        lock(&self.core.unanswered).get(key, self.core.clock.steady())
    }

    /// The oldest position that is retained.
    pub fn oldest(&self) -> Position {
        self.core.oldest()
    }

    /// Waits until what was settled so far is durable.
    pub async fn recorded(&self) -> Result<(), QueueError> {
        self.core.ask(Request::Recorded).await
    }

    /// The events at these positions with what makes a repeat of each; one that cannot be read is left
    /// out.
    pub async fn stored(
        &self,
        positions: Vec<Position>,
    ) -> Result<Vec<(Event, Dedupe)>, QueueError> {
        let core = Arc::clone(&self.core);
        off_thread(move || {
            let mut finder = Finder::default();
            let mut found = Vec::with_capacity(positions.len());
            for position in positions {
                found.extend(event_at(&core.log, &core.kept, &mut finder, position)?);
            }
            Ok(found)
        })
        .await
    }
}

/// A hold on a subscription of the copy. What is settled changes nothing here before the shared log
/// has brought it back; dropped, everything that was given out and not settled comes again.
#[derive(Debug)]
pub struct SharedSession {
    subscription: EmbeddedSubscription,
}

impl SharedSession {
    /// What `settlement` is to make of its delivery on every node; `None` = nothing: it is done.
    pub fn prepare(&self, settlement: Settlement) -> Option<SharedChange> {
        self.subscription.prepare(settlement)
    }

    /// As [`Subscription::next`].
    pub async fn next(&self, max: usize) -> Result<Vec<Delivery>, QueueError> {
        self.subscription.next(max).await
    }

    /// As [`Subscription::release`].
    pub async fn release(&self, delivery: Delivery) -> Result<(), QueueError> {
        self.subscription.release(delivery).await
    }

    /// As [`Subscription::is_key_waiting`].
    pub async fn is_key_waiting(
        &self,
        order_key: OrderKey,
        position: Position,
    ) -> Result<bool, QueueError> {
        self.subscription.is_key_waiting(order_key, position).await
    }

    /// As [`Subscription::release_key`].
    pub async fn release_key(&self, order_key: OrderKey) -> Result<bool, QueueError> {
        self.subscription.release_key(order_key).await
    }

    /// As [`Subscription::hasten`].
    pub async fn hasten(&self) -> Result<bool, QueueError> {
        self.subscription.hasten().await
    }
}
