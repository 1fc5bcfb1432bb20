//! Events in memory of their own.

use bytes::Bytes;

use crate::event::{Event, Headers, NewEvent};

/// The same event in memory of its own: what is read out of a file shares a large buffer, which one
/// small event that waits would keep.
pub(crate) fn detach(event: &Event) -> Event {
    with_body(event, &event.body)
}

/// [`detach`] without the body.
pub(crate) fn detach_head(event: &Event) -> Event {
    with_body(event, b"")
}

fn with_body(event: &Event, body: &[u8]) -> Event {
    let new = NewEvent {
        is_json: event.is_json && !body.is_empty(),
        headers: Headers::from_encoded(Bytes::copy_from_slice(event.headers.encoded())),
        body: Bytes::copy_from_slice(body),
        ..event.received.clone()
    };
    Event::new(new, event.id, event.position)
}
