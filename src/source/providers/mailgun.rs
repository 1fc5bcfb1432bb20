//! Mailgun.
//!
//! <https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks>: the
//! body is not signed, so that a source needs `allow_unsigned_body`. The signed token is used once:
//! a replayed request cannot carry another body. No vector.

use super::prelude::*;

pub(super) fn provider() -> Provider {
    Provider {
        name: "mailgun",
        page: "https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks",
        setup: &[
            "In Mailgun open Send > Sending > Webhooks, and add {url} for each event.",
            "Copy the HTTP webhook signing key (API security) into {secret}.",
            "Mailgun does not sign the body: the source needs `allow_unsigned_body = true`.",
            "Mailgun repeats for 8 hours, and keeps the first time: where late ones are refused as \
                 stale, write `tolerance = \"8h\"` into the source.",
        ],
        rows: vec![Row {
            places: vec![json("signature.signature")],
            signed: "{timestamp}{json:signature.token}",
            timestamp: Some((json("signature.timestamp"), Unit::Seconds)),
            ..HEX_OF_BODY
        }],
        event_type: vec![json("event-data.event")],
        delivery_id: vec![json("signature.token"), json("event-data.id")],
        samples: &[(
            &["delivered", "failed", "opened", "clicked"],
            include_str!("../samples/mailgun.json"),
        )],
        ..PLAIN
    }
}
