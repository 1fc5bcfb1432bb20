//! UserEcho.
//!
//! <https://support.userecho.com/knowledge-bases/10/articles/7887-webhooks>: an HMAC in
//! hexadecimal, without saying by which hash. Both lengths are taken, over the raw body; the
//! literal reading of that page, an HMAC of the word `POST`, protects nothing.

use super::prelude::*;

pub(super) fn provider() -> Provider {
    Provider {
        name: "userecho",
        page: "https://support.userecho.com/knowledge-bases/10/articles/7887-webhooks",
        setup: &[
            "In your project open Setup > Integration > Website > Webhooks.",
            "Add {url} as the address, and choose the events.",
            "Copy the key of the same page into {secret}.",
        ],
        rows: vec![
            Row { places: vec![header("x-ue-signature")], ..HEX_OF_BODY },
            Row {
                algorithm: Algorithm::HmacSha1,
                places: vec![header("x-ue-signature")],
                ..HEX_OF_BODY
            },
        ],
        event_type: vec![json("hook")],
        stamps: vec![json("created")],
        data_root: DataRoot::Data,
        samples: &[
            (
                &[
                    "topic.created",
                    "topic.accepted",
                    "topic.declined",
                    "topic.deleted",
                    "topic.status_changed",
                    "topic.satisfaction_changed",
                ],
                include_str!("../samples/userecho-topic.json"),
            ),
            (
                &["comment.created", "comment.accepted", "comment.deleted"],
                include_str!("../samples/userecho-comment.json"),
            ),
        ],
        ..PLAIN
    }
}
