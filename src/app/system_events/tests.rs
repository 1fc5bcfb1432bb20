//! What becomes of own events that the queue has no room for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::clock::{Clock, ManualClock, Timestamp};
use crate::event::{Event, EventId, HandlerName, NewEvent, Position};
use crate::metrics::Metrics;
use crate::queue::embedded::EmbeddedQueue;
use crate::queue::embedded::testing::MemoryDisk;
use crate::queue::{
    Appended, CarriedState, DeadFilter, DeliveryHistory, EventQuery, Queue, QueueError, QueueStats,
    Start, Subscription,
};
use crate::trace::Traces;

/// A queue that may be full.
struct Filling {
    queue: EmbeddedQueue,
    is_full: AtomicBool,
}

#[async_trait]
impl Queue for Filling {
    async fn append(&self, event: NewEvent) -> Result<Appended, QueueError> {
        if self.is_full.load(Ordering::SeqCst) {
            return Err(QueueError::Full("the disk is full".to_owned()));
        }
        self.queue.append(event).await
    }

    async fn append_all(&self, events: Vec<NewEvent>) -> Result<Vec<Appended>, QueueError> {
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
    ) -> Result<u64, QueueError> {
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
        self.queue.probe().await
    }

    async fn close(&self) -> Result<(), QueueError> {
        self.queue.close().await
    }
}

#[tokio::test]
async fn own_events_that_find_the_queue_full_are_stored_in_their_order_once_there_is_room() {
    let clock: Arc<dyn Clock> =
        Arc::new(ManualClock::new(Timestamp::from_millis(1_700_000_000_000)));
    let queue = MemoryDisk::new().open(Arc::clone(&clock));
    let filling = Arc::new(Filling { queue, is_full: AtomicBool::new(true) });
    let queue = Arc::clone(&filling) as Arc<dyn Queue>;
    let core = Core { queue, clock, metrics: Metrics::new(), traces: Traces::default() };
    let own = SystemSource::new(core.clone());
    let since = core.clock.now();
    let down = json!({
        "handler": "mail", "kind": "email", "since": since, "failures": 10, "error": "no connection",
    });
    let back =
        json!({ "handler": "mail", "kind": "email", "down_since": since, "down_seconds": 9 });
    let types = async || {
        let query = EventQuery { limit: 9, ..EventQuery::default() };
        let newest_first = core.queue.list(query).await.unwrap();
        newest_first.iter().map(|event| event.event_type.to_string()).collect::<Vec<_>>()
    };
    own.append("handler.down", "mail", &down).await;
    own.store_held().await;
    assert!(types().await.is_empty());
    filling.is_full.store(false, Ordering::SeqCst);
    // The next one brings the one before with it, and neither comes twice.
    own.append("handler.back", "mail", &back).await;
    own.store_held().await;
    assert_eq!(types().await, ["handler.back", "handler.down"]);
}
