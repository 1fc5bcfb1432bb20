//! How the handlers' tasks end with the process.

use std::collections::BTreeMap;
use std::time::Duration;

use tracing::error;

use super::Handlers;
use super::place::Place;
use crate::deliver::HealthRecord;
use crate::event::HandlerName;

/// Their handlers have ended, so they have little to do.
const FINISHERS_TIMEOUT: Duration = Duration::from_secs(1);
/// The same of own events: one sync of the log, or two.
const TELL_TIMEOUT: Duration = Duration::from_secs(2);

impl Handlers {
    /// Ends every task, and says how each did at its end. Deliveries that do not end in time come back at
    /// the next start.
    pub(in crate::app) async fn stop_all(
        &self,
        timeout: Duration,
    ) -> BTreeMap<HandlerName, HealthRecord> {
        self.stopped.cancel();
        let health = {
            let _changing = self.changing.lock().await;
            let places = std::mem::take(&mut *self.places());
            let ends = places.into_iter().map(|(name, place)| self.end(name, place, timeout));
            futures_util::future::join_all(ends).await
        };
        self.finishers.close();
        if tokio::time::timeout(FINISHERS_TIMEOUT, self.finishers.wait()).await.is_err() {
            error!("A handler did not end");
        }
        // A queue that hangs must not keep the process from ending.
        if tokio::time::timeout(TELL_TIMEOUT, self.system_events.tell_rest()).await.is_err() {
            error!("Not all own events were stored before the end");
        }
        health.into_iter().collect()
    }

    async fn end(
        &self,
        name: HandlerName,
        place: Place,
        timeout: Duration,
    ) -> (HandlerName, HealthRecord) {
        match &place {
            Place::Failed(_) => {}
            Place::Running(running) => running.end(&name, timeout).await,
            Place::Finishing { running, .. } => {
                running.end(&name, timeout).await;
                // Known for the one that was to take its place.
                self.hand_over(&name, running);
            }
        }
        let health = place.show(&name, &*self.core.clock).health;
        (name, health)
    }
}
