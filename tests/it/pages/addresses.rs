//! Addresses of pages with a mistake in them.

use super::page;
use crate::support::bad_server::{BadServer, status};
use crate::support::gateway::Gateway;

const BODY: &[u8] = br#"{"event":"comment.create"}"#;

/// A field with a typing mistake must not become "all".
#[test]
fn field_that_a_page_does_not_know_and_name_that_is_not_there_are_told() {
    let receiver = BadServer::start([status(422)]);
    let rest = format!(
        "[handler.app]\nstart = \"oldest\"\n[handler.app.http]\nurl = \"{}\"\n",
        receiver.url("/")
    );
    let gateway = Gateway::with("", &rest);
    gateway.send(BODY).id();
    gateway.wait_for_outcomes("app", "dead", 1);
    gateway.post("hyvor", &[("X-Signature", "00")], b"{}");
    for (path, status, said) in [
        ("/dead?source=hyvor", 400, "there is no <code>source</code> here; there are: handler,"),
        ("/dead?foo=1", 400, "there is no <code>foo</code> here"),
        ("/dead?since=soon", 400, "<code>soon</code> is not a time"),
        ("/dead?handler=nope", 404, "there is no handler <code>nope</code>"),
        ("/rejected?type=x", 400, "there is no <code>type</code> here; there are: source,"),
        ("/rejected?source=nope", 404, "there is no source <code>nope</code>"),
        ("/rejected?before=x", 400, "<code>before</code> is a number"),
        ("/config?handler=app", 400, "there is no <code>handler</code> here; nothing is chosen"),
    ] {
        let answer = gateway.ask("GET", path, "");
        let text = answer.text();
        assert_eq!(answer.status, status, "{path}: {text}");
        assert!(text.contains("role=\"alert\"") && text.contains(said), "{path}: {text}");
        assert!(text.contains("<nav class=\"nav\""), "{path}: {text}");
        assert!(!text.contains("action=\"/dead/redrive\""), "nothing is chosen: {path}: {text}");
    }
    for path in ["/dead?handler=app", "/dead?handler=all&done=1", "/rejected?source=userecho"] {
        page(&gateway, path);
    }
}

#[test]
fn heading_of_dead_letters_counts_those_that_are_listed() {
    let receiver = BadServer::start((0..3).map(|_| status(422)));
    let of = |name: &str, on: &str| {
        format!(
            "[handler.{name}]\nstart = \"oldest\"\non = [\"hyvor:{on}\"]\n[handler.{name}.http]\n\
             url = \"{}\"\n",
            receiver.url("/")
        )
    };
    let gateway = Gateway::with("", &(of("app", "*") + &of("crm", "page.*")));
    gateway.send(BODY).id();
    gateway.send(br#"{"event":"page.create"}"#).id();
    gateway.wait_for_outcomes("app", "dead", 2);
    gateway.wait_for_outcomes("crm", "dead", 1);
    assert!(page(&gateway, "/dead").contains("<h1>3 dead letters"));
    let text = page(&gateway, "/dead?handler=app");
    assert!(text.contains("<h1>2 dead letters <span class=\"thin\">of 3</span></h1>"), "{text}");
    let text = page(&gateway, "/dead?handler=all");
    assert!(text.contains("<h1>No dead letters here <span class=\"thin\">of 3</span>"), "{text}");
}
