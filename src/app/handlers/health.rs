//! How each handler does, as alerts tell it and as the next process is to know it.

use std::collections::BTreeMap;

use super::place::{Place, Running};
use super::{Condition, Handlers};
use crate::api::HandlerControl;
use crate::app::handler_records::HandlerRecords;
use crate::cluster::{ClusterView, NodeName};
use crate::deliver::HealthRecord;
use crate::event::HandlerName;

impl Handlers {
    /// Every handler and how it does.
    pub(in crate::app) fn conditions(&self) -> Vec<(HandlerControl, Condition)> {
        let (clock, shared) = (&*self.core.clock, self.pauses.shared());
        let places = self.places();
        let both = |(name, place): (&HandlerName, &Place)| {
            let is_called_here = shared.as_ref().is_none_or(|log| log.try_epoch(name).is_some());
            let condition = match place {
                Place::Running(_) if !is_called_here => Condition::Unclear,
                Place::Running(_) | Place::Finishing { .. } | Place::Failed(_) => {
                    place.condition(clock)
                }
            };
            (place.show(name, clock), condition)
        };
        places.iter().map(both).collect()
    }

    /// Forgets how those do that another gateway delivers to, and says which they are: one that has taken
    /// a handler over knows of no earlier call.
    pub(in crate::app) fn forget_elsewhere(&self) -> Vec<HandlerName> {
        let Some(log) = self.pauses.shared() else { return Vec::new() };
        let names = owned_elsewhere(&log.view());
        let places = self.places();
        let forget = |name: &HandlerName| match places.get(name) {
            Some(Place::Running(running)) => {
                running.control.forget();
                true
            }
            Some(Place::Failed(_) | Place::Finishing { .. }) | None => false,
        };
        names.into_iter().filter(forget).collect()
    }

    /// How each one does.
    pub(in crate::app) fn health(&self) -> BTreeMap<HandlerName, HealthRecord> {
        self.list().into_iter().map(|one| (one.name, one.health)).collect()
    }

    /// Keeps when the handler delivered last for its next task. What fails is seen anew, since it was changed.
    pub(super) fn hand_over(&self, name: &HandlerName, running: &Running) {
        let last_success_at = running.show(&*self.core.clock).health.last_success_at;
        let health = HealthRecord { last_success_at, ..HealthRecord::default() };
        self.records.put(name.clone(), health);
    }

    /// Where that is kept.
    pub(in crate::app) const fn records(&self) -> &HandlerRecords {
        &self.records
    }
}

/// The handlers whose lease another gateway has.
fn owned_elsewhere(view: &ClusterView) -> Vec<HandlerName> {
    let is_another = |owner: &NodeName| *owner != view.node;
    let elsewhere = view.handlers.iter().filter(|one| one.owner.as_ref().is_some_and(is_another));
    elsewhere.map(|one| one.handler.clone()).collect()
}
