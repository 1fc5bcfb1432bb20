//! Which handlers are paused: a list of this machine's own, or one that all gateways of a shared log have.

use std::sync::Arc;

use tracing::warn;

use super::paused::Paused;
use crate::api::{ApiError, PauseView};
use crate::clock::Timestamp;
use crate::cluster::ClusterQueue;
use crate::event::HandlerName;

/// Who is paused, and where that is kept.
pub(super) struct Pauses {
    /// This machine's own. Where a log is shared it has what was paused before that: it holds here until it
    /// is resumed here.
    own: Paused,
    /// The log that several gateways share.
    shared: Option<Arc<ClusterQueue>>,
}

impl Pauses {
    pub(super) const fn new(own: Paused, shared: Option<Arc<ClusterQueue>>) -> Self {
        Self { own, shared }
    }

    /// Until when and why a handler is paused; `None` = it is not.
    pub(super) fn of(&self, handler: &HandlerName) -> Option<PauseView> {
        let shared = self.shared.as_ref().and_then(|log| log.pause_of(handler));
        shared.map(|text| read(&text)).or_else(|| self.own.of(handler))
    }

    /// Those of this machine's own list whose pause is over by `now`.
    pub(super) fn over(&self, now: Timestamp) -> Vec<HandlerName> {
        self.own.over(now)
    }

    /// Pauses a handler, durably, or lets it go on; on every gateway where they share a log.
    pub(super) async fn change(
        &self,
        handler: &HandlerName,
        pause: Option<PauseView>,
    ) -> Result<(), ApiError> {
        let Some(log) = &self.shared else { return self.own.change(handler, pause) };
        let is_resumed = pause.is_none();
        let text = pause.map(|pause| serde_json::to_string(&pause));
        let text = text.transpose().map_err(|err| ApiError::Bad(err.to_string()))?;
        log.set_pause(handler, None, text).await?;
        if is_resumed && self.own.of(handler).is_some() {
            self.own.change(handler, None)?;
        }
        Ok(())
    }

    /// The log in which all gateways have them; `None` = this machine has its own only.
    pub(super) fn shared(&self) -> Option<Arc<ClusterQueue>> {
        self.shared.clone()
    }

    /// Ends what all gateways have paused and is over: each of them asks for it, and one is heard.
    pub(super) async fn end_shared(&self, now: Timestamp) {
        let Some(log) = &self.shared else { return };
        for (handler, text) in log.pauses() {
            if read(&text).until.is_none_or(|until| until > now) {
                continue;
            }
            // It is asked for again while it is there.
            if let Err(err) = log.set_pause(&handler, Some(text), None).await {
                warn!(handler.name = %handler, error = %err, "Handler could not be resumed");
            }
        }
    }
}

/// One whose words cannot be read is a pause all the same.
fn read(text: &str) -> PauseView {
    serde_json::from_str(text).unwrap_or_default()
}
