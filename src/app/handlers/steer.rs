//! What people tell a handler to do: pause, go on, try one now.

use tracing::{info, warn};

use super::super::pauses::Pauses;
use super::Handlers;
use super::place::{Place, Running};
use crate::api::{ApiError, PauseView};
use crate::clock::Timestamp;
use crate::deliver::LoopState;
use crate::event::HandlerName;

impl Handlers {
    pub(in crate::app) const fn pauses(&self) -> &Pauses {
        &self.pauses
    }

    /// Stops giving deliveries to a handler, or gives its pause another end. `false` = it is as it was.
    pub(in crate::app) async fn pause(
        &self,
        handler: &HandlerName,
        pause: PauseView,
    ) -> Result<bool, ApiError> {
        self.check_configured(handler)?;
        let asks_for_more = pause.until.is_some() || pause.reason.is_some();
        if self.pauses.of(handler).is_some() && !asks_for_more {
            return Ok(false);
        }
        // Remembered first: a restart in between must not resume what was paused.
        self.pauses.change(handler, Some(pause)).await?;
        self.follow_pause_of(handler);
        info!(handler.name = %handler, "Handler is paused");
        Ok(true)
    }

    /// Gives deliveries to a handler again. `false` = it got them already.
    pub(in crate::app) async fn resume(&self, handler: &HandlerName) -> Result<bool, ApiError> {
        self.check_configured(handler)?;
        if self.pauses.of(handler).is_none() {
            return Ok(false);
        }
        self.pauses.change(handler, None).await?;
        self.follow_pause_of(handler);
        info!(handler.name = %handler, "Handler is resumed");
        Ok(true)
    }

    /// Has each handler do what its pause says: another gateway may have changed it.
    pub(in crate::app) fn follow_pauses(&self) {
        let names: Vec<HandlerName> = self.places().keys().cloned().collect();
        for handler in &names {
            self.follow_pause_of(handler);
        }
    }

    fn follow_pause_of(&self, handler: &HandlerName) {
        let places = self.places();
        let Some(Place::Running(Running { control, .. })) = places.get(handler) else {
            // The one that takes its place looks it up.
            return;
        };
        // Read under the lock: the newest of two changes at once is what it ends with.
        let (is_paused, state) = (self.pauses.of(handler).is_some(), control.status().state);
        match state {
            LoopState::Running if is_paused => control.pause(),
            LoopState::Paused if !is_paused => control.resume(),
            LoopState::Running | LoopState::Paused | LoopState::Finishing | LoopState::Stopped => {}
        }
    }

    fn check_configured(&self, handler: &HandlerName) -> Result<(), ApiError> {
        let is_there = self.places().contains_key(handler);
        is_there.then_some(()).ok_or_else(|| not_configured(handler))
    }

    /// Resumes those whose pause is over.
    pub(in crate::app) async fn resume_due(&self, now: Timestamp) {
        for handler in self.pauses.over(now) {
            // One that stands in no configuration is left as it is: it may come back.
            if self.places().contains_key(&handler)
                && let Err(err) = self.resume(&handler).await
            {
                warn!(handler.name = %handler, error = %err, "Handler could not be resumed");
            }
        }
    }

    /// The epoch of the lease under which this gateway may try a handler of a cluster.
    pub(in crate::app) fn try_epoch(&self, handler: &HandlerName) -> Option<u64> {
        self.pauses.shared()?.try_epoch(handler)
    }

    /// Has the gateway that delivers to a handler try one at once, unless this one was told to under the epoch
    /// `told` and delivers still.
    pub(in crate::app) async fn retry_elsewhere(
        &self,
        handler: &HandlerName,
        told: Option<u64>,
    ) -> Result<(), ApiError> {
        match self.pauses.shared() {
            Some(log) => Ok(log.try_elsewhere(handler, told).await?),
            None => Ok(()),
        }
    }

    /// Lets one delivery be tried at once; `false` = the handler could not be started.
    pub(in crate::app) fn retry_now(&self, handler: &HandlerName) -> Result<bool, ApiError> {
        let places = self.places();
        match places.get(handler).ok_or_else(|| not_configured(handler))? {
            Place::Running(Running { control, .. }) => match control.status().state {
                LoopState::Paused => {
                    let text = format!("handler `{handler}` is paused: resume it first");
                    Err(ApiError::Conflict(text))
                }
                LoopState::Running => {
                    control.try_now();
                    Ok(true)
                }
                LoopState::Finishing => Err(finishing(handler)),
                LoopState::Stopped => {
                    let text = format!("the deliveries of handler `{handler}` have ended");
                    Err(ApiError::Conflict(text))
                }
            },
            Place::Failed(_) => Ok(false),
            Place::Finishing { .. } => Err(finishing(handler)),
        }
    }
}

fn finishing(handler: &HandlerName) -> ApiError {
    let text = format!("handler `{handler}` finishes its calls and is replaced then");
    ApiError::Conflict(text)
}

fn not_configured(handler: &HandlerName) -> ApiError {
    ApiError::NotFound(format!("handler `{handler}` is not configured"))
}
