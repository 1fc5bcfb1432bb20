//! Meta: Facebook, Instagram, `WhatsApp`.
//!
//! <https://developers.facebook.com/docs/graph-api/webhooks/getting-started>. No vector.

use super::prelude::*;

pub(super) fn provider() -> Provider {
    Provider {
        name: "meta",
        known_as: &["facebook", "instagram", "messenger", "threads", "whatsapp"],
        page: "https://developers.facebook.com/docs/graph-api/webhooks/getting-started",
        setup: &[
            "Set `verify_token` in the source's table, as `gatepost init` does: the word in that file is what Meta shows when it asks.",
            "Copy the app secret (App settings > Basic) into {secret}, and let Gatepost run \
                 with both.",
            "In the App Dashboard open Webhooks, choose an object, and enter {url} as callback \
                 URL and that word as verify token; then subscribe to its fields.",
        ],
        rows: vec![Row {
            places: vec![header("x-hub-signature-256")],
            format: prefix("sha256="),
            ..HEX_OF_BODY
        }],
        event_type: vec![json("object")],
        user_agents: &["facebookexternalua", "facebookplatform"],
        // WhatsApp Cloud API, Webhooks: up to 3 MB.
        body_max: Some(3 << 20),
        handshakes: vec![Handshake {
            when: Some((FieldRef::Query(text("hub.mode")), text("subscribe"))),
            answer: Answer::Echo(FieldRef::Query(text("hub.challenge"))),
            token: Some(FieldRef::Query(text("hub.verify_token"))),
            ..Handshake::OPEN
        }],
        samples: &[(&["page"], include_str!("../samples/meta.json"))],
        ..PLAIN
    }
}
