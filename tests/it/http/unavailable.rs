//! What senders are told while nothing can be stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use gatepost::clock::SystemClock;
use gatepost::event::{Event, EventId, HandlerName, NewEvent, Position};
use gatepost::queue::embedded::EmbeddedQueue;
use gatepost::queue::embedded::testing::MemoryDisk;
use gatepost::queue::{
    Appended, CarriedState, DeadFilter, DeadLetter, DeliveryHistory, EventQuery, Queue, QueueError,
    QueueStats, Start, Subscription,
};

use super::super::support::bare::{Addresses, listeners};
use super::super::support::gateway::signature;
use super::super::support::wire::{self, Answer};

/// Fails its first appends, one of each sort, and takes what comes after.
struct Failing {
    queue: EmbeddedQueue,
    n_appends: AtomicUsize,
}

impl Failing {
    fn fail(&self) -> Result<(), QueueError> {
        match self.n_appends.fetch_add(1, Ordering::SeqCst) {
            0 => Err(QueueError::Full("the disk is full".into())),
            1 => Err(QueueError::Behind("the index")),
            2 => Err(QueueError::Poisoned),
            3 => Err(QueueError::Closed),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Queue for Failing {
    async fn append(&self, event: NewEvent) -> Result<Appended, QueueError> {
        self.fail()?;
        self.queue.append(event).await
    }

    async fn append_all(&self, events: Vec<NewEvent>) -> Result<Vec<Appended>, QueueError> {
        self.fail()?;
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
        self.fail()
    }

    async fn close(&self) -> Result<(), QueueError> {
        self.queue.close().await
    }
}

fn failing(test: impl FnOnce(Addresses)) {
    let queue = MemoryDisk::new().open(Arc::new(SystemClock::new()));
    let failing = Failing { queue, n_appends: AtomicUsize::new(0) };
    listeners(Arc::new(failing), Duration::from_secs(10), test);
}

fn send(at: Addresses) -> Answer {
    wire::post(at.public, "/hooks/hyvor", &[("X-Signature", &signature(b"{}"))], b"{}")
}

#[test]
fn what_cannot_be_stored_is_answered_503_with_a_time_to_come_back() {
    failing(|at| {
        for expected in ["30", "1", "5", "5"] {
            let answer = send(at);
            assert_eq!(answer.status, 503);
            assert_eq!(answer.header("retry-after"), Some(expected));
            assert_eq!(answer.text(), r#"{"title":"Service Unavailable","status":503}"#);
        }
        send(at).id();
        // Whoever cannot sign learns nothing of it.
        assert_eq!(wire::post(at.public, "/hooks/hyvor", &[], b"{}").status, 401);
    });
}

#[test]
fn a_store_that_takes_nothing_is_not_ready() {
    failing(|at| {
        let ready = || wire::request(at.admin, "GET", "/readyz", &[], b"");
        for expected in ["the disk is full", "behind", "poisoned", "closed"] {
            let answer = ready();
            assert_eq!(answer.status, 503);
            assert!(answer.text().contains(expected), "{}", answer.text());
        }
        assert_eq!(ready().status, 200);
    });
}
