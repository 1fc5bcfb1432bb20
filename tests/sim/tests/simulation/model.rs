//! A queue as simple as can be, to prove the harness by: as it is it must pass every run, and each
//! mutant of it must be found.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use gatepost_sim::clock::{Clock, ManualClock, Timestamp};
use gatepost_sim::event::{Dedupe, DedupeKey, EventId, HandlerName, NewEvent, OrderKey, Position};
use gatepost_sim::queue::{QueueError, Start};

use crate::mutants::{MUTANTS, Mutant};
use crate::subject::{Answer, Request, Ticket};

mod appending;
mod as_subject;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Settled,
    Open,
    Waiting { due: Timestamp, wait: Duration, attempts: u32, key: Option<OrderKey> },
    Dead { key: Option<OrderKey> },
}

#[derive(Clone, Debug)]
enum Record {
    /// By one write.
    Events(Vec<(NewEvent, EventId, Position)>),
    Subscribed(HandlerName, Position),
    Forgotten(HandlerName),
    Change(HandlerName, Position, State),
}

#[derive(Debug, Default)]
struct Session {
    began_at: Timestamp,
    leased: BTreeSet<Position>,
    parked: BTreeMap<Position, OrderKey>,
    released: BTreeSet<Position>,
}

#[derive(Debug, Default)]
struct Handler {
    since: Position,
    states: BTreeMap<Position, State>,
    outbox: Vec<(Position, State)>,
    outbox_since: Option<Duration>,
    session: Option<Session>,
}

impl Handler {
    fn state(&self, position: Position) -> State {
        let unread = if position < self.since { State::Settled } else { State::Open };
        self.states.get(&position).copied().unwrap_or(unread)
    }

    fn change(&mut self, position: Position, state: State, now: Duration) {
        self.states.insert(position, state);
        self.outbox.push((position, state));
        self.outbox_since.get_or_insert(now);
    }

    /// The first that waits with the key, other than what is given out.
    fn head(&self, key: OrderKey) -> Option<Position> {
        let session = self.session.as_ref()?;
        let entries = self.states.iter().filter(|(_, state)| {
            matches!(state, State::Waiting { key: its, .. } | State::Dead { key: its }
                if *its == Some(key))
        });
        let waiting = entries.map(|(position, _)| *position);
        let parked = session.parked.iter().filter(|(_, its)| **its == key).map(|(it, _)| *it);
        waiting.chain(parked).filter(|position| !session.leased.contains(position)).min()
    }

    fn release(&mut self, key: OrderKey) {
        let head = self.head(key);
        let Some(session) = &mut self.session else { return };
        if let Some(head) = head.filter(|head| session.parked.contains_key(head)) {
            session.released.insert(head);
        }
    }
}

/// The subject. `MUTANT` is the index of a mutant in [`MUTANTS`], or more than there are.
pub struct Model<const MUTANT: usize> {
    disk: Vec<Record>,
    n_synced: usize,
    open: Option<Live>,
    free: Option<u32>,
}

struct Live {
    clock: Arc<ManualClock>,
    events: BTreeMap<Position, (NewEvent, EventId)>,
    keys: BTreeMap<DedupeKey, (EventId, Timestamp)>,
    /// Of events whose senders gave up.
    unanswered: BTreeMap<DedupeKey, EventId>,
    unheard: BTreeSet<Ticket>,
    /// Of those whose senders may still give up.
    heard: BTreeMap<Ticket, (DedupeKey, EventId)>,
    handlers: BTreeMap<HandlerName, Handler>,
    inbox: Vec<(Ticket, Request)>,
    unsynced: Vec<(Ticket, Result<Answer, QueueError>)>,
    answers: Vec<(Ticket, Result<Answer, QueueError>)>,
    now: Duration,
    next: Position,
    /// What handlers may see: events before it are synced.
    published: Position,
    next_id: u128,
}

impl<const MUTANT: usize> Model<MUTANT> {
    const IS: Mutant = if MUTANT < MUTANTS.len() { MUTANTS[MUTANT] } else { Mutant::None };

    fn is(mutant: Mutant) -> bool {
        Self::IS == mutant
    }

    fn live(&mut self) -> &mut Live {
        self.open.as_mut().expect("it is open")
    }

    fn handler(&mut self, name: &HandlerName) -> &mut Handler {
        self.live().handlers.get_mut(name).expect("it is subscribed")
    }

    fn apply(live: &mut Live, record: &Record, is_recent: bool) {
        match record {
            Record::Events(events) => {
                for (new, id, position) in events {
                    if let Dedupe::Within { key, .. } = new.dedupe
                        && !(Self::is(Mutant::ForgetsNewestKeysAtStart) && is_recent)
                    {
                        live.keys.insert(key, (*id, new.received_at));
                    }
                    live.events.insert(*position, (new.clone(), *id));
                    live.next = live.next.max(position.next());
                    if !Self::is(Mutant::GivesIdsAgain) {
                        live.next_id = live.next_id.max(id.0.as_u128() + 1);
                    }
                }
            }
            Record::Subscribed(name, since) => {
                let handler = Handler { since: *since, ..Handler::default() };
                if !live.handlers.contains_key(name) {
                    live.handlers.insert(name.clone(), handler);
                }
            }
            Record::Forgotten(name) => {
                if !Self::is(Mutant::RevivesForgottenHandlers) {
                    live.handlers.remove(name);
                }
            }
            Record::Change(name, position, state) => {
                let Some(handler) = live.handlers.get_mut(name) else { return };
                if Self::is(Mutant::SettlesWhatWasJumpedOver) {
                    let from = handler.states.last_key_value().map(|(last, _)| last.next());
                    for jumped in (from.unwrap_or(*position).0..position.0).map(Position) {
                        handler.states.insert(jumped, State::Settled);
                    }
                }
                let again = matches!(state, State::Dead { .. })
                    && Self::is(Mutant::TriesDeadLettersAgainAtStart);
                handler.states.insert(*position, if again { State::Open } else { *state });
            }
        }
    }

    fn seen(live: &Live, new: &NewEvent) -> Option<EventId> {
        let Dedupe::Within { key, window } = new.dedupe else { return None };
        let (id, seen) = live.keys.get(&key)?;
        let age = new.received_at.as_millis() - seen.as_millis();
        let window = i64::try_from(window.as_millis()).unwrap();
        let is_repeat = Self::is(Mutant::TakesEveryKeyForARepeat) || -300_000 < age && age < window;
        is_repeat.then_some(*id)
    }

    fn record_outboxes(&mut self, even_if_young: bool) {
        let live = self.open.as_mut().expect("it is open");
        for (name, handler) in &mut live.handlers {
            let is_due = |since: Duration| live.now >= since + Duration::from_millis(40);
            if !even_if_young && !handler.outbox_since.is_some_and(is_due) {
                continue;
            }
            handler.outbox_since = None;
            let mut outbox = std::mem::take(&mut handler.outbox);
            if Self::is(Mutant::RecordsInOtherOrder) {
                outbox.reverse();
            }
            if Self::is(Mutant::NeverRecordsOutcomes) {
                outbox.clear();
            }
            let records = outbox.into_iter();
            self.disk.extend(
                records.map(|(position, state)| Record::Change(name.clone(), position, state)),
            );
        }
    }

    fn do_one(&mut self, ticket: Ticket, request: Request) {
        let answer = match request {
            Request::Append(new) => return self.append(ticket, new),
            Request::AppendAll(all) => return self.append_all(ticket, all),
            Request::FindRepeated(new) => {
                let found = Self::seen(self.live(), &new);
                Answer::Repeats(found.filter(|_| !Self::is(Mutant::FindsNoRepeats)))
            }
            Request::Subscribe(name, start) => self.subscribe(name, start),
            Request::Forget(name) => {
                let was = self.live().handlers.remove(&name).is_some();
                self.disk.push(Record::Forgotten(name));
                Answer::Count(u64::from(was))
            }
            Request::Redrive(name, position) => self.change_dead(&name, position, true),
            Request::DropDead(name, position) => self.change_dead(&name, position, false),
            Request::Replay(name, positions) => self.replay(&name, &positions),
            Request::Clean { .. } => {
                if Self::is(Mutant::LosesDeadLettersWithTheirSegment) {
                    self.lose_dead();
                }
                Answer::Done
            }
            Request::Snapshot => Answer::Done,
            Request::Close => {
                if !Self::is(Mutant::LosesOutcomesAtClose) {
                    self.record_outboxes(true);
                }
                Answer::Done
            }
        };
        self.live().unsynced.push((ticket, Ok(answer)));
    }

    fn subscribe(&mut self, name: HandlerName, start: Start) -> Answer {
        let live = self.open.as_mut().expect("it is open");
        let since = match start {
            Start::Now => live.next,
            Start::Oldest => Position(1),
        };
        let is_new = !live.handlers.contains_key(&name);
        let handler = live.handlers.entry(name.clone()).or_default();
        if is_new || Self::is(Mutant::StartsAtNowAgain) {
            handler.since = since;
            self.disk.push(Record::Subscribed(name, since));
        }
        let began_at = live.clock.steady();
        handler.session = Some(Session { began_at, ..Session::default() });
        Answer::Done
    }

    fn change_dead(
        &mut self,
        name: &HandlerName,
        position: Option<Position>,
        is_redrive: bool,
    ) -> Answer {
        let (now, steady) = (self.live().now, self.live().clock.steady());
        let handler = self.handler(name);
        let is_asked = |at: &Position| position.is_none_or(|position| position == *at);
        let dead: Vec<_> = handler
            .states
            .iter()
            .filter_map(|(at, state)| match state {
                State::Dead { key } if is_asked(at) => Some((*at, *key)),
                _ => None,
            })
            .collect();
        for (position, key) in &dead {
            let state = match (is_redrive, key) {
                (false, _) => State::Settled,
                (true, None) => State::Open,
                (true, Some(_)) => {
                    let wait = Duration::ZERO;
                    State::Waiting { due: steady, wait, attempts: 0, key: *key }
                }
            };
            if is_redrive && Self::is(Mutant::DoesNotRecordRedrives) {
                handler.states.insert(*position, state);
            } else {
                handler.change(*position, state, now);
            }
            if let (false, Some(key)) = (is_redrive, key)
                && !Self::is(Mutant::StrandsBehindDroppedLetter)
            {
                handler.release(*key);
            }
        }
        self.record_outboxes(true);
        Answer::Count(dead.len() as u64)
    }

    fn replay(&mut self, name: &HandlerName, positions: &[Position]) -> Answer {
        let mut n_there = 0;
        for position in positions {
            let (now, steady) = (self.live().now, self.live().clock.steady());
            n_there += u64::from(self.live().events.contains_key(position));
            let handler = self.handler(name);
            let state = match handler.state(*position) {
                State::Open | State::Waiting { .. } => continue,
                State::Dead { key: Some(key) } => {
                    let (due, wait) = (steady, Duration::ZERO);
                    State::Waiting { due, wait, attempts: 0, key: Some(key) }
                }
                State::Settled | State::Dead { key: None } => State::Open,
            };
            if !Self::is(Mutant::ReplaysNothing) {
                handler.change(*position, state, now);
            }
        }
        self.record_outboxes(true);
        Answer::Count(n_there)
    }

    fn lose_dead(&mut self) {
        let live = self.open.as_mut().expect("it is open");
        for handler in live.handlers.values_mut() {
            for state in handler.states.values_mut() {
                if matches!(state, State::Dead { .. }) {
                    *state = State::Settled;
                }
            }
        }
    }

    /// What may be given out, in the order in which it is.
    fn due(&mut self, name: &HandlerName) -> Vec<Position> {
        let steady = self.live().clock.steady();
        let is_published = !Self::is(Mutant::DeliversBeforeSync);
        let next = if is_published { self.live().published } else { self.live().next };
        let handler = self.handler(name);
        let Some(session) = &handler.session else { return Vec::new() };
        let is_free =
            |at: &Position| Self::is(Mutant::DeliversTwiceAtOnce) || !session.leased.contains(at);
        let mut waiting: Vec<(Timestamp, Position)> = Vec::new();
        for (position, state) in &handler.states {
            let State::Waiting { due, wait, key, .. } = *state else { continue };
            let latest = session.began_at.after(wait);
            let is_stalled = Self::is(Mutant::StallsWhenClockIsSetBack);
            let due = if is_stalled { due } else { due.min(latest) };
            let is_early = Self::is(Mutant::GivesOutEarly);
            let is_head = key.is_none_or(|key| handler.head(key) == Some(*position))
                || Self::is(Mutant::GivesOutBehindAnEarlierRetry);
            if (due <= steady || is_early) && is_head && is_free(position) {
                waiting.push((due, *position));
            }
        }
        waiting.sort_unstable();
        let is_first = |at: &Position| {
            let key = session.parked.get(at);
            key.is_some_and(|key| handler.head(*key) == Some(*at))
                || Self::is(Mutant::GivesOutWhatWasReleasedTooEarly)
        };
        let released: Vec<Position> =
            session.released.iter().copied().filter(|at| is_free(at) && is_first(at)).collect();
        let reopened = handler.states.iter().filter(|(_, state)| **state == State::Open);
        let skips = Self::is(Mutant::SkipsPositions);
        let mut open: Vec<Position> = (handler.since.0..next.0)
            .map(Position)
            .filter(|position| !skips || position.0 % 64 != 63)
            .filter(|position| handler.state(*position) == State::Open)
            .chain(reopened.map(|(position, _)| *position))
            .filter(|position| is_free(position) && !session.parked.contains_key(position))
            .collect();
        open.sort_unstable();
        open.dedup();
        waiting.into_iter().map(|(_, position)| position).chain(released).chain(open).collect()
    }
}
