//! Discord.
//!
//! <https://discord.com/developers/docs/events/webhook-events#preparing-for-events>. No vector: the
//! tests sign with a key pair of their own.

use super::prelude::*;

pub(super) fn provider() -> Provider {
    Provider {
        name: "discord",
        page: "https://discord.com/developers/docs/events/webhook-events#preparing-for-events",
        setup: &[
            "At discord.com/developers open your application.",
            "Copy General Information > Public Key into {secret}, and let Gatepost run with it.",
            "Under Webhooks enter {url}: Discord asks it at once. Switch events on, and choose \
                 them.",
        ],
        rows: vec![Row {
            algorithm: Algorithm::Ed25519,
            places: vec![header("x-signature-ed25519")],
            signed: "{timestamp}{body}",
            timestamp: Some((header("x-signature-timestamp"), Unit::Seconds)),
            ..HEX_OF_BODY
        }],
        event_type: vec![json("event.type"), json("type")],
        stamps: vec![json("event.timestamp")],
        handshakes: vec![
            // A webhook's PING is answered with 204, an interaction's with its own number.
            Handshake {
                when: Some((json("type"), text("0"))),
                answer: Answer::Nothing(204),
                ..Handshake::SIGNED
            },
            Handshake {
                when: Some((json("type"), text("1"))),
                answer: Answer::Json(text(r#"{"type":1}"#)),
                unless: Some(json("event.type")),
                ..Handshake::SIGNED
            },
        ],
        samples: &[(&["APPLICATION_AUTHORIZED"], include_str!("../samples/discord.json"))],
        ..PLAIN
    }
}
