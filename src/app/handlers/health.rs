//! How each handler does, as the next process is to know it.

use std::collections::BTreeMap;

use super::{Handlers, Running};
use crate::api::HandlerControl;
use crate::app::handler_records::HandlerRecords;
use crate::deliver::{HealthRecord, LastError};
use crate::event::HandlerName;

impl Handlers {
    /// How each one does.
    pub(in crate::app) fn health(&self) -> BTreeMap<HandlerName, HealthRecord> {
        self.list().into_iter().map(|one| (one.name.clone(), record(one))).collect()
    }

    /// Keeps when the handler delivered last for its next task. What fails is seen anew, since it was changed.
    pub(super) fn hand_over(&self, name: &HandlerName, running: &Running) {
        let last_success_at = running.show(&*self.core.clock).last_success_at;
        let health = HealthRecord { last_success_at, ..HealthRecord::default() };
        self.records.put(name.clone(), health);
    }

    /// Where that is kept.
    pub(in crate::app) const fn records(&self) -> &HandlerRecords {
        &self.records
    }
}

fn record(handler: HandlerControl) -> HealthRecord {
    HealthRecord {
        last_success_at: handler.last_success_at,
        last_error: handler.last_error.map(|error| LastError {
            at: error.at,
            event: error.event,
            text: error.text,
        }),
        failing_since: handler.failing_since,
        n_failures: handler.n_failures,
        given_up_since: handler.given_up_since,
        n_given_up: handler.n_given_up,
    }
}
