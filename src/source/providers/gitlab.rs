//! GitLab.
//!
//! <https://docs.gitlab.com/user/project/integrations/webhooks>: a token, or a signing token
//! (`whsec_`) by Standard Webhooks (gitlab-org/gitlab!230944). No vector of GitLab's own.

use super::prelude::*;

pub(super) fn provider() -> Provider {
    Provider {
        name: "gitlab",
        page: "https://docs.gitlab.com/user/project/integrations/webhooks",
        setup: &[
            "In the project or group open Settings > Webhooks, and add one with {url}.",
            "Enter as secret token what {secret} holds; or create a signing token, and copy \
                 that (`whsec_...`) into {secret}.",
            "Choose the triggers.",
        ],
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
        samples: &[(&["push", "tag_push"], include_str!("../samples/gitlab.json"))],
        other_types: OTHER_TYPES,
        ..PLAIN
    }
}

const OTHER_TYPES: &[&str] = &[
    "build",
    "deployment",
    "emoji",
    "feature_flag",
    "issue",
    "merge_request",
    "note",
    "pipeline",
    "release",
    "wiki_page",
];
