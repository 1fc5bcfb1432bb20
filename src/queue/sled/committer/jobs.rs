//! What the committer does besides appending and settling.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::indexer::Applied;
use super::super::shared::{Job, lock};
use super::super::state::SubscriptionState;
use super::{Committer, HEADER_BYTES, HandlerName, Kind, Place, QueueError, Start, answer};

impl Committer {
    /// Does one job; `false` = it was the last. `is_recorded` = nothing that was settled before it
    /// still waits for room.
    pub(super) fn do_job(&mut self, job: Job, is_recorded: bool) -> bool {
        match job {
            Job::Append(..) | Job::Settle => {}
            Job::Subscribe(handler, start, reply) => {
                let result = self.subscribe(&handler, start);
                answer(reply, result);
            }
            Job::Forget(handler, reply) => {
                let result = self.forget(&handler);
                answer(reply, result);
            }
            Job::Probe(reply) => {
                let result = self.probe();
                answer(reply, result);
            }
            Job::Watch(reply) => {
                self.watched = Some(HashMap::new());
                self.barrier(Applied::Barrier(reply));
            }
            Job::Carry(carry, reply) => {
                let result = self.carry(carry);
                answer(reply, result);
            }
            Job::Barrier(reply) => self.barrier(Applied::Barrier(reply)),
            Job::Recorded(reply) if is_recorded => self.barrier(Applied::Barrier(reply)),
            Job::Recorded(reply) => answer(reply, Err(self.why_not_recorded())),
            Job::Remember(reply) => self.barrier(Applied::Remember(reply)),
            Job::Compact(reply) => self.barrier(Applied::Compact(reply)),
            Job::Close(reply) => {
                // The checkpoint proves to the next start that all before it was synced.
                let closed = self.checkpoint();
                let lost = || QueueError::Full("the last settlements are not recorded".into());
                answer(reply, closed.and_then(|()| is_recorded.then_some(()).ok_or_else(lost)));
                return false;
            }
        }
        true
    }

    fn why_not_recorded(&self) -> QueueError {
        if *self.shared.poisoned.borrow() {
            QueueError::Poisoned
        } else {
            QueueError::Full("the changes wait for room to be recorded".into())
        }
    }

    /// Writes every subscription's place, durably, and tells the index.
    fn checkpoint(&mut self) -> Result<(), QueueError> {
        self.places.at = self.shared.now();
        let mut payload = Vec::new();
        self.places.encode(&mut payload);
        let mut commit = self.begin(0);
        self.make_room(&mut commit, HEADER_BYTES + payload.len(), 0)?;
        let at = self.location(&commit.batch);
        commit.batch.push(Kind::Checkpoint, |out| out.extend_from_slice(&payload));
        commit.applied.push(Applied::Checkpoint { at, places: self.places.clone() });
        self.finish(commit)?;
        self.publish_places();
        Ok(())
    }

    /// Gives a handler a place, unless it has one.
    fn subscribe(&mut self, handler: &HandlerName, start: Start) -> Result<(), QueueError> {
        if self.places.by_handler.contains_key(handler) {
            return Ok(());
        }
        let cursor = match start {
            Start::Now => self.places.next,
            Start::Oldest => self.shared.oldest(),
        };
        let place = Place::at(cursor);
        self.places.by_handler.insert(handler.clone(), place.clone());
        if let Err(err) = self.checkpoint() {
            self.places.by_handler.remove(handler);
            return Err(err);
        }
        let state = Arc::new(SubscriptionState::new(handler.clone(), &place));
        lock(&self.shared.subscriptions).insert(handler.clone(), state);
        Ok(())
    }

    /// Takes a handler's place away; `false` = it had none.
    fn forget(&mut self, handler: &HandlerName) -> Result<bool, QueueError> {
        let Some(state) = self.shared.subscription(handler) else { return Ok(false) };
        {
            let mut inner = state.lock();
            if inner.is_subscribed {
                return Err(QueueError::Busy(handler.clone()));
            }
            // Who found the state before cannot take hold of it any more.
            inner.is_forgotten = true;
        }
        let place = self.places.by_handler.remove(handler);
        if let Err(err) = self.checkpoint() {
            if let Some(place) = place {
                self.places.by_handler.insert(handler.clone(), place);
            }
            state.lock().is_forgotten = false;
            return Err(err);
        }
        lock(&self.shared.subscriptions).remove(handler);
        Ok(true)
    }

    /// Writes a record that says nothing.
    fn probe(&mut self) -> Result<(), QueueError> {
        if let Some(why) = lock(&self.shared.blocked).clone() {
            return Err(QueueError::Full(why));
        }
        let mut commit = self.begin(0);
        self.make_room(&mut commit, HEADER_BYTES, self.settle_room)?;
        commit.batch.push(Kind::Filler, |_| {});
        self.finish(commit)
    }
}
