//! Events of deliveries that come again soon, in memory: a retry within a minute and a held one
//! are given out without a look into the file.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::event::{Event, Position};
use crate::queue::detach::detach;
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
        self.bytes = self.bytes.saturating_sub(size(&event));
        Some(event)
    }

    /// Forgets all of them.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use uuid::Uuid;

    use super::*;
    use crate::clock::Timestamp;
    use crate::event::{
        DataRoot, Dedupe, EventId, EventType, Headers, NewEvent, OrderKey, SourceName,
    };

    fn event(position: u64, body_bytes: usize) -> Event {
        let new = NewEvent {
            source: SourceName::parse("s").unwrap(),
            event_type: EventType::unknown(),
            received_at: Timestamp::default(),
            data_root: DataRoot::Payload,
            is_json: false,
            headers: Headers::default(),
            body: Bytes::from(vec![b'x'; body_bytes]),
            dedupe: Dedupe::Off,
        };
        Event::new(new, EventId(Uuid::nil()), Position(position))
    }

    fn retry(secs: u64) -> State {
        State::Retry { due: Timestamp::default(), wait: Duration::from_secs(secs), order_key: None }
    }

    #[test]
    fn what_comes_again_soon_is_kept_until_it_is_taken() {
        let mut kept = Kept::default();
        kept.keep(&event(1, 10), &retry(60));
        kept.keep(&event(2, 10), &State::Held { order_key: OrderKey([0; 16]) });
        kept.keep(&event(3, 10), &retry(61));
        kept.keep(&event(4, 10), &State::Delivered);
        kept.keep(&event(5, BYTES_MAX), &retry(1));
        let found: Vec<_> = (1..=5).map(|n| kept.take(Position(n)).is_some()).collect();
        assert_eq!(found, [true, true, false, false, false]);
        assert!(kept.take(Position(1)).is_none(), "it is out");
        assert_eq!(kept.bytes, 0);
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many_or_too_large_ones() {
        for (body_bytes, n_kept) in [(0, EVENTS_MAX as u64), (BYTES_MAX / 8, 8)] {
            let mut kept = Kept::default();
            for n in 1..=5_000 {
                kept.keep(&event(n, body_bytes), &retry(1));
            }
            assert!(kept.bytes <= BYTES_MAX);
            assert!(kept.take(Position(5_000 - n_kept)).is_none());
            assert!((5_001 - n_kept..=5_000).all(|n| kept.take(Position(n)).is_some()));
        }
    }

    #[test]
    fn an_event_that_is_kept_shares_no_memory() {
        let large = Bytes::from(vec![b'x'; 1 << 20]);
        let mut event = event(1, 0);
        event.body = large.slice(5..15);
        let mut kept = Kept::default();
        kept.keep(&event, &retry(1));
        drop(event);
        assert!(large.is_unique(), "nobody else holds the large buffer");
        assert_eq!(&*kept.take(Position(1)).unwrap().body, b"xxxxxxxxxx");
    }
}
