//! What a node does by itself: it gives signs of life, takes the leases that are its own or that a silent
//! node left, and hands over what another is meant to have.

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::sync::Arc;

use super::handlers::LocalHandlers;
use super::local_node::{LocalNode, faulty_copy};
use super::members::Lease;
use super::node::NodeName;
use super::unit::UnitOperation;
use crate::clock::Timestamp;
use crate::event::HandlerName;
use crate::queue::QueueError;

/// Does its duties until the node is stopped.
pub(super) async fn run(node: Arc<LocalNode>, handlers: Arc<LocalHandlers>) {
    let mut duties = Duties { node: Arc::clone(&node), handlers, beat_at: None };
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
        if wanted.iter().any(|handler| !self.node.copy.lost_of(handler).is_empty()) {
            // What cannot be read here is lost for this node alone: another one, which has it, is to deliver it. An
            // event that every handler has had is nothing to give way for.
            let damage = self.node.copy.damaged_records().into_iter().next();
            let damage = damage.unwrap_or_else(|| "an event cannot be read".to_owned());
            return self.node.fail(faulty_copy(&damage, &self.node.folder));
        }
        let now = self.node.clock.steady();
        let is_due = self.beat_at.as_ref().is_none_or(|(at, handlers)| {
            now.since(*at) >= self.node.lease / 4 || *handlers != wanted
        });
        if is_due {
            self.beat_at = Some((now, wanted.clone()));
            let applied = *self.node.applied.borrow();
            let beat = UnitOperation::Beat { applied, handlers: wanted.clone() };
            drop(self.propose(beat).await);
        }
        let leases = self.leases_of(&wanted);
        for (handler, lease) in leases {
            self.look_after(&handler, &lease).await;
        }
    }

    /// Has an operation appended, and waits until it was applied or refused: while the engine is away, until it
    /// is back. `None` = it is not in the log, as far as that was read since. It may be lost, which only a later
    /// unit of this node shows: so the next sign of life does not wait for it. A node that is far behind, or has no
    /// room for what it reads, waits: it would take leases and could deliver nothing.
    async fn propose(&self, operation: UnitOperation) -> Option<Result<(), QueueError>> {
        let sent_at = self.node.clock.steady();
        let mut answer = match self.node.begin_proposal(operation).await {
            Ok(answer) => answer,
            Err(err) => return Some(Err(err)),
        };
        loop {
            tokio::select! {
                () = self.node.closed.cancelled() => return Some(Err(QueueError::Closed)),
                answer = &mut answer => {
                    return Some(answer.unwrap_or(Err(QueueError::Closed)).map(drop));
                }
                () = tokio::time::sleep(self.node.lease / 4) => {
                    let is_read = self.node.life.lock().at_end.is_some_and(|at| at > sent_at);
                    if is_read && self.node.is_engine_up() && self.node.is_log_known() {
                        return None;
                    }
                }
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
        if self.propose(operation).await.is_some() {
            self.node.life.lock().draining.remove(handler);
        }
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
