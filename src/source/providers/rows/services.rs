//! What services tell one another: code, payments, shops, mail, platforms.

use crate::event::DataRoot;

use super::super::super::answer::AnswerRule;
use super::super::super::field_ref::FieldRef;
use super::super::super::handshake::{Answer, Handshake};
use super::super::super::keys::{Algorithm, KeyRule};
use super::super::super::signature::Encoding;
use super::super::super::timestamp::Unit;
use super::super::{Provider, Row, header, json, list, prefix, text};
use super::{HEX_OF_BODY, PLAIN, standard, twilio};

/// The rows.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn rows() -> Vec<Provider> {
    vec![
        // https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md:
        // `v1` by a shared secret, `v1a` by Ed25519 (`whpk_`).
        Provider {
            name: "standard-webhooks",
            vector: Some("standard-webhooks-v1"),
            rows: vec![
                standard(),
                Row {
                    algorithm: Algorithm::Ed25519,
                    format: list(" ", ",", "v1a"),
                    key: KeyRule {
                        encoding: Encoding::Base64,
                        strip: text("whpk_"),
                        is_prefix_needed: true,
                    },
                    ..standard()
                },
            ],
            event_type: vec![json("type")],
            data_root: DataRoot::Data,
            ..PLAIN
        },
        // https://docs.svix.com/receiving/verifying-payloads/how-manual.
        Provider {
            name: "svix",
            vector: Some("standard-webhooks-v1"),
            rows: vec![
                Row {
                    places: vec![header("svix-signature")],
                    timestamp: Some((header("svix-timestamp"), Unit::Seconds)),
                    id: Some(header("svix-id")),
                    ..standard()
                },
                standard(),
            ],
            event_type: vec![json("type"), json("eventType"), json("event_type"), json("event")],
            data_root: DataRoot::Data,
            ..PLAIN
        },
        // https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries.
        Provider {
            name: "github",
            vector: Some("github-docs"),
            rows: vec![Row {
                places: vec![header("x-hub-signature-256")],
                format: prefix("sha256="),
                ..HEX_OF_BODY
            }],
            event_type: vec![header("x-github-event")],
            delivery_id: vec![header("x-github-delivery")],
            // https://docs.github.com/webhooks/webhook-events-and-payloads: 25 MB, and no repeats.
            body_max: Some(25 << 20),
            ..PLAIN
        },
        // https://docs.gitlab.com/user/project/integrations/webhooks: a token, or a signing token
        // (`whsec_`) by Standard Webhooks (gitlab-org/gitlab!230944). No vector of GitLab's own.
        Provider {
            name: "gitlab",
            vector: Some("standard-webhooks-v1"),
            rows: vec![
                Row {
                    key: KeyRule {
                        encoding: Encoding::Base64,
                        strip: text("whsec_"),
                        is_prefix_needed: true,
                    },
                    ..standard()
                },
                Row {
                    algorithm: Algorithm::Token,
                    places: vec![header("x-gitlab-token")],
                    encoding: Encoding::Plain,
                    signed: "",
                    ..HEX_OF_BODY
                },
            ],
            event_type: vec![json("object_kind"), json("event_name"), header("x-gitlab-event")],
            delivery_id: vec![header("idempotency-key")],
            // gitlab-org/gitlab!38687.
            body_max: Some(25 << 20),
            ..PLAIN
        },
        // https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks (Secure webhooks);
        // https://confluence.atlassian.com/bitbucketserver/manage-webhooks-938025878.html: the test of
        // a connection is not signed.
        Provider {
            name: "bitbucket",
            vector: Some("github-docs"),
            rows: vec![Row {
                places: vec![header("x-hub-signature")],
                format: prefix("sha256="),
                ..HEX_OF_BODY
            }],
            event_type: vec![header("x-event-key")],
            delivery_id: vec![header("x-request-uuid"), header("x-request-id")],
            handshakes: vec![Handshake {
                when: Some((header("x-event-key"), text("diagnostics:ping"))),
                ..Handshake::OPEN
            }],
            ..PLAIN
        },
        // https://docs.gitea.com/usage/webhooks; Forgejo sends both names. No vector is published.
        Provider {
            name: "gitea",
            rows: vec![Row {
                places: vec![header("x-gitea-signature"), header("x-forgejo-signature")],
                ..HEX_OF_BODY
            }],
            event_type: vec![header("x-gitea-event"), header("x-forgejo-event")],
            delivery_id: vec![header("x-gitea-delivery"), header("x-forgejo-delivery")],
            ..PLAIN
        },
        // https://docs.stripe.com/webhooks#verify-manually.
        Provider {
            name: "stripe",
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
            ..PLAIN
        },
        // https://shopify.dev/docs/apps/build/webhooks/subscribe/https; the names without `x-` are
        // those of Events (@shopify/shopify-api 13.1, lib/webhooks/types). No vector is published.
        Provider {
            name: "shopify",
            rows: vec![Row {
                places: vec![header("x-shopify-hmac-sha256"), header("shopify-hmac-sha256")],
                encoding: Encoding::Base64,
                ..HEX_OF_BODY
            }],
            event_type: vec![header("x-shopify-topic"), header("shopify-topic")],
            delivery_id: vec![header("x-shopify-webhook-id"), header("shopify-webhook-id")],
            ..PLAIN
        },
        // https://developer.woocommerce.com/docs/apis/rest-api/webhooks: a new webhook is tried with an
        // unsigned form (woocommerce/woocommerce#15642). No vector is published.
        Provider {
            name: "woocommerce",
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
            ..PLAIN
        },
        // https://developer.paddle.com/webhooks/signature-verification. No vector is published.
        Provider {
            name: "paddle",
            rows: vec![Row {
                places: vec![header("paddle-signature")],
                format: list(";", "=", "h1"),
                signed: "{timestamp}:{body}",
                timestamp: Some((FieldRef::List(text("ts")), Unit::Seconds)),
                ..HEX_OF_BODY
            }],
            event_type: vec![json("event_type")],
            delivery_id: vec![json("event_id")],
            data_root: DataRoot::Data,
            ..PLAIN
        },
        // https://developer.squareup.com/docs/webhooks/step3validate.
        Provider {
            name: "square",
            vector: Some("square"),
            rows: vec![Row {
                places: vec![header("x-square-hmacsha256-signature")],
                encoding: Encoding::Base64,
                signed: "{url}{body}",
                ..HEX_OF_BODY
            }],
            event_type: vec![json("type")],
            delivery_id: vec![json("event_id")],
            data_root: DataRoot::Data,
            ..PLAIN
        },
        // https://www.twilio.com/docs/usage/webhooks/webhooks-security: forms, or a body whose hash
        // the signed address carries. A `SharedKey` signs by SHA-256 under the same header
        // (twilio-python 9.13, request_validator.py).
        Provider {
            name: "twilio",
            vector: Some("twilio-form"),
            rows: vec![
                twilio(),
                Row {
                    signed: "{url}",
                    body_sha256: Some(FieldRef::Query(text("bodySHA256"))),
                    ..twilio()
                },
                Row { algorithm: Algorithm::HmacSha256, ..twilio() },
                Row {
                    algorithm: Algorithm::HmacSha256,
                    signed: "{url}",
                    body_sha256: Some(FieldRef::Query(text("bodySHA256"))),
                    ..twilio()
                },
            ],
            event_type: vec![
                FieldRef::Form(text("EventType")),
                FieldRef::Form(text("MessageStatus")),
                FieldRef::Form(text("CallStatus")),
                FieldRef::Form(text("SmsStatus")),
            ],
            delivery_id: vec![header("i-twilio-idempotency-token")],
            // It reads a body as TwiML, and logs a warning for JSON.
            answer: AnswerRule::EMPTY,
            ..PLAIN
        },
        // https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features.
        // One request carries a list of events; its type is that of the first.
        Provider {
            name: "sendgrid",
            vector: Some("sendgrid-ecdsa"),
            rows: vec![Row {
                algorithm: Algorithm::EcdsaP256,
                places: vec![header("x-twilio-email-event-webhook-signature")],
                encoding: Encoding::Base64,
                signed: "{timestamp}{body}",
                timestamp: Some((header("x-twilio-email-event-webhook-timestamp"), Unit::Seconds)),
                ..HEX_OF_BODY
            }],
            event_type: vec![json("0.event")],
            stamps: vec![json("0.sg_event_id")],
            ..PLAIN
        },
        // https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks: the
        // body is not signed, so that a source needs `allow_unsigned_body`. The signed token is used
        // once: whoever saw a request cannot send another body with it. No vector.
        Provider {
            name: "mailgun",
            rows: vec![Row {
                places: vec![json("signature.signature")],
                signed: "{timestamp}{json:signature.token}",
                timestamp: Some((json("signature.timestamp"), Unit::Seconds)),
                ..HEX_OF_BODY
            }],
            event_type: vec![json("event-data.event")],
            delivery_id: vec![json("signature.token"), json("event-data.id")],
            ..PLAIN
        },
        // https://discord.com/developers/docs/events/webhook-events#preparing-for-events. No vector:
        // the tests sign with a key pair of their own.
        Provider {
            name: "discord",
            rows: vec![Row {
                algorithm: Algorithm::Ed25519,
                places: vec![header("x-signature-ed25519")],
                signed: "{timestamp}{body}",
                timestamp: Some((header("x-signature-timestamp"), Unit::Seconds)),
                ..HEX_OF_BODY
            }],
            event_type: vec![json("event.type"), json("type")],
            stamps: vec![json("event.timestamp")],
            handshakes: vec![
                // A webhook's PING is answered with 204, an interaction's with its own number.
                Handshake {
                    when: Some((json("type"), text("0"))),
                    answer: Answer::Nothing,
                    ..Handshake::SIGNED
                },
                Handshake {
                    when: Some((json("type"), text("1"))),
                    answer: Answer::Json(text(r#"{"type":1}"#)),
                    unless: Some(json("event.type")),
                    ..Handshake::SIGNED
                },
            ],
            ..PLAIN
        },
        // https://developers.facebook.com/docs/graph-api/webhooks/getting-started. No vector.
        Provider {
            name: "meta",
            rows: vec![Row {
                places: vec![header("x-hub-signature-256")],
                format: prefix("sha256="),
                ..HEX_OF_BODY
            }],
            event_type: vec![json("object")],
            handshakes: vec![Handshake {
                when: Some((FieldRef::Query(text("hub.mode")), text("subscribe"))),
                answer: Answer::Echo(FieldRef::Query(text("hub.challenge"))),
                token: Some(FieldRef::Query(text("hub.verify_token"))),
                ..Handshake::OPEN
            }],
            ..PLAIN
        },
    ]
}
