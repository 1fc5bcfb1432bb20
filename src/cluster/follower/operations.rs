//! What each operation does where it is applied.

use std::time::Duration;

use super::LogFollower;
use crate::clock::Timestamp;
use crate::cluster::engine::Sequence;
use crate::cluster::node::NodeName;
use crate::cluster::operation_outcome::OperationOutcome;
use crate::cluster::unit::{HandChange, UnitOperation};
use crate::event::{HandlerName, Position};
use crate::queue::embedded::SharedChange;
use crate::queue::{DeadChange, Queue as _, QueueError};

/// How soon a subscription that is given back is looked at again.
const FREE_AGAIN: Duration = Duration::from_millis(5);

impl LogFollower {
    /// Does what an operation says, if it counts. An error of the outer kind stops this node; one of
    /// the inner kind is the answer, on every node the same.
    pub(super) async fn apply_operation(
        &self,
        from: &NodeName,
        operation: UnitOperation,
        (at, place, made_at): (Sequence, u64, Timestamp),
    ) -> Result<Result<OperationOutcome, QueueError>, QueueError> {
        let members = || self.node.members.lock();
        let verdict = match operation {
            UnitOperation::Events { .. } => return Ok(Err(QueueError::Closed)),
            UnitOperation::Settle { handler, epoch, changes } => {
                OperationOutcome::Counted(self.settle(from, &handler, epoch, changes)?)
            }
            UnitOperation::ByHand { handler, change, positions } => {
                self.change_by_hand(handler, change, positions).await?
            }
            UnitOperation::Subscribe { handler, since } => {
                self.with_room(|| self.node.copy.begin_subscription(&handler, since)).await?;
                OperationOutcome::Counted(true)
            }
            UnitOperation::Forget { handler } => {
                if members().lease(&handler).owner.is_some() {
                    return Ok(Err(QueueError::Busy(handler)));
                }
                OperationOutcome::Counted(self.forget(&handler).await?)
            }
            UnitOperation::CarryOver { handler, changes } => {
                let n_changed = self.node.copy.carry_shared(&handler, changes)?;
                OperationOutcome::Changed(n_changed.unwrap_or_default())
            }
            UnitOperation::Pause { handler, of, pause } => {
                OperationOutcome::Counted(members().set_pause(&handler, of.as_deref(), pause))
            }
            UnitOperation::TryNow { handler } => {
                // One that catches up comes to what was asked hours ago.
                self.handlers.ask_try(&handler, self.node.steady_at(made_at));
                OperationOutcome::Counted(true)
            }
            UnitOperation::Claim { handler, before } => {
                OperationOutcome::Counted(members().claim(from, &handler, before, at))
            }
            UnitOperation::Release { handler, epoch } => {
                OperationOutcome::Counted(members().release(from, &handler, epoch))
            }
            UnitOperation::Beat { applied, handlers } => {
                members().beat(from, applied, handlers);
                OperationOutcome::Counted(true)
            }
            UnitOperation::Action { id, text } => {
                self.node.action_log.apply((at, place), from, (id, text));
                OperationOutcome::Counted(true)
            }
            UnitOperation::Report { text } => {
                self.node.reports.apply(from, made_at, text);
                let is_own = *from == self.node.name;
                // Asked for at this place of the log: what comes a moment later is told behind it.
                let before = is_own.then(|| self.node.reports.list_without(from));
                OperationOutcome::Told(before.unwrap_or_default())
            }
            UnitOperation::Leave => {
                members().leave(from);
                OperationOutcome::Counted(true)
            }
        };
        Ok(Ok(verdict))
    }

    fn settle(
        &self,
        from: &NodeName,
        handler: &HandlerName,
        epoch: u64,
        changes: Vec<SharedChange>,
    ) -> Result<bool, QueueError> {
        if !self.node.members.lock().holds(from, handler, epoch) {
            return Ok(false);
        }
        self.node.copy.apply_shared(handler, changes)
    }

    async fn change_by_hand(
        &self,
        handler: HandlerName,
        change: HandChange,
        positions: Vec<Position>,
    ) -> Result<OperationOutcome, QueueError> {
        let copy = &self.node.copy;
        let dead = match change {
            HandChange::Redrive => DeadChange::Redrive,
            HandChange::Drop => DeadChange::Drop,
            HandChange::Replay => {
                let replayed = self.with_room(|| copy.replay(&handler, &positions)).await;
                return replayed.map(OperationOutcome::Replayed);
            }
        };
        let letters = positions.into_iter().map(|position| (handler.clone(), position));
        let letters: Vec<_> = letters.collect();
        let changed = self.with_room(|| copy.change_dead(letters.clone(), dead)).await;
        changed.map(OperationOutcome::Changed)
    }

    /// Does what may find the disk full, until there is room: the others go on, this node then. What is done twice
    /// is absolute: only how many deliveries it has changed may be told too low.
    async fn with_room<T, F: Future<Output = Result<T, QueueError>>>(
        &self,
        work: impl Fn() -> F,
    ) -> Result<T, QueueError> {
        loop {
            match work().await {
                Err(err @ QueueError::Full(_)) => self.wait_for_room(&err).await,
                done => return done,
            }
        }
    }

    /// Removes a subscription that no node has the lease of. Here a call may have hold of it yet.
    async fn forget(&self, handler: &HandlerName) -> Result<bool, QueueError> {
        loop {
            self.handlers.take_back(handler);
            match self.node.copy.forget(handler).await {
                Err(QueueError::Busy(_)) => tokio::time::sleep(FREE_AGAIN).await,
                Err(err @ QueueError::Full(_)) => self.wait_for_room(&err).await,
                forgotten => return forgotten,
            }
        }
    }
}
