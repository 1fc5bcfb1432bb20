//! Hyvor Relay.
//!
//! github.com/hyvor/relay backend/src/Service/Webhook/WebhookService.php, worker/webhooks.go.

use super::prelude::*;

pub(super) fn provider() -> Provider {
    Provider {
        name: "hyvor-relay",
        page: "https://github.com/hyvor/relay",
        setup: &[
            "In the console of your project open Webhooks and create a webhook.",
            "Give it the address {url}, and choose the events.",
            "Copy its secret into {secret}.",
        ],
        vector: Some("hyvor-blogs-symfony"),
        rows: vec![Row { places: vec![header("x-signature")], ..HEX_OF_BODY }],
        event_type: vec![json("event")],
        data_root: DataRoot::InnerPayload,
        samples: &[
            (&["send.recipient.accepted"], include_str!("../samples/hyvor-relay-send.json")),
            (&["suppression.created"], include_str!("../samples/hyvor-relay-suppression.json")),
        ],
        ..PLAIN
    }
}
