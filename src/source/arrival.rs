//! What an event tells of its request.

use crate::event::{Arrival, Dedupe, Headers};

use super::algorithm::Algorithm;
use super::configured::Source;
use super::identity::Identity;
use super::verified::Verified;

impl Source {
    /// The headers of an event with what is told of its request beside them.
    pub(super) fn arrived(
        &self,
        headers: Headers,
        verified: &Verified,
        identity: &Identity,
        dedupe: Dedupe,
    ) -> Headers {
        let arrival = self.arrival(verified, identity, dedupe);
        headers.with_arrival(&arrival, &verified.query)
    }

    /// What is told of a request beside what came.
    fn arrival<'a>(
        &'a self,
        verified: &Verified,
        identity: &'a Identity,
        dedupe: Dedupe,
    ) -> Arrival<'a> {
        let secret = self.fingerprint(verified.secret_index).filter(|_| !verified.is_by_fetched);
        let (known_by, window) = identity.known_by(dedupe);
        Arrival {
            client: verified.client,
            algorithm: Some(verified.algorithm.name()),
            secret: secret.filter(|_| verified.algorithm != Algorithm::None),
            known_by: Some(known_by),
            window,
            delivery_id: identity.id(),
            parent: None,
        }
    }
}
