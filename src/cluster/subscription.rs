//! One handler's subscription on this node: it gives out deliveries only while this node has the handler's
//! lease, and what is settled counts once the shared log has it.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;

use super::handlers::{HandlerHold, Hold, HoldState, LocalHandlers};
use super::local_node::LocalNode;
use super::operation_outcome::OperationOutcome;
use super::unit::UnitOperation;
use crate::event::{Delivery, HandlerName, OrderKey, Position, Settlement};
use crate::queue::embedded::SharedChange;
use crate::queue::{Backlog, QueueError, Start, Subscription};
use crate::sync::lock;

/// How many settlements may be on their way into the log while the next calls are made: as many ended
/// calls are made again where the process dies, the engine refuses them, or another node is given the
/// lease before.
const SETTLING_MAX: usize = 256;

/// A handler's subscription where several nodes share the log. Dropping it gives the lease up.
///
/// What is given out is given out under one lease, and all of it comes back or is let go before the next
/// lease gives out anything: so the order of a key holds over them.
#[derive(Debug)]
pub(super) struct ClusterSubscription {
    node: Arc<LocalNode>,
    handlers: Arc<LocalHandlers>,
    handler: HandlerName,
    start: Start,
    shared: Arc<HandlerHold>,
}

impl Drop for ClusterSubscription {
    fn drop(&mut self) {
        self.handlers.unsubscribe(&self.handler);
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
        let shared = handlers.subscribe(&handler)?;
        node.ring();
        Some(Self { node, handlers, handler, start, shared })
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

    /// The hold, taken if this node has the lease; `None` = it has none.
    async fn hold(&self) -> Result<Option<Hold>, QueueError> {
        if let Some(held) = self.held() {
            return Ok(Some(held));
        }
        // What an earlier hold has delivered would come again otherwise.
        self.wait_for_settling(0).await?;
        let mut state = self.shared.hold.lock();
        let HoldState::Free = *state else { return Ok(None) };
        let Some((epoch, _)) = self.node.holds(&self.handler).filter(|_| !self.is_draining())
        else {
            return Ok(None);
        };
        match self.node.copy.attach(&self.handler) {
            Ok(session) => {
                let hold = Hold { epoch, session: Arc::new(session) };
                *state = HoldState::Held(hold.clone());
                Ok(Some(hold))
            }
            // A call under the old lease has it yet.
            Err(QueueError::Busy(_)) => Ok(None),
            Err(err) => Err(err),
        }
    }

    /// Waits until at most `n_left` settlements are on their way. Dropping the future loses none of them.
    /// Where one was refused, so are probably those behind it: what is answered of them is not waited for.
    async fn wait_for_settling(&self, n_left: usize) -> Result<(), QueueError> {
        loop {
            let answered = poll_fn(|cx| self.poll_oldest(n_left, cx));
            let (n_changes, verdict) = tokio::select! {
                () = self.node.closed.cancelled() => return Err(QueueError::Closed),
                answered = answered => match answered {
                    Some(answered) => answered,
                    None => return Ok(()),
                },
            };
            match verdict {
                Ok(outcome) => self.note_settled(n_changes, &outcome),
                Err(err) => {
                    let mut settling = lock(&self.shared.settling);
                    while settling.pop_front_if(|(_, answer)| !answer.is_empty()).is_some() {}
                    return Err(err);
                }
            }
        }
    }

    /// What became of the oldest settlement; `None` = it is not waited for: at most `n_left` are left.
    fn poll_oldest(
        &self,
        n_left: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Option<(u64, Result<OperationOutcome, QueueError>)>> {
        let mut settling = lock(&self.shared.settling);
        let is_due = settling.len() > n_left;
        let Some((n_changes, answer)) = settling.front_mut() else { return Poll::Ready(None) };
        let n_changes = *n_changes;
        match Pin::new(answer).poll(cx) {
            Poll::Ready(verdict) => {
                settling.pop_front();
                Poll::Ready(Some((n_changes, verdict.unwrap_or(Err(QueueError::Closed)))))
            }
            Poll::Pending if is_due => Poll::Pending,
            Poll::Pending => Poll::Ready(None),
        }
    }

    /// Counts what came too late: the one that has the lease now makes these deliveries again.
    fn note_settled(&self, n_changes: u64, outcome: &OperationOutcome) {
        match outcome {
            OperationOutcome::Counted(true) => {}
            OperationOutcome::Counted(false)
            | OperationOutcome::Stored(_)
            | OperationOutcome::Told(_)
            | OperationOutcome::Replayed(_)
            | OperationOutcome::Changed(_) => {
                self.node.n_void.fetch_add(n_changes, Ordering::Relaxed);
            }
        }
    }

    /// The hold as it is, whether the lease is over or not.
    fn held(&self) -> Option<Hold> {
        match &*self.shared.hold.lock() {
            HoldState::Held(hold) => Some(hold.clone()),
            HoldState::Free | HoldState::TakenBack => None,
        }
    }

    /// How long the lease of `epoch` is good yet, as far as this node can tell; `None` = it is over.
    fn left(&self, epoch: u64) -> Option<Duration> {
        let held = self.node.holds(&self.handler).filter(|(held, _)| *held == epoch);
        held.filter(|_| !self.is_draining()).map(|(_, left)| left)
    }

    /// Returns when the lease of `epoch` is over.
    async fn until_over(&self, epoch: u64) {
        let mut changed = self.node.changed.subscribe();
        loop {
            changed.borrow_and_update();
            let Some(left) = self.left(epoch) else { return };
            tokio::select! {
                _ = changed.changed() => {}
                () = tokio::time::sleep(left) => {}
            }
        }
    }

    fn is_paused(&self) -> bool {
        self.node.members.lock().pause_of(&self.handler).is_some()
    }

    /// Returns when the handler is paused: what it had given out is tried, and no more.
    async fn until_paused(&self) {
        let mut changed = self.node.changed.subscribe();
        // An error means that the node is gone.
        while !self.is_paused() && changed.changed().await.is_ok() {}
    }

    fn is_draining(&self) -> bool {
        self.node.life.lock().draining.contains_key(&self.handler)
    }
}

#[async_trait]
impl Subscription for ClusterSubscription {
    async fn next(&self, max: usize) -> Result<Vec<Delivery>, QueueError> {
        self.ensure().await?;
        let mut changed = self.node.changed.subscribe();
        let Hold { epoch, session } = loop {
            changed.borrow_and_update();
            if !self.is_paused()
                && let Some(hold) = self.hold().await?
            {
                break hold;
            }
            if self.is_over() {
                return Ok(Vec::new());
            }
            tokio::select! {
                () = self.node.closed.cancelled() => return Err(QueueError::Closed),
                _ = changed.changed() => {}
                () = tokio::time::sleep(self.node.lease / 12) => {}
            }
        };
        if self.shared.is_hasty.swap(false, Ordering::SeqCst) {
            session.hasten().await?;
        }
        tokio::select! {
            biased;
            () = self.node.closed.cancelled() => Err(QueueError::Closed),
            () = self.until_over(epoch) => Ok(Vec::new()),
            () = self.until_paused() => Ok(Vec::new()),
            deliveries = session.next(max) => deliveries,
        }
    }

    async fn settle(&self, settlement: Settlement) -> Result<(), QueueError> {
        self.settle_all(vec![settlement]).await
    }

    async fn settle_all(&self, settlements: Vec<Settlement>) -> Result<(), QueueError> {
        if self.node.closed.is_cancelled() {
            return Err(QueueError::Closed);
        }
        let Some(Hold { epoch, session }) = self.held() else {
            self.node.n_void.fetch_add(settlements.len() as u64, Ordering::Relaxed);
            return Ok(());
        };
        let prepared = settlements.into_iter().filter_map(|settlement| session.prepare(settlement));
        let changes: Vec<SharedChange> = prepared.collect();
        drop(session);
        if changes.is_empty() {
            return Ok(());
        }
        let n_changes = changes.len() as u64;
        // What waits, or holds its key, must be known before the next delivery of the key.
        let n_left = if changes.iter().all(SharedChange::is_end) { SETTLING_MAX } else { 0 };
        let handler = self.handler.clone();
        let settle = UnitOperation::Settle { handler, epoch, changes };
        let answer = self.node.begin_proposal(settle).await?;
        lock(&self.shared.settling).push_back((n_changes, answer));
        self.wait_for_settling(n_left).await
    }

    async fn release(&self, delivery: Delivery) -> Result<(), QueueError> {
        match self.held() {
            Some(Hold { session, .. }) => session.release(delivery).await,
            // It comes again by itself.
            None => Ok(()),
        }
    }

    async fn is_key_waiting(
        &self,
        order_key: OrderKey,
        position: Position,
    ) -> Result<bool, QueueError> {
        match self.held() {
            Some(Hold { session, .. }) => session.is_key_waiting(order_key, position).await,
            None => Ok(false),
        }
    }

    async fn release_key(&self, order_key: OrderKey) -> Result<bool, QueueError> {
        match self.held() {
            Some(Hold { session, .. }) => session.release_key(order_key).await,
            None => Ok(false),
        }
    }

    async fn hasten(&self) -> Result<bool, QueueError> {
        if let Some(Hold { session, .. }) = self.held() {
            return session.hasten().await;
        }
        // The lease may have been taken a moment ago, so that nothing was given out yet.
        let is_next = self.node.holds(&self.handler).is_some();
        self.shared.is_hasty.store(is_next, Ordering::SeqCst);
        Ok(is_next)
    }

    fn is_over(&self) -> bool {
        let epoch = match &*self.shared.hold.lock() {
            HoldState::Free => return false,
            HoldState::Held(hold) => hold.epoch,
            HoldState::TakenBack => return true,
        };
        self.left(epoch).is_none()
    }

    fn begin_anew(&self) {
        *self.shared.hold.lock() = HoldState::Free;
        // The lease may be on its way to another node.
        self.node.ring();
    }

    fn backlog(&self) -> Backlog {
        self.node.copy.backlog(&self.handler)
    }
}
