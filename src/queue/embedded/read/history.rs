//! What each handler did with one event.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Reading, Standing, kept_failed, read_failed};
use crate::clock::Timestamp;
use crate::event::{HandlerName, Position};
use crate::queue::embedded::index::{AttemptFact, DeliveryKey, LedTo, StoreError};
use crate::queue::embedded::log::{Finder, Found, LogReader};
use crate::queue::embedded::record::{
    DeliveryRecord, Incarnation, Kind, Lsn, NewState, Record, SettleRecord,
};
use crate::queue::embedded::state::Status;
use crate::queue::{AttemptRecord, DeliveryHistory, DeliveryState, PlannedWait, QueueError};

/// How many settle records are read for one history.
const RECORDS_MAX: usize = 256;

/// The histories of one event's deliveries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct History {
    /// One per handler that has a subscription and had the event to deliver.
    pub(crate) deliveries: Vec<DeliveryHistory>,
    /// `false` = attempts may be missing: the index is being made, is behind or does not answer.
    pub(crate) is_indexed: bool,
    /// The same, and of each delivery that is settled it is known how.
    pub(crate) is_complete: bool,
}

/// One delivery's recorded changes, in the order of their recording.
pub(super) type Facts = BTreeMap<(Lsn, Timestamp, u32), AttemptFact>;

/// The same of all deliveries of one event.
#[derive(Debug, Default)]
struct FactsByDelivery(BTreeMap<DeliveryKey, Facts>);

/// How much of what was recorded is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FactCoverage {
    Whole,
    Partly,
}

impl History {
    /// Of an event that is gone.
    const fn of_none() -> Self {
        Self { deliveries: Vec::new(), is_indexed: true, is_complete: true }
    }
}

/// What was planned behind some of them.
type Plans = BTreeMap<(Lsn, Timestamp, u32), PlannedWait>;

impl Reading {
    /// The history of the event at `position`, of what was recorded before `through`: the log's
    /// end when the caller had every settlement recorded. Empty = there is no such event. What was
    /// planned when tries failed is read off the log for so many of the newest ones: a read each.
    pub(crate) fn history(
        &self,
        position: Position,
        through: Lsn,
        n_plans: usize,
    ) -> Result<History, QueueError> {
        let Some(from) = self.lsn_of(position)? else { return Ok(History::of_none()) };
        let facts = self.facts_of(position);
        let is_indexed = facts.is_ok() && self.is_indexed_from(from, through);
        let known = if is_indexed { FactCoverage::Whole } else { FactCoverage::Partly };
        Ok(self.history_by(position, facts.unwrap_or_default(), known, n_plans))
    }

    /// What no derived file can make wrong: the index as far as it goes, and the log behind it. Where the
    /// index lacks what comes before, all of the log from the event on is read; `None` = not as long as
    /// `is_being_made`, since that takes seconds for each GiB.
    pub(crate) fn whole_history(
        &self,
        position: Position,
        through: Lsn,
        is_being_made: bool,
    ) -> Result<Option<History>, QueueError> {
        let Some(from) = self.lsn_of(position)? else { return Ok(Some(History::of_none())) };
        let indexed_to = self.index.progress().to;
        let indexed = self.facts_of(position).ok();
        let indexed = indexed.filter(|_| self.is_indexed_from(from, indexed_to));
        let (mut facts, read_from) = match indexed {
            Some(facts) => (FactsByDelivery(facts), from.max(indexed_to)),
            None if is_being_made => return Ok(None),
            // From a segment on that is there now: where it goes before it was read, that is an error.
            None => {
                let from = from.max(self.log.head().first);
                (self.kept_facts_of(position)?, from)
            }
        };
        let mut reader = LogReader::new(Arc::clone(&self.log), read_from);
        reader.skip_rest_of_records(0);
        while let Some(found) = reader.next(through).map_err(read_failed)? {
            if let Some(record) = settle_record(&found) {
                facts.add_record(position, found.lsn, &record);
            }
        }
        Ok(Some(self.history_by(position, facts.0, FactCoverage::Whole, 0)))
    }

    fn kept_facts_of(&self, position: Position) -> Result<FactsByDelivery, QueueError> {
        let mut facts = FactsByDelivery::default();
        let visited = self.kept.visit_changes(Some(position), &mut |told| {
            let (handler, incarnation, lsn, change) = told;
            facts.add(position, (&handler, incarnation), lsn, &change);
        });
        visited.map_err(kept_failed)?;
        Ok(facts)
    }

    /// Where the event stands in the log, 0 = in the kept one; `None` = it is gone.
    fn lsn_of(&self, position: Position) -> Result<Option<Lsn>, QueueError> {
        let found = self.look_for(&mut Finder::default(), position)?;
        Ok(found.map(|found| found.lsn.unwrap_or_default()))
    }

    fn history_by(
        &self,
        position: Position,
        mut facts: BTreeMap<DeliveryKey, Facts>,
        known: FactCoverage,
        mut n_plans: usize,
    ) -> History {
        let is_indexed = known == FactCoverage::Whole;
        let mut is_complete = is_indexed;
        let mut deliveries = Vec::new();
        for (handler, incarnation) in self.states.handlers() {
            let Some(standing) = self.states.standing(&handler, position) else { continue };
            let delivery = DeliveryKey::new(position, &handler, incarnation);
            let facts = facts.remove(&delivery).unwrap_or_default();
            let plans = self.plans(&delivery, &facts, &mut n_plans);
            let is_before_it = position < incarnation.since && standing.status == Status::Settled;
            if is_before_it && facts.is_empty() {
                continue;
            }
            let end = facts.values().next_back().map(|fact| fact.led_to);
            let Some(state) = state_of(standing, end) else {
                is_complete = false;
                deliveries.push(history_of(handler, DeliveryState::Delivered, &facts, &plans));
                continue;
            };
            deliveries.push(history_of(handler, state, &facts, &plans));
        }
        History { deliveries, is_indexed, is_complete }
    }

    /// How long the next try was put off when tries failed, by where that is recorded.
    fn plans(&self, delivery: &DeliveryKey, facts: &Facts, n_left: &mut usize) -> Plans {
        let mut plans = Plans::new();
        for (order, fact) in facts.iter().rev().filter(|(_, fact)| fact.led_to == LedTo::Retry) {
            let Some(left) = n_left.checked_sub(1) else { break };
            *n_left = left;
            // A segment may be gone whose event is kept on.
            let Some(record) = self.settle_record_at(fact.lsn) else { continue };
            let its = record.sections.iter().filter(|section| {
                DeliveryKey::new(delivery.position, &section.handler, section.incarnation)
                    == *delivery
            });
            let mut changes = its.flat_map(|section| &section.changes);
            let meant = changes.find(|change| {
                change.positions().contains(&delivery.position)
                    && AttemptFact::of(change, fact.lsn).is_some_and(|one| one.order() == *order)
            });
            if let Some(NewState::Retry { wait, order_key, .. }) = meant.map(|change| &change.to) {
                let is_held = wait.is_zero() && order_key.is_some();
                plans.insert(*order, PlannedWait { wait: *wait, is_held });
            }
        }
        plans
    }

    /// What is recorded of an event's deliveries, by delivery.
    pub(super) fn facts_of(
        &self,
        position: Position,
    ) -> Result<BTreeMap<DeliveryKey, Facts>, StoreError> {
        let mut facts = FactsByDelivery::default();
        for (delivery, fact) in self.index.attempts(position)? {
            facts.add_fact(delivery, fact);
        }
        let mut lsns: Vec<Lsn> =
            self.index.settled(position)?.iter().map(|fact| fact.lsn).collect();
        // One record may have ended deliveries of several handlers.
        lsns.sort_unstable();
        lsns.dedup();
        for lsn in lsns.into_iter().rev().take(RECORDS_MAX) {
            if let Some(record) = self.settle_record_at(lsn) {
                facts.add_record(position, lsn, &record);
            }
        }
        Ok(facts.0)
    }

    /// The settle record at `lsn`; `None` = there is none, whatever the index says.
    pub(super) fn settle_record_at(&self, lsn: Lsn) -> Option<SettleRecord> {
        let found = self.log.record_at(lsn).ok().flatten()?;
        settle_record(&found)
    }
}

impl FactsByDelivery {
    fn add_fact(&mut self, delivery: DeliveryKey, fact: AttemptFact) {
        self.0.entry(delivery).or_default().insert(fact.order(), fact);
    }

    /// Adds what a change that was recorded at `lsn` says of the event, if anything.
    fn add(
        &mut self,
        position: Position,
        (handler, incarnation): (&HandlerName, Incarnation),
        lsn: Lsn,
        change: &DeliveryRecord,
    ) {
        let its = Some(change).filter(|change| change.positions().contains(&position));
        if let Some(fact) = its.and_then(|change| AttemptFact::of(change, lsn)) {
            self.add_fact(DeliveryKey::new(position, handler, incarnation), fact);
        }
    }

    fn add_record(&mut self, position: Position, lsn: Lsn, record: &SettleRecord) {
        for section in &record.sections {
            for change in &section.changes {
                self.add(position, (&section.handler, section.incarnation), lsn, change);
            }
        }
    }
}

fn settle_record(found: &Found) -> Option<SettleRecord> {
    match Some(found).filter(|found| found.kind == Kind::Settle)?.decode() {
        Some(Record::Settle(record)) => Some(record),
        Some(_) | None => None,
    }
}

/// The state of the delivery, where its last recorded change led to `end`; `None` = it is settled
/// and the record of how is not known.
pub(super) fn state_of(standing: Standing, end: Option<LedTo>) -> Option<DeliveryState> {
    Some(match standing.status {
        Status::Open | Status::Unread | Status::Waiting if standing.is_held => DeliveryState::Held,
        // Redriven or replayed: it comes by itself and was not tried since.
        Status::Waiting if standing.attempts == 0 => DeliveryState::Pending,
        Status::Waiting => DeliveryState::Retry,
        Status::Open | Status::Unread => DeliveryState::Pending,
        Status::Dead | Status::DeadHolding | Status::Lost => DeliveryState::Dead,
        Status::Settled => match end? {
            LedTo::Delivered => DeliveryState::Delivered,
            LedTo::Skipped => DeliveryState::Skipped,
            LedTo::Dropped => DeliveryState::Dead,
            LedTo::Retry | LedTo::Dead => return None,
        },
    })
}

fn history_of(
    handler: HandlerName,
    state: DeliveryState,
    facts: &Facts,
    plans: &Plans,
) -> DeliveryHistory {
    let (mut attempts, mut n_let_go) = (Vec::new(), 0);
    for (order, fact) in facts {
        if fact.led_to == LedTo::Dropped {
            n_let_go = attempts.len();
        }
        attempts.extend(attempt_record(fact, plans.get(order).copied()));
    }
    DeliveryHistory { handler, state, attempts, n_let_go }
}

fn attempt_record(fact: &AttemptFact, planned: Option<PlannedWait>) -> Option<AttemptRecord> {
    let attempt = fact.attempt.as_ref()?;
    let led_to = match fact.led_to {
        LedTo::Delivered => DeliveryState::Delivered,
        LedTo::Skipped => DeliveryState::Skipped,
        LedTo::Retry => DeliveryState::Retry,
        LedTo::Dead | LedTo::Dropped => DeliveryState::Dead,
    };
    Some(AttemptRecord {
        number: fact.number,
        started_at: attempt.started_at,
        duration: attempt.duration,
        led_to,
        error: attempt.error.clone(),
        status: attempt.status,
        output: attempt.output.clone(),
        progress: attempt.progress.clone(),
        planned,
    })
}
