//! An event's payload, version 2 (as in version 1).
//!
//! | bytes | field |
//! |---|---|
//! | 8 | position |
//! | 16 | id |
//! | 8 | received at, ms since the epoch |
//! | 1 | flags: 1 = `data` is the payload's `data`, 4 = its `payload`, 2 = has a dedupe key, 8 = the body is JSON |
//! | 16 + varint | dedupe key and window in ms, where it has one |
//! | varint + n | source; then type; then headers in their stored form |
//! | rest | the raw body |

use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use crate::clock::{Timestamp, whole_millis};
use crate::event::{
    DataRoot, Dedupe, DedupeKey, Event, EventId, EventType, Headers, NewEvent, Position, SourceName,
};
use crate::queue::codec::{Put, Take};
use crate::queue::names::Names;

const FLAG_DATA_ROOT: u8 = 1;
const FLAG_DEDUPE: u8 = 2;
const FLAG_INNER_PAYLOAD: u8 = 4;
const FLAG_JSON: u8 = 8;
/// A key without a window: it counts only where the answer cannot have arrived.
const FLAG_UNANSWERED: u8 = 16;

/// Appends the payload of an event to `out`.
pub(crate) fn encode_event(event: &NewEvent, id: EventId, position: Position, out: &mut Vec<u8>) {
    out.reserve(128 + event.headers.encoded().len() + event.body.len());
    out.put_u64(position.0);
    out.put_raw(id.0.as_bytes());
    out.put_u64(event.received_at.as_millis().cast_unsigned());
    let root = match event.data_root {
        DataRoot::Payload => 0,
        DataRoot::Data => FLAG_DATA_ROOT,
        DataRoot::InnerPayload => FLAG_INNER_PAYLOAD,
    };
    let root_and_json = if event.is_json { root | FLAG_JSON } else { root };
    match event.dedupe {
        Dedupe::Off => out.put_u8(root_and_json),
        Dedupe::Unanswered { key } => {
            out.put_u8(root_and_json | FLAG_UNANSWERED);
            out.put_raw(&key.0);
        }
        Dedupe::Within { key, window } => {
            out.put_u8(root_and_json | FLAG_DEDUPE);
            out.put_raw(&key.0);
            out.put_varint(whole_millis(window));
        }
    }
    out.put_bytes(event.source.as_str().as_bytes());
    out.put_bytes(event.event_type.as_str().as_bytes());
    out.put_bytes(event.headers.encoded());
    out.put_raw(&event.body);
}

/// The most bytes that the payload of an event takes.
pub(crate) fn event_bytes(event: &NewEvent) -> usize {
    // Position, id, time, flags, dedupe key and window, and three lengths.
    const FIXED: usize = 8 + 16 + 8 + 1 + 16 + 10 + 3 * 10;
    FIXED
        + event.source.as_str().len()
        + event.event_type.as_str().len()
        + event.headers.encoded().len()
        + event.body.len()
}

/// The position of an event, without decoding the rest.
pub(crate) fn position_of(payload: &[u8]) -> Option<Position> {
    Take(payload).u64().map(Position)
}

/// The id of an event, without decoding the rest.
pub(crate) fn id_of(payload: &[u8]) -> Option<EventId> {
    let mut take = Take(payload);
    take.u64()?;
    take.array().map(|bytes| EventId(Uuid::from_bytes(bytes)))
}

/// Reads what [`encode_event`] wrote. Headers and body share `payload`'s memory, and the names that
/// of the event before, where they are the same.
pub(crate) fn decode_event(payload: &Bytes, names: &mut Names) -> Option<(Event, Dedupe)> {
    let mut take = Take(payload);
    let position = Position(take.u64()?);
    let id = EventId(Uuid::from_bytes(take.array()?));
    let received_at = Timestamp::from_millis(take.u64()?.cast_signed());
    let flags = take.u8()?;
    let dedupe = match flags & (FLAG_DEDUPE | FLAG_UNANSWERED) {
        0 => Dedupe::Off,
        FLAG_UNANSWERED => Dedupe::Unanswered { key: DedupeKey(take.array()?) },
        _ => {
            let key = DedupeKey(take.array()?);
            Dedupe::Within { key, window: Duration::from_millis(take.varint()?) }
        }
    };
    let data_root = match flags & (FLAG_DATA_ROOT | FLAG_INNER_PAYLOAD) {
        FLAG_DATA_ROOT => DataRoot::Data,
        FLAG_INNER_PAYLOAD => DataRoot::InnerPayload,
        _ => DataRoot::Payload,
    };
    let (source, event_type) = (take.text()?, take.text()?);
    let (source, event_type) = match names.get(source, event_type) {
        Some(known) => known,
        None => names.set(SourceName::parse(source).ok()?, EventType::new(event_type)),
    };
    let headers = Headers::from_encoded(payload.slice_ref(take.bytes()?));
    let body = payload.slice_ref(take.0);
    let is_json = flags & FLAG_JSON != 0;
    let new = NewEvent {
        source,
        event_type,
        received_at,
        data_root,
        is_json,
        headers,
        body,
        dedupe: Dedupe::Off,
    };
    Some((Event::new(new, id, position), dedupe))
}
