//! Zoom.
//!
//! <https://developers.zoom.us/docs/api/webhooks>: Slack's scheme under other names. No vector.

use super::prelude::*;

pub(super) fn provider() -> Provider {
    Provider {
        name: "zoom",
        page: "https://developers.zoom.us/docs/api/webhooks",
        setup: &[
            "In the Zoom App Marketplace open your app's Features > Access.",
            "Copy the Secret Token into {secret}, and let Gatepost run with it.",
            "Add an event subscription with {url}, press Validate, and choose the events.",
        ],
        rows: vec![Row {
            places: vec![header("x-zm-signature")],
            timestamp: Some((header("x-zm-request-timestamp"), Unit::Seconds)),
            ..slack()
        }],
        event_type: vec![json("event")],
        stamps: vec![json("event_ts")],
        data_root: DataRoot::InnerPayload,
        handshakes: vec![Handshake {
            when: Some((json("event"), text("endpoint.url_validation"))),
            answer: Answer::Hash(json("payload.plainToken")),
            ..Handshake::SIGNED
        }],
        samples: &[(&["meeting.started", "meeting.ended"], include_str!("../samples/zoom.json"))],
        ..PLAIN
    }
}
