//! What the index is told of: much at a time, because each time wakes its thread.

use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use super::super::indexer::Applied;
use super::{Committer, SETTLE_EVERY, answer};
use crate::clock::Stopwatch;

/// How long events are collected before the index is told of them. Readers look behind the index
/// in the journal, and settlements, which somebody waits for, are as rare.
const HAND_OVER_EVERY: Duration = SETTLE_EVERY;
/// How many events are collected at most.
const HAND_OVER_EVENTS: usize = 1_024;
/// How many bytes of the journal the index may be behind before appends wait.
const LAG_BYTES_MAX: u64 = 64 << 20;

/// The way to the indexer, and what is collected for it.
#[derive(Debug)]
pub(crate) struct HandOver {
    to: mpsc::Sender<Vec<Applied>>,
    collected: Vec<Applied>,
    n_bytes: u64,
    since: Stopwatch,
}

impl HandOver {
    pub(crate) fn new(to: mpsc::Sender<Vec<Applied>>) -> Self {
        Self { to, collected: Vec::new(), n_bytes: 0, since: Stopwatch::start() }
    }

    /// How long the committer may sleep before the index must be told; `None` = there is nothing
    /// to tell.
    pub(super) fn due_in(&self) -> Option<Duration> {
        let left = HAND_OVER_EVERY.saturating_sub(self.since.elapsed());
        (!self.collected.is_empty()).then_some(left)
    }

    fn collect(&mut self, applied: Vec<Applied>, n_bytes: u64) {
        if self.collected.is_empty() {
            self.since = Stopwatch::start();
        }
        self.n_bytes += n_bytes;
        self.collected.extend(applied);
    }
}

impl Committer {
    /// Gives the index what was written, at the latest when it is due; waits while the index is
    /// too far behind.
    pub(super) fn hand_over(&mut self, applied: Vec<Applied>, n_bytes: u64) {
        if applied.is_empty() {
            return;
        }
        let lag = self.shared.lag_bytes.fetch_add(n_bytes, Ordering::AcqRel) + n_bytes;
        // With an event nobody waits for the index; with all the rest somebody may.
        let can_wait = applied.iter().all(|applied| matches!(applied, Applied::Event(..)));
        self.handing_over.collect(applied, n_bytes);
        if !can_wait || self.handing_over.collected.len() >= HAND_OVER_EVENTS {
            self.hand_over_collected();
        }
        if lag > LAG_BYTES_MAX {
            let (reply, done) = tokio::sync::oneshot::channel();
            self.barrier(Applied::Barrier(reply));
            if done.blocking_recv().is_err() {
                tracing::warn!("The indexer did not say that it caught up");
            }
        }
    }

    /// Gives the index what has been collected for long enough.
    pub(super) fn hand_over_due(&mut self) {
        if self.handing_over.due_in() == Some(Duration::ZERO) {
            self.hand_over_collected();
        }
    }

    /// Has the index answer when it has all that was written so far.
    pub(super) fn barrier(&mut self, barrier: Applied) {
        self.hand_over_collected();
        if let Err(err) = self.handing_over.to.send(vec![barrier]) {
            for applied in err.0 {
                if let Applied::Barrier(reply)
                | Applied::Remember(reply)
                | Applied::Compact(reply) = applied
                {
                    answer(reply, Err(crate::queue::QueueError::Closed));
                }
            }
        }
    }

    pub(super) fn hand_over_collected(&mut self) {
        if self.handing_over.collected.is_empty() {
            return;
        }
        let mut applied = std::mem::take(&mut self.handing_over.collected);
        let n_bytes = std::mem::take(&mut self.handing_over.n_bytes);
        applied.push(Applied::Progress { durable: self.shared.durable(), n_bytes });
        // The indexer ends after the committer only: it takes everything.
        if self.handing_over.to.send(applied).is_err() {
            tracing::error!("The indexer is gone; the index will be rebuilt at the next start");
        }
    }
}
