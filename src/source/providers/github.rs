//! GitHub.
//!
//! <https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries>.

use super::prelude::*;

pub(super) fn provider() -> Provider {
    Provider {
        name: "github",
        page: "https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries",
        setup: &[
            "In the repository or organization open Settings > Webhooks > Add webhook.",
            "Enter the payload URL {url}, content type application/json, and the secret that \
                 {secret} holds.",
            "Choose the events. GitHub sends a `ping` at once, and never repeats by itself what \
                 failed.",
        ],
        vector: Some("github-docs"),
        rows: vec![Row {
            places: vec![header("x-hub-signature-256")],
            format: prefix("sha256="),
            ..HEX_OF_BODY
        }],
        event_type: vec![header("x-github-event")],
        delivery_id: vec![header("x-github-delivery")],
        // https://docs.github.com/webhooks/webhook-events-and-payloads: 25 MB, and no repeats.
        body_max: Some(25 << 20),
        samples: &[
            (&["push"], include_str!("../samples/github-push.json")),
            (&["issues"], include_str!("../samples/github-issues.json")),
            (&["ping"], include_str!("../samples/github-ping.json")),
        ],
        ..PLAIN
    }
}
