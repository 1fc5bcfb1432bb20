//! Twilio `SendGrid`.
//!
//! <https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features>.
//! One request carries a list of events, each with an id of its own.

use super::prelude::*;

pub(super) fn provider() -> Provider {
    Provider {
        name: "sendgrid",
        page: "https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features",
        setup: &[
            "In SendGrid open Settings > Mail Settings > Event Webhooks, and add one with \
                 {url}.",
            "Switch Signed Event Webhook on, save, and copy the verification key into {secret}.",
        ],
        vector: Some("sendgrid-ecdsa"),
        rows: vec![Row {
            algorithm: Algorithm::EcdsaP256,
            places: vec![header("x-twilio-email-event-webhook-signature")],
            encoding: Encoding::Base64,
            signed: "{timestamp}{body}",
            timestamp: Some((header("x-twilio-email-event-webhook-timestamp"), Unit::Seconds)),
            ..HEX_OF_BODY
        }],
        // Of an item; of the whole list where that is not split.
        event_type: vec![json("event"), json("0.event")],
        delivery_id: vec![json("sg_event_id")],
        stamps: vec![json("0.sg_event_id")],
        split: Split::JsonArray,
        samples: &[(
            &["delivered", "bounce", "dropped", "open", "click"],
            include_str!("../samples/sendgrid.json"),
        )],
        ..PLAIN
    }
}
