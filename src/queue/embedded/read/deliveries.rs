//! Which events have a delivery that is in this state: in memory for what is not settled, so that
//! the few that wait are found among a million without reading a single event.

use super::Reading;
use super::history::state_of;
use crate::event::{Event, HandlerName, Position};
use crate::queue::embedded::index::DeliveryKey;
use crate::queue::embedded::record::Incarnation;
use crate::queue::embedded::state::Status;
use crate::queue::{DeliveryFilter, DeliveryState, EventNames};

/// What a list looks for among deliveries; everything where it looks for nothing.
#[derive(Debug)]
pub(super) struct Deliveries<'a> {
    reading: &'a Reading,
    filter: Option<&'a DeliveryFilter>,
    /// The handlers that count.
    handlers: Vec<(HandlerName, Incarnation)>,
}

impl<'a> Deliveries<'a> {
    pub(super) fn new(reading: &'a Reading, filter: Option<&'a DeliveryFilter>) -> Self {
        let mut handlers = if filter.is_some() { reading.states.handlers() } else { Vec::new() };
        if let Some(wanted) = filter.and_then(|filter| filter.handler.as_ref()) {
            handlers.retain(|(name, _)| name == wanted);
        }
        Self { reading, filter, handlers }
    }

    /// Whether the event has such a delivery.
    pub(super) fn has(&self, event: &Event) -> bool {
        let Some(filter) = self.filter else { return true };
        let is_given = |given: &EventNames| given.contains(event);
        self.has_at(event.position)
            && (filter.given.as_ref().is_none_or(is_given) || self.is_taken(event.position))
    }

    /// Whether a handler took the event, whatever it is given today.
    fn is_taken(&self, position: Position) -> bool {
        match self.filter.and_then(|filter| filter.state) {
            Some(DeliveryState::Skipped | DeliveryState::Pending) => false,
            Some(
                DeliveryState::Delivered
                | DeliveryState::Retry
                | DeliveryState::Held
                | DeliveryState::Dead,
            ) => true,
            None => self.handlers.iter().any(|(name, _)| {
                let standing = self.reading.states.standing(name, position);
                standing.is_some_and(|standing| {
                    let untaken = [Status::Settled, Status::Open, Status::Unread];
                    !untaken.contains(&standing.status)
                })
            }),
        }
    }

    fn has_at(&self, position: Position) -> bool {
        let Some(filter) = self.filter else { return true };
        let mut handlers = self.handlers.iter();
        handlers.any(|(name, incarnation)| self.stands(name, *incarnation, position, filter.state))
    }

    /// Whether an event from `first` to before `end` can have one: where only memory decides, by
    /// looking at each.
    pub(super) fn may_have(&self, first: Position, end: Position) -> bool {
        let Some(filter) = self.filter else { return true };
        match filter.state {
            None | Some(DeliveryState::Delivered | DeliveryState::Skipped) => true,
            Some(
                DeliveryState::Pending
                | DeliveryState::Retry
                | DeliveryState::Held
                | DeliveryState::Dead,
            ) => (first.0..end.0).any(|position| self.has_at(Position(position))),
        }
    }

    fn stands(
        &self,
        handler: &HandlerName,
        incarnation: Incarnation,
        position: Position,
        wanted: Option<DeliveryState>,
    ) -> bool {
        let Some(standing) = self.reading.states.standing(handler, position) else { return false };
        let is_settled = standing.status == Status::Settled;
        let Some(wanted) = wanted else { return !is_settled || position >= incarnation.since };
        match wanted {
            DeliveryState::Delivered | DeliveryState::Skipped if is_settled => {
                // An index that does not answer makes the answer poorer.
                let mut facts = self.reading.facts_of(position).unwrap_or_default();
                let facts = facts.remove(&DeliveryKey::new(position, handler, incarnation));
                let end = facts.as_ref().and_then(|facts| facts.values().next_back());
                end.is_some_and(|end| state_of(standing, Some(end.led_to)) == Some(wanted))
            }
            DeliveryState::Pending
            | DeliveryState::Retry
            | DeliveryState::Held
            | DeliveryState::Dead
            | DeliveryState::Delivered
            | DeliveryState::Skipped => !is_settled && state_of(standing, None) == Some(wanted),
        }
    }
}
