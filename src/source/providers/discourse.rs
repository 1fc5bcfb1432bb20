//! Discourse.
//!
//! github.com/discourse/discourse `app/jobs/regular/emit_web_hook_event.rb`. No vector.

use super::prelude::*;

pub(super) fn provider() -> Provider {
    Provider {
        name: "discourse",
        page: "https://github.com/discourse/discourse/blob/main/app/jobs/regular/emit_web_hook_event.rb",
        setup: &[
            "As an administrator open Admin > API > Webhooks and add one.",
            "Give it the payload URL {url}, content type application/json, and the secret that \
                 {secret} holds.",
            "Choose the events, and tick Active.",
        ],
        rows: vec![Row {
            places: vec![header("x-discourse-event-signature")],
            format: prefix("sha256="),
            ..HEX_OF_BODY
        }],
        event_type: vec![header("x-discourse-event")],
        delivery_id: vec![header("x-discourse-event-id")],
        samples: &[(
            &["post_created", "post_edited", "post_destroyed"],
            include_str!("../samples/discourse.json"),
        )],
        ..PLAIN
    }
}
