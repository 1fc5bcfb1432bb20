//! The table of providers. Each row names the page that it was written from.

use std::sync::LazyLock;

use crate::event::DataRoot;

use super::super::handshake::{Answer, Handshake};
use super::super::keys::{Algorithm, KeyRule};
use super::super::place::Place;
use super::super::signature::Encoding;
use super::super::timestamp::Unit;
use super::{Provider, Row, header, json, list, prefix, text};

/// The commonest scheme of all: an HMAC-SHA256 of the body in hexadecimal.
const HEX_OF_BODY: Row = Row {
    algorithm: Algorithm::HmacSha256,
    places: Vec::new(),
    shape: prefix(""),
    encoding: Encoding::Hex,
    signed: "{body}",
    timestamp: None,
    id: None,
    key: KeyRule::UTF8,
    body_sha256: None,
};

/// A provider that tells nothing about itself.
const PLAIN: Provider = Provider {
    name: "",
    vector: None,
    rows: Vec::new(),
    event_type: Vec::new(),
    delivery_id: Vec::new(),
    data_root: DataRoot::Payload,
    handshakes: Vec::new(),
};

const WHSEC: KeyRule =
    KeyRule { encoding: Encoding::Base64, strip: text("whsec_"), is_prefix_needed: false };

/// <https://www.standardwebhooks.com>, `v1` with one set of header names.
fn standard() -> Row {
    Row {
        places: vec![header("webhook-signature")],
        shape: list(" ", ",", "v1"),
        encoding: Encoding::Base64,
        signed: "{id}.{timestamp}.{body}",
        timestamp: Some((header("webhook-timestamp"), Unit::Seconds)),
        id: Some(header("webhook-id")),
        key: WHSEC,
        ..HEX_OF_BODY
    }
}

/// Slack's scheme, which others have taken over.
fn slack() -> Row {
    Row {
        places: vec![header("x-slack-signature")],
        shape: prefix("v0="),
        signed: "v0:{timestamp}:{body}",
        timestamp: Some((header("x-slack-request-timestamp"), Unit::Seconds)),
        ..HEX_OF_BODY
    }
}

fn twilio() -> Row {
    Row {
        algorithm: Algorithm::HmacSha1,
        places: vec![header("x-twilio-signature")],
        encoding: Encoding::Base64,
        signed: "{url}{sorted_form}",
        ..HEX_OF_BODY
    }
}

/// Every provider.
pub static PROVIDERS: LazyLock<Vec<Provider>> = LazyLock::new(|| {
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
        // https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md:
        // `v1` by a shared secret, `v1a` by Ed25519 (`whpk_`).
        Provider {
            name: "standard-webhooks",
            vector: Some("standard-webhooks-v1"),
            rows: vec![
                standard(),
                Row {
                    algorithm: Algorithm::Ed25519,
                    shape: list(" ", ",", "v1a"),
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
                shape: prefix("sha256="),
                ..HEX_OF_BODY
            }],
            event_type: vec![header("x-github-event")],
            delivery_id: vec![header("x-github-delivery")],
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
            ..PLAIN
        },
        // https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks (Secure webhooks).
        Provider {
            name: "bitbucket",
            vector: Some("github-docs"),
            rows: vec![Row {
                places: vec![header("x-hub-signature")],
                shape: prefix("sha256="),
                ..HEX_OF_BODY
            }],
            event_type: vec![header("x-event-key")],
            delivery_id: vec![header("x-request-uuid")],
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
                shape: list(",", "=", "v1"),
                signed: "{timestamp}.{body}",
                timestamp: Some((Place::List(text("t")), Unit::Seconds)),
                ..HEX_OF_BODY
            }],
            event_type: vec![json("type")],
            delivery_id: vec![json("id")],
            data_root: DataRoot::Data,
            ..PLAIN
        },
        // https://docs.slack.dev/authentication/verifying-requests-from-slack.
        Provider {
            name: "slack",
            vector: Some("slack-docs"),
            rows: vec![slack()],
            event_type: vec![json("event.type"), json("type"), Place::Form(text("command"))],
            delivery_id: vec![json("event_id")],
            handshakes: vec![Handshake {
                when: Some((json("type"), text("url_verification"))),
                answer: Answer::Echo(json("challenge")),
                ..Handshake::SIGNED
            }],
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
            data_root: DataRoot::InnerPayload,
            handshakes: vec![Handshake {
                when: Some((json("event"), text("endpoint.url_validation"))),
                answer: Answer::Hash(json("payload.plainToken")),
                ..Handshake::SIGNED
            }],
            ..PLAIN
        },
        // https://shopify.dev/docs/apps/build/webhooks/subscribe/https. No vector is published.
        Provider {
            name: "shopify",
            rows: vec![Row {
                places: vec![header("x-shopify-hmac-sha256")],
                encoding: Encoding::Base64,
                ..HEX_OF_BODY
            }],
            event_type: vec![header("x-shopify-topic")],
            delivery_id: vec![header("x-shopify-webhook-id")],
            ..PLAIN
        },
        // github.com/discourse/discourse app/jobs/regular/emit_web_hook_event.rb. No vector.
        Provider {
            name: "discourse",
            rows: vec![Row {
                places: vec![header("x-discourse-event-signature")],
                shape: prefix("sha256="),
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
                shape: prefix("sha512="),
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
                shape: list(",", "=", "sha256"),
                signed: "{body}{timestamp}",
                timestamp: Some((Place::List(text("t")), Unit::Millis)),
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
                shape: prefix("sha1="),
                ..HEX_OF_BODY
            }],
            event_type: vec![json("topic")],
            delivery_id: vec![json("id")],
            data_root: DataRoot::Data,
            ..PLAIN
        },
        // https://developer.zendesk.com/documentation/webhooks/verifying. The only published vector is
        // of an earlier form with the time behind the body.
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
            delivery_id: vec![json("id"), header("x-zendesk-webhook-invocation-id")],
            ..PLAIN
        },
        // https://developer.paddle.com/webhooks/signature-verification. No vector is published.
        Provider {
            name: "paddle",
            rows: vec![Row {
                places: vec![header("paddle-signature")],
                shape: list(";", "=", "h1"),
                signed: "{timestamp}:{body}",
                timestamp: Some((Place::List(text("ts")), Unit::Seconds)),
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
        // https://linear.app/developers/webhooks#securing-webhooks. No vector is published.
        Provider {
            name: "linear",
            rows: vec![Row {
                places: vec![header("linear-signature")],
                timestamp: Some((json("webhookTimestamp"), Unit::Millis)),
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
                shape: prefix("sha256="),
                encoding: Encoding::Base64,
                ..HEX_OF_BODY
            }],
            event_type: vec![json("event_type")],
            delivery_id: vec![json("event_id")],
            ..PLAIN
        },
        // https://www.twilio.com/docs/usage/webhooks/webhooks-security: forms, or a body whose hash
        // the signed address carries.
        Provider {
            name: "twilio",
            vector: Some("twilio-form"),
            rows: vec![
                twilio(),
                Row {
                    signed: "{url}",
                    body_sha256: Some(Place::Query(text("bodySHA256"))),
                    ..twilio()
                },
            ],
            event_type: vec![
                Place::Form(text("EventType")),
                Place::Form(text("MessageStatus")),
                Place::Form(text("CallStatus")),
                Place::Form(text("SmsStatus")),
            ],
            delivery_id: vec![header("i-twilio-idempotency-token")],
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
            ..PLAIN
        },
        // https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks: the
        // body is not signed, so that a source needs `allow_unsigned_body`. No vector.
        Provider {
            name: "mailgun",
            rows: vec![Row {
                places: vec![json("signature.signature")],
                signed: "{timestamp}{json:signature.token}",
                timestamp: Some((json("signature.timestamp"), Unit::Seconds)),
                ..HEX_OF_BODY
            }],
            event_type: vec![json("event-data.event")],
            delivery_id: vec![json("event-data.id")],
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
                shape: prefix("sha256="),
                ..HEX_OF_BODY
            }],
            event_type: vec![json("object")],
            handshakes: vec![Handshake {
                when: Some((Place::Query(text("hub.mode")), text("subscribe"))),
                answer: Answer::Echo(Place::Query(text("hub.challenge"))),
                token: Some(Place::Query(text("hub.verify_token"))),
                ..Handshake::OPEN
            }],
            ..PLAIN
        },
    ]
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_a_sender_of_its_own_name() {
        let mut names: Vec<_> = PROVIDERS.iter().map(|provider| provider.name).collect();
        for provider in PROVIDERS.iter() {
            let sender = provider.sender().unwrap();
            assert_eq!(sender.name(), provider.name);
            assert!(!sender.schemes.is_empty(), "{}", provider.name);
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PROVIDERS.len());
    }

    #[test]
    fn only_mailgun_leaves_the_body_out() {
        for provider in PROVIDERS.iter() {
            let sender = provider.sender().unwrap();
            let weak: Vec<_> =
                sender.schemes.iter().flat_map(crate::source::Scheme::weaknesses).collect();
            assert_eq!(!weak.is_empty(), provider.name == "mailgun", "{weak:?}");
        }
    }
}
