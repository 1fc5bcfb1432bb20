//! Dead letters, and deliveries whose events cannot be read.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::event::{ErrorText, EventId, EventType, HandlerName, Position, SourceName};
use crate::queue::{DeadLetter, DeadRecord, LostDeliveries};

/// What will not be tried again by itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum DeadEntry {
    Letter(DeadView),
    /// Deliveries whose events cannot be read.
    Lost(LostView),
}

impl DeadEntry {
    pub fn handler(&self) -> &HandlerName {
        match self {
            Self::Letter(letter) => &letter.handler,
            Self::Lost(lost) => &lost.handler,
        }
    }
}

/// Deliveries of one handler whose events cannot be read. They are redriven, for the case that the
/// disk gives them again, or dropped like dead letters.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LostView {
    pub handler: HandlerName,
    pub position: Position,
    /// How many events there are from there on.
    pub events: u64,
    pub reason: String,
}

impl LostView {
    /// Dead letters whose events cannot be read any more, those that follow each other as one.
    pub(in crate::api) fn of_dead(mut records: Vec<DeadRecord>) -> Vec<Self> {
        records.sort_by(|one, other| {
            (&one.handler, one.position).cmp(&(&other.handler, other.position))
        });
        let mut views: Vec<Self> = Vec::new();
        for DeadRecord { handler, position, fact } in records {
            if let Some(last) = views.last_mut().filter(|last| last.handler == handler)
                && last.position.after(last.events) == position
            {
                let positions = last.position..position.next();
                *last = Self::new(LostDeliveries { handler, positions });
                continue;
            }
            let mut view =
                Self::new(LostDeliveries { handler, positions: position..position.next() });
            if let Some((_, reason)) = fact {
                view.reason = format!("{}; it died of: {}", view.reason, reason.as_str());
            }
            views.push(view);
        }
        views
    }

    pub(in crate::api) fn new(lost: LostDeliveries) -> Self {
        let LostDeliveries { handler, positions } = lost;
        let events = positions.end.events_since(positions.start);
        let (first, newest) = (positions.start.0, positions.end.previous().0);
        let reason = match events {
            1 => format!("the event at position {first} cannot be read"),
            _ => format!("the events at positions {first} to {newest} cannot be read"),
        };
        Self { handler, position: positions.start, events, reason }
    }
}

/// One dead letter.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeadView {
    /// Whose it is.
    pub handler: HandlerName,
    /// The event's name.
    pub id: EventId,
    /// The event's place.
    pub position: Position,
    /// The event's source.
    pub source: SourceName,
    /// The event's type.
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// When the event came in.
    pub received_at: Timestamp,
    /// How many tries there were.
    pub attempts: u32,
    /// When it was given up.
    pub died_at: Timestamp,
    /// Why.
    pub reason: ErrorText,
}

impl DeadView {
    pub(in crate::api) fn new(letter: &DeadLetter) -> Self {
        let letter = letter.clone();
        Self {
            handler: letter.handler,
            id: letter.id,
            position: letter.position,
            source: letter.source,
            event_type: letter.event_type,
            received_at: letter.received_at,
            attempts: letter.attempts,
            died_at: letter.died_at,
            reason: letter.reason,
        }
    }
}
