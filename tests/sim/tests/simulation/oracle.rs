//! What may have become of every event: the simulation's judge. It shares no code with the queue,
//! and knows nothing of files.

use std::collections::BTreeMap;
use std::time::Duration;

use gatepost_sim::clock::Timestamp;
use gatepost_sim::event::{Dedupe, DedupeKey, Event, EventId, NewEvent, Position};
use gatepost_sim::queue::{Appended, QueueError};

use crate::damage::Effects;
use crate::fates::HandlerFates;

mod groups;

pub use groups::Asked;

/// What the queue did and must not.
pub type Verdict = Result<(), String>;

/// Received this much earlier than what it would repeat, an event is a new one.
const SLACK: Duration = Duration::from_secs(300);

/// How an append ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Append {
    /// Under way.
    Asked,
    /// Acknowledged, or seen by a handler.
    Stored,
    /// Nobody was told whether it was stored.
    Unknown,
    /// Answered with an error that means that it was not stored.
    Refused,
    /// Answered as a repeat.
    Repeat,
}

/// One event that was handed to the queue. Its token is its index.
#[derive(Clone, Debug)]
pub struct Facts {
    pub new: NewEvent,
    pub order: u8,
    pub append: Append,
    pub id: Option<EventId>,
    pub position: Option<Position>,
    /// It may be unreadable.
    pub may_be_lost: bool,
    /// Its key may be forgotten.
    pub may_be_repeated: bool,
    /// The newest event that was known to be stored when it was asked for: it comes behind it.
    asked_behind: Option<EventId>,
    /// By the wall clock, its window was over at some moment since.
    is_window_over: bool,
    /// Its sender gave this one up and has sent it again.
    pub again_of: Option<u32>,
}

#[derive(Debug, Default)]
pub struct Oracle {
    pub events: Vec<Facts>,
    pub by_id: BTreeMap<EventId, u32>,
    by_position: BTreeMap<Position, u32>,
    pub handlers: Vec<HandlerFates>,
    /// Something was damaged: there may be positions that no event had, left out for those that an
    /// unreadable stretch could have held.
    pub was_damaged: bool,
    /// Something of the kept log may be missing: that an event is not there does not tell any more
    /// that it was settled.
    is_kept_damaged: bool,
    /// A page of keys may come to be one that could not be read.
    pub keys_may_go: bool,
    /// A segment may have been freed: events that were settled may be gone.
    pub was_cleaned: bool,
}

impl Oracle {
    pub fn new(n_handlers: usize) -> Self {
        let handlers = (0..n_handlers).map(|_| HandlerFates::default()).collect();
        Self { handlers, ..Self::default() }
    }

    pub fn facts(&self, token: u32) -> &Facts {
        &self.events[token as usize]
    }

    /// Whether a handler may find that an event is lost. Where both the outcome and something of the
    /// kept log are damaged, one that was settled and let go may be taken for one that is missing.
    pub fn may_be_lost(&self, handler: usize, token: u32) -> bool {
        let is_undecided = self.is_kept_damaged && self.handlers[handler].is_loose(token);
        self.facts(token).may_be_lost || is_undecided
    }

    pub fn next_token(&self) -> u32 {
        u32::try_from(self.events.len()).unwrap()
    }

    pub fn asked(&mut self, new: NewEvent, order: u8) {
        let sure = self.by_id.iter().rev().find(|(_, token)| !self.facts(**token).may_be_lost);
        self.events.push(Facts {
            new,
            order,
            append: Append::Asked,
            id: None,
            position: None,
            may_be_lost: false,
            may_be_repeated: self.keys_may_go,
            asked_behind: sure.map(|(id, _)| *id),
            is_window_over: false,
            again_of: None,
        });
    }

    pub fn answered(&mut self, token: u32, answer: &Result<Appended, QueueError>) -> Verdict {
        match answer {
            Ok(Appended::Stored(id)) => {
                self.is_no_repeat(token, *id)?;
                self.stored(token, *id)
            }
            Ok(Appended::Duplicate(id)) => {
                self.events[token as usize].append = Append::Repeat;
                self.repeats(token, *id)
            }
            Err(QueueError::Full(_)) => {
                self.events[token as usize].append = Append::Refused;
                Ok(())
            }
            Err(_) => {
                self.events[token as usize].append = Append::Unknown;
                Ok(())
            }
        }
    }

    /// The event is in the log under this id.
    fn stored(&mut self, token: u32, id: EventId) -> Verdict {
        let facts = &self.events[token as usize];
        if let Some(known) = facts.id
            && known != id
        {
            return Err(format!("event {token} has two ids: {known} and {id}"));
        }
        if facts.asked_behind.is_some_and(|before| id <= before) {
            return Err(format!("event {token} got id {id}, which is not behind earlier ones"));
        }
        if let Some(other) = self.by_id.insert(id, token)
            && other != token
        {
            return Err(format!("events {other} and {token} have the same id {id}"));
        }
        let facts = &mut self.events[token as usize];
        facts.id = Some(id);
        facts.append = Append::Stored;
        Ok(())
    }

    /// An event that was stored must not have been a repeat for sure.
    fn is_no_repeat(&self, token: u32, id: EventId) -> Verdict {
        let facts = self.facts(token);
        let Dedupe::Within { key, window } = facts.new.dedupe else { return Ok(()) };
        // Of several with the key the newest one before it is what counts; one of which nobody
        // knows whether it is there may be that one.
        let is_unsure = |it: &u32| self.facts(*it).append == Append::Unknown;
        let mut unsure = (0..self.next_token()).filter(is_unsure);
        if unsure.any(|it| self.key_of(it) == Some(key)) {
            return Ok(());
        }
        let mut earlier = self.by_id.range(..id).rev().map(|(_, token)| *token);
        let Some(newest) = earlier.find(|it| self.key_of(*it) == Some(key)) else {
            return Ok(());
        };
        let seen = self.facts(newest);
        let is_forgiven = seen.may_be_lost || seen.may_be_repeated || seen.is_window_over;
        if !is_forgiven && repeats(facts.new.received_at, window, seen.new.received_at) {
            return Err(format!("event {token} was stored although it repeats {newest}"));
        }
        Ok(())
    }

    /// An event that was answered as a repeat must be one, of an event that is stored.
    fn repeats(&mut self, token: u32, id: EventId) -> Verdict {
        let new = self.facts(token).new.clone();
        self.is_repeat(&new, id, &format!("event {token}"), |it| it != token)
    }

    /// Whether the event of this id is what `new` repeats, among those that may be meant.
    fn is_repeat(
        &mut self,
        new: &NewEvent,
        id: EventId,
        what: &str,
        is_meant: impl Fn(u32) -> bool,
    ) -> Verdict {
        let Dedupe::Within { key, window } = new.dedupe else {
            return Err(format!("{what} has no dedupe key and was taken for a repeat"));
        };
        let first = match self.by_id.get(&id).copied() {
            Some(first) => first,
            None => {
                let is_unsure = |it: &u32| {
                    let append = self.facts(*it).append;
                    is_meant(*it)
                        && matches!(append, Append::Unknown | Append::Asked)
                        && self.key_of(*it) == Some(key)
                };
                let unsure: Vec<u32> = (0..self.next_token()).filter(is_unsure).collect();
                let first = match unsure.as_slice() {
                    [] => {
                        return Err(format!("{what} was taken for a repeat of {id}, unknown"));
                    }
                    [first] => *first,
                    // Which of them it is will be seen when it is delivered.
                    [..] => return Ok(()),
                };
                self.stored(first, id)?;
                first
            }
        };
        if self.key_of(first) != Some(key) {
            return Err(format!("{what} was taken for a repeat of {first}: another key"));
        }
        if !repeats(new.received_at, window, self.facts(first).new.received_at) {
            return Err(format!("{what} was taken for a repeat of {first}: not in time"));
        }
        Ok(())
    }

    fn key_of(&self, token: u32) -> Option<DedupeKey> {
        match self.facts(token).new.dedupe {
            Dedupe::Within { key, .. } => Some(key),
            Dedupe::Off | Dedupe::Unanswered { .. } => None,
        }
    }

    /// A handler was given this event: it must be one that can be there, as it was handed in.
    pub fn seen(&mut self, event: &Event) -> Result<u32, String> {
        let token = token_of(&event.body).ok_or("an event was delivered that nobody sent")?;
        let Some(facts) = self.events.get(token as usize) else {
            return Err(format!("event {token} was delivered before it was sent"));
        };
        match facts.append {
            Append::Stored | Append::Asked | Append::Unknown => {}
            Append::Refused => return Err(format!("event {token} was refused and delivered")),
            Append::Repeat => return Err(format!("event {token} is a repeat and was delivered")),
        }
        let is_as_sent = event.body == facts.new.body
            && event.source == facts.new.source
            && event.event_type == facts.new.event_type
            && event.received_at == facts.new.received_at
            && event.headers.encoded() == facts.new.headers.encoded();
        if !is_as_sent {
            return Err(format!("event {token} was delivered other than it was sent"));
        }
        self.stored(token, event.id)?;
        self.at(token, event.id, event.position)?;
        Ok(token)
    }

    /// Positions ascend with the ids, and an event has one.
    fn at(&mut self, token: u32, id: EventId, position: Position) -> Verdict {
        let facts = &mut self.events[token as usize];
        if facts.position.replace(position).is_some_and(|before| before != position) {
            return Err(format!("event {token} changed its position to {}", position.0));
        }
        // Of what is lost nobody may know any more that it had a position.
        if let Some(other) = self.by_position.insert(position, token)
            && other != token
        {
            let other = &mut self.events[other as usize];
            if !other.may_be_lost {
                return Err(format!("position {} was used twice", position.0));
            }
            other.position = None;
        }
        // What could not be read for a while has an id in no order with those given meanwhile.
        if self.facts(token).may_be_lost {
            return Ok(());
        }
        let is_sure = |found: &(&Position, &u32)| !self.facts(*found.1).may_be_lost;
        let before = self.by_position.range(..position).rev().find(is_sure);
        let behind = self.by_position.range(position.next()..).find(is_sure);
        let id_of = |found: Option<(&Position, &u32)>| found.and_then(|it| self.facts(*it.1).id);
        if id_of(before).is_some_and(|before| before >= id)
            || id_of(behind).is_some_and(|behind| behind <= id)
        {
            return Err(format!("ids and positions differ in their order at {}", position.0));
        }
        Ok(())
    }

    /// The wall clock reads `now`.
    pub fn time_is(&mut self, now: Timestamp) {
        for facts in &mut self.events {
            if let Dedupe::Within { window, .. } = facts.new.dedupe {
                facts.is_window_over |= facts.new.received_at.after(window) <= now;
            }
        }
    }

    /// The process has ended, by itself or not.
    pub fn ended(&mut self) {
        for facts in &mut self.events {
            if facts.append == Append::Asked {
                facts.append = Append::Unknown;
            }
        }
        for handler in &mut self.handlers {
            handler.ended();
        }
    }

    /// Something was damaged, which may have cost this much.
    pub fn damaged(&mut self, effects: &Effects) {
        for token in &effects.events {
            if let Some(facts) = self.events.get_mut(*token as usize) {
                facts.may_be_lost = true;
            }
        }
        for (token, facts) in (0..).zip(&mut self.events) {
            facts.may_be_repeated |= effects.keys;
            facts.may_be_lost |= effects.only_left.as_ref().is_some_and(|it| !it.contains(&token));
        }
        self.is_kept_damaged |= effects.kept;
        // What was let go is told by what was copied, or by a snapshot.
        let is_let_go_unknown = self.is_kept_damaged && effects.snapshot;
        let n_events = self.next_token();
        for handler in &mut self.handlers {
            if effects.outcomes || is_let_go_unknown {
                handler.loosen(n_events);
            }
            handler.may_vanish |= effects.subscriptions;
            handler.may_be_revived |= effects.revivals;
        }
    }
}

fn repeats(new: Timestamp, window: Duration, seen: Timestamp) -> bool {
    let age = new.as_millis() - seen.as_millis();
    let window = i64::try_from(window.as_millis()).unwrap();
    -i64::try_from(SLACK.as_millis()).unwrap() < age && age < window
}

const MARK: &[u8] = b"token:";

/// A body that says which event it is, and is hard to take for another.
pub fn body_of(token: u32, n_bytes: u16) -> Vec<u8> {
    let mut body = format!("token:{token:08};").into_bytes();
    let filler = (0..n_bytes).map(|n| (u32::from(n).wrapping_mul(31) ^ token) as u8 | 0x80);
    body.extend(filler);
    body
}

/// Which event a body is of.
pub fn token_of(body: &[u8]) -> Option<u32> {
    let digits = body.strip_prefix(MARK)?.get(..8)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The same, where the body is somewhere in `bytes`.
pub fn find_token(bytes: &[u8]) -> Option<u32> {
    let at = bytes.windows(MARK.len()).position(|window| window == MARK)?;
    token_of(&bytes[at..])
}
