//! Gitea and Forgejo.
//!
//! <https://docs.gitea.com/usage/webhooks>; Forgejo sends both names. No vector is published.

use super::prelude::*;

pub(super) fn provider() -> Provider {
    Provider {
        name: "gitea",
        known_as: &["codeberg", "forgejo"],
        page: "https://docs.gitea.com/usage/webhooks",
        setup: &[
            "In the repository or organization open Settings > Webhooks, and add one of the \
                 type Gitea (or Forgejo).",
            "Enter the target URL {url}, POST, application/json, and the secret that {secret} \
                 holds; choose the triggers.",
        ],
        rows: vec![Row {
            places: vec![header("x-gitea-signature"), header("x-forgejo-signature")],
            ..HEX_OF_BODY
        }],
        event_type: vec![header("x-gitea-event"), header("x-forgejo-event")],
        delivery_id: vec![header("x-gitea-delivery"), header("x-forgejo-delivery")],
        // A push names its files, and nothing says how many: as much as GitHub's.
        body_max: Some(25 << 20),
        samples: &[
            (&["push"], include_str!("../samples/github-push.json")),
            (&["issues"], include_str!("../samples/github-issues.json")),
        ],
        other_types: OTHER_TYPES,
        ..PLAIN
    }
}

const OTHER_TYPES: &[&str] = &[
    "create",
    "delete",
    "fork",
    "issue_comment",
    "package",
    "pull_request",
    "release",
    "repository",
    "wiki",
];
