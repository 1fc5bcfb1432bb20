//! A queue that refuses to store when it is told to.

use std::time::Duration;

use async_trait::async_trait;

use crate::event::{Event, EventId, HandlerName, NewEvent, Position};
use crate::queue::embedded::EmbeddedQueue;
use crate::queue::{
    Appended, CarriedState, DeadFilter, DeadLetter, DeliveryHistory, EventQuery, Queue, QueueError,
    QueueStats, ReplayResult, Searched, Start, Subscription,
};

/// Whether what is asked for is refused, and why.
type Refuse = dyn Fn() -> Result<(), QueueError> + Send + Sync;

/// A queue that is asked to refuse each time that something is to be stored, and when it is probed.
pub struct RefusingQueue {
    queue: EmbeddedQueue,
    refuse: Box<Refuse>,
    refuse_search: Box<Refuse>,
}

impl RefusingQueue {
    pub fn new(
        queue: EmbeddedQueue,
        refuse: impl Fn() -> Result<(), QueueError> + Send + Sync + 'static,
    ) -> Self {
        Self { queue, refuse: Box::new(refuse), refuse_search: Box::new(|| Ok(())) }
    }

    /// One that is asked to refuse at each search, and at nothing else.
    pub fn of_searches(
        queue: EmbeddedQueue,
        refuse: impl Fn() -> Result<(), QueueError> + Send + Sync + 'static,
    ) -> Self {
        Self { queue, refuse: Box::new(|| Ok(())), refuse_search: Box::new(refuse) }
    }
}

#[async_trait]
impl Queue for RefusingQueue {
    async fn append(&self, event: NewEvent) -> Result<Appended, QueueError> {
        (self.refuse)()?;
        self.queue.append(event).await
    }

    async fn append_all(&self, events: Vec<NewEvent>) -> Result<Vec<Appended>, QueueError> {
        (self.refuse)()?;
        self.queue.append_all(events).await
    }

    async fn subscribe(
        &self,
        handler: &HandlerName,
        start: Start,
    ) -> Result<Box<dyn Subscription>, QueueError> {
        self.queue.subscribe(handler, start).await
    }

    async fn forget(&self, handler: &HandlerName) -> Result<bool, QueueError> {
        self.queue.forget(handler).await
    }

    async fn get(&self, id: EventId) -> Result<Option<Event>, QueueError> {
        self.queue.get(id).await
    }

    async fn list(&self, query: EventQuery) -> Result<Vec<Event>, QueueError> {
        self.queue.list(query).await
    }

    async fn search(&self, query: EventQuery, budget: Duration) -> Result<Searched, QueueError> {
        (self.refuse_search)()?;
        self.queue.search(query, budget).await
    }

    async fn history(&self, position: Position) -> Result<Vec<DeliveryHistory>, QueueError> {
        self.queue.history(position).await
    }

    async fn dead(&self, filter: DeadFilter) -> Result<Vec<DeadLetter>, QueueError> {
        self.queue.dead(filter).await
    }

    async fn redrive(&self, filter: DeadFilter) -> Result<u64, QueueError> {
        self.queue.redrive(filter).await
    }

    async fn drop_dead(&self, filter: DeadFilter) -> Result<u64, QueueError> {
        self.queue.drop_dead(filter).await
    }

    async fn replay(
        &self,
        handler: &HandlerName,
        positions: &[Position],
    ) -> Result<Vec<ReplayResult>, QueueError> {
        self.queue.replay(handler, positions).await
    }

    async fn carried(
        &self,
        positions: &[Position],
    ) -> Result<Vec<Vec<(HandlerName, CarriedState)>>, QueueError> {
        self.queue.carried(positions).await
    }

    async fn carry_over(
        &self,
        handler: &HandlerName,
        deliveries: Vec<(Position, CarriedState)>,
    ) -> Result<u64, QueueError> {
        self.queue.carry_over(handler, deliveries).await
    }

    fn stats(&self) -> QueueStats {
        self.queue.stats()
    }

    async fn probe(&self) -> Result<(), QueueError> {
        (self.refuse)()
    }

    async fn close(&self) -> Result<(), QueueError> {
        self.queue.close().await
    }
}
