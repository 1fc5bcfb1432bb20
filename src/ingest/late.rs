//! Repeats that come after their time is over, of events that are stored already.
//!
//! A sender whose answer was lost repeats for hours, and some keep the first time in what they sign. What such
//! a request says is known: its signature is good but for its age, and its event, found by what it is told
//! apart by, is in the log. To refuse it would have it repeated on, or the address switched off.
//!
//! Nothing is believed by that: no event is stored, and what is answered is what its first answer was.

use std::time::Duration;

use super::request::Request;
use crate::event::{Dedupe, NewEvent};
use crate::source::{MethodUse, Rejection, Source};

/// The event that `request`, refused as too old, says has happened: to be looked up, never to be stored.
/// `None` = more is wrong with it than its age, or nothing tells its event apart.
pub(super) fn late_event(
    source: &Source,
    request: &Request<'_>,
    rejection: &Rejection,
) -> Option<NewEvent> {
    let Rejection::Stale { seconds } = rejection else { return None };
    let age = Duration::from_secs(u64::try_from(*seconds).ok()?);
    if source.method_use(request.method) != MethodUse::Event {
        return None;
    }
    let inbound = request.inbound();
    // As of the moment when it was made: all but its age is judged again.
    let verified = source.verify(&inbound, request.received_at.before(age)).ok()?;
    if source.answer_verified(&inbound, &verified).is_some() {
        return None;
    }
    let (headers, body) = (request.headers.clone(), request.body.clone());
    let Request { headers, body, .. } =
        Request { headers, body, ..*request }.with_believed_query(&verified);
    // Of a list some items may be known and others not.
    if source.split(&verified, request.received_at, &headers, &body).is_some() {
        return None;
    }
    let event = source.event(verified, request.received_at, headers, body);
    matches!(event.dedupe, Dedupe::Within { .. }).then_some(event)
}
