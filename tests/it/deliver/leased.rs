//! A subscription that may be over, as where several gateways share the log.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::rig::{Rig, Step, delivered, policy, secs};
use crate::support::events::handler;
use async_trait::async_trait;
use gatepost::deliver::{Deliverer, Policy};
use gatepost::event::{Delivery, OrderKey, Position, Settlement};
use gatepost::expr::Expression;
use gatepost::queue::embedded::EmbeddedQueue;
use gatepost::queue::{Backlog, Queue, QueueError, Start, Subscription};

/// What the test and the subscription share.
#[derive(Default)]
struct Lease {
    is_over: AtomicBool,
    n_let_go: AtomicUsize,
}

struct Leased {
    queue: Arc<EmbeddedQueue>,
    lease: Arc<Lease>,
    /// `None` = let go of.
    inner: Mutex<Option<Arc<dyn Subscription>>>,
}

impl Leased {
    async fn inner(&self) -> Arc<dyn Subscription> {
        let held = self.inner.lock().unwrap().clone();
        if let Some(held) = held {
            return held;
        }
        let anew = self.queue.subscribe(&handler("h"), Start::Oldest).await.unwrap();
        let anew: Arc<dyn Subscription> = Arc::from(anew);
        *self.inner.lock().unwrap() = Some(Arc::clone(&anew));
        anew
    }
}

#[async_trait]
impl Subscription for Leased {
    async fn next(&self, max: usize) -> Result<Vec<Delivery>, QueueError> {
        self.inner().await.next(max).await
    }

    async fn settle(&self, settlement: Settlement) -> Result<(), QueueError> {
        self.inner().await.settle(settlement).await
    }

    async fn release(&self, delivery: Delivery) -> Result<(), QueueError> {
        self.inner().await.release(delivery).await
    }

    async fn is_key_waiting(&self, key: OrderKey, at: Position) -> Result<bool, QueueError> {
        self.inner().await.is_key_waiting(key, at).await
    }

    async fn release_key(&self, key: OrderKey) -> Result<bool, QueueError> {
        self.inner().await.release_key(key).await
    }

    fn is_over(&self) -> bool {
        self.lease.is_over.load(Ordering::SeqCst)
    }

    fn begin_anew(&self) {
        *self.inner.lock().unwrap() = None;
        self.lease.n_let_go.fetch_add(1, Ordering::SeqCst);
        self.lease.is_over.store(false, Ordering::SeqCst);
    }

    fn backlog(&self) -> Backlog {
        self.inner.lock().unwrap().as_ref().unwrap().backlog()
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_is_not_tried_once_it_is_over_and_comes_again_in_its_order() {
    for order_by in [None, Some("payload.key")] {
        let rig = Rig::new();
        for _ in 0..4 {
            rig.append("a", r#"{"key":1}"#).await;
        }
        let lease = Arc::<Lease>::default();
        let seen = Arc::clone(&lease);
        let order_by = order_by.map(|text| Arc::new(Expression::compile(text).unwrap()));
        let policy = Policy { order_by, concurrency: NonZeroUsize::MIN, ..policy() };
        let ready = rig
            .ready(policy.clone(), move |deliveries| {
                // The second call begins under a lease, which ends while it is under way.
                if deliveries[0].event.position == Position(2)
                    && seen.n_let_go.load(Ordering::SeqCst) == 0
                {
                    seen.is_over.store(true, Ordering::SeqCst);
                    return Step::AnswerAfter(secs(5), Ok(()));
                }
                assert!(!seen.is_over.load(Ordering::SeqCst), "a call of what may be another's");
                delivered()
            })
            .await;
        drop(ready.deliverer);
        let inner = rig.queue.subscribe(&handler("h"), Start::Oldest).await.unwrap();
        let queue = Arc::clone(&rig.queue);
        let leased =
            Leased { queue, lease: Arc::clone(&lease), inner: Mutex::new(Some(Arc::from(inner))) };
        let context = rig.context(handler("h"), policy, ready.handler.clone());
        let (deliverer, _) = Deliverer::new(context, Box::new(leased), rig.queue.clone());
        rig.settle_all(deliverer).await;
        assert_eq!(lease.n_let_go.load(Ordering::SeqCst), 1);
        // What was tried is settled, though it is over: whether it counts the log knows.
        assert_eq!(ready.handler.positions().concat(), [1, 2, 3, 4]);
    }
}
