//! The lines of deliveries that wait for each other: one per order key.

use std::time::Duration;

use super::entry_of;
use crate::event::{OrderKey, Position};
use crate::queue::QueueError;
use crate::queue::record::{Change, State};
use crate::queue::sled::shared::Shared;
use crate::queue::sled::state::{Inner, SubscriptionState};

/// The first in a key's line that `is_it`.
pub(super) fn first_in_line(
    shared: &Shared,
    state: &SubscriptionState,
    inner: &Inner,
    key: OrderKey,
    is_it: impl Fn(&Position) -> bool,
) -> Result<Option<Position>, QueueError> {
    let changed = inner.overlay.line(key).find(|position| is_it(position));
    let index = shared.index()?;
    if index.counts(&state.handler).keyed == 0 {
        return Ok(changed);
    }
    let known = index.first_in_line(&state.handler, key, |position| {
        // No further than needed: a busy key's line is long.
        changed.is_some_and(|changed| changed < *position)
            || !inner.overlay.holds(*position) && is_it(position)
    })?;
    Ok(changed.into_iter().chain(known).min())
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
    let first = first_in_line(shared, state, inner, key, |_| true)?;
    let first = first.filter(|p| !inner.taken.contains(p) && !inner.relogged.contains(p));
    let Some(first) = first else { return Ok((false, false)) };
    match entry_of(shared, state, inner, first)? {
        Some(change) if matches!(change.state, State::Held { .. }) => {
            Ok((true, let_go(shared, state, inner, &change)))
        }
        Some(_) | None => Ok((false, false)),
    }
}
