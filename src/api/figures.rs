//! The queue's figures as the metrics want them.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::metrics::{HandlerFigures, QueueFigures};
use crate::queue::QueueStats;

/// `stats` for the gauges, as of `now`.
pub fn figures(stats: &QueueStats, now: Timestamp) -> QueueFigures {
    let handlers = stats.handlers.iter().map(|(handler, backlog)| HandlerFigures {
        handler: handler.clone(),
        backlog_events: backlog.in_log.saturating_add(backlog.waiting),
        oldest_pending: backlog.oldest_pending_at.map_or(Duration::ZERO, |at| now.since(at)),
        dead_letters: backlog.dead,
    });
    QueueFigures {
        events: stats.events,
        bytes: stats.bytes,
        lag_bytes: stats.lag_bytes,
        damages: u64::try_from(stats.damage.len()).unwrap_or(u64::MAX),
        handlers: handlers.collect(),
    }
}
