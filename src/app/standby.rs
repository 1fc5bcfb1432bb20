//! The second copy of the queue: what is wanted of it, by the configuration.

use std::sync::Arc;

use crate::clock::Clock;
use crate::config::{Config, StandbySettings};
use crate::queue::embedded::EmbeddedQueue;
use crate::standby::{Acknowledge, Rule, Standbys};

pub(super) mod watch;

/// The standbys of this queue.
pub(super) fn standbys(store: &EmbeddedQueue, clock: &Arc<dyn Clock>, config: &Config) -> Standbys {
    let folder = config.queue.path.clone();
    Standbys::new(store.files(), folder, Arc::clone(clock), rule(config))
}

/// What the configuration wants of them.
pub(super) fn rule(config: &Config) -> Rule {
    let standby = config.standby.as_ref();
    Rule {
        acknowledge: config.queue.ack,
        timeout: standby.map_or(StandbySettings::ACK_TIMEOUT, |standby| standby.ack_timeout),
        is_expected: standby.is_some() || config.queue.ack == Acknowledge::Standby,
        lag_max: standby.map_or(StandbySettings::LAG_MAX, |standby| standby.lag_max),
    }
}
