//! The calls of [`Queue`]: what changes something goes through the shared log, what is only asked is
//! answered by the copy.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::ack::ClusterAck;
use super::cluster_queue::ClusterQueue;
use super::local_node::ENGINE_WAIT;
use super::operation_outcome::OperationOutcome;
use super::spool::{AnswerGuard, Spool, unplaced};
use super::steering::CHANGED_AT_ONCE;
use super::subscription::ClusterSubscription;
use super::unit::{HandChange, ProposedEvent, UnitOperation};
use crate::clock::Timestamp;
use crate::event::{Dedupe, DedupeKey, Event, EventId, HandlerName, NewEvent, Position};
use crate::queue::ids::may_keep;
use crate::queue::{
    APPEND_ALL_MAX, Appended, AwaitedTry, CarriedState, DeadChange, DeadFilter, DeadLetter,
    DeadListing, DeadRecord, DeliveryHistory, EventQuery, ListOrder, LostDeliveries, Queue,
    QueueError, QueueStats, ReplayResult, Searched, Start, Subscription,
};
use crate::sync::lock;

impl ClusterQueue {
    /// Waits for what the shared log makes of a stored event, where that is asked for and can be told soon.
    async fn settled_in_log(&self, spool: &Spool, stored: Appended) -> Appended {
        let Appended::Stored(id) = stored else { return stored };
        let takes_events = self.node.is_engine_up() && self.node.engine_state.has_room();
        if self.ack == ClusterAck::Local || !takes_events {
            return stored;
        }
        let outcome = match spool.outcome(id) {
            Ok(known) => return known,
            Err(outcome) => outcome,
        };
        tokio::select! {
            told = outcome => return told.unwrap_or(stored),
            () = self.node.until_away() => {}
            () = self.node.engine_state.until_full() => {}
            () = tokio::time::sleep(ENGINE_WAIT) => {}
        }
        spool.forget_outcome(id);
        stored
    }

    /// Stores events in the shared log without a spool.
    async fn append_to_engine(&self, events: Vec<NewEvent>) -> Result<Vec<Appended>, QueueError> {
        let name = |event| {
            let id = lock(&self.ids).next(self.node.clock.now());
            ProposedEvent { place: Position(0), id, event }
        };
        self.append_proposed(events.into_iter().map(name).collect()).await
    }

    async fn append_proposed(
        &self,
        events: Vec<ProposedEvent>,
    ) -> Result<Vec<Appended>, QueueError> {
        if !self.node.is_engine_up() {
            return Err(self.node.away("it cannot be reached"));
        }
        let operation = UnitOperation::Events { places: None, events };
        // It may be there all the same: the sender's repeat is then known by its key.
        self.node.propose_soon(operation, "it did not answer in time").await?.stored()
    }

    /// Whether an event that comes from another queue may keep its id in the shared log. One that waits on
    /// this machine may find newer ones there.
    async fn may_keep(&self, id: EventId) -> Result<bool, QueueError> {
        let query = EventQuery { order: ListOrder::Newest, limit: 1, ..EventQuery::default() };
        let newest = self.node.copy.list(query).await?.first().map(|event| event.id);
        Ok(self.node.is_engine_up() && may_keep(id, newest, self.node.clock.now()))
    }

    /// Stores one event, by an id from elsewhere where it may keep that.
    async fn append_one(
        &self,
        event: NewEvent,
        named: Option<EventId>,
    ) -> Result<Appended, QueueError> {
        let Some(spool) = &self.spool else {
            if let Some(repeat) = self.unanswered(&event) {
                return Ok(repeat);
            }
            let appended = match named {
                Some(id) => {
                    lock(&self.ids).follow(id);
                    self.append_proposed(vec![ProposedEvent { place: Position(0), id, event }])
                        .await?
                }
                None => self.append_to_engine(vec![event]).await?,
            };
            return appended.into_iter().next().ok_or(QueueError::Closed);
        };
        let dedupe = event.dedupe;
        let stored = match named {
            Some(id) => spool.queue.append_named(event, id).await?,
            None => spool.queue.append(event).await?,
        };
        let guard = AnswerGuard::new(spool, dedupe, stored.id());
        let appended = self.settled_in_log(spool, stored).await;
        guard.answered();
        Ok(appended)
    }

    /// A sender's repeat of a request whose answer cannot have arrived.
    fn unanswered(&self, event: &NewEvent) -> Option<Appended> {
        self.node.copy.unanswered(event.dedupe.unanswered_key()?).map(Appended::Duplicate)
    }
}

#[async_trait]
impl Queue for ClusterQueue {
    async fn append(&self, event: NewEvent) -> Result<Appended, QueueError> {
        self.append_one(event, None).await
    }

    async fn append_named(&self, event: NewEvent, id: EventId) -> Result<Appended, QueueError> {
        let named = self.may_keep(id).await?.then_some(id);
        self.append_one(event, named).await
    }

    async fn append_all(&self, events: Vec<NewEvent>) -> Result<Vec<Appended>, QueueError> {
        if events.len() > APPEND_ALL_MAX {
            return Err(QueueError::Full(format!("more than {APPEND_ALL_MAX} events at once")));
        }
        let Some(spool) = &self.spool else { return self.append_to_engine(events).await };
        let dedupes: Vec<Dedupe> = events.iter().map(|event| event.dedupe).collect();
        let stored = spool.queue.append_all(events).await?;
        let guards: Vec<AnswerGuard<'_>> = stored
            .iter()
            .zip(dedupes)
            .map(|(stored, dedupe)| AnswerGuard::new(spool, dedupe, stored.id()))
            .collect();
        let mut appended = Vec::with_capacity(stored.len());
        for one in stored {
            appended.push(self.settled_in_log(spool, one).await);
        }
        guards.into_iter().for_each(AnswerGuard::answered);
        Ok(appended)
    }

    async fn find_repeated(&self, event: &NewEvent) -> Result<Option<EventId>, QueueError> {
        let found = self.node.copy.find_repeated(event).await?;
        // What is not in the shared log yet.
        let (None, Some(spool)) = (found, &self.spool) else { return Ok(found) };
        spool.queue.find_repeated(event).await
    }

    fn note_unanswered(&self, key: DedupeKey, id: EventId) {
        match &self.spool {
            Some(spool) => spool.queue.note_unanswered(key, id),
            None => self.node.copy.note_unanswered(key, id),
        }
    }

    async fn subscribe(
        &self,
        handler: &HandlerName,
        start: Start,
    ) -> Result<Box<dyn Subscription>, QueueError> {
        self.node.copy.ready().await?;
        let (node, handlers) = (Arc::clone(&self.node), Arc::clone(&self.handlers));
        let subscription = ClusterSubscription::begin(node, handlers, (handler.clone(), start));
        let subscription = subscription.ok_or_else(|| QueueError::Busy(handler.clone()))?;
        // A start does not wait for an engine that is away: the first delivery does.
        tokio::select! {
            // First: where it is away the place is asked for before anything that comes in is forwarded.
            biased;
            ensured = subscription.ensure() => ensured?,
            () = self.node.until_away() => {}
            () = tokio::time::sleep(ENGINE_WAIT) => {}
        }
        Ok(Box::new(subscription))
    }

    async fn forget(&self, handler: &HandlerName) -> Result<bool, QueueError> {
        self.node.copy.ready().await?;
        if self.handlers.is_wanted(handler) {
            return Err(QueueError::Busy(handler.clone()));
        }
        if !self.node.copy.has_subscription(handler) {
            return Ok(false);
        }
        let lease = self.node.members.lock().lease(handler);
        if lease.owner.as_ref() == Some(&self.node.name) {
            let (handler, epoch) = (handler.clone(), lease.epoch);
            self.node.propose(UnitOperation::Release { handler, epoch }).await?;
        }
        let forgotten =
            self.node.propose(UnitOperation::Forget { handler: handler.clone() }).await?;
        Ok(matches!(forgotten, OperationOutcome::Counted(true)))
    }

    async fn get(&self, id: EventId) -> Result<Option<Event>, QueueError> {
        if let Some(event) = self.node.copy.get(id).await? {
            return Ok(Some(event));
        }
        let Some(spool) = &self.spool else { return Ok(None) };
        Ok(spool.queue.get(id).await?.map(unplaced))
    }

    async fn list(&self, query: EventQuery) -> Result<Vec<Event>, QueueError> {
        self.node.copy.list(query).await
    }

    async fn search(&self, query: EventQuery, most: Duration) -> Result<Searched, QueueError> {
        self.node.copy.search(query, most).await
    }

    async fn history(&self, position: Position) -> Result<Vec<DeliveryHistory>, QueueError> {
        self.node.copy.history(position).await
    }

    async fn whole_history(
        &self,
        position: Position,
    ) -> Result<Option<Vec<DeliveryHistory>>, QueueError> {
        self.node.copy.whole_history(position).await
    }

    async fn dead(&self, filter: DeadFilter) -> Result<Vec<DeadLetter>, QueueError> {
        self.node.copy.dead(filter).await
    }

    async fn dead_listing(&self, filter: DeadFilter) -> Result<DeadListing, QueueError> {
        self.node.copy.dead_listing(filter).await
    }

    async fn dead_letters(
        &self,
        letters: Vec<(HandlerName, Position)>,
    ) -> Result<DeadListing, QueueError> {
        self.node.copy.dead_letters(letters).await
    }

    async fn histories(
        &self,
        positions: &[Position],
    ) -> Result<Vec<Vec<DeliveryHistory>>, QueueError> {
        self.node.copy.histories(positions).await
    }

    async fn dead_records(&self, filter: DeadFilter) -> Result<Vec<DeadRecord>, QueueError> {
        self.node.copy.dead_records(filter).await
    }

    async fn confirmed(&self, letters: Vec<DeadRecord>) -> Result<Vec<DeadRecord>, QueueError> {
        self.node.copy.confirmed(letters).await
    }

    async fn lost(&self, filter: DeadFilter) -> Result<Vec<LostDeliveries>, QueueError> {
        self.node.copy.lost(filter).await
    }

    async fn redrive(&self, filter: DeadFilter) -> Result<u64, QueueError> {
        let letters = self.node.copy.find_dead(filter).await?;
        self.change_letters(letters, HandChange::Redrive).await
    }

    async fn change_dead(
        &self,
        letters: Vec<(HandlerName, Position)>,
        change: DeadChange,
    ) -> Result<u64, QueueError> {
        let change = match change {
            DeadChange::Redrive => HandChange::Redrive,
            DeadChange::Drop => HandChange::Drop,
        };
        self.change_letters(letters, change).await
    }

    async fn drop_dead(&self, filter: DeadFilter) -> Result<u64, QueueError> {
        let letters = self.node.copy.find_dead_to_drop(filter).await?;
        self.change_letters(letters, HandChange::Drop).await
    }

    async fn replay(
        &self,
        handler: &HandlerName,
        positions: &[Position],
    ) -> Result<Vec<ReplayResult>, QueueError> {
        let outcomes = self.change_by_hand(handler, HandChange::Replay, positions).await?;
        let results: Result<Vec<_>, _> =
            outcomes.into_iter().map(OperationOutcome::replayed).collect();
        Ok(results?.concat())
    }

    fn would_replay(&self, handler: &HandlerName, positions: &[Position]) -> Vec<ReplayResult> {
        self.node.copy.would_replay(handler, positions)
    }

    async fn dedupes(&self, positions: &[Position]) -> Result<Vec<Dedupe>, QueueError> {
        self.node.copy.dedupes(positions).await
    }

    async fn carried(
        &self,
        positions: &[Position],
    ) -> Result<Vec<Vec<(HandlerName, CarriedState)>>, QueueError> {
        self.node.copy.carried(positions).await
    }

    async fn carry_over(
        &self,
        handler: &HandlerName,
        deliveries: Vec<(Position, CarriedState)>,
    ) -> Result<u64, QueueError> {
        let Some(first) = deliveries.iter().map(|(position, _)| *position).min() else {
            return Ok(0);
        };
        if !self.node.copy.has_subscription(handler) {
            let (handler, since) = (handler.clone(), Some(first));
            self.node.propose(UnitOperation::Subscribe { handler, since }).await?;
        }
        let mut changes = self.node.copy.carried_changes(deliveries).into_iter().peekable();
        let mut n_changed = 0;
        while changes.peek().is_some() {
            let some = changes.by_ref().take(CHANGED_AT_ONCE).collect();
            let operation = UnitOperation::CarryOver { handler: handler.clone(), changes: some };
            n_changed += self.node.propose(operation).await?.changed()?;
        }
        Ok(n_changed)
    }

    fn stats(&self) -> QueueStats {
        let stats = self.node.copy.stats();
        // What comes in is stored there first.
        let refuses = self.spool.as_ref().and_then(|spool| spool.queue.refuses());
        QueueStats { refuses: refuses.or(stats.refuses), ..stats }
    }

    fn newest(&self) -> Position {
        self.node.copy.newest()
    }

    fn next_tries(&self, handler: &HandlerName, max: usize) -> Vec<(Position, Timestamp)> {
        self.node.copy.next_tries(handler, max)
    }

    fn next_try(&self, handler: &HandlerName, position: Position) -> Option<AwaitedTry> {
        self.node.copy.next_try(handler, position)
    }

    async fn probe(&self) -> Result<(), QueueError> {
        match &self.spool {
            Some(spool) => spool.queue.probe().await,
            None if self.node.is_engine_up() => self.node.copy.probe().await,
            None => Err(self.node.away("it cannot be reached")),
        }
    }

    async fn close(&self) -> Result<(), QueueError> {
        self.node.leaving.cancel();
        // So that others need not wait for the leases to end.
        if self.node.is_engine_up() {
            drop(tokio::time::timeout(ENGINE_WAIT, self.node.propose(UnitOperation::Leave)).await);
        }
        self.end().await
    }
}
