//! What of a request's query is believed where it stands in the place of a body.

use super::field_ref::{FieldRef, pairs};
use super::scheme::{Accepted, Envelope, Scheme};
use super::template::{Part, Template};

impl Scheme {
    /// What of `query` is believed beside what was `accepted`. A password signs nothing, and all that comes with
    /// it is believed; a signature only answers for what it covers, and that of a token is never the query.
    pub(super) fn believed_query(&self, query: &str, accepted: &Accepted) -> String {
        let is_believed = |pair: &&str| {
            pairs(pair.as_bytes()).next().is_some_and(|(name, _)| match &self.envelope {
                Envelope::Plain => self.believes_parameter(&name),
                Envelope::Jwt(_) => false,
                Envelope::HttpMessage(_) => accepted.query.has(&name),
            })
        };
        query.split('&').filter(is_believed).collect::<Vec<_>>().join("&")
    }

    fn believes_parameter(&self, name: &[u8]) -> bool {
        if !self.algorithm.signs() {
            return true;
        }
        let Some(signed) = &self.signed else { return false };
        let is_it = |place: &FieldRef| place.is_query(name);
        signed.covers_query(name)
            || signed.has(&Part::Id) && self.id.as_ref().is_some_and(is_it)
            || signed.has(&Part::Timestamp)
                && self.timestamp.as_ref().is_some_and(|rule| is_it(&rule.at))
    }

    /// Whether its owner can have a query taken for a body that is missing.
    pub(super) fn may_believe_query(&self) -> bool {
        match &self.envelope {
            Envelope::Plain => {
                let signed = self.signed.as_ref();
                !self.algorithm.signs() || signed.is_some_and(Template::has_query)
            }
            Envelope::Jwt(_) => false,
            Envelope::HttpMessage(rule) => rule.signs(&FieldRef::Query("".into())),
        }
    }
}
