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
        other_types: OTHER_TYPES,
        ..PLAIN
    }
}

const OTHER_TYPES: &[&str] = &[
    "charge.captured",
    "charge.dispute.closed",
    "charge.dispute.created",
    "charge.failed",
    "charge.refunded",
    "charge.succeeded",
    "charge.updated",
    "checkout.session.async_payment_failed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.completed",
    "checkout.session.expired",
    "customer.subscription.created",
    "customer.subscription.deleted",
    "customer.subscription.paused",
    "customer.subscription.resumed",
    "customer.subscription.trial_will_end",
    "customer.subscription.updated",
    "invoice.created",
    "invoice.finalized",
    "invoice.paid",
    "invoice.payment_action_required",
    "invoice.payment_failed",
    "invoice.payment_succeeded",
    "invoice.upcoming",
    "invoice.updated",
    "payment_intent.canceled",
    "payment_intent.created",
    "payment_intent.payment_failed",
    "payment_intent.processing",
    "payment_intent.succeeded",
    "payment_method.attached",
    "payout.failed",
    "payout.paid",
    "price.created",
    "product.created",
    "product.updated",
    "setup_intent.succeeded",
];
