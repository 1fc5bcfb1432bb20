//! A queue that cannot answer for a while.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use gatepost::deliver::Deliverer;
use gatepost::event::{Delivery, OrderKey, Position, Settlement};
use gatepost::queue::{Backlog, Queue, QueueError, Start, Subscription};

use super::rig::{Rig, Step, delivered, policy, refused, secs};
use crate::support::events::handler;

/// Answers so many calls, and none after that, or not the one after them.
struct Faulty {
    inner: Box<dyn Subscription>,
    n_left: AtomicUsize,
    is_for_once: bool,
}

impl Faulty {
    fn check(&self) -> Result<(), QueueError> {
        let one_less = |n: usize| n.checked_sub(1);
        if self.n_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
            return Ok(());
        }
        if self.is_for_once {
            self.n_left.store(usize::MAX, Ordering::SeqCst);
        }
        Err(QueueError::Behind("being rebuilt"))
    }
}

#[async_trait]
impl Subscription for Faulty {
    async fn next(&self, max: usize) -> Result<Vec<Delivery>, QueueError> {
        self.check()?;
        self.inner.next(max).await
    }

    async fn settle(&self, settlement: Settlement) -> Result<(), QueueError> {
        self.check()?;
        self.inner.settle(settlement).await
    }

    async fn release(&self, delivery: Delivery) -> Result<(), QueueError> {
        self.inner.release(delivery).await
    }

    async fn is_key_waiting(&self, key: OrderKey, at: Position) -> Result<bool, QueueError> {
        self.inner.is_key_waiting(key, at).await
    }

    async fn release_key(&self, key: OrderKey) -> Result<bool, QueueError> {
        self.inner.release_key(key).await
    }

    fn backlog(&self) -> Backlog {
        self.inner.backlog()
    }
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_does_not_answer_puts_deliveries_off_and_loses_none() {
    for n_left in 0..8 {
        let rig = Rig::new();
        rig.append_n(5).await;
        let ready = rig.ready(policy(), |_| delivered()).await;
        drop(ready.deliverer);
        let inner = rig.queue.subscribe(&handler("h"), Start::Oldest).await.unwrap();
        let faulty = Box::new(Faulty { inner, n_left: n_left.into(), is_for_once: false });
        let context = rig.context(handler("h"), policy(), ready.handler.clone());
        let (deliverer, _) = Deliverer::new(context, faulty, rig.queue.clone());
        rig.settle_all(deliverer).await;
        let mut positions = ready.handler.positions().concat();
        // At most the one whose settlement failed is delivered again.
        assert!((5..=6).contains(&positions.len()), "{positions:?}");
        positions.dedup();
        assert_eq!(positions, [1, 2, 3, 4, 5]);
        assert!(rig.clock.since_start() <= secs(2));
    }
}

#[tokio::test(start_paused = true)]
async fn call_that_was_given_up_is_not_under_way() {
    let rig = Rig::new();
    rig.append_n(1).await;
    // The first call goes on when the queue is away. The second one ends at once, and waits to be repeated.
    let n_calls = AtomicUsize::new(0);
    let script = move |_: &[Delivery]| match n_calls.fetch_add(1, Ordering::SeqCst) {
        0 => Step::Hang,
        1 => refused(),
        _ => delivered(),
    };
    let ready = rig.ready(policy(), script).await;
    drop(ready.deliverer);
    let inner = rig.queue.subscribe(&handler("h"), Start::Oldest).await.unwrap();
    let faulty = Box::new(Faulty { inner, n_left: 1.into(), is_for_once: false });
    let context = rig.context(handler("h"), policy(), ready.handler.clone());
    let (deliverer, control) = Deliverer::new(context, faulty, rig.queue.clone());
    let seen = RefCell::new(BTreeSet::new());
    let look = || {
        let since = control.calls().since(Position(1));
        seen.borrow_mut().insert((ready.handler.n_calls(), since.is_some()));
        rig.is_settled("h")
    };
    rig.run_until(deliverer, look).await;
    let seen = seen.into_inner();
    assert!(seen.contains(&(1, false)) && seen.contains(&(2, false)), "{seen:?}");
    // The first one until it is given up.
    let mut later = seen.iter().filter(|(n_calls, _)| *n_calls > 1);
    assert!(later.all(|(_, is_under_way)| !is_under_way), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn call_under_way_ends_and_counts_where_the_queue_does_not_answer_meanwhile() {
    let rig = Rig::new();
    rig.append_n(1).await;
    let ready = rig.ready(policy(), |_| Step::AnswerAfter(secs(3), Ok(()))).await;
    drop(ready.deliverer);
    let inner = rig.queue.subscribe(&handler("h"), Start::Oldest).await.unwrap();
    let faulty = Box::new(Faulty { inner, n_left: 1.into(), is_for_once: true });
    let context = rig.context(handler("h"), policy(), ready.handler.clone());
    let (deliverer, _) = Deliverer::new(context, faulty, rig.queue.clone());
    rig.settle_all(deliverer).await;
    assert_eq!(ready.handler.positions(), [[1]]);
}
