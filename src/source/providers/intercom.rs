//! Intercom.
//!
//! <https://developers.intercom.com/docs/webhooks/webhook-notifications>. No vector.

use super::prelude::*;

pub(super) fn provider() -> Provider {
    Provider {
        name: "intercom",
        page: "https://developers.intercom.com/docs/webhooks/webhook-notifications",
        setup: &[
            "In the Developer Hub open your app's Configure > Webhooks.",
            "Enter {url}, and choose the topics.",
            "Copy the app's client secret (Basic information) into {secret}.",
        ],
        rows: vec![Row {
            algorithm: Algorithm::HmacSha1,
            places: vec![header("x-hub-signature")],
            format: prefix("sha1="),
            ..HEX_OF_BODY
        }],
        event_type: vec![json("topic")],
        delivery_id: vec![json("id")],
        user_agents: &["intercom-parrot-service-client"],
        data_root: DataRoot::Data,
        samples: &[(
            &["conversation.user.created", "conversation.user.replied"],
            include_str!("../samples/intercom.json"),
        )],
        ..PLAIN
    }
}
