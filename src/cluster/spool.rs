//! What this node has answered for and the shared log does not have yet: a durable queue of its own, whose
//! one subscription is what is to be forwarded. While the engine is away it is what keeps the promise.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::oneshot;

use super::identity::NodeIdentity;
use super::left_out::LeftOut;
use super::unit::ProposedEvent;
use crate::clock::Timestamp;
use crate::event::{Dedupe, Delivery, Event, EventId, HandlerName, Outcome, Position, Settlement};
use crate::queue::embedded::EmbeddedQueue;
use crate::queue::{Appended, DeadChange, Queue, QueueError, Start, Subscription};
use crate::sync::lock;

/// How many events come again at once.
const REPLAYED_AT_ONCE: u64 = 1_024;
/// How many outcomes are remembered that came before they were asked for.
const OUTCOMES_MAX: usize = 16_384;

/// The node's own queue in front of the shared log.
#[derive(Debug)]
pub(super) struct Spool {
    pub(super) queue: EmbeddedQueue,
    /// Drawn when the spool was made: its positions mean nothing without.
    id: AtomicU64,
    /// Its newest event at the first start since it was compared with the log.
    pub(super) began_with: Position,
    outcomes: Mutex<Outcomes>,
    pub(super) subscription: Box<dyn Subscription>,
    forwarder: HandlerName,
    /// What was left out under its number by the start.
    pub(super) left_out: LeftOut,
    /// The log may lack what was forwarded.
    pub(super) may_lack: bool,
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
        NodeIdentity { spool, left_out, unproven, .. }: NodeIdentity,
        may_lack: bool,
        folder: &Path,
    ) -> Result<Self, QueueError> {
        // Its one subscription.
        let forwarder = HandlerName::parse("forward");
        let forwarder = forwarder.map_err(|err| QueueError::Corrupt(err.to_string()))?;
        let subscription = queue.subscribe(&forwarder, Start::Oldest).await?;
        // Before anything is answered.
        let began_with = unproven.unwrap_or_else(|| queue.newest());
        NodeIdentity::note_unproven(folder, Some(began_with)).map_err(|source| QueueError::Io {
            what: format!("writing `node.json` in `{}`", folder.display()),
            source,
        })?;
        let (id, outcomes) = (AtomicU64::new(spool), Mutex::default());
        Ok(Self { queue, id, began_with, outcomes, subscription, forwarder, left_out, may_lack })
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

    /// The number under which its places are told to the log.
    pub(super) fn id(&self) -> u64 {
        self.id.load(Ordering::SeqCst)
    }

    /// Its places are told under another number from now on.
    pub(super) fn renumber(&self, id: u64) {
        self.id.store(id, Ordering::SeqCst);
    }

    /// The shared log has these events: what it made of each, in their order, is told to those who wait for
    /// it, and the spool need not keep them.
    pub(super) async fn end(
        &self,
        deliveries: Vec<Delivery>,
        appended: Vec<Appended>,
    ) -> Result<(), QueueError> {
        for (delivery, appended) in deliveries.iter().zip(appended) {
            self.tell(delivery.event.id, appended);
        }
        self.let_go(deliveries).await
    }

    /// The shared log has these events.
    pub(super) async fn let_go(&self, deliveries: Vec<Delivery>) -> Result<(), QueueError> {
        let ended = |delivery| Settlement { delivery, outcome: Outcome::Delivered, attempt: None };
        self.subscription.settle_all(deliveries.into_iter().map(ended).collect()).await
    }

    /// Has all that it holds come again.
    pub(super) async fn replay_all(&self) -> Result<(), QueueError> {
        let (mut next, newest) = (self.queue.oldest(), self.queue.newest());
        while next <= newest {
            let end = Position(next.0 + REPLAYED_AT_ONCE).min(newest.next());
            let positions: Vec<Position> = (next.0..end.0).map(Position).collect();
            self.queue.replay(&self.forwarder, &positions).await?;
            next = end;
        }
        Ok(())
    }

    /// What it has and could not read when its turn came: nothing of that was forwarded.
    pub(super) fn lost(&self) -> Vec<Range<Position>> {
        self.queue.lost_of(&self.forwarder)
    }

    /// Has that come again; what still cannot be read is lost anew.
    pub(super) async fn redrive_lost(&self) -> Result<(), QueueError> {
        let positions = self.lost().into_iter().flat_map(|range| range.start.0..range.end.0);
        let lost = positions.map(|position| (self.forwarder.clone(), Position(position)));
        self.queue.change_dead(lost.collect(), DeadChange::Redrive).await.map(drop)
    }

    /// Whether nothing up to `position` is to be forwarded any more that can be read.
    pub(super) fn is_done_to(&self, position: Position) -> bool {
        self.queue.pending_from(&self.forwarder).is_none_or(|pending| pending > position)
    }
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
        if let Some(key) = dedupe.unanswered_key() {
            self.spool.queue.note_unanswered(key, id);
        }
    }
}
