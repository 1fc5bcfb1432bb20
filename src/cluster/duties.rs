//! What a node does by itself: it gives signs of life, takes the leases that are its own or that a silent
//! node left, hands over what another is meant to have, and lets the shared log go where all have it.

use std::collections::{BTreeMap, VecDeque};
use std::hash::Hasher;
use std::sync::Arc;
use std::time::Duration;

use super::engine::Sequence;
use super::handlers::LocalHandlers;
use super::local_node::LocalNode;
use super::members::Lease;
use super::node::NodeName;
use super::unit::UnitOperation;
use crate::clock::Timestamp;
use crate::event::HandlerName;
use crate::sync::lock;

/// How often the shared log is let go, and asked what it survives.
const TIDY_EVERY: Duration = Duration::from_mins(1);
/// What all nodes have applied stays for so long: a node that comes new reads the log from its beginning.
const KEPT_FOR: Duration = Duration::from_hours(24);
/// A node that was silent for so long is not waited for: it has to begin with a copy of another's.
const GONE_AFTER: Duration = Duration::from_hours(24);

/// Does its duties until the node is stopped.
pub(super) async fn run(node: Arc<LocalNode>, handlers: Arc<LocalHandlers>) {
    let mut duties = Duties {
        node: Arc::clone(&node),
        handlers,
        beat_at: None,
        tidied_at: None,
        had_by_all: VecDeque::new(),
    };
    let mut changed = node.changed.subscribe();
    while !node.leaving.is_cancelled() && node.failed.borrow().is_none() {
        changed.borrow_and_update();
        duties.do_all().await;
        tokio::select! {
            () = node.closed.cancelled() => return,
            () = node.leaving.cancelled() => return,
            // An error means that the node is gone.
            _ = changed.changed() => {}
            () = tokio::time::sleep(node.lease / 8) => {}
        }
    }
}

struct Duties {
    node: Arc<LocalNode>,
    handlers: Arc<LocalHandlers>,
    /// When the newest sign of life was sent, and with which handlers.
    beat_at: Option<(Timestamp, Vec<HandlerName>)>,
    tidied_at: Option<Timestamp>,
    /// How far all nodes had applied the log at some moments, the oldest first.
    had_by_all: VecDeque<(Timestamp, u64)>,
}

/// What is to be done about one handler.
#[derive(Debug, PartialEq, Eq)]
enum Duty {
    Nothing,
    Claim {
        before: u64,
    },
    /// Another node is meant to have it.
    PassOn {
        epoch: u64,
    },
    /// It is not configured here any more.
    GiveBack {
        epoch: u64,
    },
}

impl Duties {
    async fn do_all(&mut self) {
        let wanted = self.handlers.names();
        let now = self.node.clock.steady();
        let is_due = self.beat_at.as_ref().is_none_or(|(at, handlers)| {
            now.since(*at) >= self.node.lease / 4 || *handlers != wanted
        });
        if is_due {
            self.beat_at = Some((now, wanted.clone()));
            let applied = *self.node.applied.borrow();
            // While the engine is away it waits, and so does everything else here.
            drop(
                self.node.propose(UnitOperation::Beat { applied, handlers: wanted.clone() }).await,
            );
        }
        let leases = self.leases_of(&wanted);
        for (handler, lease) in leases {
            self.look_after(&handler, &lease).await;
        }
        let is_time = |at: Timestamp| self.node.clock.steady().since(at) >= TIDY_EVERY;
        if self.node.is_engine_up() && self.tidied_at.is_none_or(is_time) {
            self.tidied_at = Some(self.node.clock.steady());
            self.trim().await;
            if let Ok(report) = self.node.engine.check().await {
                *lock(&self.node.durability) = Some(report.durability);
            }
        }
    }

    /// The leases of the handlers that are wanted here, and those that this node has.
    fn leases_of(&self, wanted: &[HandlerName]) -> BTreeMap<HandlerName, Lease> {
        let members = self.node.members.lock();
        let is_own = |lease: &Lease| lease.owner.as_ref() == Some(&self.node.name);
        let own = members.leases().filter(|(_, lease)| is_own(lease));
        let own = own.map(|(handler, lease)| (handler.clone(), lease.clone()));
        let wanted = wanted.iter().map(|handler| (handler.clone(), members.lease(handler)));
        own.chain(wanted).collect()
    }

    async fn look_after(&self, handler: &HandlerName, lease: &Lease) {
        let now = self.node.clock.steady();
        let operation = match self.duty(handler, lease) {
            Duty::Nothing => {
                self.node.life.lock().draining.remove(handler);
                return;
            }
            Duty::Claim { before } => UnitOperation::Claim { handler: handler.clone(), before },
            Duty::GiveBack { epoch } => {
                // A subscription that is made anew meanwhile, as by a reload, gives out nothing under this
                // lease: what it settled would be void. One that was before that goes on with it.
                self.node.life.lock().draining.insert(handler.clone(), now);
                if self.handlers.is_wanted(handler) {
                    self.node.life.lock().draining.remove(handler);
                    return self.node.ring();
                }
                UnitOperation::Release { handler: handler.clone(), epoch }
            }
            Duty::PassOn { epoch } => {
                let since = *self.node.life.lock().draining.entry(handler.clone()).or_insert(now);
                // The calls under way end first; the rest is the other node's to make.
                if self.handlers.has_hold(handler) && now.since(since) < self.node.lease {
                    return;
                }
                UnitOperation::Release { handler: handler.clone(), epoch }
            }
        };
        // It shows in the members whether it counted; where it did not, it is looked at again.
        if self.node.leaving.is_cancelled() {
            return;
        }
        drop(self.node.propose(operation).await);
        self.node.life.lock().draining.remove(handler);
    }

    fn duty(&self, handler: &HandlerName, lease: &Lease) -> Duty {
        let node = &self.node;
        let is_wanted = self.handlers.is_wanted(handler);
        let preferred = self.preferred(handler);
        match &lease.owner {
            Some(owner) if *owner == node.name => match preferred {
                _ if !is_wanted => Duty::GiveBack { epoch: lease.epoch },
                Some(other) if other != node.name => Duty::PassOn { epoch: lease.epoch },
                Some(_) | None => Duty::Nothing,
            },
            Some(owner) if !node.is_silent(owner) => Duty::Nothing,
            // Free, or left behind: the one that is meant to have it takes it at once. If that one is
            // silent it is not asked any more.
            Some(_) | None if preferred.as_ref() == Some(&node.name) => {
                Duty::Claim { before: lease.epoch }
            }
            Some(_) | None => Duty::Nothing,
        }
    }

    /// Which of the nodes that give signs of life is meant to have a handler: each has about as many,
    /// and few move when one comes or goes (rendezvous hashing).
    fn preferred(&self, handler: &HandlerName) -> Option<NodeName> {
        let is_wanted_here = self.handlers.is_wanted(handler);
        let members = self.node.members.lock();
        let candidates = members.nodes().filter(|(name, member)| {
            **name == self.node.name && is_wanted_here
                || !member.has_left
                    && member.handlers.contains(handler)
                    && !self.node.is_silent(name)
        });
        candidates.map(|(name, _)| name).max_by_key(|name| weight(name, handler)).cloned()
    }

    /// Lets the engine drop what every node has applied.
    async fn trim(&mut self) {
        let steady = self.node.clock.steady();
        // One of them is enough, and an engine may not like two at a time.
        let is_first = |name: &NodeName| *name >= self.node.name || self.node.is_silent(name);
        if !self.node.members.lock().nodes().all(|(name, _)| is_first(name)) {
            return;
        }
        let before = {
            let members = self.node.members.lock();
            let life = self.node.life.lock();
            let seen = |name: &NodeName| life.seen.get(name).copied();
            let nodes = members.nodes().map(|(name, member)| (member.applied, seen(name)));
            applied_by_all(nodes, steady)
        };
        let Some(before) = before.filter(|before| *before > 0) else { return };
        self.had_by_all.push_back((steady, before));
        let is_old = |(at, _): &(Timestamp, u64)| steady.since(*at) >= KEPT_FOR;
        let mut trim_to = None;
        while let Some((_, before)) = self.had_by_all.pop_front_if(|had| is_old(had)) {
            trim_to = Some(Sequence(before));
        }
        let Some(before) = trim_to else { return };
        // Not in a hurry: it is tried again.
        if let Err(err) = self.node.engine.trim(before).await {
            tracing::debug!(error = %err, "The shared log could not be trimmed");
        }
    }
}

/// How far all nodes have applied the log that are waited for: each node's place, and when it gave its last sign of
/// life. The log is kept for ever neither for one that left nor for one that was never stopped in order.
fn applied_by_all(
    nodes: impl Iterator<Item = (u64, Option<Timestamp>)>,
    steady: Timestamp,
) -> Option<u64> {
    let is_waited_for = |seen: Timestamp| steady.since(seen) < GONE_AFTER;
    let nodes = nodes.filter(|(_, seen)| seen.is_some_and(is_waited_for));
    nodes.map(|(applied, _)| applied).min()
}

/// The same on every node and in every version: FNV-1a, then mixed, since names differ in one letter.
fn weight(node: &NodeName, handler: &HandlerName) -> u64 {
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    hash.write(node.as_str().as_bytes());
    hash.write(b"/");
    hash.write(handler.as_str().as_bytes());
    hash.finish()
}

struct Fnv(u64);

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        mixed ^ (mixed >> 33)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_is_kept_for_a_silent_node_for_a_day_and_no_longer() {
        let hours = |hours: i64| Timestamp::from_millis(hours * 3_600_000);
        let by_all = |now| {
            let nodes = [(10, Some(hours(now))), (3, Some(hours(100))), (1, None)];
            applied_by_all(nodes.into_iter(), hours(now))
        };
        assert_eq!([by_all(100), by_all(123), by_all(124)], [Some(3), Some(3), Some(10)]);
    }
}
