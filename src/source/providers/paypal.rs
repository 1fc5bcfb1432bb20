//! `PayPal`.
//!
//! <https://developer.paypal.com/api/rest/webhooks/rest/#link-verifywebhooksignature>: RSA over the
//! transmission's id and time, the webhook's id and the CRC-32 of the body, with a certificate of
//! which the address is in a header. No vector: the tests sign with a certificate of their own.

use super::prelude::*;

pub(super) fn provider() -> Provider {
    Provider {
        name: "paypal",
        page: "https://developer.paypal.com/api/rest/webhooks/rest/",
        setup: &[
            "In the Developer Dashboard open Apps & Credentials and your app; under Webhooks add \
                 {url}, and choose its events.",
            "Copy the Webhook ID that is shown then into {secret}: it is part of what is signed.",
        ],
        rows: vec![Row {
            algorithm: Algorithm::RsaSha256,
            places: vec![header("paypal-transmission-sig")],
            encoding: Encoding::Base64,
            signed: "{header:paypal-transmission-id}|{timestamp}|{secret}|{body_crc32}",
            timestamp: Some((header("paypal-transmission-time"), Unit::Rfc3339)),
            // Repeated 25 times within three days.
            tolerance: Duration::from_hours(3 * 24),
            fetch: Some(FetchRule {
                address: KeyAddress::Named {
                    at: header("paypal-cert-url"),
                    origins: ["https://*.paypal.com", "https://*.sandbox.paypal.com"]
                        .map(OriginPattern::of_preset)
                        .to_vec(),
                    path: Some(PathPattern { prefix: "/v1/notifications/certs/", suffix: "" }),
                },
                allow: Vec::new(),
                owner: None,
                needs_secret: true,
            }),
            ..HEX_OF_BODY
        }],
        event_type: vec![json("event_type")],
        // Of the event: the transmission's may be another one for each try.
        delivery_id: vec![json("id")],
        samples: &[(&["PAYMENT.CAPTURE.COMPLETED"], include_str!("../samples/paypal.json"))],
        ..PLAIN
    }
}
