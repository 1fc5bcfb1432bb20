//! The queue's figures, for metrics and status.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::lookup;
use super::shared::{Shared, lock};
use super::state::{Slot, SubscriptionState};
use crate::clock::Timestamp;
use crate::event::Position;
use crate::queue::record::State;
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
    let (cursor, first_slot, n_done) = {
        let inner = state.lock();
        let n_done = inner.window.iter().filter(|slot| **slot == Slot::Done).count();
        (inner.cursor, inner.window.front().copied(), n_done)
    };
    let counts = shared.index().map(|index| index.counts(&state.handler)).unwrap_or_default();
    let in_log_at = match first_slot {
        Some(Slot::Taken(received_at)) => Some(received_at),
        Some(Slot::Done) | None if cursor < next => received_at(shared, cursor),
        Some(Slot::Done) | None => None,
    };
    let waiting_at = if counts.waiting == 0 { None } else { oldest_waiting(shared, state) };
    Backlog {
        in_log: next.0.saturating_sub(cursor.0).saturating_sub(n_done as u64),
        waiting: counts.waiting,
        dead: counts.dead,
        oldest_pending_at: in_log_at.into_iter().chain(waiting_at).min(),
    }
}

fn received_at(shared: &Shared, position: Position) -> Option<Timestamp> {
    let found = lookup::event_at(shared, position);
    found.ok().flatten().map(|(event, _)| event.received_at)
}

/// When the oldest retry or held delivery came in.
fn oldest_waiting(shared: &Shared, state: &SubscriptionState) -> Option<Timestamp> {
    let index = shared.index().ok()?;
    let all = Position(0)..=Position(u64::MAX);
    let positions = index.positions(&state.handler, all).ok()?;
    for position in positions.into_iter().take(ENTRIES_LOOKED_AT) {
        let entry = index.entry(&state.handler, position).ok()??;
        match entry.change.state {
            State::Retry { .. } | State::Held { .. } => return received_at(shared, position),
            State::Dead { .. } | State::Delivered | State::Skipped | State::Dropped => {}
        }
    }
    None
}
