//! What the other side said to the newest dead letter of those that are chosen: the reason alone mostly says no more
//! than a status.

use super::event_lanes::said;
use super::words;
use super::words::Room;
use crate::api::{Api, ApiError};
use crate::event::{HandlerName, Position};

/// Bytes of what was said.
const ROOM: usize = 4 << 10;

/// The newest dead letter of those that are chosen.
#[derive(Debug)]
pub(super) struct DeadExample {
    pub(super) event: String,
    pub(super) event_type: String,
    /// By where it was said.
    pub(super) said: Vec<(&'static str, Vec<String>)>,
}

impl DeadExample {
    /// `None` = nothing was said, or it is gone.
    pub(super) async fn of(
        api: &Api,
        newest: Option<(HandlerName, Position)>,
    ) -> Result<Option<Self>, ApiError> {
        let Some((handler, position)) = newest else { return Ok(None) };
        let Some(event) = api.summary_at(position).await? else { return Ok(None) };
        // One that was dropped meanwhile is no example.
        let Ok(detail) = api.event(event.id).await else { return Ok(None) };
        let delivery = detail.deliveries.iter().find(|one| one.handler == handler);
        let Some(attempt) = delivery.and_then(|one| one.attempts.last()) else { return Ok(None) };
        let said = said(attempt, &mut Room::new(ROOM));
        let event_type = words::shown(event.event_type.as_str(), 48);
        let example = Self { event: event.id.to_string(), event_type, said };
        Ok((!example.said.is_empty()).then_some(example))
    }
}
