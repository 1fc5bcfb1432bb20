//! Square.
//!
//! <https://developer.squareup.com/docs/webhooks/step3validate>.

use super::prelude::*;

pub(super) fn provider() -> Provider {
    Provider {
        name: "square",
        page: "https://developer.squareup.com/docs/webhooks/step3validate",
        setup: &[
            "In the Developer Console open your app's Webhooks > Subscriptions, and add one \
                 with {url}.",
            "Copy its signature key into {secret}.",
            "The address is signed: write it as `url = \"{url}\"` into the source, just as it \
                 stands there.",
        ],
        vector: Some("square"),
        rows: vec![Row {
            places: vec![header("x-square-hmacsha256-signature")],
            encoding: Encoding::Base64,
            signed: "{url}{body}",
            ..HEX_OF_BODY
        }],
        event_type: vec![json("type")],
        delivery_id: vec![json("event_id")],
        data_root: DataRoot::Data,
        samples: &[(
            &["payment.created", "payment.updated"],
            include_str!("../samples/square.json"),
        )],
        ..PLAIN
    }
}
