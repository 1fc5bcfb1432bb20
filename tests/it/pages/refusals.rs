//! What the API refuses, and in which words.

use serde_json::json;

use crate::support::gateway::Gateway;

#[test]
fn what_cannot_be_meant_is_refused_in_plain_words_and_changes_nothing() {
    let gateway = Gateway::start();
    gateway.post("hyvor", &[("X-Signature", "00")], b"{}");
    let refused = |method: &str, path: &str, body: &str| {
        let answer = gateway.ask(method, &format!("/api/v1/{path}"), body);
        (answer.status, answer.json()["detail"].as_str().unwrap_or_default().to_owned())
    };
    for (method, path, body, status, words) in [
        ("POST", "rejected/release", "{}", 400, "say `\"all\": true`"),
        ("POST", "dead/redrive", r#"{"handler":"nosuch"}"#, 404, "there is no handler `nosuch`"),
        ("POST", "dead/drop", r#"{"handler":"nosuch"}"#, 404, "there is no handler `nosuch`"),
        ("POST", "rollouts", r#"{"handler":"nosuch"}"#, 404, "there is no handler `nosuch`"),
        (
            "POST",
            "rollouts",
            r#"{"all":true,"rate":"fast"}"#,
            400,
            "`rate`: invalid type: string \"fast\", expected a whole number from 0 to 4294967295",
        ),
        (
            "POST",
            "dead/drop",
            r#"{"all":1}"#,
            400,
            "`all`: invalid type: integer `1`, expected true or false",
        ),
        ("POST", "reload", r#"{"dry_run":true}"#, 400, "unknown field `dry_run`"),
        ("POST", "handlers/all/pause", r#"["2h",null,"why"]"#, 400, "is one JSON object"),
        ("POST", "rejected/release", "[true]", 400, "is one JSON object"),
        (
            "POST",
            "dead/redrive",
            r#"{"handler":"nosuch","handler":"all"}"#,
            400,
            "duplicate field `handler`",
        ),
        ("POST", "compact", r#"{"full":true}"#, 400, "unknown field `full`"),
        ("POST", "handlers/all/resume", r#"{"for":"1h"}"#, 400, "unknown field `for`"),
        ("GET", "events?limit=0", "", 400, "`limit`: it is 1 at least"),
        ("GET", "dead?limit=0", "", 400, "`limit`: it is 1 at least"),
        ("POST", "dead/redrive", r#"{"all":true,"limit":0}"#, 400, "`limit`: it is 1 at least"),
        ("POST", "events/replay", r#"{"all":true,"limit":0}"#, 400, "`limit`: it is 1 at least"),
        ("POST", "rejected/release", r#"{"all":true,"limit":0}"#, 400, "`limit`: it is 1 at least"),
    ] {
        let (found, detail) = refused(method, path, body);
        assert_eq!(found, status, "{path} {body}: {detail}");
        assert!(detail.contains(words), "{path} {body}: {detail}");
    }
    // With what is asked for in their place all of it is done.
    for (path, body) in [
        ("rejected/release", json!({ "all": true })),
        ("rejected/release", json!({ "dry_run": true })),
        ("dead/redrive", json!({ "handler": "all" })),
        ("reload", json!({})),
    ] {
        let answer = gateway.ask("POST", &format!("/api/v1/{path}"), &body.to_string());
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
    assert_eq!(gateway.ask("POST", "/api/v1/compact", "").status, 200);
}
