//! Edited copies of stored events.
//!
//! No sender signed such a copy: its owner made it, who may change everything here. So it carries nothing by
//! which its parent was believed, and nothing by which a repeat is known: neither is it one, nor does the
//! sender's next request become one by it.

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::event::{Arrival, Dedupe, Event, EventType, Headers, KnownBy, NewEvent};

use super::configured::Source;
use super::fetched::KeyAddress;
use super::field_ref::FieldRef;
use super::fields::Fields;
use super::request::Inbound;
use super::type_rule::TypeRule;

/// What headers say of a body that is no longer there.
const OF_BODY: [&str; 7] = [
    "content-digest",
    "content-encoding",
    "content-length",
    "content-md5",
    "digest",
    "repr-digest",
    "transfer-encoding",
];

impl Source {
    /// The event that `parent`, one of this source, becomes with another body.
    pub fn edited(&self, parent: &Event, body: Bytes, now: Timestamp) -> NewEvent {
        let kept = parent.headers.iter().filter(|(name, _)| !self.is_of_one_request(name));
        let headers: Headers = kept.collect();
        let query = parent.headers.query_text();
        let (event_type, is_json) = self.type_of_edited(parent, &headers, &query, &body);
        let arrival = Arrival {
            known_by: Some(KnownBy::Nothing),
            parent: Some(parent.id),
            ..Arrival::default()
        };
        NewEvent {
            source: self.name().clone(),
            event_type,
            received_at: now,
            // The body has its parent's shape, whatever the source is by now.
            data_root: parent.data_root,
            is_json,
            headers: headers.with_arrival(&arrival, &query),
            body,
            dedupe: Dedupe::Off,
        }
    }

    /// Its type, read as of any request, and whether it is JSON. Where nothing says one any more, it is its
    /// parent's.
    fn type_of_edited(
        &self,
        parent: &Event,
        headers: &Headers,
        query: &str,
        body: &[u8],
    ) -> (EventType, bool) {
        let profile = &self.settings().profile;
        let path_and_query = &format!("/?{query}");
        let request = Inbound { method: "POST", path_and_query, headers, body };
        let fields = Fields::find(&request, profile.event_type.places().iter());
        let found = match &profile.event_type {
            // What it came by is not kept.
            TypeRule::Method => EventType::unknown(),
            TypeRule::Literal(_) | TypeRule::At(_) => profile.type_in(&request, &fields),
        };
        let is_found = found.as_str() != EventType::UNKNOWN;
        (if is_found { found } else { parent.event_type.clone() }, fields.is_json())
    }

    /// Whether a header belongs to one request and its body: what signs it, what it is called, when it was
    /// sent, and how its body was packed.
    fn is_of_one_request(&self, name: &str) -> bool {
        if OF_BODY.contains(&name) || name.contains("signature") {
            return true;
        }
        let is_it = |place: &FieldRef| matches!(place, FieldRef::Header(known) if known == name);
        let profile = &self.settings().profile;
        // Where the type is said it stays, though it may be signed.
        if profile.event_type.places().iter().any(is_it) {
            return false;
        }
        self.credentials().is_in_header(name)
            || profile.delivery_id.iter().any(is_it)
            || profile.schemes.iter().any(|scheme| {
                let time = scheme.timestamp.iter().map(|rule| &rule.at);
                let key = scheme.fetch.iter().filter_map(|rule| match &rule.address {
                    KeyAddress::Named { at, .. } => Some(at),
                    KeyAddress::Fixed(_) | KeyAddress::ById(_) => None,
                });
                let beside = scheme.id.iter().chain(&scheme.body_sha256).chain(time).chain(key);
                scheme.signature.places.iter().chain(beside).any(is_it)
            })
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::event::{EventId, Position};
    use crate::source::tests::configured;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn parent(source: &Source, headers: &[(&str, &str)], query: &str, body: &str) -> Event {
        let headers: Headers =
            headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let arrival = Arrival { delivery_id: Some("7"), ..Arrival::default() };
        let at = Timestamp::from_millis(1);
        let new = NewEvent {
            is_json: true,
            headers: headers.with_arrival(&arrival, query),
            ..NewEvent::new(source.name().clone(), "order.paid", at, body.to_owned())
        };
        Event::new(new, EventId(Uuid::from_u128(7)), Position(1))
    }

    fn edited(source: &Source, parent: &Event, body: &'static str) -> NewEvent {
        source.edited(parent, Bytes::from_static(body.as_bytes()), NOW)
    }

    #[test]
    fn edited_copy_has_what_its_parent_has_but_for_what_was_one_requests() {
        let text = r#"
            [source.s.verify]
            algorithm = "hmac-sha256"
            header = "X-Mac"
            signed = "{id}.{timestamp}.{body}"
            id = { header = "X-Id" }
            timestamp = { header = "X-Time" }
            type = { header = "X-Type" }
        "#;
        let source = configured(text, &["k"]);
        let headers = [
            ("content-type", "application/json"),
            ("content-encoding", "gzip"),
            ("content-length", "7"),
            ("x-mac", "00"),
            ("x-id", "7"),
            ("x-time", "1"),
            ("x-type", "order.paid"),
            ("x-other-signature", "00"),
            ("x-kept", "1"),
        ];
        let parent = parent(&source, &headers, "shop=3", "{}");
        let event = edited(&source, &parent, "{\"n\":1}");
        let names: Vec<&str> = event.headers.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["content-type", "x-type", "x-kept"]);
        assert_eq!(event.headers.query_text(), "shop=3");
        let arrival = Arrival {
            known_by: Some(KnownBy::Nothing),
            parent: Some(parent.id),
            ..Arrival::default()
        };
        assert_eq!(event.headers.arrival(), Some(arrival));
        assert_eq!((event.dedupe, event.received_at), (Dedupe::Off, NOW));
        assert_eq!((event.event_type.as_str(), &event.source), ("order.paid", &parent.source));
    }

    #[test]
    fn its_type_is_read_anew_and_is_its_parents_where_nothing_says_one() {
        let of = |place: &str| {
            let verify = "verify = { algorithm = \"token\", header = \"X-T\", type = ";
            configured(&format!("{verify}{place} }}"), &["k"])
        };
        for (place, query, body, expected) in [
            ("{ json = \"t\" }", "", r#"{"t":"order.sent"}"#, "order.sent"),
            ("{ json = \"t\" }", "", r#"{"n":1}"#, "order.paid"),
            ("{ json = \"t\" }", "", "no json", "order.paid"),
            ("{ query = \"t\" }", "t=order.sent", "{}", "order.sent"),
            ("{ literal = \"always\" }", "", "{}", "always"),
            ("{ literal = \"{method}\" }", "", "{}", "order.paid"),
        ] {
            let source = of(place);
            let event = edited(&source, &parent(&source, &[], query, "{}"), body);
            assert_eq!(event.event_type.as_str(), expected, "{place} {body}");
            assert_eq!(
                event.is_json,
                place.contains("json") && body != "no json",
                "{place} {body}"
            );
        }
    }
}
