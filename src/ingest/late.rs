//! Repeats that come after their time is over, of events that are stored already.
//!
//! A sender whose answer was lost repeats for hours, and some keep the first time in what they sign. What such
//! a request says is known: its signature is good but for its age, and its event, found by what it is told
//! apart by, is in the log. To refuse it would have it repeated on, or the address switched off.
//!
//! - Nothing is believed by that: no event is stored, and what is answered is what its first answer was.
//! - What is known is in memory only. After a restart such a repeat is refused, as any old request is.

use std::time::Duration;

use super::newest::NewestFacts;
use super::request::Request;
use crate::event::{Dedupe, DedupeKey, EventId, NewEvent};
use crate::queue::Appended;
use crate::source::{MethodUse, Rejection, Source};

/// The newest events of senders that sign a time, by what tells them apart.
#[derive(Debug, Default)]
pub(super) struct KnownEvents(NewestFacts<DedupeKey>);

impl KnownEvents {
    /// Remembers an event that `source` has brought.
    pub(super) fn add(&self, source: &Source, dedupe: Dedupe, appended: Appended) {
        // Of others no request is ever too old.
        let signs_time =
            source.settings().profile.schemes.iter().any(|scheme| scheme.timestamp.is_some());
        if let (true, Dedupe::Within { key, .. }, Appended::Stored(id)) =
            (signs_time, dedupe, appended)
        {
            self.0.add(id, key);
        }
    }

    /// The event that `request`, refused as too old, repeats, and its id.
    pub(super) fn repeated_by(
        &self,
        source: &Source,
        request: &Request<'_>,
        rejection: &Rejection,
    ) -> Option<(NewEvent, EventId)> {
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
        // Of a list some items may be known and others not.
        if source.split(&verified, request.received_at, &headers, &body).is_some() {
            return None;
        }
        let event = source.event(verified, request.received_at, headers, body);
        let Dedupe::Within { key, .. } = event.dedupe else { return None };
        let id = self.0.find(key)?;
        Some((event, id))
    }
}
