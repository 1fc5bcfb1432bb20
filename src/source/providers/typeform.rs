//! Typeform.
//!
//! <https://www.typeform.com/developers/webhooks/secure-your-webhooks>. No vector.

use super::prelude::*;

pub(super) fn provider() -> Provider {
    Provider {
        name: "typeform",
        page: "https://www.typeform.com/developers/webhooks/secure-your-webhooks",
        setup: &[
            "In the form open Connect > Webhooks, and add one with {url}.",
            "Edit it, and enter the secret that {secret} holds.",
        ],
        rows: vec![Row {
            places: vec![header("typeform-signature")],
            format: prefix("sha256="),
            encoding: Encoding::Base64,
            ..HEX_OF_BODY
        }],
        event_type: vec![json("event_type")],
        delivery_id: vec![json("event_id")],
        samples: &[(&["form_response"], include_str!("../samples/typeform.json"))],
        ..PLAIN
    }
}
