//! Events of deliveries that come again soon, in memory: a retry within a minute and a held one
//! are given out without a look into the file.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::lookup::alone;
use crate::event::{Event, Position};
use crate::queue::record::State;

/// How many bytes of bodies and headers one handler keeps.
const BYTES_MAX: usize = 1 << 20;
/// How many events it keeps.
const EVENTS_MAX: usize = 2_048;
/// What is due later than this would only be in the way.
const SOON: Duration = Duration::from_mins(1);

/// A bounded number of events; the oldest ones go first.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    events: HashMap<Position, Arc<Event>>,
    /// In the order in which they came, those that are gone included.
    order: VecDeque<Position>,
    bytes: usize,
}

fn size(event: &Event) -> usize {
    event.body.len() + event.headers.encoded().len()
}

impl Kept {
    /// Keeps `event` if a delivery in this state comes again soon.
    pub(crate) fn keep(&mut self, event: &Event, state: &State) {
        let is_soon = match state {
            State::Retry { wait, .. } => *wait <= SOON,
            State::Held { .. } => true,
            State::Dead { .. } | State::Delivered | State::Skipped | State::Dropped => false,
        };
        if !is_soon || size(event) > BYTES_MAX / 4 || self.events.contains_key(&event.position) {
            return;
        }
        self.bytes += size(event);
        self.events.insert(event.position, Arc::new(alone(event)));
        self.order.push_back(event.position);
        while self.bytes > BYTES_MAX || self.order.len() > EVENTS_MAX {
            let Some(oldest) = self.order.pop_front() else { break };
            self.take(oldest);
        }
    }

    /// Gives an event out, and keeps it no longer.
    pub(crate) fn take(&mut self, position: Position) -> Option<Arc<Event>> {
        let event = self.events.remove(&position)?;
        self.bytes = self.bytes.saturating_sub(size(&event));
        Some(event)
    }

    /// Forgets all of them.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
