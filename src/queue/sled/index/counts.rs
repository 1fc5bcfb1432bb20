//! How many entries each handler has: known without asking sled.

use crate::event::Position;
use crate::queue::record::State;

/// How many entries a handler has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Retries and held deliveries.
    pub(crate) waiting: u64,
    /// Dead letters.
    pub(crate) dead: u64,
    /// Of both: those that stand in the line of an order key.
    pub(crate) keyed: u64,
}

impl Counts {
    /// Counts one more entry in this state.
    pub(crate) fn add(&mut self, state: &State) {
        self.change(state, |n| n.saturating_add(1));
    }

    /// Counts one entry less in this state.
    pub(crate) fn remove(&mut self, state: &State) {
        self.change(state, |n| n.saturating_sub(1));
    }

    fn change(&mut self, state: &State, by: impl Fn(u64) -> u64) {
        match state {
            State::Retry { .. } | State::Held { .. } => self.waiting = by(self.waiting),
            State::Dead { .. } => self.dead = by(self.dead),
            State::Delivered | State::Skipped | State::Dropped => {}
        }
        if state.order_key().is_some() {
            self.keyed = by(self.keyed);
        }
    }
}

/// What is known of a handler's entries without asking sled.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    pub(super) counts: Counts,
    /// No entry is before or behind these, while there are any.
    span: Option<(Position, Position)>,
}

impl Counted {
    pub(super) fn add(&mut self, position: Position, state: &State) {
        self.counts.add(state);
        let (first, last) = self.span.unwrap_or((position, position));
        self.span = Some((first.min(position), last.max(position)));
    }

    pub(super) fn remove(&mut self, state: &State) {
        self.counts.remove(state);
        if self.counts == Counts::default() {
            self.span = None;
        }
    }

    pub(super) fn may_hold(&self, position: Position) -> bool {
        self.span.is_some_and(|(first, last)| first <= position && position <= last)
    }
}
