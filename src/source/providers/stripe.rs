//! Stripe.
//!
//! <https://docs.stripe.com/webhooks#verify-manually>.

use super::prelude::*;

pub(super) fn provider() -> Provider {
    Provider {
        name: "stripe",
        page: "https://docs.stripe.com/webhooks#verify-manually",
        setup: &[
            "In the Dashboard open Workbench > Webhooks, and add a destination of the type \
                 webhook endpoint.",
            "Enter {url}, and choose the events.",
            "Show its signing secret (`whsec_...`), and copy it into {secret}. The test mode \
                 has a secret of its own.",
        ],
        vector: Some("stripe-dotnet"),
        rows: vec![Row {
            places: vec![header("stripe-signature")],
            format: list(",", "=", "v1"),
            signed: "{timestamp}.{body}",
            timestamp: Some((FieldRef::List(text("t")), Unit::Seconds)),
            ..HEX_OF_BODY
        }],
        event_type: vec![json("type")],
        delivery_id: vec![json("id")],
        data_root: DataRoot::Data,
        samples: &[(
            &["customer.created", "customer.updated", "customer.deleted"],
            include_str!("../samples/stripe.json"),
        )],
        ..PLAIN
    }
}
