//! What the tasks of this node share.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::action_log::ActionLog;
use super::engine::{LogEngine, Sequence};
use super::engine_state::EngineState;
use super::locks::{LifeMutex, MembersMutex};
use super::members::Members;
use super::node::NodeName;
use super::operation_outcome::OperationOutcome;
use super::reports::Reports;
use super::unit::UnitOperation;
use crate::clock::{Clock, Timestamp};
use crate::event::HandlerName;
use crate::queue::QueueError;
use crate::queue::embedded::EmbeddedQueue;
use crate::sync::lock;

/// How many operations may wait to be appended before those who ask wait too.
const PROPOSALS_MAX: usize = 4_096;
/// How long a start waits for the engine. Events are answered only behind that.
const FIRST_CONTACT: Duration = Duration::from_millis(600);
/// How long an answer waits for the shared log before it is given on the strength of this machine alone:
/// senders wait some seconds.
pub(super) const ENGINE_WAIT: Duration = Duration::from_secs(2);
/// Why an operation that was acknowledged comes to nothing.
const LOST: &str = "it lost this before it was applied: ask again";

/// Why a node with such a copy takes no part, and what is to be done.
pub(super) fn faulty_copy(damage: &str, folder: &Path) -> String {
    format!(
        "this node's copy of the shared log has a fault ({damage}), so that it may decide other than its \
         peers; stop the gateway, put a copy of another node's into `{}` in place of all but `spool` and \
         `node.json` (docs/cluster.md), and start it again",
        folder.display()
    )
}

/// This node: its copy of the log, the way to the engine, and what it knows of the others.
#[derive(Debug)]
pub(super) struct LocalNode {
    pub(super) name: NodeName,
    /// One run of this process; later than any before.
    pub(super) session: u64,
    /// After how long without a sign of life a node's leases may be taken.
    pub(super) lease: Duration,
    pub(super) engine: Arc<dyn LogEngine>,
    pub(super) copy: Arc<EmbeddedQueue>,
    /// The copy's.
    pub(super) folder: PathBuf,
    pub(super) clock: Arc<dyn Clock>,
    /// As the units up to `applied` have made them.
    pub(super) members: MembersMutex<Members>,
    /// Counts up whenever leases or signs of life have changed.
    pub(super) changed: watch::Sender<u64>,
    /// The newest unit that was applied.
    pub(super) applied: watch::Sender<Sequence>,
    /// Operations that wait to be appended.
    pub(super) proposals: mpsc::Sender<Proposal>,
    /// Appended, or about to be, and not applied yet, by the number of the unit's last part.
    pub(super) pending: Mutex<BTreeMap<u64, PendingUnit>>,
    pub(super) life: LifeMutex<Life>,
    /// What all nodes have noted.
    pub(super) action_log: ActionLog,
    /// What they tell of themselves.
    pub(super) reports: Reports,
    pub(super) engine_state: EngineState,
    /// Whether the log is known to be the one that was applied. Where it may be another one, nothing is
    /// appended: what this node has settled would be said of other events.
    pub(super) is_log_known: watch::Sender<bool>,
    /// How many losses of connections lie before that.
    pub(super) n_lost_known: AtomicU64,
    /// Why this node can take no further part until it is started anew, once that is so.
    pub(super) failed: watch::Sender<Option<String>>,
    /// The newest unit that the log is known to have; 0 = none was seen yet.
    pub(super) newest: AtomicU64,
    /// What an acknowledged unit survives, once the engine has told.
    pub(super) durability: Mutex<Option<String>>,
    /// Settlements that came too late to count.
    pub(super) n_void: AtomicU64,
    /// It is being stopped: it takes no lease any more.
    pub(super) leaving: CancellationToken,
    pub(super) closed: CancellationToken,
}

/// An operation on its way into the log, and who waits for what becomes of it.
#[derive(Debug)]
pub(super) struct Proposal {
    pub(super) operation: UnitOperation,
    pub(super) reply: Reply,
}

pub(super) type Reply = oneshot::Sender<Result<OperationOutcome, QueueError>>;
pub(super) type OperationAnswer = oneshot::Receiver<Result<OperationOutcome, QueueError>>;

/// A unit that is not applied yet.
#[derive(Debug)]
pub(super) struct PendingUnit {
    /// By the steady clock, before it was appended: from then on the leases are good for a while.
    pub(super) sent_at: Timestamp,
    /// Where it stands, once the engine has told.
    pub(super) sequence: Option<Sequence>,
    pub(super) replies: Vec<Reply>,
}

/// Signs of life, by the steady clock. Not part of the log: each node has its own.
#[derive(Debug, Default)]
pub(super) struct Life {
    /// When a unit of each node was applied last.
    pub(super) seen: BTreeMap<NodeName, Timestamp>,
    /// When the newest look began that found nothing in the log behind what is applied here.
    pub(super) at_end: Option<Timestamp>,
    /// When the newest unit of this node that was applied had been sent.
    pub(super) confirmed: Option<Timestamp>,
    /// Handlers that are to be handed over: nothing more is given out.
    pub(super) draining: BTreeMap<HandlerName, Timestamp>,
}

/// What a node is made of.
pub(super) struct NodeParts {
    pub(super) name: NodeName,
    pub(super) session: u64,
    pub(super) lease: Duration,
    pub(super) engine: Arc<dyn LogEngine>,
    pub(super) copy: Arc<EmbeddedQueue>,
    pub(super) folder: PathBuf,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) members: Members,
    pub(super) action_log: ActionLog,
}

fn tell_lost(units: impl Iterator<Item = PendingUnit>) {
    for reply in units.flat_map(|lost| lost.replies) {
        // Who asked may be gone.
        drop(reply.send(Err(QueueError::LogAway(LOST))));
    }
}

impl LocalNode {
    /// A node that has applied the log up to `applied`, and what is proposed to it.
    pub(super) fn new(parts: NodeParts, applied: Sequence) -> (Self, mpsc::Receiver<Proposal>) {
        let NodeParts { name, session, lease, engine, copy, folder, clock, members, action_log } =
            parts;
        // Of those that were there before it is not known since when they are silent.
        let now = clock.steady();
        let seen = members.nodes().map(|(name, _)| (name.clone(), now)).collect();
        let (proposals, inbox) = mpsc::channel(PROPOSALS_MAX);
        let engine_state = EngineState::new(Arc::clone(&clock));
        let node = Self {
            name,
            session,
            lease,
            engine,
            copy,
            folder,
            clock,
            members: MembersMutex::new(members),
            changed: watch::Sender::new(0),
            applied: watch::Sender::new(applied),
            proposals,
            pending: Mutex::new(BTreeMap::new()),
            life: LifeMutex::new(Life { seen, ..Life::default() }),
            action_log,
            reports: Reports::default(),
            engine_state,
            is_log_known: watch::Sender::new(false),
            n_lost_known: AtomicU64::new(0),
            failed: watch::Sender::new(None),
            newest: AtomicU64::new(0),
            durability: Mutex::default(),
            n_void: AtomicU64::new(0),
            leaving: CancellationToken::new(),
            closed: CancellationToken::new(),
        };
        (node, inbox)
    }

    /// Has an operation appended, and waits until it was applied here. While the engine is away that
    /// is until it is back.
    pub(super) async fn propose(
        &self,
        operation: UnitOperation,
    ) -> Result<OperationOutcome, QueueError> {
        let answer = self.begin_proposal(operation).await?;
        tokio::select! {
            () = self.closed.cancelled() => Err(QueueError::Closed),
            verdict = answer => verdict.map_err(|_| QueueError::Closed)?,
        }
    }

    /// Has an operation appended for those who wait for an answer. What is not applied in time may be so later, of
    /// which `late` tells.
    pub(super) async fn propose_soon(
        &self,
        operation: UnitOperation,
        late: &'static str,
    ) -> Result<OperationOutcome, QueueError> {
        let mut failed = self.failed.subscribe();
        tokio::select! {
            biased;
            // An error means that the node is gone.
            failed = failed.wait_for(Option::is_some) => drop(failed),
            outcome = self.propose(operation) => return outcome,
            () = tokio::time::sleep(ENGINE_WAIT) => {}
        }
        Err(self.away(late))
    }

    /// Why nothing is appended now, where that is known to be so.
    pub(super) fn away(&self, why: &'static str) -> QueueError {
        match *self.failed.borrow() {
            Some(_) => QueueError::NoPart,
            None => QueueError::LogAway(why),
        }
    }

    /// Has an operation appended; what becomes of it is told later. They are appended in the order of
    /// the calls.
    pub(super) async fn begin_proposal(
        &self,
        operation: UnitOperation,
    ) -> Result<OperationAnswer, QueueError> {
        let (reply, answer) = oneshot::channel();
        tokio::select! {
            () = self.closed.cancelled() => Err(QueueError::Closed),
            sent = self.proposals.send(Proposal { operation, reply }) => {
                sent.map(|()| answer).map_err(|_| QueueError::Closed)
            }
        }
    }

    /// Tells all who watch leases and signs of life.
    pub(super) fn ring(&self) {
        self.changed.send_modify(|n_changes| *n_changes += 1);
    }

    /// Waits until it is known whether the engine can be reached. One that does not tell soon is away until it does:
    /// what comes in meanwhile is kept here, and is not to wait for it.
    pub(super) async fn first_contact(&self) {
        let mut is_log_known = self.is_log_known.subscribe();
        tokio::select! {
            // An error means that the node is gone.
            known = is_log_known.wait_for(|is_known| *is_known) => drop(known),
            () = self.until_away() => {}
            () = tokio::time::sleep(FIRST_CONTACT) => {
                self.note_engine(Some("it has not answered since the start".to_owned()));
            }
        }
    }

    /// Notes whether the engine was there.
    pub(super) fn note_engine(&self, error: Option<String>) {
        if error.is_some() {
            self.is_log_known.send_replace(false);
        }
        self.engine_state.note(error);
    }

    /// Returns once nothing is appended for now: the engine cannot be reached, or this node takes no part any more.
    pub(super) async fn until_away(&self) {
        let mut failed = self.failed.subscribe();
        tokio::select! {
            () = self.engine_state.until_away() => {}
            // An error means that the node is gone.
            failed = failed.wait_for(Option::is_some) => drop(failed),
        }
    }

    /// Whether the log is known to be the one that was applied, and no connection was lost since.
    pub(super) fn is_log_known(&self) -> bool {
        if self.engine.n_lost() != self.n_lost_known.load(Ordering::SeqCst) {
            self.is_log_known.send_replace(false);
        }
        *self.is_log_known.borrow()
    }

    /// Notes a unit that the log has.
    pub(super) fn note_newest(&self, sequence: Sequence) {
        self.newest.fetch_max(sequence.0, Ordering::Relaxed);
    }

    /// Whether the engine could be reached when it was last asked, and this node takes part.
    pub(super) fn is_engine_up(&self) -> bool {
        self.engine_state.is_there() && self.failed.borrow().is_none()
    }

    /// Takes no part any more: what the log says does not fit what this node has.
    pub(super) fn fail(&self, why: String) {
        tracing::error!(reason = why, "This node cannot take part in the cluster any more");
        // Nothing looks at the log from here on, so nothing is appended.
        self.is_log_known.send_replace(false);
        self.failed.send_replace(Some(why));
        self.ring();
    }

    /// A unit of this session was applied: what became of its operations is told by `replies`. Those before it
    /// that were not applied never can be any more: units are sent one after the other, so the engine had told
    /// that it has them, and lost them.
    pub(super) fn take_pending(&self, number: u64) -> Vec<Reply> {
        let mut up_to_it = {
            let mut pending = lock(&self.pending);
            let behind = pending.split_off(&(number + 1));
            std::mem::replace(&mut *pending, behind)
        };
        let applied = up_to_it.remove(&number);
        tell_lost(up_to_it.into_values());
        let Some(pending) = applied else { return Vec::new() };
        let mut life = self.life.lock();
        life.confirmed = life.confirmed.max(Some(pending.sent_at));
        pending.replies
    }

    /// The engine has told where a unit of this session stands. It may be applied already, and so may be another one
    /// that stands there.
    pub(super) fn note_sequence(&self, number: u64, sequence: Sequence) {
        if let Some(pending) = lock(&self.pending).get_mut(&number) {
            pending.sequence = Some(sequence);
        }
        self.end_lost();
    }

    /// What stands where another unit was applied is not in the log: the engine had told that it has it, and lost it.
    pub(super) fn end_lost(&self) {
        let applied = *self.applied.borrow();
        let is_lost = |_: &u64, pending: &mut PendingUnit| {
            pending.sequence.is_some_and(|sequence| sequence <= applied)
        };
        let lost: Vec<_> = lock(&self.pending).extract_if(.., is_lost).collect();
        tell_lost(lost.into_iter().map(|(_, pending)| pending));
    }

    /// The epoch under which this node may deliver to a handler, and for how long yet; `None` = it
    /// may not.
    pub(super) fn holds(&self, handler: &HandlerName) -> Option<(u64, Duration)> {
        if self.failed.borrow().is_some() {
            return None;
        }
        let lease = self.members.lock().lease(handler);
        if lease.owner.as_ref() != Some(&self.name) {
            return None;
        }
        let life = self.life.lock();
        let age = self.clock.steady().since(life.confirmed?);
        // The others wait half as long again before they take it: their clocks may run faster.
        let left = (self.lease * 2 / 3).checked_sub(age).filter(|left| !left.is_zero())?;
        Some((lease.epoch, left))
    }

    /// When something was by the steady clock that another node's wall clock dates so.
    pub(super) fn steady_at(&self, at: Timestamp) -> Timestamp {
        self.clock.steady().before(self.clock.now().since(at))
    }

    /// Whether a node has given no sign of life for so long that its leases may be taken.
    pub(super) fn is_silent(&self, node: &NodeName) -> bool {
        let seen = self.life.lock().seen.get(node).copied();
        seen.is_none_or(|seen| self.clock.steady().since(seen) > self.lease)
    }
}
