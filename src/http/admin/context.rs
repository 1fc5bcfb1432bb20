//! What the admin side serves with.

use std::sync::Arc;
use std::time::Duration;

use super::gate::Gate;
use crate::api::Api;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::standby::Standbys;

/// What the admin side needs.
pub struct Admin {
    pub api: Api,
    pub metrics: Metrics,
    pub clock: Arc<dyn Clock>,
    /// Who has a second copy of the queue; nothing = no server holds it.
    pub standbys: Option<Arc<Standbys>>,
    pub gate: Arc<Gate>,
}

/// The longest body of a change: a filter, never an event.
pub(super) const BODY_MAX: usize = 64 << 10;
/// How long it may take.
pub(super) const BODY_TIMEOUT: Duration = Duration::from_secs(5);
