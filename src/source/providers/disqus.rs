//! Disqus.
//!
//! <https://help.disqus.com/developer/webhooks> and github.com/dmatt/disqus-zetahub-webhook, a
//! sample receiver by Disqus staff. No vector is published.

use super::prelude::*;

pub(super) fn provider() -> Provider {
    Provider {
        name: "disqus",
        page: "https://help.disqus.com/developer/webhooks",
        setup: &[
            "Ask Disqus for a webhook to {url}, by its API (`forums/webhooks/create`) or its \
                 support.",
            "Use the secret that {secret} holds.",
        ],
        rows: vec![Row {
            algorithm: Algorithm::HmacSha512,
            places: vec![header("x-hub-signature")],
            format: prefix("sha512="),
            ..HEX_OF_BODY
        }],
        event_type: vec![json("object_type")],
        handshakes: vec![Handshake {
            when: Some((json("verb"), text("verify"))),
            answer: Answer::Echo(json("challenge")),
            ..Handshake::SIGNED
        }],
        samples: &[(&["post"], include_str!("../samples/disqus.json"))],
        ..PLAIN
    }
}
