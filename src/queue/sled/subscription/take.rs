//! Taking what is due: entries of their own first, then the log.

use std::sync::Arc;

use super::SledSubscription;
use super::lines::let_first_go;
use crate::clock::Timestamp;
use crate::event::{Delivery, Event, Origin, Position};
use crate::queue::detach::detach;
use crate::queue::journal::Reader;
use crate::queue::record::{Change, Record, State};
use crate::queue::sled::lookup::{self, Finder, read_failed};
use crate::queue::sled::shared::lock;
use crate::queue::sled::state::{Inner, Slot};
use crate::queue::{QueueError, TAKE_BYTES_MAX};

/// Deliveries that are being taken, up to a number and a size.
struct Basket {
    deliveries: Vec<Delivery>,
    max: usize,
    bytes: usize,
}

impl Basket {
    fn is_full(&self) -> bool {
        self.deliveries.len() >= self.max || self.bytes >= TAKE_BYTES_MAX
    }

    fn room(&self) -> usize {
        self.max.saturating_sub(self.deliveries.len())
    }

    fn push(&mut self, delivery: Delivery) {
        self.bytes += delivery.event.body.len();
        self.deliveries.push(delivery);
    }
}

impl SledSubscription {
    /// Takes what is due just now.
    pub(super) fn take(&self, max: usize) -> Result<Vec<Delivery>, QueueError> {
        let mut basket = Basket { deliveries: Vec::new(), max: max.max(1), bytes: 0 };
        let mut inner = self.state.lock();
        // Without the index entries wait; the log goes on.
        match self
            .let_unreleased_go(&mut inner)
            .and_then(|()| self.take_entries(&mut inner, &mut basket))
        {
            Ok(()) | Err(QueueError::Behind(_)) => {}
            Err(err) => return Err(err),
        }
        while !basket.is_full()
            && let Some((_, delivery)) = inner.returned.pop_first()
        {
            basket.push(delivery);
        }
        self.take_log(&mut inner, &mut basket)?;
        Ok(basket.deliveries)
    }

    fn let_unreleased_go(&self, inner: &mut Inner) -> Result<(), QueueError> {
        while let Some(key) = inner.unreleased.last().copied() {
            let must_tell = let_first_go(&self.shared, &self.state, inner, key)?.1;
            inner.unreleased.pop();
            self.tell(must_tell)?;
        }
        Ok(())
    }

    fn take_entries(&self, inner: &mut Inner, basket: &mut Basket) -> Result<(), QueueError> {
        let now = self.shared.clock.steady();
        // Not kept for longer: it holds the file of a segment, which may go.
        let mut finder = Finder::default();
        for (_, position) in self.due(inner, now, basket.room())? {
            if basket.is_full() {
                break;
            }
            let Some(change) = self.entry(inner, position)? else { continue };
            let Some(event) = self.event_of(inner, &mut finder, position)? else {
                tracing::error!(
                    handler.name = %self.state.handler,
                    position = position.0,
                    "The event of a waiting delivery is gone; the delivery is given up"
                );
                let gone = Change { state: State::Dropped, ..change };
                let must_tell = inner.record(gone, true);
                self.tell(must_tell)?;
                continue;
            };
            inner.taken.insert(position);
            basket.push(Delivery {
                event,
                attempt: change.attempts.saturating_add(1),
                first_attempt_at: change.first_attempt_at,
                origin: Origin::Entry,
                replay: 0,
            });
        }
        Ok(())
    }

    /// The event of an entry.
    fn event_of(
        &self,
        inner: &mut Inner,
        finder: &mut Finder,
        position: Position,
    ) -> Result<Option<Arc<Event>>, QueueError> {
        if let Some(event) = inner.kept.take(position) {
            return Ok(Some(event));
        }
        let found = finder.event_at(&self.shared, position)?;
        Ok(found.map(|(event, _)| Arc::new(detach(&event))))
    }

    /// Up to `limit` retries that nobody has and that are due by `until`, by due time.
    pub(super) fn due(
        &self,
        inner: &Inner,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, Position)>, QueueError> {
        let handler = &self.state.handler;
        let changed = inner.overlay.due().take_while(|(due, _)| *due <= until);
        let mut found: Vec<_> =
            changed.filter(|(_, p)| !inner.taken.contains(p)).take(limit).collect();
        let index = self.shared.index()?;
        if index.counts(handler).waiting > 0 {
            let mut known = Vec::new();
            index.visit_due(handler, None, |due, position| {
                if due > until {
                    return false;
                }
                if !inner.taken.contains(&position) && !inner.overlay.holds(position) {
                    known.push((due, position));
                }
                known.len() < limit
            })?;
            found.append(&mut known);
        }
        found.sort_unstable();
        found.truncate(limit);
        Ok(found)
    }

    fn take_log(&self, inner: &mut Inner, basket: &mut Basket) -> Result<(), QueueError> {
        let durable = self.shared.durable();
        let is_shared = lock(&self.shared.subscriptions).len() > 1;
        while !basket.is_full() && inner.has_window() && inner.next_to_read() < durable.next {
            let position = inner.next_to_read();
            let recent = self.shared.tail.from(position, basket.room(), is_shared);
            if recent.is_empty() {
                self.read_one(inner, basket)?;
                continue;
            }
            for recent in recent {
                if basket.is_full() || !inner.has_window() {
                    break;
                }
                // The file goes on behind what came from memory.
                inner.reader = inner.reader.take().map(|mut reader| {
                    reader.seek(recent.end, recent.event.position.next());
                    reader
                });
                Self::take_event(inner, basket, recent.event);
            }
        }
        inner.advance();
        Ok(())
    }

    /// Takes the next event out of the file.
    fn read_one(&self, inner: &mut Inner, basket: &mut Basket) -> Result<(), QueueError> {
        let durable = self.shared.durable();
        let position = inner.next_to_read();
        let mut reader = inner.reader.take().unwrap_or_else(|| {
            let at = lookup::locate(&self.shared, position);
            Reader::new(Arc::clone(&self.shared.segments), at)
        });
        while let Some(found) = reader.next(durable.end).map_err(read_failed)? {
            if let Record::Event(event, _) = found.decode().map_err(read_failed)?
                && event.position >= position
            {
                // What lies in between cannot be read, and the reader has said so.
                inner.pass_to(event.position);
                Self::take_event(inner, basket, Arc::new(detach(&event)));
                inner.reader = Some(reader);
                return Ok(());
            }
        }
        inner.pass_to(durable.next);
        inner.reader = Some(reader);
        Ok(())
    }

    fn take_event(inner: &mut Inner, basket: &mut Basket, event: Arc<Event>) {
        if inner.is_done_before(event.position) {
            inner.window.push_back(Slot::Done);
            return;
        }
        inner.window.push_back(Slot::Taken(event.received_at));
        let origin = Origin::Log;
        basket.push(Delivery { event, attempt: 1, first_attempt_at: None, origin, replay: 0 });
    }
}
