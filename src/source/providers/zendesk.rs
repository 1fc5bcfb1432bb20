//! Zendesk.
//!
//! <https://developer.zendesk.com/documentation/webhooks/verifying>. The only published vector is
//! of an earlier form with the time behind the body. A trigger's body is its owner's own, and its
//! `id` mostly the ticket's: the invocation tells one call from another.

use super::prelude::*;

pub(super) fn provider() -> Provider {
    Provider {
        name: "zendesk",
        page: "https://developer.zendesk.com/documentation/webhooks/verifying",
        setup: &[
            "In the Admin Center open Apps and integrations > Webhooks, and create one with \
                 {url}, POST and JSON.",
            "Save it before you test it: an unsaved one is signed with a secret that everybody \
                 knows.",
            "Show its signing secret, and copy it into {secret}.",
        ],
        rows: vec![Row {
            places: vec![header("x-zendesk-webhook-signature")],
            encoding: Encoding::Base64,
            signed: "{timestamp}{body}",
            timestamp: Some((header("x-zendesk-webhook-signature-timestamp"), Unit::Rfc3339)),
            ..HEX_OF_BODY
        }],
        event_type: vec![json("type")],
        delivery_id: vec![header("x-zendesk-webhook-invocation-id"), json("id")],
        // A webhook's method is its owner's choice; what comes by GET has no body.
        methods: &["POST", "PUT", "PATCH", "DELETE"],
        samples: &[(&["zen:event-type:ticket.created"], include_str!("../samples/zendesk.json"))],
        ..PLAIN
    }
}
