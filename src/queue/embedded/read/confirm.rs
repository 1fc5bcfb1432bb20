//! Which dead letters died as the index says: asked before one is let go on the strength of that.

use std::collections::BTreeMap;

use super::{Reading, kept_failed};
use crate::event::HandlerName;
use crate::queue::embedded::index::DeliveryKey;
use crate::queue::embedded::record::{DeliveryRecord, Incarnation, Lsn, NewState};
use crate::queue::{DeadRecord, QueueError};

/// Dead letters by delivery, with the record that is said to tell of each.
type Asked = BTreeMap<DeliveryKey, (Lsn, DeadRecord)>;

impl Reading {
    /// Those of `letters` of which the record itself, in the log or in the kept log, says when and why they
    /// died as the letter does. An index that made something up lets none go. What came of a letter since is
    /// the index's word all the same: one that lost all of it goes unnoticed. `through` as for
    /// [`Reading::history`]: none is confirmed while the index is behind it.
    pub(crate) fn confirmed(
        &self,
        letters: Vec<DeadRecord>,
        through: Lsn,
    ) -> Result<Vec<DeadRecord>, QueueError> {
        if self.index.progress().to < through {
            return Ok(Vec::new());
        }
        let first = self.log.head().first;
        let (in_log, in_kept): (Vec<_>, Vec<_>) =
            self.asked(letters).into_iter().partition(|(_, (lsn, _))| *lsn >= first);
        let mut by_record: BTreeMap<Lsn, Vec<(DeliveryKey, DeadRecord)>> = BTreeMap::new();
        for (delivery, (lsn, letter)) in in_log {
            by_record.entry(lsn).or_default().push((delivery, letter));
        }
        let mut confirmed = self.confirmed_by_kept(in_kept.into_iter().collect())?;
        for (lsn, letters) in by_record {
            let Some(record) = self.settle_record_at(lsn) else { continue };
            for (delivery, letter) in letters {
                let its = record.sections.iter().filter(|section| {
                    section.handler == delivery.handler
                        && section.incarnation.subscribed == delivery.subscribed
                });
                let changes = its.flat_map(|section| &section.changes);
                let mut of_it =
                    changes.filter(|change| change.positions().contains(&delivery.position));
                if of_it.next_back().is_some_and(|change| says(change, &letter)) {
                    confirmed.push(letter);
                }
            }
        }
        Ok(confirmed)
    }

    /// Where the index says that each of them is recorded, of those of which it has nothing newer.
    fn asked(&self, letters: Vec<DeadRecord>) -> Asked {
        let handlers: BTreeMap<HandlerName, Incarnation> =
            self.states.handlers().into_iter().collect();
        let mut asked = Asked::new();
        for letter in letters {
            let Some(incarnation) = handlers.get(&letter.handler) else { continue };
            let delivery = DeliveryKey::new(letter.position, &letter.handler, *incarnation);
            let fact = self.dead_fact(&letter.handler, *incarnation, letter.position);
            if let Some(fact) = fact
                && !self.has_newer(&delivery, fact.lsn)
            {
                asked.insert(delivery, (fact.lsn, letter));
            }
        }
        asked
    }

    /// Whether the index has, or may have, a try of the delivery that was recorded behind `lsn`.
    fn has_newer(&self, delivery: &DeliveryKey, lsn: Lsn) -> bool {
        let tries = self.index.attempts(delivery.position);
        tries.map_or(true, |tries| tries.iter().any(|(of, fact)| of == delivery && fact.lsn > lsn))
    }

    /// The same where the segment of the record is gone: its changes are in the kept log as they stood.
    fn confirmed_by_kept(&self, asked: Asked) -> Result<Vec<DeadRecord>, QueueError> {
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        // The newest word on each, and whether it is what the letter says.
        let mut newest: BTreeMap<DeliveryKey, (Lsn, bool)> = BTreeMap::new();
        let visited = self.kept.visit_changes(None, &mut |(handler, incarnation, lsn, change)| {
            let delivery = DeliveryKey::new(change.first, &handler, incarnation);
            let Some((_, letter)) = asked.get(&delivery).filter(|_| !change.is_bare()) else {
                return;
            };
            let word = (lsn, says(&change, letter));
            let known = newest.entry(delivery).or_insert(word);
            if known.0 <= lsn {
                *known = word;
            }
        });
        visited.map_err(kept_failed)?;
        let is_said = |delivery: &DeliveryKey, lsn: Lsn| newest.get(delivery) == Some(&(lsn, true));
        let confirmed = asked.into_iter().filter(|(delivery, (lsn, _))| is_said(delivery, *lsn));
        Ok(confirmed.map(|(_, (_, letter))| letter).collect())
    }
}

/// Whether a recorded change is the death that the letter tells of.
fn says(change: &DeliveryRecord, letter: &DeadRecord) -> bool {
    let (NewState::Dead { died_at, reason, .. }, Some((at, why))) = (&change.to, &letter.fact)
    else {
        return false;
    };
    died_at == at && reason == why
}
