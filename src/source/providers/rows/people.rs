//! Where people write to one another: comments, forums, help desks, chats.

use std::time::Duration;

use crate::event::DataRoot;

use super::super::super::answer::AnswerRule;
use super::super::super::field_ref::FieldRef;
use super::super::super::handshake::{Answer, Handshake};
use super::super::super::keys::Algorithm;
use super::super::super::signature::Encoding;
use super::super::super::timestamp::Unit;
use super::super::{Provider, Row, header, json, list, prefix, text};
use super::{HEX_OF_BODY, PLAIN, slack};

/// The rows.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn rows() -> Vec<Provider> {
    vec![
        // https://support.userecho.com/knowledge-bases/10/articles/7887-webhooks: an HMAC in
        // hexadecimal, without saying by which hash. Both lengths are taken, over the raw body; the
        // literal reading of that page, an HMAC of the word `POST`, protects nothing.
        Provider {
            name: "userecho",
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
            ..PLAIN
        },
        // https://talk.hyvor.com/docs/webhooks.
        Provider {
            name: "hyvor-talk",
            vector: Some("hyvor-blogs-symfony"),
            rows: vec![Row { places: vec![header("x-signature")], ..HEX_OF_BODY }],
            event_type: vec![json("event")],
            data_root: DataRoot::Data,
            ..PLAIN
        },
        // github.com/hyvor/hyvor-blogs-symfony (receiver), hyvor/blogs WebhookDeliveryService.php.
        Provider {
            name: "hyvor-blogs",
            vector: Some("hyvor-blogs-symfony"),
            rows: vec![Row { places: vec![header("x-signature")], ..HEX_OF_BODY }],
            event_type: vec![json("event")],
            data_root: DataRoot::Data,
            ..PLAIN
        },
        // github.com/hyvor/relay backend/src/Service/Webhook/WebhookService.php, worker/webhooks.go.
        Provider {
            name: "hyvor-relay",
            vector: Some("hyvor-blogs-symfony"),
            rows: vec![Row { places: vec![header("x-signature")], ..HEX_OF_BODY }],
            event_type: vec![json("event")],
            data_root: DataRoot::InnerPayload,
            ..PLAIN
        },
        // https://docs.slack.dev/authentication/verifying-requests-from-slack.
        Provider {
            name: "slack",
            vector: Some("slack-docs"),
            rows: vec![slack()],
            event_type: vec![json("event.type"), json("type"), FieldRef::Form(text("command"))],
            delivery_id: vec![json("event_id")],
            handshakes: vec![Handshake {
                when: Some((json("type"), text("url_verification"))),
                answer: Answer::Echo(json("challenge")),
                ..Handshake::SIGNED
            }],
            // A body would be shown to whoever gave a command, or be taken for a modal's answer.
            answer: AnswerRule::EMPTY,
            ..PLAIN
        },
        // https://developers.zoom.us/docs/api/webhooks: Slack's scheme under other names. No vector.
        Provider {
            name: "zoom",
            rows: vec![Row {
                places: vec![header("x-zm-signature")],
                timestamp: Some((header("x-zm-request-timestamp"), Unit::Seconds)),
                ..slack()
            }],
            event_type: vec![json("event")],
            stamps: vec![json("event_ts")],
            data_root: DataRoot::InnerPayload,
            handshakes: vec![Handshake {
                when: Some((json("event"), text("endpoint.url_validation"))),
                answer: Answer::Hash(json("payload.plainToken")),
                ..Handshake::SIGNED
            }],
            ..PLAIN
        },
        // github.com/discourse/discourse app/jobs/regular/emit_web_hook_event.rb. No vector.
        Provider {
            name: "discourse",
            rows: vec![Row {
                places: vec![header("x-discourse-event-signature")],
                format: prefix("sha256="),
                ..HEX_OF_BODY
            }],
            event_type: vec![header("x-discourse-event")],
            delivery_id: vec![header("x-discourse-event-id")],
            ..PLAIN
        },
        // https://help.disqus.com/developer/webhooks and github.com/dmatt/disqus-zetahub-webhook, a
        // sample receiver by Disqus staff. No vector is published.
        Provider {
            name: "disqus",
            rows: vec![Row {
                algorithm: Algorithm::HmacSha512,
                places: vec![header("x-hub-signature")],
                format: prefix("sha512="),
                ..HEX_OF_BODY
            }],
            event_type: vec![json("object_type")],
            handshakes: vec![Handshake {
                when: Some((json("verb"), text("verify"))),
                answer: Answer::Echo(json("challenge")),
                ..Handshake::SIGNED
            }],
            ..PLAIN
        },
        // https://docs.ghost.org/webhooks and TryGhost/Ghost#20500: since 5.87.1 the time is signed
        // behind the body. The older form signs the body alone; were both taken, an old body with its
        // time glued on would pass for ever. No vector with its exact body.
        Provider {
            name: "ghost",
            rows: vec![Row {
                places: vec![header("x-ghost-signature")],
                format: list(",", "=", "sha256"),
                signed: "{body}{timestamp}",
                timestamp: Some((FieldRef::List(text("t")), Unit::Millis)),
                ..HEX_OF_BODY
            }],
            event_type: vec![],
            ..PLAIN
        },
        // https://developers.intercom.com/docs/webhooks/webhook-notifications. No vector.
        Provider {
            name: "intercom",
            rows: vec![Row {
                algorithm: Algorithm::HmacSha1,
                places: vec![header("x-hub-signature")],
                format: prefix("sha1="),
                ..HEX_OF_BODY
            }],
            event_type: vec![json("topic")],
            delivery_id: vec![json("id")],
            data_root: DataRoot::Data,
            ..PLAIN
        },
        // https://developer.zendesk.com/documentation/webhooks/verifying. The only published vector is
        // of an earlier form with the time behind the body. A trigger's body is its owner's own, and its
        // `id` mostly the ticket's: the invocation tells one call from another.
        Provider {
            name: "zendesk",
            rows: vec![Row {
                places: vec![header("x-zendesk-webhook-signature")],
                encoding: Encoding::Base64,
                signed: "{timestamp}{body}",
                timestamp: Some((header("x-zendesk-webhook-signature-timestamp"), Unit::Rfc3339)),
                ..HEX_OF_BODY
            }],
            event_type: vec![json("type")],
            delivery_id: vec![header("x-zendesk-webhook-invocation-id"), json("id")],
            ..PLAIN
        },
        // https://linear.app/developers/webhooks#securing-webhooks. It repeats after 1 min, 1 h and 6 h,
        // byte for byte with the first time. No vector is published.
        Provider {
            name: "linear",
            rows: vec![Row {
                places: vec![header("linear-signature")],
                timestamp: Some((json("webhookTimestamp"), Unit::Millis)),
                tolerance: Duration::from_hours(8),
                ..HEX_OF_BODY
            }],
            event_type: vec![json("type"), header("linear-event")],
            delivery_id: vec![header("linear-delivery")],
            data_root: DataRoot::Data,
            ..PLAIN
        },
        // https://www.typeform.com/developers/webhooks/secure-your-webhooks. No vector.
        Provider {
            name: "typeform",
            rows: vec![Row {
                places: vec![header("typeform-signature")],
                format: prefix("sha256="),
                encoding: Encoding::Base64,
                ..HEX_OF_BODY
            }],
            event_type: vec![json("event_type")],
            delivery_id: vec![json("event_id")],
            ..PLAIN
        },
    ]
}
