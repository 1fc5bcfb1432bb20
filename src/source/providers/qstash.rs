//! Upstash `QStash`.
//!
//! <https://upstash.com/docs/qstash/features/security>: a JSON Web Token with the body's SHA-256, by
//! the current or the next of two keys. No vector: the tests sign with `PyJWT`.

use super::prelude::*;

pub(super) fn provider() -> Provider {
    Provider {
        name: "qstash",
        page: "https://upstash.com/docs/qstash/features/security",
        setup: &[
            "In the Upstash console open QStash > Signing keys. Copy the current one into {secret}, \
                 and the next one into a second file of `secrets`.",
            "Publish to {url}, or make it the destination of a schedule.",
        ],
        rows: vec![Row {
            places: vec![header("upstash-signature")],
            encoding: Encoding::Plain,
            signed: "",
            envelope: Envelope::Jwt(JwtRule {
                issuer: Some("Upstash".to_owned()),
                ..JwtRule::with_body_hash("body")
            }),
            ..HEX_OF_BODY
        }],
        // Bodies are the publisher's own; this header tells failures from messages.
        event_type: vec![header("upstash-topic-name"), json("type"), json("event")],
        delivery_id: vec![header("upstash-message-id")],
        samples: &[(&["order.created"], include_str!("../samples/qstash.json"))],
        ..PLAIN
    }
}
