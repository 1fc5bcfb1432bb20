//! Tells the other gateways how this one does: a bounded summary, seldom, and only what is news.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::super::control::Server;
use crate::api::Api;

/// How often at most. Strangers cause most of what is told: with [`crate::cluster::REPORT_MAX`] they cause at most
/// 0.8 KB/s of each gateway, however many requests they send.
const EVERY: Duration = Duration::from_secs(10);

/// Tells it, until `stop`.
pub(in super::super) async fn tell(server: Arc<Server>, api: Api, stop: CancellationToken) {
    let Some(log) = server.handlers.pauses().shared() else { return };
    let mut told = None;
    loop {
        // Those that began since know of nothing that was told before.
        let news = (api.report(), log.n_sessions());
        if log.is_log_there()
            && told.as_ref() != Some(&news)
            && let Some(report) = news.0.clone()
        {
            let is_told = tokio::select! {
                () = stop.cancelled() => return,
                is_told = log.report(report) => is_told.is_ok(),
            };
            told = is_told.then_some(news);
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}
