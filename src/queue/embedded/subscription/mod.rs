//! Taking and settling deliveries: one handler's hold on its subscription.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::core::Core;
use crate::event::{Delivery, OrderKey, Position, Settlement};
use crate::queue::{Backlog, LOOK_AGAIN, QueueError, Subscription};

mod carry;
mod cell;
mod event_reader;
mod key_queues;
mod retry_cache;
mod session;
mod settle;
mod shared;
mod take;

pub(crate) use cell::{HandlerCell, Live, Wake};
pub(crate) use key_queues::Parked;
pub(crate) use session::Session;
pub use shared::SharedChange;

/// A handler's hold on its subscription. Dropping it frees the subscription; what was given out and
/// not settled comes again.
#[derive(Debug)]
pub(crate) struct EmbeddedSubscription {
    core: Arc<Core>,
    cell: Arc<HandlerCell>,
}

impl Drop for EmbeddedSubscription {
    fn drop(&mut self) {
        let mut live = self.cell.lock();
        live.session = None;
        live.retry_cache = retry_cache::RetryCache::default();
    }
}

impl EmbeddedSubscription {
    /// Takes hold of a subscription that is free.
    pub(crate) fn attach(core: Arc<Core>, cell: Arc<HandlerCell>) -> Result<Self, QueueError> {
        let mut live = cell.lock();
        if cell.is_forgotten() && core.is_poisoned() {
            return Err(QueueError::Poisoned);
        }
        if live.session.is_some() || cell.is_forgotten() {
            return Err(QueueError::Busy(cell.handler.clone()));
        }
        live.session = Some(Session::begin(&live.state, core.clock.steady()));
        drop(live);
        cell.reset_reader();
        Ok(Self { core, cell })
    }

    /// How long to sleep until a waiting delivery is due.
    fn until_due(&self) -> Duration {
        let next = self.cell.lock().session.as_ref().and_then(Session::next_due);
        let wait = next.map_or(LOOK_AGAIN, |due| due.since(self.core.clock.steady()));
        wait.clamp(Duration::from_millis(1), LOOK_AGAIN)
    }
}

#[async_trait]
impl Subscription for EmbeddedSubscription {
    async fn next(&self, max: usize) -> Result<Vec<Delivery>, QueueError> {
        let mut log = self.core.log.watch();
        loop {
            // Listen before looking: whatever comes in between rings a bell that is heard.
            self.core.check_open()?;
            log.borrow_and_update();
            let rung = self.cell.bell.notified();
            tokio::pin!(rung);
            rung.as_mut().enable();
            let deliveries = self.take(max)?;
            if !deliveries.is_empty() {
                return Ok(deliveries);
            }
            tokio::select! {
                () = rung => {}
                () = self.core.closed.cancelled() => {}
                changed = log.changed() => changed.map_err(|_| QueueError::Closed)?,
                () = tokio::time::sleep(self.until_due()) => {}
            }
        }
    }

    async fn settle(&self, settlement: Settlement) -> Result<(), QueueError> {
        self.settle_in_order(vec![settlement]).await
    }

    async fn settle_all(&self, settlements: Vec<Settlement>) -> Result<(), QueueError> {
        self.settle_in_order(settlements).await
    }

    async fn release(&self, delivery: Delivery) -> Result<(), QueueError> {
        let mut live = self.cell.lock();
        let Live { state, session, retry_cache, .. } = &mut *live;
        if let Some(session) = session {
            retry_cache.keep(&delivery.event, Duration::ZERO);
            session.give_back(state, delivery.event.position);
        }
        drop(live);
        self.cell.bell.notify_waiters();
        Ok(())
    }

    async fn is_key_waiting(
        &self,
        order_key: OrderKey,
        position: Position,
    ) -> Result<bool, QueueError> {
        let live = self.cell.lock();
        Ok(live.session.as_ref().is_some_and(|session| session.is_key_waiting(order_key, position)))
    }

    async fn release_key(&self, order_key: OrderKey) -> Result<bool, QueueError> {
        Ok(self.release_head(order_key))
    }

    async fn hasten(&self) -> Result<bool, QueueError> {
        Ok(self.hasten_next())
    }

    fn backlog(&self) -> Backlog {
        super::stats::backlog(&self.core, &self.cell)
    }
}
