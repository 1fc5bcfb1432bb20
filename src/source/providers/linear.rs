//! Linear.
//!
//! <https://linear.app/developers/webhooks#securing-webhooks>. It repeats after 1 min, 1 h and 6 h,
//! byte for byte with the first time. Its id (`Linear-Delivery`) is not signed, and the signed body has the
//! time: a replay under another id within those 8 hours is the same body. No vector is published.

use super::prelude::*;

pub(super) fn provider() -> Provider {
    Provider {
        name: "linear",
        page: "https://linear.app/developers/webhooks#securing-webhooks",
        setup: &[
            "Open Settings > API > Webhooks, and create one with {url}.",
            "Copy its signing secret into {secret}.",
        ],
        rows: vec![Row {
            places: vec![header("linear-signature")],
            timestamp: Some((json("webhookTimestamp"), Unit::Millis)),
            tolerance: Duration::from_hours(8),
            ..HEX_OF_BODY
        }],
        event_type: vec![json("type"), header("linear-event")],
        stamps: vec![json("webhookTimestamp")],
        data_root: DataRoot::Data,
        samples: &[(&["Issue", "Comment"], include_str!("../samples/linear.json"))],
        ..PLAIN
    }
}
