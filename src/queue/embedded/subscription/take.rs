//! Giving out what is due: deliveries that waited first, then the log in order.
//!
//! No file is read under the state's lock: positions are chosen under it, their events are read
//! without it, and only then they are given out.

use std::ops::Range;
use std::sync::Arc;

use super::EmbeddedSubscription;
use super::cell::{Live, Wake};
use super::event_reader::EventReader;
use super::session::Chosen;
use crate::event::{Delivery, Event, Origin, Position};
use crate::queue::detach::detach;
use crate::queue::embedded::core::Core;
use crate::queue::embedded::events::{ReadFailure, event_at};
use crate::queue::embedded::kept::KeptLog;
use crate::queue::embedded::log::{LogHead, LogReader, ReadError};
use crate::queue::embedded::record::{DeliveryRecord, Kind, NewState};
use crate::queue::{QueueError, TAKE_BYTES_MAX};
use crate::sync::lock;

/// Deliveries that are being taken, up to a number and a size.
struct TakeBatch {
    deliveries: Vec<Delivery>,
    max: usize,
    bytes: usize,
}

impl TakeBatch {
    fn is_full(&self) -> bool {
        self.deliveries.len() >= self.max || self.bytes >= TAKE_BYTES_MAX
    }

    fn room(&self) -> usize {
        self.max.saturating_sub(self.deliveries.len())
    }

    fn push(&mut self, event: Arc<Event>, chosen: &Chosen) {
        self.bytes += event.body.len();
        self.deliveries.push(Delivery {
            event,
            attempt: chosen.attempts.saturating_add(1),
            first_attempt_at: chosen.first_attempt_at,
            origin: chosen.origin,
            replay: 0,
            progress: None,
            order_key: None,
        });
    }
}

/// What became of the deliveries that were chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chose {
    WhatIsThere,
    SomethingLost,
}

/// What was found on the way through the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passed {
    Nothing,
    /// Positions that the log has lost and the kept log has: they come before what is behind them.
    KeptOnes,
}

/// The events that were read off the log in order, before they are given out.
struct LogRun<'a> {
    kept: &'a KeptLog,
    from: Position,
    next: Position,
    /// Positions in between whose events cannot be read.
    lost: Vec<Range<Position>>,
    /// Positions in between whose events are in the kept log.
    kept_ones: Vec<Position>,
    /// Positions in between that were given to events which were never acknowledged.
    torn: Vec<Range<Position>>,
}

impl LogRun<'_> {
    /// A torn unit was read, in which events had these positions.
    fn pass_torn(&mut self, positions: Range<Position>) {
        self.pass_to(positions.start);
        if positions.end > self.next {
            self.torn.push(self.next..positions.end);
            self.next = positions.end;
        }
    }

    /// The event at `position` was read, or everything before it.
    fn pass_to(&mut self, position: Position) {
        while self.next < position {
            let kept = self.kept.first_from(self.next).filter(|kept| *kept < position);
            let end = kept.unwrap_or(position);
            if self.next < end {
                self.lost.push(self.next..end);
            }
            self.kept_ones.extend(kept);
            self.next = kept.map_or(end, Position::next);
        }
    }
}

impl EmbeddedSubscription {
    /// Takes up to `max` deliveries that are due just now. What was read before an error is given
    /// first; the error comes again with the next call.
    pub(crate) fn take(&self, max: usize) -> Result<Vec<Delivery>, QueueError> {
        let mut reader = lock(&self.cell.reader);
        let mut batch = TakeBatch { deliveries: Vec::new(), max: max.max(1), bytes: 0 };
        match self.fill(&mut reader, &mut batch) {
            Err(err) if batch.deliveries.is_empty() => Err(err),
            Ok(()) | Err(_) => Ok(batch.deliveries),
        }
    }

    fn fill(&self, reader: &mut EventReader, batch: &mut TakeBatch) -> Result<(), QueueError> {
        loop {
            // What was chosen and is lost makes room for others that are ready: they come before
            // what the log has, or they would be overtaken.
            while self.take_ready(reader, batch)? == Chose::SomethingLost {}
            if batch.is_full() || self.take_log(reader, batch)? == Passed::Nothing {
                return Ok(());
            }
        }
    }

    fn take_ready(
        &self,
        reader: &mut EventReader,
        batch: &mut TakeBatch,
    ) -> Result<Chose, QueueError> {
        let chosen: Vec<(Chosen, Option<Arc<Event>>)> = {
            let mut live = self.cell.lock();
            let Live { state, session, retry_cache, .. } = &mut *live;
            let Some(session) = session else { return Err(QueueError::Closed) };
            let now = self.core.clock.steady();
            let chosen = session.choose(state, now, batch.room()).into_iter();
            chosen.map(|chosen| (chosen, retry_cache.take(chosen.position))).collect()
        };
        let mut chosen = chosen.into_iter();
        let mut lost = Vec::new();
        let mut failed = None;
        let mut unread = Vec::new();
        for (chosen, cached) in chosen.by_ref() {
            if batch.is_full() {
                unread.push(chosen.position);
                break;
            }
            match cached.map_or_else(|| find(&self.core, reader, chosen.position), |e| Ok(Some(e)))
            {
                Ok(Some(event)) => batch.push(event, &chosen),
                Ok(None) => lost.push(chosen.position..chosen.position.next()),
                Err(err) => {
                    unread.push(chosen.position);
                    failed = Some(err);
                    break;
                }
            }
        }
        unread.extend(chosen.map(|(chosen, _)| chosen.position));
        self.give_back(&unread);
        let chose = if lost.is_empty() { Chose::WhatIsThere } else { Chose::SomethingLost };
        self.lose(lost)?;
        failed.map_or(Ok(chose), |err| Err(err.into()))
    }

    fn give_back(&self, positions: &[Position]) {
        if positions.is_empty() {
            return;
        }
        let mut live = self.cell.lock();
        let Live { state, session: Some(session), .. } = &mut *live else { return };
        for position in positions {
            session.give_back(state, *position);
        }
    }

    /// Counts deliveries that were given out as lost: their events cannot be read.
    fn lose(&self, lost: Vec<Range<Position>>) -> Result<(), QueueError> {
        for range in &lost {
            tracing::error!(
                handler.name = %self.cell.handler,
                first = range.start.0,
                count = range.end.events_since(range.start),
                "Events cannot be read: their deliveries are lost until they can be redriven"
            );
        }
        self.leave_out(lost, &NewState::Lost)
    }

    /// Records what becomes of deliveries that were given out and have no event.
    fn leave_out(&self, ranges: Vec<Range<Position>>, to: &NewState) -> Result<(), QueueError> {
        if ranges.is_empty() {
            return Ok(());
        }
        let mut wake = Wake::Nobody;
        let mut live = self.cell.lock();
        for range in ranges {
            if let Some(session) = &mut live.session {
                session.lose(range.clone());
            }
            let change = DeliveryRecord::of_all(range, to.clone());
            wake = wake.and(self.cell.record(&mut live, change));
        }
        drop(live);
        self.core.wake(wake)
    }

    fn take_log(
        &self,
        reader: &mut EventReader,
        batch: &mut TakeBatch,
    ) -> Result<Passed, QueueError> {
        let head = self.core.log.head();
        let (from, is_open) = {
            let live = self.cell.lock();
            let Some(session) = &live.session else { return Err(QueueError::Closed) };
            let may_wait = self.core.may_take_more(live.n_waiting());
            (session.next_read(), session.has_window() && may_wait)
        };
        if !is_open || from >= head.next_position {
            return Ok(Passed::Nothing);
        }
        let kept = &*self.core.kept;
        let (lost, kept_ones, torn) = (Vec::new(), Vec::new(), Vec::new());
        let mut run = LogRun { kept, from, next: from, lost, kept_ones, torn };
        // A segment whose file is missing: what was in it is lost unless it was copied, and what is
        // behind it goes on.
        run.pass_to(head.first_position);
        let read = self.read_run(reader, batch, &mut run, head);
        let mut live = self.cell.lock();
        if let Some(session) = &mut live.session {
            session.lease_from_log(run.from..run.next);
        }
        drop(live);
        self.give_back(&run.kept_ones);
        self.lose(run.lost)?;
        self.leave_out(run.torn, &NewState::Skipped)?;
        let passed = if run.kept_ones.is_empty() { Passed::Nothing } else { Passed::KeptOnes };
        read.map(|()| passed)
    }

    fn read_run(
        &self,
        reader: &mut EventReader,
        batch: &mut TakeBatch,
        run: &mut LogRun<'_>,
        head: LogHead,
    ) -> Result<(), QueueError> {
        while !batch.is_full() && run.kept_ones.is_empty() && run.next < head.next_position {
            let recent = self.core.recent.from(run.next, batch.room(), self.core.is_shared());
            if recent.is_empty() {
                self.read_one(reader, batch, run, head)?;
                continue;
            }
            for recent in recent {
                if batch.is_full() {
                    break;
                }
                // The file goes on behind what came from memory.
                if let Some(log) = &mut reader.log {
                    log.seek(recent.end);
                }
                run.next = recent.event.position.next();
                batch.push(recent.event, &from_log(run.next));
            }
        }
        Ok(())
    }

    /// Takes the next event out of the file.
    fn read_one(
        &self,
        reader: &mut EventReader,
        batch: &mut TakeBatch,
        run: &mut LogRun<'_>,
        head: LogHead,
    ) -> Result<(), QueueError> {
        let stood = reader.log.is_some();
        let log = if let Some(log) = reader.log.take() {
            log
        } else {
            let at = self.core.log.locate(run.next).map_err(ReadFailure::from)?;
            LogReader::new(Arc::clone(&self.core.log), at)
        };
        let log = reader.log.insert(log);
        loop {
            let found = match log.next(head.next) {
                Ok(found) => found,
                // It stood in a segment that is gone since: the event is in a later one.
                Err(ReadError::Trimmed) if stood => {
                    reader.log = None;
                    return Ok(());
                }
                Err(err) => {
                    reader.log = None;
                    return Err(ReadFailure::from(err).into());
                }
            };
            let Some(found) = found else {
                run.pass_to(head.next_position);
                return Ok(());
            };
            if let Some(torn) = found.torn_positions() {
                run.pass_torn(torn);
            }
            if found.kind != Kind::Event {
                continue;
            }
            let Some((event, _)) = found.decode_event(&mut reader.names) else {
                self.core.log.note_undecodable(&found);
                continue;
            };
            // `locate` begins up to 64 KiB early: what is before the cursor was given out.
            if event.position >= run.next {
                run.pass_to(event.position);
                // Kept events come before this one: it is read again once they are given out.
                if !run.kept_ones.is_empty() {
                    log.seek(found.lsn);
                    return Ok(());
                }
                run.next = event.position.next();
                batch.push(Arc::new(detach(&event)), &from_log(event.position));
                return Ok(());
            }
        }
    }
}

const fn from_log(position: Position) -> Chosen {
    Chosen { position, attempts: 0, first_attempt_at: None, origin: Origin::Log }
}

/// The event at `position`: out of memory, the log or the kept log.
fn find(
    core: &Core,
    reader: &mut EventReader,
    position: Position,
) -> Result<Option<Arc<Event>>, ReadFailure> {
    if let Some(recent) = core.recent.from(position, 1, core.is_shared()).pop() {
        return Ok(Some(recent.event));
    }
    let found = event_at(&core.log, &core.kept, &mut reader.finder, position)?;
    Ok(found.map(|(event, _)| Arc::new(detach(&event))))
}

#[cfg(test)]
mod tests;
