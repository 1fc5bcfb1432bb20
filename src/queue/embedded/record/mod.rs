//! The log's records: what they say, and their bytes on disk.
//!
//! | bytes | field |
//! |---|---|
//! | 4 | length of the payload, little endian |
//! | 4 | CRC-32C over the segment's salt and number, batch start, kind, version and payload |
//! | 4 | batch start: where in the segment the unit (group commit) of this record began |
//! | 1 | kind, see [`Kind`] |
//! | 1 | version of the payload's layout |
//! | n | payload |
//!
//! Salt and number are under the CRC but not in the bytes. What an older life left in a recycled
//! file is thus never taken for new, and without knowing the random salt no sender can put a valid
//! record into an event's body. The batch start tells a torn write from rot: a bad record was never
//! acknowledged when all valid records behind it belong to its own unit, and was synced before them
//! when one of them belongs to a later unit.
//!
//! Kind and version are under the CRC too: bytes that are whole but say something unknown were
//! written by a newer version, and are left alone.
//!
//! A change of a payload's layout is a new version beside the old one, with a fixture of the old.

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::event::{Dedupe, Event, HandlerName, Position};
use crate::queue::names::Names;

mod event;
mod frame;
mod head;
pub(crate) mod output;
mod scan;
mod settle;
mod unit;
mod values;

pub(crate) use event::{decode_event, encode_event, event_bytes, id_of, position_of};
pub use frame::SegmentId;
#[cfg(test)]
pub(crate) use frame::make_newer;
pub(crate) use frame::{HEADER_BYTES, Header, Kind, Validity, examine, next_number};
pub(crate) use head::torn_positions;
pub(crate) use scan::{Next, Scan, find_record, last_used};
pub(crate) use unit::UnitBuilder;
pub(crate) use values::{
    DeliveryRecord, HandlerHead, Incarnation, KeptChanges, KeptEnd, KeptEvent, KeptFooter, Lsn,
    NewState, Section, SegmentEnd, SegmentHead, SettleRecord, SharedMark, end_of, offset_of,
};

/// A record whose bytes were found to be whole.
#[derive(Debug)]
pub(crate) enum Record {
    /// The first record of each segment.
    Head(SegmentHead),
    /// A stored event, with its dedupe key and window.
    Event(Event, Dedupe),
    /// Outcomes.
    Settle(SettleRecord),
    /// A handler's subscription began.
    Subscribed { handler: HandlerName, since: Position, epoch: u64 },
    /// A handler's subscription is gone for good.
    Forgotten {
        handler: HandlerName,
        /// Where the `Subscribed` record of that subscription is.
        subscribed: Lsn,
    },
    /// What is before segment `first`, which begins with `first_position`, counts no more.
    Trim { first: u32, first_position: Position, kept: KeptEnd },
    /// The queue was opened.
    Opened {
        opening: u64,
        #[cfg_attr(not(test), expect(dead_code, reason = "for people who read the file"))]
        at: Timestamp,
    },
    /// The queue was closed; nothing is behind it until the next `Opened`.
    Closed,
    /// Nothing: stands where a torn unit left a hole, see [`torn_positions`].
    Filler,
    /// Changes copied from the log into the kept log.
    KeptChanges(KeptChanges),
    /// What the kept segment before holds.
    KeptFooter(KeptFooter),
    /// How far a log that several nodes share was taken over.
    Shared(SharedMark),
}

impl Record {
    /// Reads a payload; `None` = whole bytes that make no sense, which only a program error can
    /// have written. Never panics, and allocates no more than `payload` can fill. Event bodies
    /// share `payload`'s memory.
    pub(crate) fn decode(kind: Kind, payload: &Bytes) -> Option<Self> {
        match kind {
            Kind::Head => SegmentHead::decode(payload).map(Self::Head),
            Kind::Event => decode_event(payload, &mut Names::default())
                .map(|(event, dedupe)| Self::Event(event, dedupe)),
            Kind::Settle => SettleRecord::decode(payload).map(Self::Settle),
            Kind::Subscribed => head::decode_subscribed(payload),
            Kind::Forgotten => head::decode_forgotten(payload),
            Kind::Trim => head::decode_trim(payload),
            Kind::Opened => head::decode_opened(payload),
            Kind::Closed => payload.is_empty().then_some(Self::Closed),
            Kind::Filler => Some(Self::Filler),
            Kind::KeptChanges => KeptChanges::decode(payload).map(Self::KeptChanges),
            Kind::KeptFooter => KeptFooter::decode(payload).map(Self::KeptFooter),
            Kind::Shared => SharedMark::decode(payload).map(Self::Shared),
        }
    }
}

#[cfg(test)]
mod tests;
