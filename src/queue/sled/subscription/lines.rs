//! The lines of deliveries that wait for each other: one per order key.

use std::time::Duration;

use super::entry_of;
use crate::event::{OrderKey, Position};
use crate::queue::QueueError;
use crate::queue::record::{Change, State};
use crate::queue::sled::shared::Shared;
use crate::queue::sled::state::{Inner, SubscriptionState};

/// The front of a key's line.
pub(super) fn line(
    shared: &Shared,
    state: &SubscriptionState,
    inner: &Inner,
    key: OrderKey,
) -> Result<Vec<Position>, QueueError> {
    let mut line: Vec<Position> = inner.overlay.line(key).collect();
    let index = shared.index()?;
    if index.counts(&state.handler).keyed > 0 {
        // Enough to see past those that are taken or changed.
        let limit = 2 + inner.taken.len() + inner.overlay.len() + inner.relogged.len();
        let known = index.line(&state.handler, key, limit)?;
        line.extend(known.into_iter().filter(|position| !inner.overlay.holds(*position)));
    }
    line.sort_unstable();
    Ok(line)
}

/// Makes a held delivery due now; `true` = the committer must be told.
pub(super) fn let_go(
    shared: &Shared,
    state: &SubscriptionState,
    inner: &mut Inner,
    change: &Change,
) -> bool {
    let State::Held { order_key } = change.state else { return false };
    let due = shared.clock.steady();
    let retry = State::Retry { due, wait: Duration::ZERO, order_key: Some(order_key) };
    state.bell.notify_waiters();
    inner.record(Change { state: retry, ..change.clone() }, true)
}

/// Makes the first of a line due if it is a held one: whether it did, and whether the committer
/// must be told.
pub(crate) fn let_first_go(
    shared: &Shared,
    state: &SubscriptionState,
    inner: &mut Inner,
    key: OrderKey,
) -> Result<(bool, bool), QueueError> {
    let first = line(shared, state, inner, key)?.into_iter().next();
    let first = first.filter(|p| !inner.taken.contains(p) && !inner.relogged.contains(p));
    let Some(first) = first else { return Ok((false, false)) };
    match entry_of(shared, state, inner, first)? {
        Some(change) if matches!(change.state, State::Held { .. }) => {
            Ok((true, let_go(shared, state, inner, &change)))
        }
        Some(_) | None => Ok((false, false)),
    }
}
