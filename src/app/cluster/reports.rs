//! Tells the other gateways how this one does: a bounded summary, seldom, and only what is news.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::super::control::Server;
use crate::api::{Api, NodeReport};

/// How often at most. Strangers cause most of what is told: with [`crate::cluster::REPORT_MAX`] they cause at most
/// 0.8 KB/s of each gateway, however many requests they send.
const EVERY: Duration = Duration::from_secs(10);

/// After so many rounds what changes with every event and delivery is told too: counts and charts, calls that are
/// under way, and when the newest delivery was made.
const ROUNDS_MAX: u32 = 6;

/// Publishes it, until `stop`.
pub(in super::super) async fn publish(server: Arc<Server>, api: Api, stop: CancellationToken) {
    let Some(log) = server.handlers.pauses().shared() else { return };
    let (mut told, mut n_rounds) = (None, 0);
    loop {
        let report = api.report();
        let n_sessions = log.n_sessions();
        n_rounds += 1;
        if log.is_log_there()
            && let Some(report) = report
            && is_due(told.as_ref(), (&report, n_sessions), n_rounds)
            && let Some(text) = api.report_text(report.clone())
            // A number that was claimed while that was packed must not be taken back by an older report.
            && api.report().is_some_and(|now| now.last_rollout == report.last_rollout)
        {
            let is_told = tokio::select! {
                () = stop.cancelled() => return,
                is_told = log.report(text) => is_told.is_ok(),
            };
            (told, n_rounds) = (is_told.then_some((report, n_sessions)), 0);
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
            // People ask for it, not strangers.
            () = api.report_is_awaited() => {}
        }
    }
}

/// Whether a report is to be told after what was told before. Charts follow from the counts: where those are as they
/// were the others move on by themselves what they know.
fn is_due(
    told: Option<&(NodeReport, u64)>,
    (report, n_sessions): (&NodeReport, u64),
    n_rounds: u32,
) -> bool {
    let Some((before, n_sessions_before)) = told else { return true };
    // Those that began since know of nothing that was told before.
    let is_news = *n_sessions_before != n_sessions
        || before.clone().without_traffic() != report.clone().without_traffic();
    is_news || (n_rounds >= ROUNDS_MAX && before != report)
}
