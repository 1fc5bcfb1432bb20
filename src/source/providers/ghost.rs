//! Ghost.
//!
//! <https://docs.ghost.org/webhooks> and TryGhost/Ghost#20500: since 5.87.1 the time is signed
//! behind the body. The older form signs the body alone; were both taken, an old body with its time
//! glued on would pass for ever. No vector with its exact body.

use super::prelude::*;

pub(super) fn provider() -> Provider {
    Provider {
        name: "ghost",
        page: "https://docs.ghost.org/webhooks",
        setup: &[
            "In Ghost Admin open Settings > Integrations, and add a custom integration with a \
                 webhook.",
            "Give it the event, the target URL {url}, and the secret that {secret} holds. Ghost \
                 5.87.1 or newer is needed.",
            "The body does not name the event: make a source of its own for each.",
        ],
        rows: vec![Row {
            places: vec![header("x-ghost-signature")],
            format: list(",", "=", "sha256"),
            signed: "{body}{timestamp}",
            timestamp: Some((FieldRef::List(text("t")), Unit::Millis)),
            ..HEX_OF_BODY
        }],
        event_type: vec![],
        samples: &[(&["unknown"], include_str!("../samples/ghost.json"))],
        ..PLAIN
    }
}
