//! A queue in memory, for tests and simulations: it keeps every promise of [`super`] but
//! durability.
//!
//! What a disk would hold is a [`MemoryDisk`]; opening it again is a restart, with everything that
//! was taken and not settled back in its place. [`MemoryDisk::lose_settlements`] is the crash: the
//! last settlements were not written yet.
//!
//! It never prunes, and each call may cost a walk over a handler's open deliveries.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::Notify;

use super::{
    Appended, Backlog, DeadFilter, DeadLetter, DeliveryHistory, EventQuery, ListOrder, Queue,
    QueueError, QueueStats, Start, Subscription,
};
use crate::clock::{Clock, Timestamp};
use crate::event::{Dedupe, DedupeKey, Event, EventId, Glob, HandlerName, NewEvent, Position};

mod place;
mod subscription;

use place::{Place, Undo};
use subscription::MemorySubscription;

/// How many settlements a crash can lose at most.
const UNDO_MAX: usize = 1_000;

/// What would be on a disk: outlives the queues that are opened on it. Clones are the same disk.
#[derive(Clone, Default)]
pub struct MemoryDisk(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Rung when something may have become due.
    bell: Notify,
}

#[derive(Default)]
struct State {
    /// Raised by opening and closing: whoever holds an older number is closed.
    opening: u64,
    /// The event at index 0 has position 1.
    events: Vec<Arc<Event>>,
    ids: HashMap<EventId, Position>,
    /// When each key was last stored, and under which id.
    keys: HashMap<DedupeKey, (Timestamp, EventId)>,
    places: BTreeMap<HandlerName, Place>,
    /// Settlements that a crash may still lose, newest last.
    undo: Vec<(HandlerName, Undo)>,
}

impl fmt::Debug for MemoryDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryDisk")
    }
}

impl MemoryDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the queue on this disk. A queue that is still open on it is closed by that, as if its
    /// process had been killed.
    pub fn open(&self, clock: Arc<dyn Clock>) -> MemoryQueue {
        let mut state = self.0.lock();
        state.opening = state.opening.wrapping_add(1);
        state.undo.clear();
        let now = clock.steady();
        for place in state.places.values_mut() {
            place.restart(now);
        }
        self.0.bell.notify_waiters();
        MemoryQueue { opening: state.opening, shared: Arc::clone(&self.0), clock }
    }

    /// Undoes the last `n` settlements, or as many as are remembered: they were not written when
    /// the power went. Whatever is open on this disk is closed by it.
    pub fn lose_settlements(&self, n: usize) {
        let mut state = self.0.lock();
        state.opening = state.opening.wrapping_add(1);
        for _ in 0..n {
            let Some((handler, undo)) = state.undo.pop() else { break };
            if let Some(place) = state.places.get_mut(&handler) {
                place.undo(undo);
            }
        }
        self.0.bell.notify_waiters();
    }
}

/// The queue that is open on a [`MemoryDisk`].
pub struct MemoryQueue {
    opening: u64,
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for MemoryQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryQueue")
    }
}

impl Shared {
    /// Every step below leaves the state whole, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, opening: u64) -> Result<MutexGuard<'_, State>, QueueError> {
        let state = self.lock();
        if state.opening == opening { Ok(state) } else { Err(QueueError::Closed) }
    }
}

impl MemoryQueue {
    /// A queue on a disk of its own.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        MemoryDisk::new().open(clock)
    }

    /// The disk that it is open on.
    pub fn disk(&self) -> MemoryDisk {
        MemoryDisk(Arc::clone(&self.shared))
    }

    /// Kills this queue and starts it again: what was taken and not settled comes back, and so do
    /// the last `n_lost` settlements.
    #[must_use]
    pub fn crash(&self, n_lost: usize) -> Self {
        let disk = self.disk();
        disk.lose_settlements(n_lost);
        disk.open(Arc::clone(&self.clock))
    }

    /// Another way to this same queue, closed with it.
    #[must_use]
    pub fn reader(&self) -> Self {
        Self {
            opening: self.opening,
            shared: Arc::clone(&self.shared),
            clock: Arc::clone(&self.clock),
        }
    }

    fn state(&self) -> Result<MutexGuard<'_, State>, QueueError> {
        self.shared.open(self.opening)
    }

    /// A step that is durable when it returns, and what was settled before it with it.
    fn change<T>(&self, step: impl FnOnce(&mut State) -> T) -> Result<T, QueueError> {
        let mut state = self.state()?;
        let result = step(&mut state);
        state.undo.clear();
        self.shared.bell.notify_waiters();
        Ok(result)
    }
}

impl State {
    fn event(&self, position: Position) -> Option<&Arc<Event>> {
        let index = position.0.checked_sub(1)?;
        self.events.get(usize::try_from(index).ok()?)
    }

    fn last(&self) -> Position {
        Position(u64::try_from(self.events.len()).unwrap_or(u64::MAX))
    }

    fn append(&mut self, new: NewEvent) -> Appended {
        if let Dedupe::Within { key, window } = &new.dedupe
            && let Some((seen_at, id)) = self.keys.get(key)
            && new.received_at < seen_at.after(*window)
        {
            return Appended::Duplicate(*id);
        }
        let position = self.last().next();
        let id = self.next_id(new.received_at, position);
        if let Dedupe::Within { key, .. } = &new.dedupe {
            self.keys.insert(*key, (new.received_at, id));
        }
        self.ids.insert(id, position);
        self.events.push(Arc::new(Event::new(new, id, position)));
        Appended::Stored(id)
    }

    /// A UUID of version 7 whose random part is the position: it ascends within a millisecond, and
    /// the milliseconds never go back.
    fn next_id(&self, received_at: Timestamp, position: Position) -> EventId {
        let millis_of = |id: EventId| id.0.as_u128() >> 80;
        let last = self.events.last().map_or(0, |event| millis_of(event.id));
        let now = u128::try_from(received_at.as_millis()).unwrap_or(0);
        let millis = u64::try_from(last.max(now)).unwrap_or(u64::MAX);
        let mut counter = [0; 10];
        for (byte, value) in counter.iter_mut().skip(2).zip(position.0.to_be_bytes()) {
            *byte = value;
        }
        EventId(uuid::Builder::from_unix_timestamp_millis(millis, &counter).into_uuid())
    }

    /// The positions and handlers of the dead letters that match, oldest first.
    fn dead(&self, filter: &DeadFilter) -> Vec<DeadLetter> {
        let mut letters: Vec<DeadLetter> = self
            .places
            .iter()
            .filter(|(handler, _)| filter.handler.as_ref().is_none_or(|name| name == *handler))
            .flat_map(|(handler, place)| place.dead().map(move |dead| (handler, dead)))
            .filter_map(|(handler, (position, slot))| {
                let event = self.event(position)?;
                let (died_at, reason) = slot.dead_since()?;
                Some(DeadLetter {
                    handler: handler.clone(),
                    id: event.id,
                    position,
                    source: event.source.clone(),
                    event_type: event.event_type.clone(),
                    received_at: event.received_at,
                    attempts: slot.tried,
                    died_at,
                    reason,
                })
            })
            .filter(|letter| filter.position.is_none_or(|position| position == letter.position))
            .filter(|letter| {
                filter.reason.as_ref().is_none_or(|part| letter.reason.as_str().contains(part))
            })
            .filter(|letter| filter.since.is_none_or(|since| letter.died_at >= since))
            .filter(|letter| filter.until.is_none_or(|until| letter.died_at < until))
            .collect();
        letters.sort_by_key(|letter| (letter.died_at, letter.position));
        letters.truncate(filter.limit.unwrap_or(usize::MAX));
        letters
    }

    /// Does `step` with each dead letter that matches; says how many there were.
    fn each_dead(&mut self, filter: &DeadFilter, step: impl Fn(&mut Place, Position)) -> u64 {
        let letters = self.dead(filter);
        for letter in &letters {
            if let Some(place) = self.places.get_mut(&letter.handler) {
                step(place, letter.position);
            }
        }
        u64::try_from(letters.len()).unwrap_or(u64::MAX)
    }

    fn backlog(&self, place: &Place) -> Backlog {
        let oldest = place.oldest_pending().and_then(|position| self.event(position));
        place.backlog(self.last(), oldest.map(|event| event.received_at))
    }
}

/// A copy as the reading calls give it.
fn copy(event: &Event) -> Event {
    let new = NewEvent {
        source: event.source.clone(),
        event_type: event.event_type.clone(),
        received_at: event.received_at,
        data_root: event.data_root,
        is_json: event.is_json,
        headers: event.headers.clone(),
        body: event.body.clone(),
        dedupe: Dedupe::Off,
    };
    Event::new(new, event.id, event.position)
}

fn is_wanted(query: &EventQuery, event_type: Option<&Glob>, event: &Event) -> bool {
    query.source.as_ref().is_none_or(|source| *source == event.source)
        && event_type.is_none_or(|glob| glob.matches(event.event_type.as_str()))
        && query.since.is_none_or(|since| event.received_at >= since)
        && query.until.is_none_or(|until| event.received_at < until)
        && query.cursor.is_none_or(|cursor| match query.order {
            ListOrder::Newest => event.position < cursor,
            ListOrder::Oldest => event.position > cursor,
        })
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn append(&self, event: NewEvent) -> Result<Appended, QueueError> {
        let appended = self.state()?.append(event);
        self.shared.bell.notify_waiters();
        Ok(appended)
    }

    async fn subscribe(
        &self,
        handler: &HandlerName,
        start: Start,
    ) -> Result<Box<dyn Subscription>, QueueError> {
        let now = self.clock.steady();
        let subscribed = self.change(|state| {
            let next = match start {
                Start::Now => state.last().next(),
                Start::Oldest => Position(1),
            };
            let place =
                state.places.entry(handler.clone()).or_insert_with(|| Place::starting_at(next));
            if place.is_subscribed {
                return Err(QueueError::Busy(handler.clone()));
            }
            place.restart(now);
            place.is_subscribed = true;
            Ok(())
        })?;
        subscribed.map(|()| {
            Box::new(MemorySubscription {
                handler: handler.clone(),
                opening: self.opening,
                shared: Arc::clone(&self.shared),
                clock: Arc::clone(&self.clock),
            }) as Box<dyn Subscription>
        })
    }

    async fn forget(&self, handler: &HandlerName) -> Result<bool, QueueError> {
        self.change(|state| match state.places.get(handler) {
            Some(place) if place.is_subscribed => Err(QueueError::Busy(handler.clone())),
            Some(_) => Ok(state.places.remove(handler).is_some()),
            None => Ok(false),
        })?
    }

    async fn get(&self, id: EventId) -> Result<Option<Event>, QueueError> {
        let state = self.state()?;
        let position = state.ids.get(&id).copied();
        Ok(position.and_then(|position| state.event(position)).map(|event| copy(event)))
    }

    async fn list(&self, query: EventQuery) -> Result<Vec<Event>, QueueError> {
        let event_type = query.event_type.as_deref().map(Glob::new);
        let state = self.state()?;
        let wanted = |event: &&Arc<Event>| is_wanted(&query, event_type.as_ref(), event);
        let (mut n_events, mut body_bytes) = (0, 0);
        let has_room = |event: &&Arc<Event>| {
            let has_room = !query.is_full(n_events, body_bytes);
            (n_events, body_bytes) = (n_events + 1, body_bytes + event.body.len());
            has_room
        };
        let events = state.events.iter();
        let events: Vec<&Arc<Event>> = match query.order {
            ListOrder::Newest => events.rev().filter(wanted).take_while(has_room).collect(),
            ListOrder::Oldest => events.filter(wanted).take_while(has_room).collect(),
        };
        Ok(events.into_iter().map(|event| copy(event)).collect())
    }

    async fn history(&self, position: Position) -> Result<Vec<DeliveryHistory>, QueueError> {
        let state = self.state()?;
        if state.event(position).is_none() {
            return Ok(Vec::new());
        }
        Ok(state
            .places
            .iter()
            .filter_map(|(handler, place)| place.history(handler, position))
            .collect())
    }

    async fn dead(&self, filter: DeadFilter) -> Result<Vec<DeadLetter>, QueueError> {
        Ok(self.state()?.dead(&filter))
    }

    async fn redrive(&self, filter: DeadFilter) -> Result<u64, QueueError> {
        let now = self.clock.steady();
        self.change(|state| {
            state.each_dead(&filter, |place, position| place.begin_anew(position, now))
        })
    }

    async fn drop_dead(&self, filter: DeadFilter) -> Result<u64, QueueError> {
        let now = self.clock.steady();
        self.change(|state| {
            state.each_dead(&filter, |place, position| place.drop_dead(position, now))
        })
    }

    async fn replay(
        &self,
        handler: &HandlerName,
        positions: &[Position],
    ) -> Result<u64, QueueError> {
        let now = self.clock.steady();
        self.change(|state| {
            let retained = positions.iter().filter(|position| state.event(**position).is_some());
            let retained: Vec<Position> = retained.copied().collect();
            let Some(place) = state.places.get_mut(handler) else { return 0 };
            for position in &retained {
                if !place.is_pending(*position) {
                    place.begin_anew(*position, now);
                }
            }
            u64::try_from(retained.len()).unwrap_or(u64::MAX)
        })
    }

    fn stats(&self) -> QueueStats {
        let state = self.shared.lock();
        let bytes = state.events.iter().map(|event| event.body.len()).sum::<usize>();
        QueueStats {
            events: state.last().0,
            bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
            last: state.last(),
            lag_bytes: 0,
            handlers: state
                .places
                .iter()
                .map(|(handler, place)| (handler.clone(), state.backlog(place)))
                .collect(),
            damage: Vec::new(),
        }
    }

    async fn probe(&self) -> Result<(), QueueError> {
        self.state().map(drop)
    }

    async fn close(&self) -> Result<(), QueueError> {
        self.change(|state| state.opening = state.opening.wrapping_add(1))
    }
}
