//! Svix, which sends for many.
//!
//! <https://docs.svix.com/receiving/verifying-payloads/how-manual>.

use super::prelude::*;

pub(super) fn provider() -> Provider {
    Provider {
        name: "svix",
        known_as: &["clerk", "resend"],
        page: "https://docs.svix.com/receiving/verifying-payloads/how-manual",
        setup: &[
            "In the sender's webhook portal add the endpoint {url}, and choose the events.",
            "Open it, and copy its signing secret (`whsec_...`) into {secret}, whole.",
        ],
        vector: Some("standard-webhooks-v1"),
        rows: vec![
            Row {
                places: vec![header("svix-signature")],
                timestamp: Some((header("svix-timestamp"), Unit::Seconds)),
                id: Some(header("svix-id")),
                ..standard()
            },
            standard(),
        ],
        event_type: vec![json("type"), json("eventType"), json("event_type"), json("event")],
        data_root: DataRoot::Data,
        samples: &[(&["sample.created"], include_str!("../samples/standard-webhooks.json"))],
        ..PLAIN
    }
}
