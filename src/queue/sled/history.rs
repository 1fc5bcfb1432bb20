//! What each handler did with one event.

use std::sync::Arc;

use super::index::Index;
use super::lookup::{self, read_failed};
use super::shared::{Shared, lock};
use super::state::{SubscriptionState, WINDOW_MAX};
use super::subscription::entry_of;
use crate::clock::Timestamp;
use crate::event::Position;
use crate::queue::journal::Reader;
use crate::queue::record::{Change, Record, State};
use crate::queue::{AttemptRecord, DeliveryHistory, DeliveryState, QueueError};

/// The history of the event at `position`, one entry per handler that has a place.
pub(super) fn of(
    shared: &Arc<Shared>,
    position: Position,
) -> Result<Vec<DeliveryHistory>, QueueError> {
    if lookup::event_at(shared, position)?.is_none() {
        return Ok(Vec::new());
    }
    let states: Vec<_> = lock(&shared.subscriptions).values().map(Arc::clone).collect();
    states.into_iter().map(|state| of_handler(shared, &state, position)).collect()
}

fn of_handler(
    shared: &Arc<Shared>,
    state: &SubscriptionState,
    position: Position,
) -> Result<DeliveryHistory, QueueError> {
    let index = shared.index()?;
    let mut changes = index.attempts(&state.handler, position)?;
    let (entry, is_passed) = {
        let inner = state.lock();
        let place = inner.place();
        let entry = entry_of(shared, state, &inner, position)?;
        // One that comes again from the log is no entry any more.
        let entry = entry.filter(|_| !inner.relogged.contains(&position));
        (entry, place.has_passed(position))
    };
    if is_passed {
        changes.extend(settled_at_once(shared, &index, state, position)?);
        // The sort is stable: of one moment, what ended at once ended last.
        changes.sort_by_key(|(began_at, _)| *began_at);
    }
    let last = match &entry {
        // Redriven, replayed or let go: it comes by itself and was not tried yet.
        Some(Change { state: State::Retry { .. }, attempts: 0, .. }) => {
            Some(DeliveryState::Pending)
        }
        Some(entry) => Some(delivery_state(&entry.state)),
        None => changes.last().map(|(_, change)| delivery_state(&change.state)),
    };
    let delivery_state = match last {
        Some(last) if is_passed || entry.is_some() => last,
        Some(_) | None => DeliveryState::Pending,
    };
    let attempts = changes.iter().filter_map(|(_, change)| attempt_record(change)).collect();
    Ok(DeliveryHistory { handler: state.handler.clone(), state: delivery_state, attempts })
}

/// The outcomes of a delivery that ended at its first try, out of its settle records: more than
/// one where it was replayed.
fn settled_at_once(
    shared: &Arc<Shared>,
    index: &Index,
    state: &SubscriptionState,
    position: Position,
) -> Result<Vec<(Timestamp, Change)>, QueueError> {
    let mut ends = Vec::new();
    let oldest = Position(position.0.saturating_sub(WINDOW_MAX as u64));
    for settled in index.settled_near(&state.handler, position, oldest)? {
        let mut reader = Reader::new(Arc::clone(&shared.segments), settled.at);
        let found = reader.next(shared.durable().end).map_err(read_failed)?;
        let record = found.map(|found| found.decode()).transpose().map_err(read_failed)?;
        let Some(Record::Settled(batch)) = record else { continue };
        let sections = batch.sections.into_iter().filter(|s| s.handler == state.handler);
        let changes = sections.flat_map(|section| section.changes);
        let found = changes.filter(|change| {
            change.position == position
                && change.attempts <= 1
                && matches!(change.state, State::Delivered | State::Skipped)
        });
        ends.extend(found.map(|change| {
            let began_at = change.attempt.as_ref().map_or(batch.at, |attempt| attempt.started_at);
            (began_at, change)
        }));
    }
    Ok(ends)
}

fn attempt_record(change: &Change) -> Option<AttemptRecord> {
    let attempt = change.attempt.as_ref()?;
    Some(AttemptRecord {
        number: change.attempts,
        started_at: attempt.started_at,
        duration: attempt.duration,
        led_to: delivery_state(&change.state),
        error: attempt.error.clone(),
        status: attempt.status,
    })
}

fn delivery_state(state: &State) -> DeliveryState {
    match state {
        State::Delivered => DeliveryState::Delivered,
        State::Skipped => DeliveryState::Skipped,
        State::Retry { .. } => DeliveryState::Retry,
        State::Held { .. } => DeliveryState::Held,
        State::Dead { .. } | State::Dropped => DeliveryState::Dead,
    }
}
