//! Handlers that have a place in the queue and stand in no configuration.

use serde_json::Value;
use tracing::warn;

use super::super::orphans::{self, Orphan};
use super::Server;

impl Server {
    /// Who is not configured.
    fn orphans(&self) -> Vec<Orphan> {
        let (stats, now) = (self.core.queue.stats(), self.core.clock.now());
        self.orphans.look(&stats, &self.config(), now)
    }

    /// A line for the owner about each handler that is not configured.
    pub(in crate::app) fn orphan_lines(&self) -> Vec<String> {
        let (orphans, now) = (self.orphans(), self.core.clock.now());
        let retention = self.config().queue.orphan_retention;
        orphans.iter().map(|orphan| orphan.line(retention, now)).collect()
    }

    /// Lets go of handlers that stood in no configuration for long enough. Gives the others where
    /// they are worth telling: from half of `disk_max` on, with how full it is.
    pub(in crate::app) async fn look_after_orphans(&self) -> Option<Value> {
        let retention = self.config().queue.orphan_retention;
        let disk_max = self.started_with.queue.disk_max.0;
        let now = self.core.clock.now();
        let (over, left): (Vec<Orphan>, Vec<Orphan>) =
            self.orphans().into_iter().partition(|orphan| orphan.is_over(retention, now));
        for Orphan { name, since, .. } in over {
            match self.core.queue.forget(&name).await {
                Ok(_) => {
                    self.orphans.forgotten(&name);
                    warn!(handler.name = %name, %since, "Let go of a handler that is gone");
                }
                Err(err) => {
                    warn!(handler.name = %name, error = %err, "Handler could not be let go");
                }
            }
        }
        orphans::worth_telling(&left, self.core.queue.stats().bytes, disk_max)
    }
}
