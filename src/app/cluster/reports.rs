//! Tells the other gateways how this one does: a bounded summary, seldom, and only what is news.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::super::control::Server;
use crate::api::{Api, NodeReport};

/// How often at most. Strangers cause most of what is told: with [`crate::cluster::REPORT_MAX`] they cause at most
/// 0.8 KB/s of each gateway, however many requests they send.
const EVERY: Duration = Duration::from_secs(10);

/// After so many rounds what changes with every delivery is told too: calls that are under way, and when the newest
/// was made.
const ROUNDS_MAX: u32 = 6;

/// Publishes it, until `stop`.
pub(in super::super) async fn publish(server: Arc<Server>, api: Api, stop: CancellationToken) {
    let Some(log) = server.handlers.pauses().shared() else { return };
    let (mut told, mut n_rounds) = (None, 0);
    loop {
        // Those that began since know of nothing that was told before.
        let report = api.report();
        let news = (report.clone().map(NodeReport::without_deliveries), log.n_sessions());
        n_rounds += 1;
        if log.is_log_there()
            && (n_rounds >= ROUNDS_MAX || told.as_ref().is_none_or(|(before, _)| *before != news))
            && let Some(text) = report.and_then(NodeReport::text)
            && told.as_ref().is_none_or(|before| *before != (news.clone(), text.clone()))
        {
            let is_told = tokio::select! {
                () = stop.cancelled() => return,
                is_told = log.report(text.clone()) => is_told.is_ok(),
            };
            (told, n_rounds) = (is_told.then_some((news, text)), 0);
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}
