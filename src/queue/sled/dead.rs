//! Dead letters, and deliveries that are made due again by hand.

use std::sync::Arc;
use std::time::Duration;

use super::lookup::Finder;
use super::shared::{Job, Shared, lock};
use super::state::SubscriptionState;
use super::subscription::entry_of;
use crate::clock::Timestamp;
use crate::event::{ErrorText, HandlerName, OrderKey, Position};
use crate::queue::record::{Change, State};
use crate::queue::{DeadFilter, DeadLetter, QueueError};

/// How many dead letters are changed before they are recorded: it bounds what waits in memory.
const CHANGES_AT_ONCE: usize = 4_096;

/// A dead letter before its event is read.
struct Found {
    state: Arc<SubscriptionState>,
    change: Change,
    died_at: Timestamp,
    reason: ErrorText,
    order_key: Option<OrderKey>,
}

/// Dead letters that match, oldest first.
pub(super) fn list(
    shared: &Arc<Shared>,
    filter: &DeadFilter,
) -> Result<Vec<DeadLetter>, QueueError> {
    let mut finder = Finder::default();
    let mut letters = Vec::new();
    for Found { state, change, died_at, reason, .. } in find(shared, filter)? {
        let Some((event, _)) = finder.event_at(shared, change.position)? else { continue };
        letters.push(DeadLetter {
            handler: state.handler.clone(),
            id: event.id,
            position: change.position,
            source: event.source.clone(),
            event_type: event.event_type.clone(),
            received_at: event.received_at,
            attempts: change.attempts,
            died_at,
            reason,
        });
    }
    Ok(letters)
}

/// Makes dead letters due at once, from attempt 1.
pub(super) fn redrive(shared: &Arc<Shared>, filter: &DeadFilter) -> Result<u64, QueueError> {
    let now = shared.clock.steady();
    change_all(shared, filter, |letter| State::Retry {
        due: now,
        wait: Duration::ZERO,
        order_key: letter.order_key,
    })
}

/// Gives dead letters up for good; what waited behind one in its line goes on.
pub(super) fn give_up(shared: &Arc<Shared>, filter: &DeadFilter) -> Result<u64, QueueError> {
    change_all(shared, filter, |_| State::Dropped)
}

/// Makes retained events due again for a handler; says how many of them there are.
pub(super) fn replay(
    shared: &Arc<Shared>,
    handler: &HandlerName,
    positions: &[Position],
) -> Result<u64, QueueError> {
    let Some(state) = shared.subscription(handler) else { return Ok(0) };
    let due = shared.clock.steady();
    let mut finder = Finder::default();
    let mut replayed = Vec::new();
    for position in positions {
        if finder.event_at(shared, *position)?.is_some() {
            replay_one(shared, &state, *position, due)?;
            replayed.push(*position);
            if replayed.len().is_multiple_of(CHANGES_AT_ONCE) {
                wait_until_recorded(shared)?;
            }
        }
    }
    wait_until_recorded(shared)?;
    // Its segment may have gone since it was looked for, and nobody knew that it is needed.
    let mut n_there = 0;
    for position in replayed {
        let is_there =
            state.lock().taken.contains(&position) || finder.event_at(shared, position)?.is_some();
        n_there += u64::from(is_there);
    }
    Ok(n_there)
}

fn replay_one(
    shared: &Shared,
    state: &SubscriptionState,
    position: Position,
    due: Timestamp,
) -> Result<(), QueueError> {
    let mut inner = state.lock();
    let entry = entry_of(shared, state, &inner, position)?;
    // A dead letter that holds its key goes on holding it.
    let order_key = entry.as_ref().and_then(|change| change.state.order_key());
    let is_open = match entry.map(|change| change.state) {
        Some(State::Retry { .. } | State::Held { .. }) => true,
        Some(State::Dead { .. } | State::Delivered | State::Skipped | State::Dropped) | None => {
            !inner.place().has_passed(position)
        }
    };
    if is_open {
        return Ok(());
    }
    let change = again(position, State::Retry { due, wait: Duration::ZERO, order_key });
    let must_tell = inner.record(change, true);
    drop(inner);
    tell(shared, state, must_tell)
}

fn again(position: Position, state: State) -> Change {
    Change { position, state, attempts: 0, first_attempt_at: None, attempt: None }
}

fn tell(shared: &Shared, state: &SubscriptionState, must_tell: bool) -> Result<(), QueueError> {
    if must_tell {
        shared.send(Job::Settle)?;
    }
    state.bell.notify_waiters();
    Ok(())
}

/// Every job but an append has the outboxes written first. An error = that failed: what was changed
/// stands in memory only.
fn wait_until_recorded(shared: &Shared) -> Result<(), QueueError> {
    shared.ask_blocking(Job::Recorded)
}

/// Changes all dead letters that match, durably; says how many.
fn change_all(
    shared: &Arc<Shared>,
    filter: &DeadFilter,
    into: impl Fn(&Found) -> State,
) -> Result<u64, QueueError> {
    let mut n_changed = 0_usize;
    for letter in find(shared, filter)? {
        let change = again(letter.change.position, into(&letter));
        let leaves_line = letter.order_key.filter(|_| change.state.order_key().is_none());
        let mut inner = letter.state.lock();
        // Somebody else may have changed it since it was found.
        let position = letter.change.position;
        let is_dead = entry_of(shared, &letter.state, &inner, position)?
            .is_some_and(|change| matches!(change.state, State::Dead { .. }));
        if !is_dead {
            continue;
        }
        let mut must_tell = inner.record(change, true);
        if let Some(key) = leaves_line {
            must_tell |=
                super::subscription::let_first_go(shared, &letter.state, &mut inner, key)?.1;
        }
        drop(inner);
        tell(shared, &letter.state, must_tell)?;
        n_changed += 1;
        if n_changed.is_multiple_of(CHANGES_AT_ONCE) {
            wait_until_recorded(shared)?;
        }
    }
    wait_until_recorded(shared)?;
    Ok(n_changed as u64)
}

fn find(shared: &Arc<Shared>, filter: &DeadFilter) -> Result<Vec<Found>, QueueError> {
    let states: Vec<_> = lock(&shared.subscriptions)
        .values()
        .filter(|state| filter.handler.as_ref().is_none_or(|handler| *handler == state.handler))
        .map(Arc::clone)
        .collect();
    let limit = filter.limit.unwrap_or(usize::MAX);
    let mut found = Vec::new();
    for state in states {
        for change in dead_of(shared, &state, filter.position)? {
            let State::Dead { died_at, reason, order_key } = &change.state else { continue };
            let (died_at, reason, order_key) = (*died_at, reason.clone(), *order_key);
            let is_wanted = filter.since.is_none_or(|since| died_at >= since)
                && filter.until.is_none_or(|until| died_at < until)
                && filter.reason.as_ref().is_none_or(|text| reason.as_str().contains(text));
            if is_wanted {
                found.push(Found { state: Arc::clone(&state), change, died_at, reason, order_key });
            }
        }
    }
    found.sort_by_key(|letter| (letter.died_at, letter.change.position));
    found.truncate(limit);
    Ok(found)
}

/// One handler's dead letters, the index's lag included.
fn dead_of(
    shared: &Shared,
    state: &SubscriptionState,
    position: Option<Position>,
) -> Result<Vec<Change>, QueueError> {
    let range = match position {
        Some(position) => position..=position,
        None => Position(0)..=Position(u64::MAX),
    };
    let index = shared.index()?;
    let inner = state.lock();
    let mut positions = index.positions(&state.handler, range.clone())?;
    positions.extend(inner.overlay.entries().map(|change| change.position));
    positions.retain(|position| range.contains(position));
    positions.sort_unstable();
    positions.dedup();
    let mut dead = Vec::new();
    for position in positions {
        let entry = entry_of(shared, state, &inner, position)?;
        dead.extend(entry.filter(|change| matches!(change.state, State::Dead { .. })));
    }
    Ok(dead)
}
