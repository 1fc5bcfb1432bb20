//! GitHub.
//!
//! <https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries>.

use super::prelude::*;

pub(super) fn provider() -> Provider {
    Provider {
        name: "github",
        page: "https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries",
        setup: &[
            "In the repository or organization open Settings > Webhooks > Add webhook.",
            "Enter the payload URL {url}, content type application/json, and the secret that \
                 {secret} holds.",
            "Choose the events. GitHub sends a `ping` at once, and never repeats by itself what \
                 failed.",
        ],
        vector: Some("github-docs"),
        rows: vec![Row {
            places: vec![header("x-hub-signature-256")],
            format: prefix("sha256="),
            ..HEX_OF_BODY
        }],
        event_type: vec![header("x-github-event")],
        delivery_id: vec![header("x-github-delivery")],
        user_agents: &["github-hookshot"],
        // https://docs.github.com/webhooks/webhook-events-and-payloads: 25 MB, and no repeats.
        body_max: Some(25 << 20),
        samples: &[
            (&["push"], include_str!("../samples/github-push.json")),
            (&["issues"], include_str!("../samples/github-issues.json")),
            (&["ping"], include_str!("../samples/github-ping.json")),
        ],
        other_types: OTHER_TYPES,
        ..PLAIN
    }
}

const OTHER_TYPES: &[&str] = &[
    "branch_protection_rule",
    "check_run",
    "check_suite",
    "code_scanning_alert",
    "commit_comment",
    "create",
    "delete",
    "dependabot_alert",
    "deploy_key",
    "deployment",
    "deployment_status",
    "discussion",
    "discussion_comment",
    "fork",
    "gollum",
    "installation",
    "installation_repositories",
    "issue_comment",
    "label",
    "member",
    "membership",
    "merge_group",
    "meta",
    "milestone",
    "organization",
    "package",
    "page_build",
    "public",
    "pull_request",
    "pull_request_review",
    "pull_request_review_comment",
    "pull_request_review_thread",
    "registry_package",
    "release",
    "repository",
    "repository_dispatch",
    "secret_scanning_alert",
    "security_advisory",
    "sponsorship",
    "star",
    "status",
    "team",
    "team_add",
    "watch",
    "workflow_dispatch",
    "workflow_job",
    "workflow_run",
];
