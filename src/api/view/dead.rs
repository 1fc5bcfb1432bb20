//! Dead letters, and deliveries whose events cannot be read.

use serde::{Deserialize, Serialize};

use crate::event::{HandlerName, Position};
use crate::queue::{DeadLetter, DeadRecord, LostDeliveries};

/// What will not be tried again by itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum DeadEntry {
    Letter(DeadLetter),
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
