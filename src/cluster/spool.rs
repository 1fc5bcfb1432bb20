//! What this node has answered for and the shared log does not have yet: a durable queue of its own, whose
//! one subscription forwards in order. While the engine is away it is what keeps the promise.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;

use super::identity::NodeIdentity;
use super::local_node::LocalNode;
use super::rebuild;
use super::unit::{ProposedEvent, UnitOperation};
use crate::clock::Timestamp;
use crate::event::{Dedupe, Delivery, Event, EventId, HandlerName, Outcome, Position, Settlement};
use crate::queue::embedded::EmbeddedQueue;
use crate::queue::{Appended, Queue, QueueError, Start, Subscription};
use crate::sync::lock;

/// How many events are forwarded at once.
const FORWARDED_AT_ONCE: usize = 1_024;
/// How many outcomes are remembered that came before they were asked for.
const OUTCOMES_MAX: usize = 16_384;
/// How long after a refusal it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// The node's own queue in front of the shared log.
#[derive(Debug)]
pub(super) struct Spool {
    pub(super) queue: EmbeddedQueue,
    /// Drawn when the spool was made: its positions mean nothing without.
    id: AtomicU64,
    /// Its newest event at the start.
    began_with: Position,
    outcomes: Mutex<Outcomes>,
    subscription: Box<dyn Subscription>,
    /// The log may lack what was forwarded.
    may_lack: bool,
}

/// What became of events in the shared log.
#[derive(Debug, Default)]
struct Outcomes {
    waiting: BTreeMap<EventId, oneshot::Sender<Appended>>,
    known: BTreeMap<EventId, Appended>,
    order: VecDeque<EventId>,
}

impl std::fmt::Debug for dyn Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Subscription")
    }
}

impl Spool {
    /// Takes hold of the spool in `queue`.
    pub(super) async fn begin(
        queue: EmbeddedQueue,
        id: u64,
        may_lack: bool,
    ) -> Result<Self, QueueError> {
        let subscription = queue.subscribe(&forwarder()?, Start::Oldest).await?;
        let (id, began_with) = (AtomicU64::new(id), queue.newest());
        Ok(Self { queue, id, began_with, outcomes: Mutex::default(), subscription, may_lack })
    }

    /// What becomes of a stored event once the shared log has it. Asked for at most once.
    pub(super) fn outcome(&self, id: EventId) -> Result<Appended, oneshot::Receiver<Appended>> {
        let mut outcomes = lock(&self.outcomes);
        if let Some(known) = outcomes.known.remove(&id) {
            return Ok(known);
        }
        let (sender, receiver) = oneshot::channel();
        outcomes.waiting.insert(id, sender);
        Err(receiver)
    }

    /// It is not waited for any more.
    pub(super) fn forget_outcome(&self, id: EventId) {
        lock(&self.outcomes).waiting.remove(&id);
    }

    fn tell(&self, id: EventId, appended: Appended) {
        let mut outcomes = lock(&self.outcomes);
        if let Some(waiting) = outcomes.waiting.remove(&id) {
            // Who asked may be gone.
            let _is_heard = waiting.send(appended);
            return;
        }
        outcomes.known.insert(id, appended);
        outcomes.order.push_back(id);
        if outcomes.order.len() > OUTCOMES_MAX
            && let Some(oldest) = outcomes.order.pop_front()
        {
            outcomes.known.remove(&oldest);
        }
    }

    /// How many events this node has answered for that are not in the shared log, and when the oldest of
    /// them came in.
    pub(super) fn waiting(&self) -> (u64, Option<Timestamp>) {
        let backlog = self.subscription.backlog();
        (backlog.in_log + backlog.waiting, backlog.oldest_pending_at)
    }

    /// Forwards until the node is closed.
    pub(super) async fn forward(&self, node: &LocalNode) -> Result<(), QueueError> {
        if self.may_lack || self.is_old(node).await? {
            self.republish(node).await?;
        }
        loop {
            let deliveries = tokio::select! {
                () = node.closed.cancelled() => return Ok(()),
                deliveries = self.subscription.next(FORWARDED_AT_ONCE) => deliveries?,
            };
            self.forward_some(node, deliveries).await?;
        }
    }

    /// Whether the spool is a copy from before: the log has events of it that it does not know. What it takes
    /// in now would be taken for these, so it gets another number.
    async fn is_old(&self, node: &LocalNode) -> Result<bool, QueueError> {
        self.catch_up(node).await?;
        let id = self.id.load(Ordering::SeqCst);
        let forwarded = node.members.lock().forwarded(&node.name, id);
        if forwarded <= self.began_with {
            return Ok(false);
        }
        tracing::warn!(
            newest = self.began_with.0,
            forwarded = forwarded.0,
            "The spool is older than what the shared log has of it: a copy from before was put in its place"
        );
        let failed = |source| QueueError::Io {
            what: format!("noting an old spool in `{}`", node.folder.display()),
            source,
        };
        // Later than every session so far, and so another number than any before.
        let renumbered = node.session ^ id.rotate_left(32);
        rebuild::note_old_spool(&node.folder).map_err(failed)?;
        NodeIdentity::renumber_spool(&node.folder, renumbered).map_err(failed)?;
        self.id.store(renumbered.max(1), Ordering::SeqCst);
        Ok(true)
    }

    /// Waits until all that the log had at the beginning was applied.
    async fn catch_up(&self, node: &LocalNode) -> Result<(), QueueError> {
        let head = loop {
            match node.engine.head().await {
                Ok(head) => break head,
                Err(_) => sleep(node, AGAIN).await?,
            }
        };
        let mut applied = node.applied.subscribe();
        tokio::select! {
            () = node.closed.cancelled() => Err(QueueError::Closed),
            // An error means that the node is gone.
            caught_up = applied.wait_for(|applied| applied.next() >= head.next) => {
                caught_up.map(drop).map_err(|_| QueueError::Closed)
            }
        }
    }

    /// Forwards once more what the spool still has and the log lost, the oldest first; what waits to be
    /// forwarded goes with it.
    async fn republish(&self, node: &LocalNode) -> Result<(), QueueError> {
        // First of all: what waits is not let go of, however long the rest takes.
        let (mut next, newest) = (self.queue.oldest(), self.queue.newest());
        while next <= newest {
            let end = Position(next.0 + FORWARDED_AT_ONCE as u64).min(newest.next());
            let positions: Vec<Position> = (next.0..end.0).map(Position).collect();
            self.queue.replay(&forwarder()?, &positions).await?;
            next = end;
        }
        self.catch_up(node).await?;
        let mut n_lost = 0_u64;
        while self.subscription.backlog().in_log > 0 {
            let (mut lost, mut there) = (Vec::new(), Vec::new());
            let deliveries = tokio::select! {
                () = node.closed.cancelled() => return Err(QueueError::Closed),
                deliveries = self.subscription.next(FORWARDED_AT_ONCE) => deliveries?,
            };
            // They come in their order: the rest is what came in since.
            let is_last = deliveries.iter().any(|delivery| delivery.event.position >= newest);
            for delivery in deliveries {
                if node.copy.get(delivery.event.id).await?.is_some() {
                    there.push(Settlement { delivery, outcome: Outcome::Delivered, attempt: None });
                } else {
                    lost.push(delivery);
                }
            }
            self.subscription.settle_all(there).await?;
            n_lost += lost.len() as u64;
            self.forward_some(node, lost).await?;
            if is_last {
                break;
            }
        }
        tracing::warn!(n_events = n_lost, "What the shared log lacked was appended again");
        rebuild::end(&node.folder).map_err(|source| QueueError::Io {
            what: format!("removing a mark in `{}`", node.folder.display()),
            source,
        })
    }

    async fn forward_some(
        &self,
        node: &LocalNode,
        deliveries: Vec<Delivery>,
    ) -> Result<(), QueueError> {
        let positions = deliveries.iter().map(|it| it.event.position).collect();
        let stored = self.queue.stored(positions).await?;
        let mut rest: VecDeque<ProposedEvent> = stored.into_iter().map(ProposedEvent::of).collect();
        let mut deliveries: BTreeMap<Position, Delivery> =
            deliveries.into_iter().map(|it| (it.event.position, it)).collect();
        while !rest.is_empty() {
            let events = take_some(&mut rest, node.engine.unit_max() / 2);
            let places: Vec<(Position, EventId)> =
                events.iter().map(|it| (it.place, it.id)).collect();
            let appended = self.propose(node, events).await?;
            for ((_, id), appended) in places.iter().zip(appended) {
                self.tell(*id, appended);
            }
            let done = places.iter().filter_map(|(place, _)| deliveries.remove(place));
            let settled = done.map(|delivery| Settlement {
                delivery,
                outcome: Outcome::Delivered,
                attempt: None,
            });
            self.subscription.settle_all(settled.collect()).await?;
        }
        // What cannot be read is named by the spool; it comes again after a restart.
        if let Some((position, _)) = deliveries.first_key_value() {
            tracing::error!(position = position.0, "An event of the spool cannot be read");
        }
        Ok(())
    }

    /// Has events appended, however long that takes: they were answered for.
    async fn propose(
        &self,
        node: &LocalNode,
        events: Vec<ProposedEvent>,
    ) -> Result<Vec<Appended>, QueueError> {
        loop {
            let events = events.iter().map(ProposedEvent::copy).collect();
            let operation =
                UnitOperation::Events { spool: Some(self.id.load(Ordering::SeqCst)), events };
            match node.propose(operation).await {
                Ok(outcome) => return outcome.stored(),
                Err(QueueError::Full(why)) => {
                    node.note_engine(Some(why));
                    sleep(node, AGAIN).await?;
                }
                Err(err) => return Err(err),
            }
        }
    }
}

/// The one subscription of a spool.
fn forwarder() -> Result<HandlerName, QueueError> {
    HandlerName::parse("forward").map_err(|err| QueueError::Corrupt(err.to_string()))
}

async fn sleep(node: &LocalNode, time: Duration) -> Result<(), QueueError> {
    tokio::select! {
        () = node.closed.cancelled() => Err(QueueError::Closed),
        () = tokio::time::sleep(time) => Ok(()),
    }
}

/// The first events that come to about `room` bytes; one at least.
fn take_some(rest: &mut VecDeque<ProposedEvent>, room: usize) -> Vec<ProposedEvent> {
    let mut n_bytes = 0;
    let fits = |it: &&ProposedEvent| {
        n_bytes += it.bytes();
        n_bytes <= room
    };
    let n_fitting = rest.iter().take_while(fits).count().max(1);
    rest.drain(..n_fitting.min(rest.len())).collect()
}

/// An event that is in no shared log yet, as lists show it.
pub(super) fn unplaced(event: Event) -> Event {
    let it = ProposedEvent::of((event, Dedupe::Off));
    Event::new(it.event, it.id, Position(0))
}

/// Notes that a stored event's answer cannot have arrived, unless it is told otherwise: its caller went
/// away while it waited for the shared log.
pub(super) struct AnswerGuard<'a> {
    spool: &'a Spool,
    unanswered: Option<(Dedupe, EventId)>,
}

impl<'a> AnswerGuard<'a> {
    pub(super) fn new(spool: &'a Spool, dedupe: Dedupe, id: EventId) -> Self {
        Self { spool, unanswered: Some((dedupe, id)) }
    }

    /// The answer is on its way.
    pub(super) fn answered(mut self) {
        self.unanswered = None;
    }
}

impl Drop for AnswerGuard<'_> {
    fn drop(&mut self) {
        let Some((dedupe, id)) = self.unanswered.take() else { return };
        self.spool.forget_outcome(id);
        match dedupe {
            Dedupe::Unanswered { key } => self.spool.queue.note_unanswered(key, id),
            Dedupe::Off | Dedupe::Within { .. } => {}
        }
    }
}
