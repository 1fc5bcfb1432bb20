//! Dead letters: which there are comes from the states, why they died from the index.

use std::collections::BTreeMap;

use super::Reading;
use crate::event::{ErrorText, HandlerName, OrderKey, Position};
use crate::queue::embedded::index::{DeadFact, DeliveryKey};
use crate::queue::embedded::log::Finder;
use crate::queue::embedded::record::{Incarnation, Lsn};
use crate::queue::{
    DeadCursor, DeadFilter, DeadLetter, DeadListing, DeadRecord, LostDeliveries, QueueError,
};

/// How many dead letters are asked of a handler's state at once: its lock is held as long.
const POSITIONS_AT_ONCE: usize = 1_000;

/// What the reason of a dead letter says until the index has it.
const NOT_KNOWN: &str = "not known yet: the index is being made";

/// A dead letter that matches, before its event is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeadMatch {
    pub(crate) handler: HandlerName,
    pub(crate) incarnation: Incarnation,
    pub(crate) position: Position,
    /// The key that it holds.
    pub(crate) order_key: Option<OrderKey>,
    /// `None` = the index does not have it yet.
    pub(crate) fact: Option<DeadFact>,
}

impl DeadMatch {
    /// Without what only its event's place tells.
    pub(crate) fn into_record(self) -> DeadRecord {
        let fact = self.fact.map(|fact| (fact.died_at, fact.reason));
        DeadRecord { handler: self.handler, position: self.position, fact }
    }
}

/// Dead letters that match, in the order in which they died; those of which the index does not
/// know when come last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeadMatches {
    pub(crate) matches: Vec<DeadMatch>,
    /// `false` = there may be more, or reasons are missing: the index is being made or is behind.
    pub(crate) is_complete: bool,
}

/// Dead letters with their events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeadPage {
    pub(crate) letters: Vec<DeadLetter>,
    /// Those whose events cannot be read any more.
    pub(crate) unreadable: Vec<DeadMatch>,
    /// `false` = there may be more, or reasons are missing: the index is being made or is behind.
    pub(crate) is_complete: bool,
}

impl DeadPage {
    /// As the queue tells it.
    pub(crate) fn into_listing(self) -> DeadListing {
        let unreadable = self.unreadable.into_iter().map(DeadMatch::into_record).collect();
        DeadListing { letters: self.letters, unreadable }
    }
}

impl Reading {
    /// Dead letters that match, with their events. `through` as for [`Reading::history`].
    pub(crate) fn dead(&self, filter: &DeadFilter, through: Lsn) -> Result<DeadPage, QueueError> {
        self.with_events(self.find_dead(filter, through))
    }

    /// Just these, in their order, of those that are dead letters still.
    pub(crate) fn dead_of(
        &self,
        letters: &[(HandlerName, Position)],
        through: Lsn,
    ) -> Result<DeadPage, QueueError> {
        let handlers: BTreeMap<HandlerName, Incarnation> =
            self.states.handlers().into_iter().collect();
        let mut matches = Vec::with_capacity(letters.len());
        for (handler, position) in letters {
            let Some(incarnation) = handlers.get(handler) else { continue };
            self.each_dead(handler, Some(*position), |position, order_key| {
                let fact = self.dead_fact(handler, *incarnation, position);
                let (handler, incarnation) = (handler.clone(), *incarnation);
                matches.push(DeadMatch { handler, incarnation, position, order_key, fact });
            });
        }
        let is_complete = matches.iter().all(|letter| letter.fact.is_some())
            && self.index.progress().to >= through;
        self.with_events(DeadMatches { matches, is_complete })
    }

    fn with_events(&self, found: DeadMatches) -> Result<DeadPage, QueueError> {
        let DeadMatches { matches, mut is_complete } = found;
        // Events are read in the order of the log, which is quick, and told in the order of the matches.
        let mut by_position: Vec<(usize, &DeadMatch)> = matches.iter().enumerate().collect();
        by_position.sort_by_key(|(_, letter)| letter.position);
        let mut finder = Finder::default();
        let (mut letters, mut unreadable) = (BTreeMap::new(), Vec::new());
        for (index, letter) in by_position {
            if let Some(letter) = self.letter_of(letter, &mut finder)? {
                letters.insert(index, letter);
            } else {
                is_complete = false;
                unreadable.push(letter.clone());
            }
        }
        let letters = letters.into_values().collect();
        Ok(DeadPage { letters, unreadable, is_complete })
    }

    /// Dead letters that match, without their events: what redriving and dropping by a filter need.
    /// Without a filter by reason or time it has all of them, whatever the index answers.
    pub(crate) fn find_dead(&self, filter: &DeadFilter, through: Lsn) -> DeadMatches {
        let is_by_fact = is_by_fact(filter);
        let limit = filter.limit.unwrap_or(usize::MAX);
        let mut matches: BTreeMap<DeadCursor, DeadMatch> = BTreeMap::new();
        let mut n_unknown = 0_u64;
        for (handler, incarnation) in self.dead_handlers(filter) {
            self.each_dead(&handler, filter.position, |position, order_key| {
                let fact = self.dead_fact(&handler, incarnation, position);
                n_unknown += u64::from(fact.is_none());
                let is_wanted = match &fact {
                    Some(fact) => is_wanted(filter, fact),
                    None => !is_by_fact,
                };
                if !is_wanted {
                    return;
                }
                let died_at = fact.as_ref().map_or(DeadCursor::UNKNOWN, |fact| fact.died_at);
                let handler = handler.clone();
                let key = DeadCursor { died_at, position, handler: handler.clone() };
                if filter.after.as_ref().is_some_and(|after| key <= *after) {
                    return;
                }
                matches.insert(key, DeadMatch { handler, incarnation, position, order_key, fact });
                if matches.len() > limit {
                    matches.pop_last();
                }
            });
        }
        // One that was redriven and died again has an older reason until the index is there.
        let is_complete = n_unknown == 0 && self.index.progress().to >= through;
        DeadMatches { matches: matches.into_values().collect(), is_complete }
    }

    fn dead_handlers(&self, filter: &DeadFilter) -> Vec<(HandlerName, Incarnation)> {
        let mut handlers = self.states.handlers();
        if let Some(wanted) = &filter.handler {
            handlers.retain(|(handler, _)| handler == wanted);
        }
        handlers
    }

    /// Visits a handler's dead letters by position.
    fn each_dead(
        &self,
        handler: &HandlerName,
        only: Option<Position>,
        mut visit: impl FnMut(Position, Option<OrderKey>),
    ) {
        let mut from = only.unwrap_or_default();
        let at_once = if only.is_some() { 1 } else { POSITIONS_AT_ONCE };
        loop {
            let dead = self.states.dead_from(handler, from, at_once);
            for (position, order_key) in &dead {
                if only.is_none_or(|only| only == *position) {
                    visit(*position, *order_key);
                }
            }
            match dead.last() {
                Some((last, _)) if only.is_none() && dead.len() >= at_once => from = last.next(),
                Some(_) | None => return,
            }
        }
    }

    /// When and why a delivery died; `None` = the index does not have it.
    pub(crate) fn dead_fact(
        &self,
        handler: &HandlerName,
        incarnation: Incarnation,
        position: Position,
    ) -> Option<DeadFact> {
        // An error is no answer, and the index remembers it.
        self.index.dead(handler, incarnation, position).ok().flatten()
    }

    /// How many tries of a delivery the index has: `DeadFact` counts anew from each redrive on.
    fn n_tries(&self, letter: &DeadMatch) -> u32 {
        let DeadMatch { handler, incarnation, position, .. } = letter;
        let delivery = DeliveryKey::new(*position, handler, *incarnation);
        let facts = self.index.attempts(*position).unwrap_or_default().into_iter();
        let tries = facts.filter(|(of, fact)| *of == delivery && fact.attempt.is_some());
        tries.map(|_| 1_u32).sum()
    }

    /// `None` = its event cannot be read.
    fn letter_of(
        &self,
        letter: &DeadMatch,
        finder: &mut Finder,
    ) -> Result<Option<DeadLetter>, QueueError> {
        let Some(found) = self.look_for(finder, letter.position)? else { return Ok(None) };
        let event = found.event;
        let n_tries = letter.fact.as_ref().map_or(0, |_| self.n_tries(letter));
        let fact = letter.fact.clone().unwrap_or_else(|| DeadFact {
            lsn: Lsn::default(),
            died_at: event.received_at,
            attempts: 0,
            reason: ErrorText::new(NOT_KNOWN),
        });
        Ok(Some(DeadLetter {
            handler: letter.handler.clone(),
            id: event.id,
            position: event.position,
            source: event.source.clone(),
            event_type: event.event_type.clone(),
            received_at: event.received_at,
            attempts: fact.attempts.max(n_tries),
            died_at: fact.died_at,
            reason: fact.reason,
        }))
    }

    /// Deliveries that match whose events could not be read: dead as well, but without a name, a
    /// reason and a time.
    pub(crate) fn lost(&self, filter: &DeadFilter) -> Vec<LostDeliveries> {
        let mut lost = Vec::new();
        if is_by_fact(filter) {
            return lost;
        }
        for (handler, _) in self.dead_handlers(filter) {
            for range in self.states.lost(&handler) {
                let positions = match filter.position {
                    None => range,
                    Some(position) if range.contains(&position) => position..position.next(),
                    Some(_) => continue,
                };
                lost.push(LostDeliveries { handler: handler.clone(), positions });
            }
        }
        lost
    }
}

/// Whether only the index knows which dead letters match.
pub(crate) const fn is_by_fact(filter: &DeadFilter) -> bool {
    filter.reason.is_some() || filter.since.is_some() || filter.until.is_some()
}

fn is_wanted(filter: &DeadFilter, fact: &DeadFact) -> bool {
    filter.since.is_none_or(|since| fact.died_at >= since)
        && filter.until.is_none_or(|until| fact.died_at < until)
        && filter.reason.as_ref().is_none_or(|text| fact.reason.as_str().contains(text))
}
