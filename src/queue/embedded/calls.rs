//! The calls of [`Queue`], each sent to the component that answers it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::commit::{self, Request};
use super::embedded_queue::{EmbeddedQueue, INDEXED_WITHIN};
use super::read::{DeadMatch, DeadPage};
use super::redrive::{self, ByHand};
use super::stats;
use super::subscription::EmbeddedSubscription;
use crate::clock::Timestamp;
use crate::event::{Dedupe, DedupeKey, Event, EventId, HandlerName, NewEvent, Position};
use crate::queue::{
    Appended, AwaitedTry, CarriedState, DeadChange, DeadFilter, DeadLetter, DeadListing,
    DeadRecord, DeliveryHistory, EventQuery, LostDeliveries, Queue, QueueError, QueueStats,
    ReplayResult, Searched, Start, Subscription,
};

#[async_trait]
impl Queue for EmbeddedQueue {
    async fn append(&self, event: NewEvent) -> Result<Appended, QueueError> {
        self.append_one(event, None).await
    }

    async fn append_named(&self, event: NewEvent, id: EventId) -> Result<Appended, QueueError> {
        self.append_one(event, Some(id)).await
    }

    async fn append_all(&self, events: Vec<NewEvent>) -> Result<Vec<Appended>, QueueError> {
        self.append_group(events).await
    }

    async fn find_repeated(&self, event: &NewEvent) -> Result<Option<EventId>, QueueError> {
        let Some(probe) = commit::probe_of(event) else { return Ok(None) };
        // The newest keys are the committer's own.
        self.core.ask(|reply| Request::FindRepeated(probe, reply)).await
    }

    fn note_unanswered(&self, key: DedupeKey, id: EventId) {
        self.core.note_unanswered(key, id);
    }

    async fn subscribe(
        &self,
        handler: &HandlerName,
        start: Start,
    ) -> Result<Box<dyn Subscription>, QueueError> {
        self.ready().await?;
        self.core.ask(|reply| Request::Subscribe(handler.clone(), start.into(), reply)).await?;
        let cell = self.core.handler(handler).ok_or(QueueError::Closed)?;
        let subscription = EmbeddedSubscription::attach(Arc::clone(&self.core), cell)?;
        Ok(Box::new(subscription))
    }

    async fn forget(&self, handler: &HandlerName) -> Result<bool, QueueError> {
        self.ready().await?;
        let Some(cell) = self.core.handler(handler) else {
            // A subscription whose sync failed may be there after the next start.
            return if self.core.is_poisoned() { Err(QueueError::Poisoned) } else { Ok(false) };
        };
        {
            let live = cell.lock();
            if live.session.is_some() || cell.is_forgotten() {
                return Err(QueueError::Busy(handler.clone()));
            }
            // Who found the cell before cannot take hold of it any more. Where it is not forgotten
            // after all, the committer says so: the caller may be gone by then.
            cell.set_forgotten(true);
        }
        self.core.ask(|reply| Request::Forget(Arc::clone(&cell), reply)).await.map(|()| true)
    }

    async fn get(&self, id: EventId) -> Result<Option<Event>, QueueError> {
        self.read(move |reading| reading.find(id)).await
    }

    async fn list(&self, query: EventQuery) -> Result<Vec<Event>, QueueError> {
        let searched = self.search_until(query, None).await?;
        Ok(searched.events.into_iter().map(|(event, _)| event).collect())
    }

    async fn search(&self, query: EventQuery, most: Duration) -> Result<Searched, QueueError> {
        self.search_until(query, Some(self.core.clock.steady().after(most))).await
    }

    async fn history(&self, position: Position) -> Result<Vec<DeliveryHistory>, QueueError> {
        Ok(self.history_of(position).await?.deliveries)
    }

    async fn whole_history(
        &self,
        position: Position,
    ) -> Result<Option<Vec<DeliveryHistory>>, QueueError> {
        self.ready().await?;
        // What was settled just now is part of it.
        self.core.ask(Request::Recorded).await?;
        let is_being_made = self.core.clock.steady().since(self.opened_at) < INDEXED_WITHIN;
        if let known @ Some(_) = self.past_of(position, is_being_made).await? {
            return Ok(known);
        }
        // A small log is indexed by then.
        self.recorded_and_indexed().await?;
        self.past_of(position, is_being_made).await
    }

    async fn dead(&self, filter: DeadFilter) -> Result<Vec<DeadLetter>, QueueError> {
        Ok(self.dead_listing(filter).await?.letters)
    }

    async fn dead_listing(&self, filter: DeadFilter) -> Result<DeadListing, QueueError> {
        self.ready().await?;
        let through = self.recorded_and_indexed().await?;
        self.read(move |reading| reading.dead(&filter, through)).await.map(DeadPage::into_listing)
    }

    async fn dead_letters(
        &self,
        letters: Vec<(HandlerName, Position)>,
    ) -> Result<DeadListing, QueueError> {
        self.ready().await?;
        // Once for all of them: an index that is behind is waited for up to 2 s.
        let through = self.recorded_and_indexed().await?;
        let page = self.read(move |reading| reading.dead_of(&letters, through)).await?;
        Ok(page.into_listing())
    }

    async fn histories(
        &self,
        positions: &[Position],
    ) -> Result<Vec<Vec<DeliveryHistory>>, QueueError> {
        self.ready().await?;
        let through = self.recorded_and_indexed().await?;
        let positions = positions.to_vec();
        self.read(move |reading| {
            let histories = positions.into_iter().map(|at| reading.history(at, through, 0));
            histories.map(|history| history.map(|history| history.deliveries)).collect()
        })
        .await
    }

    async fn dead_records(&self, filter: DeadFilter) -> Result<Vec<DeadRecord>, QueueError> {
        self.ready().await?;
        let through = self.recorded_and_indexed().await?;
        self.read(move |reading| {
            let letters = reading.find_dead(&filter, through).matches.into_iter();
            Ok(letters.map(DeadMatch::into_record).collect())
        })
        .await
    }

    async fn confirmed(&self, letters: Vec<DeadRecord>) -> Result<Vec<DeadRecord>, QueueError> {
        self.ready().await?;
        let through = self.recorded_and_indexed().await?;
        let n_letters = letters.len();
        let confirmed = self.read(move |reading| reading.confirmed(letters, through)).await?;
        if confirmed.len() < n_letters {
            tracing::warn!(
                letters = n_letters - confirmed.len(),
                "Dead letters stay: the log does not say of them what the index does"
            );
        }
        Ok(confirmed)
    }

    async fn change_dead(
        &self,
        letters: Vec<(HandlerName, Position)>,
        change: DeadChange,
    ) -> Result<u64, QueueError> {
        self.ready().await?;
        let by_hand = match change {
            DeadChange::Redrive => ByHand::Redrive,
            DeadChange::Drop => ByHand::Drop,
        };
        redrive::change_dead(&self.core, letters, by_hand).await
    }

    async fn lost(&self, filter: DeadFilter) -> Result<Vec<LostDeliveries>, QueueError> {
        self.ready().await?;
        self.read(move |reading| Ok(reading.lost(&filter))).await
    }

    async fn redrive(&self, filter: DeadFilter) -> Result<u64, QueueError> {
        let found = self.find_dead(filter).await?;
        redrive::change_dead(&self.core, found, ByHand::Redrive).await
    }

    async fn drop_dead(&self, filter: DeadFilter) -> Result<u64, QueueError> {
        let found = self.find_dead_to_drop(filter).await?;
        redrive::change_dead(&self.core, found, ByHand::Drop).await
    }

    async fn replay(
        &self,
        handler: &HandlerName,
        positions: &[Position],
    ) -> Result<Vec<ReplayResult>, QueueError> {
        self.ready().await?;
        redrive::replay(&self.core, handler, positions).await
    }

    fn would_replay(&self, handler: &HandlerName, positions: &[Position]) -> Vec<ReplayResult> {
        redrive::would_replay(&self.core, handler, positions)
    }

    async fn dedupes(&self, positions: &[Position]) -> Result<Vec<Dedupe>, QueueError> {
        let stored = self.stored(positions.to_vec()).await?.into_iter();
        let known: BTreeMap<Position, Dedupe> =
            stored.map(|(event, dedupe)| (event.position, dedupe)).collect();
        let of = |position| known.get(position).copied().unwrap_or(Dedupe::Off);
        Ok(positions.iter().map(of).collect())
    }

    async fn carried(
        &self,
        positions: &[Position],
    ) -> Result<Vec<Vec<(HandlerName, CarriedState)>>, QueueError> {
        self.carried_of(positions).await
    }

    async fn carry_over(
        &self,
        handler: &HandlerName,
        deliveries: Vec<(Position, CarriedState)>,
    ) -> Result<u64, QueueError> {
        self.carry(handler, deliveries).await
    }

    fn stats(&self) -> QueueStats {
        stats::stats(&self.core, self.reading.index_bytes(), self.reading.lag_bytes())
    }

    fn newest(&self) -> Position {
        self.core.log.head().next_position.previous()
    }

    fn next_tries(&self, handler: &HandlerName, max: usize) -> Vec<(Position, Timestamp)> {
        let Some(cell) = self.core.handler(handler) else { return Vec::new() };
        let now = self.core.clock.steady();
        let live = cell.lock();
        live.session
            .as_ref()
            .map(|session| session.next_tries(&live.state, now, max))
            .unwrap_or_default()
    }

    fn next_try(&self, handler: &HandlerName, position: Position) -> Option<AwaitedTry> {
        let cell = self.core.handler(handler)?;
        let live = cell.lock();
        let waiting = live.state.waiting().get(position)?;
        // Not from when the session began: it may have been settled since.
        let due = waiting.due_from(self.core.clock.steady());
        Some(AwaitedTry { due, first_attempt_at: waiting.first_attempt_at() })
    }

    async fn probe(&self) -> Result<(), QueueError> {
        self.core.ask(Request::Probe).await
    }

    async fn close(&self) -> Result<(), QueueError> {
        self.core.check_open()?;
        if *self.core.ready.borrow() && !self.core.is_poisoned() && self.cleaner.has_news() {
            // A start then reads next to nothing. Without it the log is read instead.
            if let Err(err) = self.cleaner.snapshot().await {
                tracing::warn!(error = %err, "No snapshot at the end; the next start reads the log");
            }
        }
        let closed = self.core.ask(Request::Close).await;
        self.core.leave_unanswered();
        self.end();
        closed
    }
}
