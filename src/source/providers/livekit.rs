//! `LiveKit`.
//!
//! <https://docs.livekit.io/home/server/webhooks/>: a JSON Web Token with the body's SHA-256. No
//! vector: the tests let livekit-api (Python) sign.

use super::prelude::*;

pub(super) fn provider() -> Provider {
    Provider {
        name: "livekit",
        page: "https://docs.livekit.io/home/server/webhooks/",
        setup: &[
            "In LiveKit Cloud open Settings > Webhooks and add {url}, signed with one of your API \
                 keys; of your own server, write both into `webhook` of its configuration.",
            "Copy the secret of that API key into {secret}.",
        ],
        rows: vec![Row {
            places: vec![header("authorization")],
            encoding: Encoding::Plain,
            signed: "",
            envelope: Envelope::Jwt(JwtRule::with_body_hash("sha256")),
            ..HEX_OF_BODY
        }],
        event_type: vec![json("event")],
        delivery_id: vec![json("id")],
        samples: &[(&["room_started", "room_finished"], include_str!("../samples/livekit.json"))],
        ..PLAIN
    }
}
