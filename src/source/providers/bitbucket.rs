//! Bitbucket Cloud and Data Center.
//!
//! <https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks> (Secure webhooks);
//! <https://confluence.atlassian.com/bitbucketserver/manage-webhooks-938025878.html>: the test of a
//! connection is not signed.

use super::prelude::*;

pub(super) fn provider() -> Provider {
    Provider {
        name: "bitbucket",
        page: "https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks",
        setup: &[
            "In the repository open Repository settings > Webhooks > Add webhook.",
            "Enter {url}, and the secret that {secret} holds; choose the triggers.",
        ],
        vector: Some("github-docs"),
        rows: vec![Row {
            places: vec![header("x-hub-signature")],
            format: prefix("sha256="),
            ..HEX_OF_BODY
        }],
        event_type: vec![header("x-event-key")],
        delivery_id: vec![header("x-request-uuid"), header("x-request-id")],
        user_agents: &["bitbucket-webhooks"],
        handshakes: vec![Handshake {
            when: Some((header("x-event-key"), text("diagnostics:ping"))),
            ..Handshake::OPEN
        }],
        samples: &[(&["repo:push"], include_str!("../samples/bitbucket.json"))],
        ..PLAIN
    }
}
