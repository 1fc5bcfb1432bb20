//! Settling where several nodes share the log: what a settlement makes of its delivery is told to all
//! of them first, and changes the state when it comes back in the order of the log.

use std::sync::Arc;
use std::time::Duration;

use super::cell::{HandlerCell, Live, Wake};
use super::settle::{held_by, is_told, parked, record_of};
use super::{EmbeddedSubscription, Parked, Session};
use crate::clock::Timestamp;
use crate::event::{Attempt, Position, Settlement};
use crate::queue::codec::{Put, Take};
use crate::queue::embedded::record::{DeliveryRecord, NewState};

/// A change of one handler's deliveries, as it stands in a unit of the shared log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedChange {
    record: DeliveryRecord,
    /// It waits behind an earlier delivery of its order key, and not for a moment.
    is_held: bool,
}

impl SharedChange {
    /// A change that parks nothing.
    pub(crate) const fn of(record: DeliveryRecord) -> Self {
        Self { record, is_held: false }
    }

    pub(super) fn into_record(self) -> DeliveryRecord {
        self.record
    }

    /// Whether nothing of it is left to be delivered, and nothing waits for it.
    pub(crate) fn is_end(&self) -> bool {
        match self.record.to {
            NewState::Delivered | NewState::Skipped => true,
            NewState::Retry { .. }
            | NewState::Dead { .. }
            | NewState::Dropped
            | NewState::Open
            | NewState::Lost => false,
        }
    }

    /// About how many bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        /// Position, state, tries and times.
        const FIXED: usize = 64;
        FIXED + self.record.attempt.as_ref().map_or(0, Attempt::n_bytes)
    }

    /// Appends the bytes of `changes`; their times are told from `at`.
    pub(crate) fn encode_all(changes: &[Self], at: Timestamp, out: &mut Vec<u8>) {
        out.put_varint(changes.len() as u64);
        let mut before = Position(0);
        for change in changes {
            out.put_u8(change.is_held.into());
            change.record.encode(before, at, out);
            before = change.record.first;
        }
    }

    /// Reads what [`SharedChange::encode_all`] wrote.
    pub(crate) fn decode_all(take: &mut Take<'_>, at: Timestamp) -> Option<Vec<Self>> {
        let mut changes = Vec::new();
        let mut before = Position(0);
        for _ in 0..take.varint()? {
            let is_held = take.u8()? != 0;
            let record = DeliveryRecord::decode(before, at, take)?;
            before = record.first;
            changes.push(Self { record, is_held });
        }
        Some(changes)
    }
}

impl EmbeddedSubscription {
    /// What `settlement` is to make of its delivery on every node, which stays given out until then;
    /// `None` = nothing: it is done.
    pub(crate) fn prepare(&self, settlement: Settlement) -> Option<SharedChange> {
        let event = Arc::clone(&settlement.delivery.event);
        let mut live = self.cell.lock();
        let Live { state, session, retry_cache } = &mut *live;
        let session = session.as_mut()?;
        let held = held_by(&settlement.outcome);
        if let Some(key) = held.filter(|key| is_told(state, &settlement, *key)) {
            retry_cache.keep(&event, Duration::ZERO);
            session.park(event.position, key, parked(state, &settlement.delivery));
            return None;
        }
        let clock = &self.core.clock;
        let record = record_of(settlement, clock.steady(), clock.now());
        if let NewState::Retry { wait, .. } = record.to {
            retry_cache.keep(&event, wait);
        }
        Some(SharedChange { record, is_held: held.is_some() })
    }
}

impl HandlerCell {
    /// Applies changes in the order of the shared log; they are recorded with the next settle record.
    pub(crate) fn apply_shared(&self, changes: Vec<SharedChange>) -> Wake {
        let mut wake = Wake::Nobody;
        let mut live = self.lock();
        for change in changes {
            if let Some(session) = &mut live.session {
                settle_session(session, &change);
            }
            wake = wake.and(self.record(&mut live, change.record));
        }
        drop(live);
        self.bell.notify_waiters();
        wake
    }
}

/// The session of the node that has settled it lets go of the delivery.
fn settle_session(session: &mut Session, change: &SharedChange) {
    let SharedChange { record, is_held } = change;
    if !session.is_leased(record.first) {
        return;
    }
    match record.to {
        NewState::Retry { order_key: Some(key), .. } if *is_held => {
            session.park(record.first, key, Parked::Retry);
        }
        _ => session.settled(record.first, &record.to),
    }
}
