//! The handlers' tasks: one each, started, paused, replaced and ended here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::api::{ApiError, HandlerControl, Run};
use crate::clock::Clock;
use crate::config::HandlerSettings;
use crate::event::HandlerName;
use crate::handler::Handler;
use crate::metrics::Metrics;
use crate::queue::{Queue, Start};

use super::AppError;

/// A handler that is ready to run.
pub(super) struct Built {
    name: HandlerName,
    kind: &'static str,
    start: Start,
    handler: Arc<dyn Handler>,
}

impl Built {
    pub(super) fn new(
        name: HandlerName,
        settings: &HandlerSettings,
        handler: Arc<dyn Handler>,
    ) -> Self {
        Self { name, kind: settings.kind_name, start: settings.start, handler }
    }
}
