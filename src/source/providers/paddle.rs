//! Paddle.
//!
//! <https://developer.paddle.com/webhooks/signature-verification>. No vector is published.

use super::prelude::*;

pub(super) fn provider() -> Provider {
    Provider {
        name: "paddle",
        page: "https://developer.paddle.com/webhooks/signature-verification",
        setup: &[
            "In Paddle open Developer tools > Notifications, and add a destination with {url}.",
            "Choose the events; then copy its secret key (`pdl_ntfset_...`) into {secret}.",
        ],
        rows: vec![Row {
            places: vec![header("paddle-signature")],
            format: list(";", "=", "h1"),
            signed: "{timestamp}:{body}",
            timestamp: Some((FieldRef::List(text("ts")), Unit::Seconds)),
            ..HEX_OF_BODY
        }],
        event_type: vec![json("event_type")],
        delivery_id: vec![json("event_id")],
        data_root: DataRoot::Data,
        samples: &[(
            &["transaction.completed", "transaction.created"],
            include_str!("../samples/paddle.json"),
        )],
        ..PLAIN
    }
}
