//! The queue's figures, for metrics and status.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::index::{Counts, Index};
use super::lookup;
use super::shared::{Shared, lock};
use super::state::{Inner, Slot, SubscriptionState};
use crate::clock::Timestamp;
use crate::event::Position;
use crate::queue::record::{Change, State};
use crate::queue::{Backlog, QueueStats};

/// How many entries are looked at for the oldest one that waits.
const ENTRIES_LOOKED_AT: usize = 1_000;

/// All figures of this moment.
pub(crate) fn stats(shared: &Arc<Shared>) -> QueueStats {
    let durable = shared.durable();
    let subscriptions: Vec<_> = lock(&shared.subscriptions).values().map(Arc::clone).collect();
    let handlers = subscriptions.iter();
    let handlers = handlers.map(|state| (state.handler.clone(), backlog(shared, state))).collect();
    let index_bytes = shared.index().map_or(0, |index| index.bytes());
    QueueStats {
        events: durable.next.0.saturating_sub(shared.oldest().0),
        bytes: shared.segments.bytes().saturating_add(index_bytes),
        last: Position(durable.next.0.saturating_sub(1)),
        lag_bytes: shared.lag_bytes.load(Ordering::Acquire),
        handlers,
        damage: shared.segments.damage().iter().map(ToString::to_string).collect(),
    }
}

/// One subscription's figures.
pub(crate) fn backlog(shared: &Shared, state: &SubscriptionState) -> Backlog {
    let next = shared.durable().next;
    let inner = state.lock();
    let cursor = inner.cursor;
    let n_done: u64 = inner.place().ahead.iter().map(|(_, count)| count).sum();
    let in_log_at = match inner.window.front() {
        Some(Slot::Taken(received_at)) => Some(*received_at),
        Some(Slot::Done) | None if cursor < next => received_at(shared, cursor),
        Some(Slot::Done) | None => None,
    };
    let (counts, waiting_at) = match shared.index() {
        Ok(index) => {
            let counts = counts(&index, state, &inner);
            let waiting_at = match counts.waiting {
                0 => None,
                _ => oldest_waiting(shared, &index, state, &inner),
            };
            (counts, waiting_at)
        }
        Err(_) => (Counts::default(), None),
    };
    Backlog {
        in_log: next.0.saturating_sub(cursor.0).saturating_sub(n_done),
        waiting: counts.waiting,
        dead: counts.dead,
        oldest_pending_at: in_log_at.into_iter().chain(waiting_at).min(),
    }
}

/// The index's counts, corrected by what it does not know yet.
fn counts(index: &Index, state: &SubscriptionState, inner: &Inner) -> Counts {
    let mut counts = index.counts(&state.handler);
    for change in inner.overlay.entries() {
        // A count that is off by what cannot be read is better than none.
        if let Ok(Some(entry)) = index.entry(&state.handler, change.position) {
            counts.remove(&entry.change.state);
        }
        counts.add(&change.state);
    }
    // What comes again from the log is counted there.
    counts.waiting = counts.waiting.saturating_sub(inner.relogged.len() as u64);
    counts
}

fn received_at(shared: &Shared, position: Position) -> Option<Timestamp> {
    let found = lookup::event_at(shared, position);
    found.ok().flatten().map(|(event, _)| event.received_at)
}

/// When the oldest retry or held delivery came in.
fn oldest_waiting(
    shared: &Shared,
    index: &Index,
    state: &SubscriptionState,
    inner: &Inner,
) -> Option<Timestamp> {
    let is_waiting = |change: &Change| match change.state {
        State::Retry { .. } | State::Held { .. } => true,
        State::Dead { .. } | State::Delivered | State::Skipped | State::Dropped => false,
    };
    let new = inner.overlay.entries().find(|change| is_waiting(change));
    let new = new.map(|change| change.position);
    let known = index.first_positions(&state.handler, ENTRIES_LOOKED_AT).ok()?;
    let known = known.into_iter().find(|position| {
        let entry = index.entry(&state.handler, *position).ok().flatten();
        !inner.overlay.holds(*position) && entry.is_some_and(|entry| is_waiting(&entry.change))
    });
    received_at(shared, new.into_iter().chain(known).min()?)
}
