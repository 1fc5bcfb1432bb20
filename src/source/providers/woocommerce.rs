//! `WooCommerce`.
//!
//! <https://developer.woocommerce.com/docs/apis/rest-api/webhooks>: a new webhook is tried with an
//! unsigned form (woocommerce/woocommerce#15642). No vector is published.

use super::prelude::*;

pub(super) fn provider() -> Provider {
    Provider {
        name: "woocommerce",
        page: "https://developer.woocommerce.com/docs/apis/rest-api/webhooks",
        setup: &[
            "Open WooCommerce > Settings > Advanced > Webhooks, and add one.",
            "Give it the status Active, a topic, the delivery URL {url}, and the secret that \
                 {secret} holds.",
        ],
        rows: vec![Row {
            places: vec![header("x-wc-webhook-signature")],
            encoding: Encoding::Base64,
            ..HEX_OF_BODY
        }],
        event_type: vec![header("x-wc-webhook-topic")],
        delivery_id: vec![header("x-wc-webhook-delivery-id")],
        handshakes: vec![Handshake {
            given: Some(FieldRef::Form(text("webhook_id"))),
            unless: Some(header("x-wc-webhook-signature")),
            ..Handshake::OPEN
        }],
        samples: &[(&["order.created", "order.updated"], include_str!("../samples/shopify.json"))],
        other_types: OTHER_TYPES,
        ..PLAIN
    }
}

const OTHER_TYPES: &[&str] = &[
    "coupon.created",
    "coupon.deleted",
    "coupon.updated",
    "customer.created",
    "customer.deleted",
    "customer.updated",
    "order.deleted",
    "order.restored",
    "product.created",
    "product.deleted",
    "product.restored",
    "product.updated",
];
