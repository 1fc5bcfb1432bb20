//! The handbook's pictures of the dashboard, taken anew where they are asked for:
//! `PICTURES=docs/images cargo nextest run -E 'test(handbook_pictures)'`.

use std::path::Path;

use crate::support::browser::Browser;
use crate::support::gateway::{Gateway, signature};

/// One handler that has everything, one that gives up, and one that asks for more than there is.
const HANDLERS: &str = r#"
[handler.mail.command]
run = ["/bin/sh", "-c", "echo '550 5.1.1 no such mailbox' >&2; exit 65"]
[handler.comments]
when = 'data.comment.status == "published"'
[handler.comments.file]
path = "data/comments.jsonl"
"#;

#[test]
#[expect(clippy::disallowed_methods, reason = "the environment asks for the pictures")]
fn handbook_pictures_can_be_taken() {
    let Some(mut browser) = Browser::start() else { return };
    let kept = std::env::var("PICTURES").ok();
    let scratch = tempfile::tempdir().unwrap();
    let folder = kept.as_deref().map_or(scratch.path(), Path::new);
    let (gateway, pending) = busy_gateway();
    let base = format!("http://{}", gateway.admin);
    browser.size(1000, 640);
    browser.theme("light");
    browser.go(&format!("{base}/login"));
    let token = std::fs::read_to_string(gateway.folder.path().join("data/admin-token")).unwrap();
    browser.fill("#token", token.trim());
    browser.click("Sign in");
    let event = format!("/events/{pending}");
    // What is of this run only, in the words of the pages.
    let words = [
        (
            base.replace(&gateway.admin.to_string(), &gateway.public.to_string()),
            "https://your.site",
        ),
        (gateway.folder.path().join("secret").display().to_string(), "data/secrets/…"),
    ];
    for (name, path, text) in [
        ("overview", "/", "mail"),
        ("event", &event, "not called"),
        ("events-hyvor", "/events?source=hyvor", "comment.create"),
        ("events-userecho", "/events?source=userecho", "topic.created"),
        ("source-hyvor", "/sources/hyvor", "/hooks/hyvor"),
        ("source-userecho", "/sources/userecho", "/hooks/userecho"),
        ("dead", "/dead", "550 5.1.1"),
        ("rejected", "/rejected", "hyvor"),
    ] {
        browser.go(&format!("{base}{path}"));
        assert!(browser.text().contains(text), "{path}: {}", browser.text());
        for (from, to) in &words {
            browser.eval(&replacement(from, to));
        }
        browser.picture(&folder.join(format!("{name}.png")));
    }
    drop(browser);
    gateway.stop();
}

/// A gateway to which something of everything has happened, and the id of a pending comment.
fn busy_gateway() -> (Gateway, String) {
    let gateway = Gateway::with("public_url = \"https://your.site\"", HANDLERS);
    let post = |source: &str, header: &str, body: &str| {
        gateway.post(source, &[(header, &*signature(body.as_bytes()))], body.as_bytes()).id()
    };
    let comment = |id: u32, status: &str| {
        let body = format!(
            r#"{{"event":"comment.create","data":{{"comment":{{"id":{id},"status":"{status}",
            "user":{{"name":"Zoë"}},"page":{{"title":"My Post"}},"body":"Nice one"}}}}}}"#
        );
        post("hyvor", "X-Signature", &body)
    };
    for id in 1..=5 {
        comment(id, "published");
    }
    let pending = comment(6, "pending");
    post(
        "userecho",
        "X-UE-Signature",
        r#"{"hook":"topic.created","created":"2026-11-14T22:13:20.000Z","data":{"id":4,
        "header":"Dark mode, please","description":"<p>My eyes</p>","author":{"name":"Ann"}}}"#,
    );
    let rejected = gateway.post("hyvor", &[("X-Signature", "00")], b"{}");
    assert_eq!(rejected.status, 401);
    gateway.wait_until_delivered("all", 7);
    gateway.wait_for_outcomes("mail", "dead", 7);
    gateway.wait_until_delivered("comments", 5);
    (gateway, pending)
}

/// A script that writes `to` in place of `from` wherever the page shows it.
fn replacement(from: &str, to: &str) -> String {
    let (from, to) = (serde_json::Value::from(from), serde_json::Value::from(to));
    format!(
        "(() => {{ const all = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT); \
         for (let one = all.nextNode(); one; one = all.nextNode()) \
         one.data = one.data.replaceAll({from}, {to}); }})()"
    )
}
