//! The operations of a unit, and their bytes.

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::cluster::engine::Sequence;
use crate::event::{Dedupe, Event, EventId, HandlerName, NewEvent, Position};
use crate::queue::codec::{Put, Take};
use crate::queue::embedded::SharedChange;
use crate::queue::embedded::record::{decode_event, encode_event};
use crate::queue::names::Names;

/// More than what stands in front of an event's own bytes takes.
const HEAD_BYTES: usize = 128;

/// What is asked of every node's state. Whether it counts is decided where it is applied.
#[derive(Debug)]
pub(in crate::cluster) enum UnitOperation {
    /// Stores events. With `places`, each event's place is one of a spool, and none is applied twice.
    Events { places: Option<SpoolPlaces>, events: Vec<ProposedEvent> },
    /// Settles deliveries; void where the lease of this epoch is over.
    Settle { handler: HandlerName, epoch: u64, changes: Vec<SharedChange> },
    /// Has deliveries stand as they did in the queue that their events were exported from.
    CarryOver { handler: HandlerName, changes: Vec<SharedChange> },
    /// Pauses a handler, with the words of a pause; `None` = it goes on. `of` = only while its pause says
    /// so: one that is over must not end the next one.
    Pause { handler: HandlerName, of: Option<String>, pause: Option<String> },
    /// Has the node that holds a handler's lease try one delivery at once.
    TryNow { handler: HandlerName },
    /// Changes deliveries by hand.
    ByHand { handler: HandlerName, change: HandChange, positions: Vec<Position> },
    /// Gives a handler a subscription; `None` = behind the newest event.
    Subscribe { handler: HandlerName, since: Option<Position> },
    /// Removes a handler's subscription; void while a node holds its lease.
    Forget { handler: HandlerName },
    /// Takes a handler's lease, if its epoch still is `before`; 0 = it never had one.
    Claim { handler: HandlerName, before: u64 },
    /// Gives a lease back.
    Release { handler: HandlerName, epoch: u64 },
    /// A sign of life: how far the node has applied the log, and which handlers it is configured for.
    Beat { applied: Sequence, handlers: Vec<HandlerName> },
    /// Has every node keep the text of an action, under the name that its node gave it.
    Action { id: u64, text: String },
    /// What the node tells the others of itself, in place of what it told before.
    Report { text: String },
    /// The node was stopped in order: its leases are free, and nothing waits for it.
    Leave,
}

/// Where events come from that ascend in a node's spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cluster) struct SpoolPlaces {
    /// The number that the node's spool has now.
    pub(in crate::cluster) spool: u64,
    /// The place that was proposed before them; 0 = none whose fate is open. All of them are void where it was
    /// not applied: the engine lost it, or had no room for it.
    pub(in crate::cluster) after: Position,
}

/// An event that a node has taken in.
#[derive(Debug)]
pub(in crate::cluster) struct ProposedEvent {
    /// Its place in the node's spool.
    pub(in crate::cluster) place: Position,
    pub(in crate::cluster) id: EventId,
    pub(in crate::cluster) event: NewEvent,
}

/// What is made of deliveries by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cluster) enum HandChange {
    Redrive,
    Drop,
    Replay,
}

const EVENTS: u8 = 1;
const SETTLE: u8 = 2;
const BY_HAND: u8 = 3;
const SUBSCRIBE: u8 = 4;
const FORGET: u8 = 5;
const CLAIM: u8 = 6;
const RELEASE: u8 = 7;
const BEAT: u8 = 8;
const LEAVE: u8 = 9;
const CARRY: u8 = 10;
const PAUSE: u8 = 11;
const TRY_NOW: u8 = 12;
const ACTION: u8 = 13;
const REPORT: u8 = 14;
const SPOOLED: u8 = 15;

impl UnitOperation {
    /// About how many bytes it takes: enough to bound a unit.
    pub(in crate::cluster) fn bytes(&self) -> usize {
        match self {
            Self::Events { events, .. } => events.iter().map(ProposedEvent::bytes).sum(),
            Self::Settle { changes, .. } | Self::CarryOver { changes, .. } => {
                changes.iter().map(SharedChange::bytes).sum()
            }
            Self::ByHand { positions, .. } => 64 + 10 * positions.len(),
            Self::Beat { handlers, .. } => 64 * handlers.len(),
            Self::Pause { of, pause, .. } => {
                64 + [of, pause].into_iter().flatten().map(String::len).sum::<usize>()
            }
            Self::Action { text, .. } | Self::Report { text } => 64 + text.len(),
            Self::Subscribe { .. }
            | Self::Forget { .. }
            | Self::Claim { .. }
            | Self::Release { .. }
            | Self::TryNow { .. }
            | Self::Leave => 64,
        }
    }

    /// Whether leases, pauses or signs of life change by it, or a handler is to be tried.
    pub(in crate::cluster) const fn changes_members(&self) -> bool {
        match self {
            Self::Beat { .. }
            | Self::Claim { .. }
            | Self::Release { .. }
            | Self::Leave
            | Self::Pause { .. }
            | Self::TryNow { .. } => true,
            Self::Events { .. }
            | Self::Settle { .. }
            | Self::CarryOver { .. }
            | Self::ByHand { .. }
            | Self::Subscribe { .. }
            | Self::Action { .. }
            | Self::Report { .. }
            | Self::Forget { .. } => false,
        }
    }

    pub(super) fn encode(&self, at: Timestamp, out: &mut Vec<u8>) {
        match self {
            Self::Events { places, events } => put_events(*places, events, out),
            Self::Settle { handler, epoch, changes } => {
                put_name(SETTLE, handler, out);
                out.put_varint(*epoch);
                SharedChange::encode_all(changes, at, out);
            }
            Self::CarryOver { handler, changes } => {
                put_name(CARRY, handler, out);
                SharedChange::encode_all(changes, at, out);
            }
            Self::Pause { handler, of, pause } => {
                put_name(PAUSE, handler, out);
                for text in [of, pause] {
                    // No pause is without a word.
                    out.put_bytes(text.as_deref().unwrap_or_default().as_bytes());
                }
            }
            Self::ByHand { handler, change, positions } => {
                put_name(BY_HAND, handler, out);
                out.put_u8(*change as u8);
                out.put_varint(positions.len() as u64);
                for position in positions {
                    out.put_varint(position.0);
                }
            }
            Self::Subscribe { handler, since } => {
                put_name(SUBSCRIBE, handler, out);
                // Position 0 is before every event: it stands for none.
                out.put_varint(since.map_or(0, |since| since.0));
            }
            Self::Forget { handler } => put_name(FORGET, handler, out),
            Self::TryNow { handler } => put_name(TRY_NOW, handler, out),
            Self::Claim { handler, before } => {
                put_name(CLAIM, handler, out);
                out.put_varint(*before);
            }
            Self::Release { handler, epoch } => {
                put_name(RELEASE, handler, out);
                out.put_varint(*epoch);
            }
            Self::Beat { applied, handlers } => {
                out.put_u8(BEAT);
                out.put_varint(applied.0);
                out.put_varint(handlers.len() as u64);
                for handler in handlers {
                    out.put_bytes(handler.as_str().as_bytes());
                }
            }
            Self::Action { id, text } => put_text(ACTION, Some(*id), text, out),
            Self::Report { text } => put_text(REPORT, None, text, out),
            Self::Leave => out.put_u8(LEAVE),
        }
    }

    pub(super) fn decode(
        at: Timestamp,
        body: &Bytes,
        take: &mut Take<'_>,
        names: &mut Names,
    ) -> Option<Self> {
        Some(match take.u8()? {
            kind @ (EVENTS | SPOOLED) => {
                let spool = take.varint()?;
                // Events of a spool were `EVENTS` too: their node proposed one after the other.
                let after = if kind == SPOOLED { Position(take.varint()?) } else { Position(0) };
                let places = (spool > 0).then_some(SpoolPlaces { spool, after });
                let mut events = Vec::new();
                for _ in 0..take.varint()? {
                    let bytes = body.slice_ref(take.bytes()?);
                    events.push(ProposedEvent::of(decode_event(&bytes, names)?));
                }
                Self::Events { places, events }
            }
            SETTLE => {
                let (handler, epoch) = (take_name(take)?, take.varint()?);
                Self::Settle { handler, epoch, changes: SharedChange::decode_all(take, at)? }
            }
            CARRY => {
                let handler = take_name(take)?;
                Self::CarryOver { handler, changes: SharedChange::decode_all(take, at)? }
            }
            PAUSE => {
                let handler = take_name(take)?;
                let (of, pause) = (take.text()?.to_owned(), take.text()?.to_owned());
                let said = |text: String| Some(text).filter(|text| !text.is_empty());
                Self::Pause { handler, of: said(of), pause: said(pause) }
            }
            BY_HAND => {
                let handler = take_name(take)?;
                let change = HandChange::of(take.u8()?)?;
                let mut positions = Vec::new();
                for _ in 0..take.varint()? {
                    positions.push(Position(take.varint()?));
                }
                Self::ByHand { handler, change, positions }
            }
            SUBSCRIBE => {
                let handler = take_name(take)?;
                let since = Some(Position(take.varint()?)).filter(|since| since.0 > 0);
                Self::Subscribe { handler, since }
            }
            FORGET => Self::Forget { handler: take_name(take)? },
            TRY_NOW => Self::TryNow { handler: take_name(take)? },
            CLAIM => Self::Claim { handler: take_name(take)?, before: take.varint()? },
            RELEASE => Self::Release { handler: take_name(take)?, epoch: take.varint()? },
            BEAT => {
                let applied = Sequence(take.varint()?);
                let mut handlers = Vec::new();
                for _ in 0..take.varint()? {
                    handlers.push(take_name(take)?);
                }
                Self::Beat { applied, handlers }
            }
            ACTION => Self::Action { id: take.varint()?, text: take.text()?.to_owned() },
            REPORT => Self::Report { text: take.text()?.to_owned() },
            LEAVE => Self::Leave,
            _ => return None,
        })
    }
}

fn put_events(places: Option<SpoolPlaces>, events: &[ProposedEvent], out: &mut Vec<u8>) {
    if let Some(SpoolPlaces { spool, after }) = places {
        out.put_u8(SPOOLED);
        out.put_varint(spool);
        out.put_varint(after.0);
    } else {
        out.put_u8(EVENTS);
        out.put_varint(0);
    }
    out.put_varint(events.len() as u64);
    for ProposedEvent { place, id, event } in events {
        let mut bytes = Vec::new();
        encode_event(event, *id, *place, &mut bytes);
        out.put_bytes(&bytes);
    }
}

fn put_text(kind: u8, id: Option<u64>, text: &str, out: &mut Vec<u8>) {
    out.put_u8(kind);
    if let Some(id) = id {
        out.put_varint(id);
    }
    out.put_bytes(text.as_bytes());
}

fn put_name(kind: u8, handler: &HandlerName, out: &mut Vec<u8>) {
    out.put_u8(kind);
    out.put_bytes(handler.as_str().as_bytes());
}

fn take_name(take: &mut Take<'_>) -> Option<HandlerName> {
    HandlerName::parse(take.text()?).ok()
}

impl HandChange {
    const fn of(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Redrive),
            1 => Some(Self::Drop),
            2 => Some(Self::Replay),
            _ => None,
        }
    }
}

impl ProposedEvent {
    /// An event as a spool or the shared log has it.
    pub(in crate::cluster) fn of((event, dedupe): (Event, Dedupe)) -> Self {
        let (place, id) = (event.position, event.id);
        Self { place, id, event: NewEvent { dedupe, ..event.received } }
    }

    /// The same once more: headers and body share their memory.
    pub(in crate::cluster) fn copy(&self) -> Self {
        Self { place: self.place, id: self.id, event: self.event.clone() }
    }

    /// About how many bytes it takes.
    pub(in crate::cluster) fn bytes(&self) -> usize {
        HEAD_BYTES + self.event.headers.encoded().len() + self.event.body.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places_in(bytes: Vec<u8>) -> Option<SpoolPlaces> {
        let body = Bytes::from(bytes);
        let (mut take, mut names) = (Take(&body), Names::default());
        let read = UnitOperation::decode(Timestamp::from_millis(0), &body, &mut take, &mut names);
        let Some(UnitOperation::Events { places, .. }) = read else { panic!("{read:?}") };
        assert!(take.0.is_empty());
        places
    }

    #[test]
    fn places_of_a_spool_are_read_as_they_were_written_by_this_version_and_before() {
        let places = SpoolPlaces { spool: 300, after: Position(7) };
        for places in [None, Some(places)] {
            let mut bytes = Vec::new();
            put_events(places, &[], &mut bytes);
            assert_eq!(places_in(bytes), places);
        }
        let mut before = vec![EVENTS];
        before.put_varint(300);
        before.put_varint(0);
        assert_eq!(places_in(before), Some(SpoolPlaces { spool: 300, after: Position(0) }));
    }
}
