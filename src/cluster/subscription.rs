//! One handler's subscription on this node: it gives out deliveries only while this node has the handler's
//! lease, and what is settled counts once the shared log has it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::handlers::LocalHandlers;
use super::local_node::{LocalNode, OperationOutcome};
use super::unit::UnitOperation;
use crate::event::{Delivery, HandlerName, OrderKey, Position, Settlement};
use crate::queue::embedded::{SharedChange, SharedSession};
use crate::queue::{Backlog, QueueError, Start, Subscription};
use crate::sync::lock;

/// A handler's subscription where several nodes share the log. Dropping it gives the lease up.
#[derive(Debug)]
pub(super) struct ClusterSubscription {
    node: Arc<LocalNode>,
    handlers: Arc<LocalHandlers>,
    handler: HandlerName,
    start: Start,
    /// The hold on the copy's state, while this node has the lease, with the lease's epoch.
    session: Mutex<Option<(u64, Arc<SharedSession>)>>,
}

impl Drop for ClusterSubscription {
    fn drop(&mut self) {
        self.handlers.remove(&self.handler);
        self.node.ring();
    }
}

impl ClusterSubscription {
    /// Takes part with a handler. `None` = it does so already.
    pub(super) fn begin(
        node: Arc<LocalNode>,
        handlers: Arc<LocalHandlers>,
        (handler, start): (HandlerName, Start),
    ) -> Option<Self> {
        if !handlers.add(&handler) {
            return None;
        }
        node.ring();
        Some(Self { node, handlers, handler, start, session: Mutex::default() })
    }

    /// Gives the handler a subscription on every node, unless it has one. While the engine is away that
    /// takes until it is back.
    pub(super) async fn ensure(&self) -> Result<(), QueueError> {
        let copy = &self.node.copy;
        if copy.has_subscription(&self.handler) {
            return Ok(());
        }
        let since = match self.start {
            Start::Now => None,
            Start::Oldest => Some(copy.oldest()),
        };
        let operation = UnitOperation::Subscribe { handler: self.handler.clone(), since };
        self.node.propose(operation).await.map(|_| ())
    }

    /// The hold on the copy's state under the lease that this node has now; `None` = it has none.
    fn current(&self) -> Result<Option<(u64, Arc<SharedSession>)>, QueueError> {
        let held = self.node.holds(&self.handler);
        let mut session = lock(&self.session);
        let epoch = held.map(|(epoch, _)| epoch);
        if session.as_ref().map(|(epoch, _)| *epoch) != epoch {
            // Given up before it is taken anew: a subscription has one hold.
            *session = None;
            if let Some(epoch) = epoch {
                // What was given out under the old lease comes back first: its handler still goes by
                // it, and would let a later delivery of the same order key go.
                if self.handlers.n_taken(&self.handler) > 0 {
                    return Ok(None);
                }
                match self.node.copy.attach(&self.handler) {
                    Ok(held) => *session = Some((epoch, Arc::new(held))),
                    // A call under the old lease has it yet.
                    Err(QueueError::Busy(_)) => return Ok(None),
                    Err(err) => return Err(err),
                }
            }
        }
        Ok(session.clone())
    }

    /// Returns when the lease of `epoch` is over, as far as this node can tell.
    async fn until_lost(&self, epoch: u64) {
        let mut changed = self.node.changed.subscribe();
        loop {
            changed.borrow_and_update();
            let left = match self.node.holds(&self.handler) {
                Some((held, left)) if held == epoch && !self.is_draining() => left,
                Some(_) | None => return,
            };
            tokio::select! {
                _ = changed.changed() => {}
                () = tokio::time::sleep(left) => {}
            }
        }
    }

    /// The hold as it is, whether the lease is over or not.
    fn session(&self) -> Option<Arc<SharedSession>> {
        lock(&self.session).as_ref().map(|(_, session)| Arc::clone(session))
    }

    fn is_draining(&self) -> bool {
        lock(&self.node.life).draining.contains_key(&self.handler)
    }

    /// What was given out under a lease that is over settles nothing: the one that has the lease now makes
    /// the delivery again.
    fn is_void(&self, position: Position) -> bool {
        let taken = self.handlers.give_back(&self.handler, position);
        let current = self.node.holds(&self.handler).map(|(epoch, _)| epoch);
        let is_void = taken.is_none() || taken != current;
        if is_void {
            // `next` may wait for it.
            self.node.ring();
        }
        is_void
    }
}

#[async_trait]
impl Subscription for ClusterSubscription {
    async fn next(&self, max: usize) -> Result<Vec<Delivery>, QueueError> {
        self.ensure().await?;
        let mut changed = self.node.changed.subscribe();
        loop {
            changed.borrow_and_update();
            let current = if self.is_draining() { None } else { self.current()? };
            let Some((epoch, session)) = current else {
                tokio::select! {
                    () = self.node.closed.cancelled() => return Err(QueueError::Closed),
                    _ = changed.changed() => continue,
                    () = tokio::time::sleep(self.node.lease / 12) => continue,
                }
            };
            tokio::select! {
                biased;
                () = self.node.closed.cancelled() => return Err(QueueError::Closed),
                () = self.until_lost(epoch) => {}
                deliveries = session.next(max) => {
                    let deliveries = deliveries?;
                    let positions = deliveries.iter().map(|delivery| delivery.event.position);
                    self.handlers.take(&self.handler, epoch, positions);
                    return Ok(deliveries);
                }
            }
        }
    }

    async fn settle(&self, settlement: Settlement) -> Result<(), QueueError> {
        self.settle_all(vec![settlement]).await
    }

    async fn settle_all(&self, settlements: Vec<Settlement>) -> Result<(), QueueError> {
        if self.node.closed.is_cancelled() {
            return Err(QueueError::Closed);
        }
        let session = lock(&self.session).clone();
        let Some((epoch, session)) = session else {
            self.node.n_void.fetch_add(settlements.len() as u64, Ordering::Relaxed);
            for settlement in settlements {
                self.handlers.give_back(&self.handler, settlement.delivery.event.position);
            }
            self.node.ring();
            return Ok(());
        };
        let mut changes: Vec<SharedChange> = Vec::with_capacity(settlements.len());
        let mut n_void = 0;
        for settlement in settlements {
            if self.is_void(settlement.delivery.event.position) {
                n_void += 1;
                continue;
            }
            changes.extend(session.prepare(settlement));
        }
        let n_changes = changes.len() as u64;
        drop(session);
        if n_changes > 0 {
            let handler = self.handler.clone();
            let settle = UnitOperation::Settle { handler, epoch, changes };
            match self.node.propose(settle).await? {
                OperationOutcome::Counted(true) => {}
                OperationOutcome::Counted(false)
                | OperationOutcome::Stored(_)
                | OperationOutcome::Changed(_) => {
                    n_void += n_changes;
                }
            }
        }
        self.node.n_void.fetch_add(n_void, Ordering::Relaxed);
        Ok(())
    }

    async fn release(&self, delivery: Delivery) -> Result<(), QueueError> {
        let is_void = self.is_void(delivery.event.position);
        match self.session() {
            Some(session) if !is_void => session.release(delivery).await,
            // It comes again by itself.
            Some(_) | None => Ok(()),
        }
    }

    async fn is_key_waiting(
        &self,
        order_key: OrderKey,
        position: Position,
    ) -> Result<bool, QueueError> {
        match self.session() {
            Some(session) => session.is_key_waiting(order_key, position).await,
            None => Ok(false),
        }
    }

    async fn release_key(&self, order_key: OrderKey) -> Result<bool, QueueError> {
        match self.session() {
            Some(session) => session.release_key(order_key).await,
            None => Ok(false),
        }
    }

    async fn hasten(&self) -> Result<bool, QueueError> {
        match self.session() {
            Some(session) => session.hasten().await,
            None => Ok(false),
        }
    }

    fn backlog(&self) -> Backlog {
        self.node.copy.backlog(&self.handler)
    }
}
