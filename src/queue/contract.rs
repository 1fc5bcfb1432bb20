//! What a queue and a subscription are asked.

use std::time::Duration;

use async_trait::async_trait;

use super::error::QueueError;
use super::query::{DeadFilter, EventQuery, Searched};
use super::standing::{
    Backlog, CarriedState, DeadChange, DeadLetter, DeadListing, DeadRecord, DeliveryHistory,
    LostDeliveries, QueueStats, ReplayResult,
};
use crate::clock::Timestamp;
use crate::event::{
    Dedupe, DedupeKey, Delivery, Event, EventId, HandlerName, NewEvent, OrderKey, Position,
    Settlement,
};

/// The try that a delivery waits for, by the steady clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AwaitedTry {
    pub due: Timestamp,
    /// When the first try of all began; `None` = there was none.
    pub first_attempt_at: Option<Timestamp>,
}

/// The durable log.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Stores `event`. `Ok` = it survives a power cut from here on.
    ///
    /// Dropping the future does not undo the append: the event is then stored or not, and a
    /// sender that repeats is recognised by the dedupe key.
    async fn append(&self, event: NewEvent) -> Result<Appended, QueueError>;

    /// [`Queue::append`] of an event that has an id from another queue. It keeps it where it is newer than
    /// every one here, since ids ascend with the log; otherwise, and in a backend that cannot do that, it
    /// gets another.
    async fn append_named(&self, event: NewEvent, _id: EventId) -> Result<Appended, QueueError> {
        self.append(event).await
    }

    /// Stores `events`, which came in one request, by one durable commit: all of them or none.
    /// Each is looked up by its own dedupe key. The answers are in the order of the events.
    ///
    /// They must fit into one unit: at most [`APPEND_ALL_MAX`] events.
    async fn append_all(&self, events: Vec<NewEvent>) -> Result<Vec<Appended>, QueueError>;

    /// The event that `event` would repeat within its window if it were appended now. Stores nothing.
    /// A backend that cannot say has none.
    async fn find_repeated(&self, _event: &NewEvent) -> Result<Option<EventId>, QueueError> {
        Ok(None)
    }

    /// The answer for event `id` cannot have arrived: for ten minutes an equal request, known by
    /// `key`, is a repeat of it ([`Dedupe::Unanswered`](crate::event::Dedupe)). A backend that forgets
    /// this stores the repeat as an event of its own.
    fn note_unanswered(&self, _key: DedupeKey, _id: EventId) {}

    /// The handler's own place in the log, made durable before this returns; a new one begins at
    /// `start`. A handler has one subscription at a time: the second call while the first one is
    /// alive is [`QueueError::Busy`].
    async fn subscribe(
        &self,
        handler: &HandlerName,
        start: Start,
    ) -> Result<Box<dyn Subscription>, QueueError>;

    /// Removes the handler's place: its retries, held deliveries and dead letters are gone.
    /// `false` = there was none. [`QueueError::Busy`] while it is subscribed.
    async fn forget(&self, handler: &HandlerName) -> Result<bool, QueueError>;

    /// One event, while it is retained.
    async fn get(&self, id: EventId) -> Result<Option<Event>, QueueError>;

    /// Events as `query` asks for them.
    async fn list(&self, query: EventQuery) -> Result<Vec<Event>, QueueError>;

    /// The same, for `most` at the longest: it says how far it came, and where to go on.
    async fn search(&self, query: EventQuery, _most: Duration) -> Result<Searched, QueueError> {
        let events = self.list(query).await?;
        let looked_at = events.len() as u64;
        let sized = events.into_iter().map(|event| {
            let body_bytes = event.body.len();
            (event, body_bytes)
        });
        Ok(Searched { events: sized.collect(), next: None, looked_at })
    }

    /// What each handler did with one event, in the order of the attempts.
    async fn history(&self, position: Position) -> Result<Vec<DeliveryHistory>, QueueError>;

    /// [`Queue::history`] once no attempt can be missing from it. `None` = the log is being read
    /// for it, as after a power cut: ask again.
    async fn whole_history(
        &self,
        position: Position,
    ) -> Result<Option<Vec<DeliveryHistory>>, QueueError> {
        self.history(position).await.map(Some)
    }

    /// Dead letters that match, oldest first.
    async fn dead(&self, filter: DeadFilter) -> Result<Vec<DeadLetter>, QueueError>;

    /// [`Queue::dead`], and which of them have events that cannot be read any more.
    async fn dead_listing(&self, filter: DeadFilter) -> Result<DeadListing, QueueError> {
        let letters = self.dead(filter).await?;
        Ok(DeadListing { letters, unreadable: Vec::new() })
    }

    /// [`Queue::dead_listing`] of just these, in their order: of those that are dead letters still.
    async fn dead_letters(
        &self,
        letters: Vec<(HandlerName, Position)>,
    ) -> Result<DeadListing, QueueError> {
        let mut found = DeadListing::default();
        for (handler, position) in letters {
            let (handler, position) = (Some(handler), Some(position));
            let filter = DeadFilter { handler, position, ..DeadFilter::default() };
            let one = self.dead_listing(filter).await?;
            found.letters.extend(one.letters);
            found.unreadable.extend(one.unreadable);
        }
        Ok(found)
    }

    /// [`Queue::history`] of each of `positions`, in their order, where a backend can do that for
    /// less: what a list of events shows.
    async fn histories(
        &self,
        positions: &[Position],
    ) -> Result<Vec<Vec<DeliveryHistory>>, QueueError> {
        let mut histories = Vec::with_capacity(positions.len());
        for position in positions {
            histories.push(self.history(*position).await?);
        }
        Ok(histories)
    }

    /// Dead letters that match, oldest first, without their events: to count and to group them.
    async fn dead_records(&self, filter: DeadFilter) -> Result<Vec<DeadRecord>, QueueError> {
        let letters = self.dead(filter).await?.into_iter();
        let records = letters.map(|letter| DeadRecord {
            handler: letter.handler,
            position: letter.position,
            fact: Some((letter.died_at, letter.reason)),
        });
        Ok(records.collect())
    }

    /// Those of `letters` that died when and of what they say, by the record itself: nothing is let go on the
    /// word of an index alone. A backend without one gives them all.
    async fn confirmed(&self, letters: Vec<DeadRecord>) -> Result<Vec<DeadRecord>, QueueError> {
        Ok(letters)
    }

    /// Deliveries that match whose events cannot be read, by handler and position; none where the
    /// filter asks for a reason or a time.
    async fn lost(&self, _filter: DeadFilter) -> Result<Vec<LostDeliveries>, QueueError> {
        Ok(Vec::new())
    }

    /// Makes the dead letters that match due at once, as new deliveries from attempt 1; says how
    /// many. One that held its order key stays in front of that key's line.
    async fn redrive(&self, filter: DeadFilter) -> Result<u64, QueueError>;

    /// [`Queue::redrive`] or [`Queue::drop_dead`] of just these dead letters; says how many of them
    /// there still were.
    async fn change_dead(
        &self,
        letters: Vec<(HandlerName, Position)>,
        change: DeadChange,
    ) -> Result<u64, QueueError> {
        let mut count = 0;
        for (handler, position) in letters {
            let position = Some(position);
            let filter = DeadFilter { handler: Some(handler), position, ..DeadFilter::default() };
            count += match change {
                DeadChange::Redrive => self.redrive(filter).await?,
                DeadChange::Drop => self.drop_dead(filter).await?,
            };
        }
        Ok(count)
    }

    /// Gives up the dead letters that match for good; says how many. One that held its order key
    /// lets the next of that key go.
    async fn drop_dead(&self, filter: DeadFilter) -> Result<u64, QueueError>;

    /// Makes retained events due again for `handler`, as new deliveries from attempt 1, in the
    /// order of the log. A delivery that is not settled yet stays as it is. Says what became of each,
    /// in the order of `positions`. Takes many at once, since all of one call are made durable together.
    async fn replay(
        &self,
        handler: &HandlerName,
        positions: &[Position],
    ) -> Result<Vec<ReplayResult>, QueueError>;

    /// What [`Queue::replay`] would make of each just now. Memory work only: an event that is gone is not
    /// told from one that is there. A backend that cannot tell says that it would restart them all.
    fn would_replay(&self, _handler: &HandlerName, positions: &[Position]) -> Vec<ReplayResult> {
        vec![ReplayResult::Restarted; positions.len()]
    }

    /// What makes a repeat of each of these events, to be carried into another queue; [`Dedupe::Off`] for
    /// one that cannot be read. A backend that cannot tell says so of all.
    async fn dedupes(&self, positions: &[Position]) -> Result<Vec<Dedupe>, QueueError> {
        Ok(vec![Dedupe::Off; positions.len()])
    }

    /// How each handler's delivery of each of these events stands, to be carried into another queue: of all
    /// handlers that have a place.
    async fn carried(
        &self,
        positions: &[Position],
    ) -> Result<Vec<Vec<(HandlerName, CarriedState)>>, QueueError>;

    /// Has deliveries stand as they did in the queue that they come from; says how many were changed. Only
    /// open ones are: what was tried or settled here stays, so that a second time changes nothing. A
    /// handler that has no place gets one, at the first of these positions. Handlers that deliver
    /// meanwhile may have had some of them by then.
    async fn carry_over(
        &self,
        handler: &HandlerName,
        deliveries: Vec<(Position, CarriedState)>,
    ) -> Result<u64, QueueError>;

    fn stats(&self) -> QueueStats;

    /// The newest position; 0 = none yet. Where only that is wanted it costs less than all figures.
    fn newest(&self) -> Position {
        self.stats().last
    }

    /// The retries of a handler that are due next, at most `max`, each with when that is by the steady
    /// clock; those that were given out are among them. Memory work only; a backend that cannot tell
    /// gives none.
    fn next_tries(&self, _handler: &HandlerName, _max: usize) -> Vec<(Position, Timestamp)> {
        Vec::new()
    }

    /// The try that a delivery waits for; `None` = it does not wait.
    fn next_try(&self, _handler: &HandlerName, _position: Position) -> Option<AwaitedTry> {
        None
    }

    /// Whether a durable write would succeed just now, tried by one.
    async fn probe(&self) -> Result<(), QueueError>;

    /// Writes what waits and lets go of the data folder. Calls after it are
    /// [`QueueError::Closed`].
    async fn close(&self) -> Result<(), QueueError>;
}

/// One handler's own place in the log.
#[async_trait]
pub trait Subscription: Send + Sync {
    /// Up to `max` due deliveries, at least one; entries of their own (retries) that are due come
    /// first, by due time, then the log in order. Waits until there is one. A delivery that is
    /// taken is not given out again while this subscription lives. None at all = it [is
    /// over](Subscription::is_over). Stops early behind the one with
    /// which the bodies pass [`TAKE_BYTES_MAX`] together.
    ///
    /// Dropping the future takes nothing: it is made anew in each turn of a loop. While it waits it
    /// looks again at least every [`LOOK_AGAIN`].
    async fn next(&self, max: usize) -> Result<Vec<Delivery>, QueueError>;

    /// Uses the delivery up. All of the outcome is recorded or none of it. It is durable within
    /// 100 ms; a crash before that brings the delivery back. Settlements are recorded in the order
    /// of the calls, so that a crash loses the last ones only. Where several gateways share the log, a
    /// delivery that is delivered or skipped counts as open until the log has it.
    ///
    /// A settlement without an attempt leaves the delivery's attempt number as it is.
    async fn settle(&self, settlement: Settlement) -> Result<(), QueueError>;

    /// [`Subscription::settle`] of each in this order, where a backend can do that for less. What
    /// comes behind an error is not settled.
    async fn settle_all(&self, settlements: Vec<Settlement>) -> Result<(), QueueError> {
        for settlement in settlements {
            self.settle(settlement).await?;
        }
        Ok(())
    }

    /// Gives a delivery back untried: it is due again at once.
    async fn release(&self, delivery: Delivery) -> Result<(), QueueError>;

    /// Whether an earlier delivery of `order_key` than `position` waits as an entry of its own:
    /// a retry, a held one (due or not), or a dead letter that holds its key. One that is taken
    /// does not count, its taker knows of it. Asked once per event: it must cost next to nothing
    /// where nothing waits.
    async fn is_key_waiting(
        &self,
        order_key: OrderKey,
        position: Position,
    ) -> Result<bool, QueueError>;

    /// Makes the first in the line of `order_key` due if it is a held one: its forerunner, a
    /// delivery out of the log, is settled. `false` = it is not (none, a retry, a dead letter that
    /// holds its key, one that is due already). Need not be durable.
    async fn release_key(&self, order_key: OrderKey) -> Result<bool, QueueError>;

    /// Makes the retry that would be due next due at once; `false` = none waits. Need not be durable:
    /// after a restart it is due as it was.
    async fn hasten(&self) -> Result<bool, QueueError> {
        Ok(false)
    }

    /// Whether what was given out may not be tried any more: where several gateways share the log another
    /// may have been given it by now. What was tried is settled all the same: the log knows whether it
    /// counts.
    fn is_over(&self) -> bool {
        false
    }

    /// Once it is over and every call has ended: lets go of what was given out and not settled. It comes
    /// again in its order, here or elsewhere.
    fn begin_anew(&self) {}

    /// What is due now or later: the log's rest behind the cursor, and the entries of their own.
    fn backlog(&self) -> Backlog;
}

/// The most events of one [`Queue::append_all`].
pub const APPEND_ALL_MAX: usize = 4_096;

/// How many bytes of bodies one [`Subscription::next`] gives before it stops; at least one
/// delivery is given whatever its size. It bounds what a handler's loop holds in memory, but for
/// what keeps each of them: some 5 KiB at most.
pub const TAKE_BYTES_MAX: usize = 4 << 20;

/// How long a waiting [`Subscription::next`] sleeps at most before it looks again: timers stand
/// still while the machine is suspended, and a bell may be missed.
pub const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Where a new subscription begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Behind the newest event: only what comes from here on.
    Now,
    /// At the oldest retained event.
    Oldest,
}

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// Stored under this id.
    Stored(EventId),
    /// Seen before within the window, under this id. Nothing was stored.
    Duplicate(EventId),
}

impl Appended {
    /// The event's id, the first one's for a duplicate.
    pub const fn id(self) -> EventId {
        match self {
            Self::Stored(id) | Self::Duplicate(id) => id,
        }
    }
}
