//! Events of deliveries that come again soon, in memory: a retry within a minute and a parked one
//! are given out without a look into the file.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::event::{Event, Position};
use crate::queue::detach::detach;

/// How many bytes of bodies and headers one handler keeps.
const BYTES_MAX: usize = 1 << 20;
/// How many events it keeps.
const EVENTS_MAX: usize = 2_048;
/// What is due later than this would take the room of what is due soon.
const SOON: Duration = Duration::from_mins(1);

/// A bounded number of events; the oldest ones go first.
#[derive(Debug, Default)]
pub(crate) struct RetryCache {
    events: BTreeMap<Position, Arc<Event>>,
    /// In the order in which they came, those that are gone included.
    order: VecDeque<Position>,
    bytes: usize,
}

fn size(event: &Event) -> usize {
    event.body.len() + event.headers.encoded().len()
}

impl RetryCache {
    /// Keeps `event` if a delivery that waits for `wait` comes again soon.
    pub(crate) fn keep(&mut self, event: &Event, wait: Duration) {
        let is_kept = self.events.contains_key(&event.position);
        if wait > SOON || size(event) > BYTES_MAX / 4 || is_kept {
            return;
        }
        self.bytes += size(event);
        self.events.insert(event.position, Arc::new(detach(event)));
        self.order.push_back(event.position);
        while self.bytes > BYTES_MAX || self.order.len() > EVENTS_MAX {
            let Some(oldest) = self.order.pop_front() else { break };
            self.take(oldest);
        }
    }

    /// Gives an event out, and keeps it no longer.
    pub(crate) fn take(&mut self, position: Position) -> Option<Arc<Event>> {
        let event = self.events.remove(&position)?;
        self.bytes -= size(&event);
        Some(event)
    }
}
