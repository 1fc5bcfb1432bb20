//! Delivering one event again, or a few that were picked.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::event::{Event, EventId, HandlerName, Position};
use crate::queue::{DeliveryState, ReplayResult};
use crate::text::counted;

use super::acted_on::{ActedOn, ActionTarget};
use super::events::is_open;
use super::{Api, ApiError, Wish};

/// How long the calls that are under way are waited for, in all: what they come to is not known
/// before. Most end within a second; a person waits for the answer.
const CALL_WAIT: Duration = Duration::from_secs(10);
/// How long a delivery that no call has begun with yet is waited for: its turn comes at once, or it stands
/// behind many.
const TURN_WAIT: Duration = Duration::from_secs(1);
/// How often is looked meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What became of an event that is to be delivered again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayedEvent {
    /// How many deliveries are made again.
    pub count: u64,
    /// How many stay as they are, since they are not settled: they are with their handler for long, wait
    /// for their next try, or for their turn.
    #[serde(default)]
    pub unsettled: u64,
    /// Why nothing is delivered; nothing where something is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl ReplayedEvent {
    fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.unsettled += other.unsettled;
    }

    /// In words, for the action log.
    pub(super) fn words(&self) -> String {
        let made = counted(self.count, "delivery", "deliveries");
        match (self.unsettled, &self.why) {
            (0, Some(why)) => format!("{made}: {why}"),
            (0, None) => made,
            (unsettled, _) => format!("{made}, {unsettled} not settled yet"),
        }
    }
}

impl Api {
    /// Makes one event due again, for one handler or all that have a place, where they want it. A call
    /// that is under way is waited for, up to 10 s.
    pub async fn replay(
        &self,
        id: EventId,
        handler: Option<&HandlerName>,
    ) -> Result<ReplayedEvent, ApiError> {
        let event = Arc::new(self.get(id).await?);
        let mut replayed = self.replay_all_of(&[Arc::clone(&event)], handler).await;
        if let Ok(replayed) = &mut replayed
            && replayed.count == 0
            && replayed.unsettled == 0
        {
            replayed.why = self.why_unwanted(&event, handler);
        }
        let whom = handler.map_or("every handler", HandlerName::as_str);
        let about = ActedOn::event(id, handler);
        let target = ActionTarget::new(format!("event {id} to {whom}"), about);
        self.note("replay", target, &replayed, ReplayedEvent::words);
        replayed
    }

    /// Why no handler would be called with an event; `None` = one would.
    fn why_unwanted(&self, event: &Arc<Event>, handler: Option<&HandlerName>) -> Option<String> {
        let wants = self.server.as_ref().map(|server| server.control.wants(event))?;
        let Some(name) = handler else {
            let is_wanted = wants.iter().any(|one| one.answer == Wish::Wanted);
            return (!is_wanted && !wants.is_empty()).then(|| "no handler asks for it".to_owned());
        };
        let of_it = wants.iter().find(|one| one.handler == *name)?;
        let because = &of_it.because;
        match of_it.answer {
            Wish::NotNamed => {
                Some(format!("{name} does not ask for it: `{because}` does not name it"))
            }
            Wish::Filtered => Some(format!("{name} does not ask for it: `{because}` said no")),
            Wish::Disabled => Some(format!("{name} is disabled")),
            Wish::Wanted | Wish::Unclear => None,
        }
    }

    pub(super) async fn replay_all_of(
        &self,
        events: &[Arc<Event>],
        handler: Option<&HandlerName>,
    ) -> Result<ReplayedEvent, ApiError> {
        let began = Instant::now();
        let mut replayed = ReplayedEvent::default();
        for event in events {
            replayed.add(&self.replay_event(event, handler, began).await?);
        }
        Ok(replayed)
    }

    async fn replay_event(
        &self,
        event: &Arc<Event>,
        handler: Option<&HandlerName>,
        began: Instant,
    ) -> Result<ReplayedEvent, ApiError> {
        let mut replayed = ReplayedEvent::default();
        let history = self.queue.history(event.position).await?;
        for name in self.handlers_for(handler)? {
            if !self.is_wanted(&name, event) {
                continue;
            }
            let is_settled = !history.iter().any(|one| one.handler == name && is_open(one.state));
            if is_settled || self.is_settled_soon(&name, event.position, began).await? {
                for result in self.queue.replay(&name, &[event.position]).await? {
                    match result {
                        ReplayResult::Restarted => replayed.count += 1,
                        // Another made it due meanwhile.
                        ReplayResult::Pending => replayed.unsettled += 1,
                        ReplayResult::Gone => {}
                    }
                }
            } else {
                replayed.unsettled += 1;
            }
        }
        Ok(replayed)
    }

    /// Whether a delivery is settled, now or as soon as it can be. The queue leaves one that is not as it
    /// is: an owner who asks for another just when the first is made would get none.
    async fn is_settled_soon(
        &self,
        handler: &HandlerName,
        position: Position,
        began: Instant,
    ) -> Result<bool, ApiError> {
        loop {
            // Before the state: a call is ended once what it came to is settled.
            let is_under_way = self.is_under_way(handler, position);
            let history = self.queue.history(position).await?;
            let delivery = history.iter().find(|delivery| delivery.handler == *handler);
            let state = delivery.map(|delivery| delivery.state).filter(|state| is_open(*state));
            let Some(state) = state else { return Ok(true) };
            let wait = match (state, is_under_way) {
                (_, true) => CALL_WAIT,
                (DeliveryState::Pending, false) if self.server.is_some() => TURN_WAIT,
                (_, false) => return Ok(false),
            };
            if began.elapsed() >= wait {
                return Ok(false);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn is_under_way(&self, handler: &HandlerName, position: Position) -> bool {
        let handlers = self.server.iter().flat_map(|server| server.control.handlers());
        let mut calls = handlers.filter(|one| one.name == *handler).map(|one| one.calls);
        calls.any(|calls| calls.since(position).is_some())
    }
}
