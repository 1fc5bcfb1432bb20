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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use uuid::Uuid;

    use super::*;
    use crate::clock::Timestamp;
    use crate::event::{EventId, NewEvent, SourceName};

    fn event(position: u64, body_bytes: usize) -> Event {
        let source = SourceName::parse("s").unwrap();
        let new = NewEvent::new(source, "unknown", Timestamp::default(), vec![b'x'; body_bytes]);
        Event::new(new, EventId(Uuid::nil()), Position(position))
    }

    #[test]
    fn event_that_comes_again_soon_is_kept_until_it_is_taken() {
        let mut cache = RetryCache::default();
        cache.keep(&event(1, 10), SOON);
        cache.keep(&event(2, 10), Duration::ZERO);
        cache.keep(&event(3, 10), SOON + Duration::from_millis(1));
        cache.keep(&event(4, BYTES_MAX), Duration::ZERO);
        cache.keep(&event(2, 10), Duration::ZERO);
        let found: Vec<_> = (1..=4).map(|n| cache.take(Position(n)).is_some()).collect();
        assert_eq!(found, [true, true, false, false]);
        assert!(cache.take(Position(1)).is_none(), "it is out");
        assert_eq!(cache.bytes, 0);
    }

    #[test]
    fn oldest_events_go_when_there_are_too_many_or_too_large_ones() {
        for (body_bytes, n_kept) in [(0, EVENTS_MAX as u64), (BYTES_MAX / 8, 8)] {
            let mut cache = RetryCache::default();
            for n in 1..=5_000 {
                cache.keep(&event(n, body_bytes), Duration::from_secs(1));
            }
            assert!(cache.bytes <= BYTES_MAX);
            assert!(cache.take(Position(5_000 - n_kept)).is_none());
            assert!((5_001 - n_kept..=5_000).all(|n| cache.take(Position(n)).is_some()));
        }
    }

    #[test]
    fn kept_event_shares_no_memory() {
        let large = Bytes::from(vec![b'x'; 1 << 20]);
        let mut event = event(1, 0);
        event.received.body = large.slice(5..15);
        let mut cache = RetryCache::default();
        cache.keep(&event, Duration::from_secs(1));
        drop(event);
        assert!(large.is_unique(), "nobody else holds the large buffer");
        assert_eq!(&*cache.take(Position(1)).unwrap().body, b"xxxxxxxxxx");
    }
}
