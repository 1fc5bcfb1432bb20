//! What the committer does besides appending and settling.

use std::collections::HashSet;
use std::sync::Arc;

use super::super::indexer::Applied;
use super::super::shared::{Job, Reply, lock};
use super::super::state::SubscriptionState;
use super::{Committer, HEADER_BYTES, HandlerName, Kind, Place, QueueError, Start, answer};

impl Committer {
    /// Does one job; `false` = it was the last.
    pub(super) fn do_job(&mut self, job: Job) -> bool {
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
                self.watched = Some(HashSet::new());
                self.barrier(reply);
            }
            Job::Carry(carry, reply) => {
                let result = self.carry(carry);
                self.watched = None;
                answer(reply, result);
            }
            Job::Barrier(reply) => self.barrier(reply),
            Job::Close(reply) => {
                // The checkpoint proves to the next start that all before it was synced.
                let result = self.checkpoint();
                answer(reply, result);
                return false;
            }
        }
        true
    }

    /// Answers when the index has all that was handed over so far.
    fn barrier(&self, reply: Reply<()>) {
        if let Err(err) = self.applied.send(vec![Applied::Barrier(reply)]) {
            for applied in err.0 {
                if let Applied::Barrier(reply) = applied {
                    answer(reply, Err(QueueError::Closed));
                }
            }
        }
    }

    /// Writes every subscription's place, durably, and tells the index.
    fn checkpoint(&mut self) -> Result<(), QueueError> {
        self.places.at = self.shared.now();
        let mut payload = Vec::new();
        self.places.encode(&mut payload);
        let mut commit = self.begin();
        self.make_room(&mut commit, HEADER_BYTES + payload.len(), 0)?;
        commit.batch.push(Kind::Checkpoint, |out| out.extend_from_slice(&payload));
        commit.applied.push(Applied::Checkpoint(self.places.clone()));
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
        if state.lock().is_subscribed {
            return Err(QueueError::Busy(handler.clone()));
        }
        let place = self.places.by_handler.remove(handler);
        if let Err(err) = self.checkpoint() {
            if let Some(place) = place {
                self.places.by_handler.insert(handler.clone(), place);
            }
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
        let mut commit = self.begin();
        self.make_room(&mut commit, HEADER_BYTES, super::SETTLE_ROOM)?;
        commit.batch.push(Kind::Filler, |_| {});
        self.finish(commit)
    }
}
