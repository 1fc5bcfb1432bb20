//! Which events, and which dead letters, are asked for.

use super::standing::DeliveryState;
use crate::clock::Timestamp;
use crate::event::{Event, Glob, HandlerName, Position, SourceName};

/// Which events to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventQuery {
    pub source: Option<SourceName>,
    /// Not this source.
    pub except: Option<SourceName>,
    /// Only types that match this pattern, where `*` stands for any run of characters.
    pub event_type: Option<String>,
    /// Only events received at or after this moment.
    pub since: Option<Timestamp>,
    /// Only events received before this moment.
    pub until: Option<Timestamp>,
    /// What must be in the body, all of it.
    pub body: Vec<BodyFilter>,
    /// Only events that none of these names.
    pub named_by_none: Option<Vec<EventNames>>,
    /// Only events that have such a delivery.
    pub delivery: Option<DeliveryFilter>,
    /// Only positions before this one (paging backwards) or after it (forwards).
    pub cursor: Option<Position>,
    pub order: ListOrder,
    /// At most this many; at least 1 and at most [`EventQuery::LIMIT_MAX`] are given.
    pub limit: usize,
    /// Ends behind the event with which the bodies come to this many bytes; `None` = however large
    /// they are.
    pub bytes_max: Option<usize>,
    /// How much of the bodies is wanted.
    pub bodies: WantedBodies,
}

/// How much of the bodies of a list is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WantedBodies {
    /// All of each.
    #[default]
    Whole,
    /// A longer body may be left out, and need not be read: its event comes without one.
    UpTo(usize),
}

/// Which deliveries of an event count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    pub handler: Option<HandlerName>,
    /// Only those that stand so.
    pub state: Option<DeliveryState>,
    /// What the handler is given: other events it has skipped, or will, without a look at them, and none
    /// of these counts. `None` = every event.
    pub given: Option<EventNames>,
}

/// Events by their source and type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventNames {
    /// Those whose source and type fit one of these.
    Any(Vec<(Glob, Glob)>),
    /// All but those of this source.
    AllBut(SourceName),
}

impl EventNames {
    /// Whether the event is one of them.
    pub fn contains(&self, event: &Event) -> bool {
        self.contains_named(&event.source, event.event_type.as_str())
    }

    /// Whether events of this source and type are.
    pub fn contains_named(&self, source: &SourceName, event_type: &str) -> bool {
        match self {
            Self::Any(names) => names.iter().any(|(sources, types)| {
                sources.matches(source.as_str()) && types.matches(event_type)
            }),
            Self::AllBut(other) => source != other,
        }
    }

    /// Whether events of this source may be, whatever their type.
    pub fn may_be_of(&self, source: &SourceName) -> bool {
        match self {
            Self::Any(names) => names.iter().any(|(sources, _)| sources.matches(source.as_str())),
            Self::AllBut(other) => source != other,
        }
    }
}

/// What a search found within its time.
#[derive(Debug)]
pub struct Searched {
    /// What was found, in the order that was asked for, each with the length of its body, also where
    /// [`WantedBodies`] left that out.
    pub events: Vec<(Event, usize)>,
    /// The cursor to go on with; `None` = everything was looked at.
    pub next: Option<Position>,
    /// How many positions were looked at or known not to match.
    pub looked_at: u64,
}

/// What must be in an event's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyFilter {
    /// One of these texts, anywhere: one text in each way in which a body may have it.
    Contains(Vec<Vec<u8>>),
    /// The same, whatever the case of the letters A to Z.
    ContainsInAnyCase(Vec<Vec<u8>>),
    /// At this JSON pointer (RFC 6901) of the payload, as every reader of the event sees it, a text with
    /// this content, or another value that is written so.
    JsonEquals { pointer: String, value: String },
    /// At least one of these.
    Any(Vec<Self>),
}

impl EventQuery {
    /// The most events that one call gives.
    pub const LIMIT_MAX: usize = 1_000;

    /// Whether a list ends at this many events with so many bytes of bodies: there may be more
    /// behind it. One that ended before has all there are.
    pub fn is_full(&self, n_events: usize, body_bytes: usize) -> bool {
        let limit = self.limit.clamp(1, Self::LIMIT_MAX);
        let is_heavy = self.bytes_max.is_some_and(|bytes_max| body_bytes >= bytes_max);
        n_events >= limit || n_events > 0 && is_heavy
    }
}

/// From which end a list begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListOrder {
    /// Newest first, going back.
    #[default]
    Newest,
    /// Oldest first, going forward.
    Oldest,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadFilter {
    pub handler: Option<HandlerName>,
    pub position: Option<Position>,
    /// Only those whose reason contains this text.
    pub reason: Option<String>,
    /// Only those that died at or after this moment.
    pub since: Option<Timestamp>,
    /// Only those that died before this moment.
    pub until: Option<Timestamp>,
    /// Only those behind this one, in the order in which they died.
    pub after: Option<DeadCursor>,
    /// At most this many; `None` = all.
    pub limit: Option<usize>,
}

/// The place of a dead letter in the order in which they died. Those of which is not known when
/// come last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeadCursor {
    pub died_at: Timestamp,
    pub position: Position,
    pub handler: HandlerName,
}

impl DeadCursor {
    /// When those died of which that is not known.
    pub const UNKNOWN: Timestamp = Timestamp::from_millis(i64::MAX);
}
