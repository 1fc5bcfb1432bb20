//! Handlers that are switched off.

use tracing::warn;

use super::Handlers;
use crate::config::Config;
use crate::queue::QueueError;

impl Handlers {
    /// Gives each handler that is switched off its place in the log: what comes in waits for it, from the first
    /// start on.
    pub(in crate::app) async fn hold_places(&self, config: &Config) {
        for (name, settings) in config.handlers.iter().filter(|(_, one)| !one.is_enabled) {
            match self.core.queue.subscribe(name, settings.start).await {
                // The place stays when its subscription goes. One that is busy finishes its last calls.
                Ok(_) | Err(QueueError::Busy(_)) => {}
                Err(err) => {
                    warn!(handler.name = %name, error = %err, "No place is kept for a handler that is switched off");
                }
            }
        }
    }
}
