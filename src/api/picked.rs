//! What is done with events and dead letters that were picked one by one.

use std::sync::Arc;

use crate::event::{EventId, HandlerName};
use crate::queue::DeadChange;
use crate::text::counted;

use super::acted_on::{ActedOn, ActionTarget};
use super::{Api, ApiError, Changed, ReplayedEvent};

impl Api {
    /// Makes these dead letters due again. One that is none any more counts as skipped.
    pub async fn redrive_picked(
        &self,
        picked: &[(EventId, HandlerName)],
    ) -> Result<Changed, ApiError> {
        let mut letters = Vec::with_capacity(picked.len());
        for (id, handler) in picked {
            if let Some(position) = kept(self.position(*id).await)? {
                letters.push((handler.clone(), position));
            }
        }
        let matched = picked.len() as u64;
        let done = self.queue.change_dead(letters.clone(), DeadChange::Redrive).await;
        let changed = done.map(|done| Changed::new(matched, done)).map_err(ApiError::from);
        let target = counted(matched, "picked dead letter", "picked dead letters");
        let about = match picked {
            [(id, handler)] => ActedOn::event(*id, Some(handler)),
            _ => ActedOn::default(),
        };
        self.note("redrive", ActionTarget::new(target, about), &changed, Changed::words);
        self.remember_redriven(letters);
        changed
    }

    /// Makes these events due again, oldest first, for one handler or all.
    pub async fn replay_picked(
        &self,
        picked: &[EventId],
        handler: Option<&HandlerName>,
    ) -> Result<ReplayedEvent, ApiError> {
        let mut events = Vec::with_capacity(picked.len());
        for id in picked {
            events.extend(kept(self.get(*id).await)?.map(Arc::new));
        }
        events.sort_by_key(|event| event.position);
        let replayed = self.replay_all_of(&events, handler).await;
        let whom = handler.map_or("every handler", HandlerName::as_str);
        let target = counted(events.len() as u64, "picked event", "picked events");
        let about = match picked {
            [id] => ActedOn::event(*id, handler),
            _ => ActedOn { handler: handler.cloned(), ..ActedOn::default() },
        };
        let target = ActionTarget::new(format!("{target} to {whom}"), about);
        self.note("replay", target, &replayed, ReplayedEvent::words);
        replayed
    }
}

/// Nothing where it is gone by now.
fn kept<T>(found: Result<T, ApiError>) -> Result<Option<T>, ApiError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(ApiError::NotFound(_)) => Ok(None),
        Err(err) => Err(err),
    }
}
