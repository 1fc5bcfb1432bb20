//! Shopify.
//!
//! <https://shopify.dev/docs/apps/build/webhooks/subscribe/https>; the names without `x-` are those
//! of Events (@shopify/shopify-api 13.1, lib/webhooks/types). No vector is published.

use super::prelude::*;

pub(super) fn provider() -> Provider {
    Provider {
        name: "shopify",
        page: "https://shopify.dev/docs/apps/build/webhooks/subscribe/https",
        setup: &[
            "In the admin open Settings > Notifications > Webhooks, and create one with {url} \
                 and JSON.",
            "Copy the secret shown below the list into {secret}. For an app's webhooks that is \
                 the app's client secret.",
        ],
        rows: vec![Row {
            places: vec![header("x-shopify-hmac-sha256"), header("shopify-hmac-sha256")],
            encoding: Encoding::Base64,
            ..HEX_OF_BODY
        }],
        event_type: vec![header("x-shopify-topic"), header("shopify-topic")],
        delivery_id: vec![header("x-shopify-webhook-id"), header("shopify-webhook-id")],
        samples: &[(
            &["orders/create", "orders/updated", "orders/paid"],
            include_str!("../samples/shopify.json"),
        )],
        other_types: OTHER_TYPES,
        ..PLAIN
    }
}

const OTHER_TYPES: &[&str] = &[
    "app/uninstalled",
    "carts/create",
    "carts/update",
    "checkouts/create",
    "checkouts/update",
    "customers/create",
    "customers/delete",
    "customers/update",
    "fulfillments/create",
    "fulfillments/update",
    "inventory_levels/update",
    "orders/cancelled",
    "orders/delete",
    "orders/edited",
    "orders/fulfilled",
    "products/create",
    "products/delete",
    "products/update",
    "refunds/create",
];
