//! Deliveries that are changed by hand: dead letters redriven or dropped, events replayed.

use std::sync::Arc;
use std::time::Duration;

use super::commit::Request;
use super::core::{Core, off_thread};
use super::events::event_at;
use super::log::Finder;
use super::record::{DeliveryRecord, NewState};
use super::state::Status;
use super::subscription::{HandlerCell, Live, Wake};
use crate::event::{HandlerName, OrderKey, Position};
use crate::queue::{QueueError, ReplayResult};

/// How many deliveries are changed before they are recorded: it bounds what waits in memory.
const CHANGES_AT_ONCE: usize = 4_096;

/// What is made of a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ByHand {
    /// It is due at once, as a new delivery.
    Redrive,
    /// It is settled for good.
    Drop,
}

/// Changes the dead letters that were found, durably; says how many still were dead.
pub(crate) async fn change_dead(
    core: &Arc<Core>,
    found: Vec<(HandlerName, Position)>,
    by_hand: ByHand,
) -> Result<u64, QueueError> {
    let mut n_changed = 0_usize;
    for (handler, position) in found {
        let Some(cell) = core.handler(&handler) else { continue };
        if !change_one(core, &cell, position, by_hand)? {
            continue;
        }
        n_changed += 1;
        if n_changed.is_multiple_of(CHANGES_AT_ONCE) {
            core.ask(Request::Recorded).await?;
        }
    }
    core.ask(Request::Recorded).await?;
    Ok(n_changed as u64)
}

fn change_one(
    core: &Core,
    cell: &HandlerCell,
    position: Position,
    by_hand: ByHand,
) -> Result<bool, QueueError> {
    let mut live = cell.lock();
    if cell.is_forgotten() {
        return Ok(false);
    }
    let held = match live.state.status(position) {
        Status::Dead | Status::Lost => None,
        Status::DeadHolding => live.state.holding().get(position).copied(),
        Status::Settled | Status::Open | Status::Waiting | Status::Unread => return Ok(false),
    };
    let to = match by_hand {
        ByHand::Drop => NewState::Dropped,
        ByHand::Redrive => again(core, held),
    };
    let wake = change(cell, &mut live, DeliveryRecord::of(position, 1, to), held);
    drop(live);
    cell.bell.notify_waiters();
    core.wake(wake)?;
    Ok(true)
}

/// As a new delivery. A dead letter that holds its key stays in front of the key's queue.
fn again(core: &Core, held: Option<OrderKey>) -> NewState {
    match held {
        None => NewState::Open,
        Some(_) => {
            NewState::Retry { due: core.clock.steady(), wait: Duration::ZERO, order_key: held }
        }
    }
}

fn change(
    cell: &HandlerCell,
    live: &mut Live,
    change: DeliveryRecord,
    held: Option<OrderKey>,
) -> Wake {
    if let Some(session) = &mut live.session {
        session.changed(&change, held);
    }
    cell.record(live, change)
}

/// Makes retained events due again for a handler; says what became of each.
pub(crate) async fn replay(
    core: &Arc<Core>,
    handler: &HandlerName,
    positions: &[Position],
) -> Result<Vec<ReplayResult>, QueueError> {
    let Some(cell) = core.handler(handler) else {
        return Ok(vec![ReplayResult::Gone; positions.len()]);
    };
    let mut results = Vec::with_capacity(positions.len());
    for some in positions.chunks(CHANGES_AT_ONCE) {
        let there = {
            let (core, some) = (Arc::clone(core), some.to_vec());
            off_thread(move || which_are_there(&core, &some)).await?
        };
        for (position, is_there) in some.iter().zip(there) {
            results.push(if is_there {
                replay_one(core, &cell, *position)?
            } else {
                ReplayResult::Gone
            });
        }
        core.ask(Request::Recorded).await?;
    }
    Ok(results)
}

/// What [`replay`] would make of each, as far as the handler's state tells.
pub(crate) fn would_replay(
    core: &Core,
    handler: &HandlerName,
    positions: &[Position],
) -> Vec<ReplayResult> {
    let Some(cell) = core.handler(handler) else {
        return vec![ReplayResult::Gone; positions.len()];
    };
    let live = cell.lock();
    let of = |position: &Position| match live.state.status(*position) {
        Status::Open | Status::Waiting | Status::Unread => ReplayResult::Pending,
        Status::Settled | Status::Dead | Status::DeadHolding | Status::Lost => {
            ReplayResult::Restarted
        }
    };
    positions.iter().map(of).collect()
}

/// Of each position whether the log or the kept log has the event.
fn which_are_there(core: &Core, positions: &[Position]) -> Result<Vec<bool>, QueueError> {
    let mut finder = Finder::default();
    let is_there = |position: &Position| {
        Ok(event_at(&core.log, &core.kept, &mut finder, *position)?.is_some())
    };
    positions.iter().map(is_there).collect()
}

fn replay_one(
    core: &Core,
    cell: &HandlerCell,
    position: Position,
) -> Result<ReplayResult, QueueError> {
    let mut live = cell.lock();
    if cell.is_forgotten() {
        return Ok(ReplayResult::Gone);
    }
    let held = match live.state.status(position) {
        // It comes by itself.
        Status::Open | Status::Waiting | Status::Unread => return Ok(ReplayResult::Pending),
        Status::DeadHolding => live.state.holding().get(position).copied(),
        // Its segment is being let go: the event is as good as gone. Looked at under the state's lock: the
        // cleaner takes it once after each freeze.
        Status::Settled if position < core.oldest() => return Ok(ReplayResult::Gone),
        Status::Settled | Status::Dead | Status::Lost => None,
    };
    if live.state.status(position) == Status::Dead {
        // What earlier tries came to is given up, and the history says so: a replay begins anew, where a
        // redrive goes on.
        let let_go =
            change(cell, &mut live, DeliveryRecord::of(position, 1, NewState::Dropped), None);
        core.wake(let_go)?;
    }
    let wake = change(cell, &mut live, DeliveryRecord::of(position, 1, again(core, held)), held);
    drop(live);
    cell.bell.notify_waiters();
    core.wake(wake)?;
    Ok(ReplayResult::Restarted)
}
