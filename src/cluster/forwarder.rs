//! Forwards what the spool holds into the shared log, in its order, a few proposals being on their way at a
//! time.
//!
//! A sender is told that an event is taken in once the spool has it durably, and with `ack = "both"`, while the
//! engine can be reached, once this node has applied it too. The spool is told to let it go only once this node
//! has applied it, or has found it in its copy.
//!
//! Every proposal names the place of the one before it ([`SpoolPlaces::after`]), and is void on every node
//! where that is not applied. So at any time, of the places under one number of a spool: **where the log has
//! one, it has all that were proposed before it**. What is applied again is known by its place.
//!
//! | what happens | what becomes of it |
//! |---|---|
//! | the engine has no room | the proposal is refused and those behind it are void. They are proposed again in their order, one alone until there is room; signs of life, leases and settlements do not wait for them |
//! | the engine is away | the unit is sent until it is there |
//! | the engine's answer is lost | the unit is sent again under its number, which counts once |
//! | no room, after an answer that was lost, and it is there all the same | it is proposed again, and its places are known |
//! | acknowledged, and lost before it was applied | a later unit of this session is applied, so this one never can be (`LocalNode::take_pending`). Those behind it are void; all are proposed again |
//! | acknowledged, applied, and lost | the history differs (`history`): the node takes no part any more, and its next start makes the copy anew and appends again what that lacks |
//! | this node ends, before or after it was applied | it waits in the spool. The next start waits until a unit of its own is applied, so that none of the session before can be any more; what then is known by its place is let go |
//! | an event cannot be read at its turn | its place is noted durably before a later one is proposed (`LeftOut`). Once it can be read it is stored without a place, unless the copy is found to have it |
//! | the spool, or the log, is one from before | the places get another number; what the spool still has is looked for in the copy, by its id and its key, and appended where it is not found. That is so after each start, until it is done once |
//!
//! A look-up may miss an event that was forwarded long after it came in: it is stored again then, rather than
//! not at all. So nothing is looked up but for the last two rows.

use std::collections::VecDeque;
use std::time::Duration;

use super::left_out::LeftOut;
use super::local_node::{LocalNode, OperationAnswer};
use super::operation_outcome::OperationOutcome;
use super::spool::Spool;
use super::unit::{ProposedEvent, SpoolPlaces, UnitOperation};
use crate::event::{Delivery, Position};
use crate::queue::QueueError;

mod looking;

/// How many events are taken from the spool at once.
const FORWARDED_AT_ONCE: usize = 1_024;
/// How many proposals are on their way: what comes in meanwhile need not wait for the engine, the copy and its
/// own round behind them.
const ON_THEIR_WAY_MAX: usize = 4;
/// How long after a refusal it is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// Events with what is settled once the log has them, in the order of their places.
type TakenEvents = VecDeque<(Delivery, ProposedEvent)>;

/// Events that were proposed together.
struct ForwardedEvents {
    deliveries: Vec<Delivery>,
    answer: OperationAnswer,
}

/// Forwards the spool of one node.
pub(super) struct Forwarder<'a> {
    spool: &'a Spool,
    node: &'a LocalNode,
    /// Read from the spool, and to be proposed.
    waiting: TakenEvents,
    /// Proposed, the oldest first.
    on_their_way: VecDeque<ForwardedEvents>,
    on_their_way_max: usize,
    /// The place that the next proposal names; 0 = all that was proposed before is there.
    after: Position,
    /// The newest place that was proposed under the spool's number, by this session or one before.
    newest: Position,
    /// What was proposed under this number before this session, and counts: up to here, but for what was left out.
    forwarded: Position,
    left_out: LeftOut,
    /// Up to here the log may have events of the spool under another number.
    may_be_there: Position,
    /// Up to there it is to be sorted out also after a restart.
    is_marked: bool,
    n_lacking: u64,
}

impl<'a> Forwarder<'a> {
    pub(super) fn new(spool: &'a Spool, node: &'a LocalNode) -> Self {
        Self {
            spool,
            node,
            waiting: VecDeque::new(),
            on_their_way: VecDeque::new(),
            on_their_way_max: ON_THEIR_WAY_MAX,
            after: Position(0),
            newest: Position(0),
            forwarded: Position(0),
            left_out: spool.left_out.clone(),
            may_be_there: Position(0),
            is_marked: false,
            n_lacking: 0,
        }
    }

    /// Forwards until the node is closed.
    pub(super) async fn run(mut self) -> Result<(), QueueError> {
        self.begin().await?;
        loop {
            self.end_looking().await?;
            let has_room =
                self.waiting.is_empty() && self.on_their_way.len() < self.on_their_way_max;
            let spool = self.spool;
            tokio::select! {
                biased;
                () = self.node.closed.cancelled() => return Ok(()),
                answer = answer_of(&mut self.on_their_way) => self.end_oldest(answer).await?,
                deliveries = spool.subscription.next(FORWARDED_AT_ONCE), if has_room => {
                    self.take_in(deliveries?).await?;
                }
            }
            self.propose().await?;
        }
    }

    /// Takes what comes from the spool for the first time in this session, or that it has found again.
    async fn take_in(&mut self, deliveries: Vec<Delivery>) -> Result<(), QueueError> {
        let (mut there, mut late) = (Vec::new(), TakenEvents::new());
        for (delivery, event) in self.read(deliveries).await? {
            let place = event.place;
            if place <= self.forwarded && !self.left_out.contains(place) {
                there.push(delivery);
                continue;
            }
            let (is_late, is_doubtful) = (place <= self.newest, place <= self.may_be_there);
            if (is_late || is_doubtful) && self.is_in_copy(&event).await? {
                there.push(delivery);
                continue;
            }
            self.n_lacking += u64::from(is_doubtful);
            if is_late { &mut late } else { &mut self.waiting }.push_back((delivery, event));
        }
        self.spool.let_go(there).await?;
        self.append_late(late).await
    }

    /// What the spool has of these deliveries, in the order of their places. What it has not is noted before
    /// anything of that is proposed.
    async fn read(&mut self, mut deliveries: Vec<Delivery>) -> Result<TakenEvents, QueueError> {
        deliveries.sort_by_key(|delivery| delivery.event.position);
        let positions = deliveries.iter().map(|delivery| delivery.event.position).collect();
        let mut stored = self.spool.queue.stored(positions).await?.into_iter().peekable();
        let mut taken = TakenEvents::with_capacity(deliveries.len());
        let mut unreadable = Vec::new();
        for delivery in deliveries {
            let position = delivery.event.position;
            if let Some(stored) = stored.next_if(|(event, _)| event.position == position) {
                taken.push_back((delivery, ProposedEvent::of(stored)));
            } else {
                // It is looked for again by the next start.
                tracing::error!(position = position.0, "An event of the spool cannot be read");
                unreadable.push(position);
            }
        }
        self.note_left_out(unreadable).await?;
        Ok(taken)
    }

    /// Proposes what was taken in, as much as may be on its way: each time the first events that fit into one
    /// unit.
    async fn propose(&mut self) -> Result<(), QueueError> {
        while !self.waiting.is_empty() && self.on_their_way.len() < self.on_their_way_max {
            let room = self.node.engine.unit_max() / 2;
            let (deliveries, events): (Vec<_>, Vec<_>) = take_some(&mut self.waiting, room).unzip();
            let places = SpoolPlaces { spool: self.spool.id(), after: self.after };
            self.after = events.last().map_or(self.after, |event| event.place);
            self.newest = self.newest.max(self.after);
            let operation = UnitOperation::Events { places: Some(places), events };
            let answer = self.node.begin_proposal(operation).await?;
            self.on_their_way.push_back(ForwardedEvents { deliveries, answer });
        }
        Ok(())
    }

    /// Waits until all that was taken in before is in the log.
    async fn finish(&mut self) -> Result<(), QueueError> {
        loop {
            self.propose().await?;
            if self.on_their_way.is_empty() {
                return Ok(());
            }
            let answer = self.next_answer().await;
            self.end_oldest(answer).await?;
        }
    }

    async fn next_answer(&mut self) -> Result<OperationOutcome, QueueError> {
        tokio::select! {
            () = self.node.closed.cancelled() => Err(QueueError::Closed),
            answer = answer_of(&mut self.on_their_way) => answer,
        }
    }

    /// The oldest proposal was applied, or is not going to be.
    async fn end_oldest(
        &mut self,
        answer: Result<OperationOutcome, QueueError>,
    ) -> Result<(), QueueError> {
        let mut again = Vec::new();
        let refused = self.end_one(answer, &mut again).await?;
        if again.is_empty() {
            self.on_their_way_max = ON_THEIR_WAY_MAX;
            return Ok(());
        }
        // Those behind it are void, and what is proposed again must not pass them on their way.
        while !self.on_their_way.is_empty() {
            let answer = self.next_answer().await;
            self.end_one(answer, &mut again).await?;
        }
        again.extend(self.waiting.drain(..).map(|(delivery, _)| delivery));
        (self.after, self.on_their_way_max) = (Position(0), 1);
        if let Some(why) = refused {
            self.node.engine_state.note_no_room(why);
            sleep(self.node, AGAIN).await?;
        } else {
            tracing::warn!(
                n_events = again.len(),
                "The shared log lost events before they were applied: they are appended again"
            );
        }
        let again = self.read(again).await?;
        self.waiting = again;
        Ok(())
    }

    /// Ends the oldest proposal; what the log does not have of it is to be proposed `again`. `Some` = it has no
    /// room, as it says.
    async fn end_one(
        &mut self,
        answer: Result<OperationOutcome, QueueError>,
        again: &mut Vec<Delivery>,
    ) -> Result<Option<String>, QueueError> {
        let Some(ForwardedEvents { deliveries, .. }) = self.on_their_way.pop_front() else {
            return Ok(None);
        };
        let refused = match answer {
            // Void: one before it is not there.
            Ok(OperationOutcome::Counted(_)) | Err(QueueError::LogAway(_)) => None,
            Err(QueueError::Full(why)) => Some(why),
            Ok(outcome) => {
                let stored = outcome.stored()?;
                self.node.engine_state.note_room();
                self.spool.end(deliveries, stored).await?;
                return Ok(None);
            }
            Err(err) => return Err(err),
        };
        again.extend(deliveries);
        Ok(refused)
    }
}

/// What becomes of the oldest proposal; where there is none, it never comes.
async fn answer_of(
    on_their_way: &mut VecDeque<ForwardedEvents>,
) -> Result<OperationOutcome, QueueError> {
    match on_their_way.front_mut() {
        Some(oldest) => (&mut oldest.answer).await.unwrap_or(Err(QueueError::Closed)),
        None => std::future::pending().await,
    }
}

async fn sleep(node: &LocalNode, time: Duration) -> Result<(), QueueError> {
    tokio::select! {
        () = node.closed.cancelled() => Err(QueueError::Closed),
        () = tokio::time::sleep(time) => Ok(()),
    }
}

/// Takes the first events that come to about `room` bytes; one at least.
fn take_some(
    taken: &mut TakenEvents,
    room: usize,
) -> impl Iterator<Item = (Delivery, ProposedEvent)> + '_ {
    let mut n_bytes = 0;
    let fits = |(_, event): &&(Delivery, ProposedEvent)| {
        n_bytes += event.bytes();
        n_bytes <= room
    };
    let n_fitting = taken.iter().take_while(fits).count().max(1);
    taken.drain(..n_fitting.min(taken.len()))
}
